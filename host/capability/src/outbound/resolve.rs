//! Names to addresses, behind a trait so that tests decide what a name means.

use std::fmt::Debug;
use std::io;
use std::net::IpAddr;

use futures::future::BoxFuture;

/// Resolves names.
pub trait Resolve: Debug + Send + Sync + 'static {
    /// All addresses of `host`, best first. An address in text form is its own answer.
    fn resolve(&self, host: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The machine's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        if let Ok(address) = host.parse() {
            return Box::pin(std::future::ready(Ok(vec![address])));
        }
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.map(|found| found.ip()).collect()) })
    }
}
