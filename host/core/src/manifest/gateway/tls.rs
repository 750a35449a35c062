//! HTTPS: where, with which certificates, and what browsers and plain HTTP are told of it. Reading certificates and
//! serving belong to the gateway.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::manifest::diagnostic::Located;
use crate::manifest::section::{Entry, Section};
use crate::manifest::source::Files;

/// Most certificates.
const MAX_CERTIFICATES: usize = 64;
/// Where HTTPS is served where nothing is said.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 3443);
const YEAR_S: u32 = 31_536_000;

/// `[application.tool.weft.gateway.tls]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Where HTTPS is served, beside plain HTTP: 127.0.0.1:3443 by default. `weft up --listen-tls` outranks it.
    pub listen: SocketAddr,
    /// The certificates, 1 to 64. The first is for clients that name no host, or one that none of them is for.
    pub certificates: Vec<Located<CertificateFiles>>,
    /// How long a handshake may take, in milliseconds: 1 to 600,000, 10,000 by default.
    pub handshake_timeout_ms: u32,
    /// Handshakes at once: 1 to 1,000,000, 1,000 by default. One more waits, within its time.
    pub max_handshakes: u32,
    /// `Strict-Transport-Security` on answers over HTTPS; `hsts = false` leaves it out.
    pub hsts: Option<Hsts>,
    /// Whether plain HTTP is answered with a redirect to HTTPS.
    pub redirect: bool,
    /// The port that redirects lead to, if it is not the one that is listened on.
    pub redirect_port: Option<u16>,
    /// The line of the table.
    pub line: usize,
}

/// PEM files of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and those that lead to its root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What `Strict-Transport-Security` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hsts {
    /// How long a browser shall use HTTPS alone, in seconds: 0 to 63,072,000 (two years), a year by default. 0 makes it
    /// forget.
    pub max_age_s: u32,
    /// Whether that holds for the hosts below this one as well.
    pub subdomains: bool,
}

impl Tls {
    pub(in crate::manifest) fn read(section: Section<'_>, files: &Files) -> Option<Self> {
        let listen = section.string("listen").map(|text| {
            text.parse().unwrap_or_else(|_| {
                let message = format!("`tls.listen`: {:?} is no address and port such as 0.0.0.0:443", &*text.value);
                section.report(text.line, message);
                LISTEN
            })
        });
        let entries = section.get("certificates").and_then(|entry| entry.items()).unwrap_or_default();
        if entries.is_empty() || entries.len() > MAX_CERTIFICATES {
            section.report_with_help(
                section.line,
                format!("`tls` needs 1 to {MAX_CERTIFICATES} certificates"),
                "add certificates = [{ certificate = \"tls/fullchain.pem\", key = \"tls/key.pem\" }]",
            );
        }
        let hsts = section.flag("hsts", true).then(|| Hsts {
            max_age_s: section.number("hsts_max_age_s", 0..=2 * YEAR_S, YEAR_S),
            subdomains: section.flag("hsts_subdomains", false),
        });
        if hsts.is_none() {
            // Known, and of no use.
            for key in ["hsts_max_age_s", "hsts_subdomains"] {
                if let Some(entry) = section.get(key) {
                    entry.report("says nothing beside hsts = false");
                }
            }
        }
        let redirect_port = section.get("redirect_port").and_then(|entry| entry.number(&(1..=u16::MAX)));
        let tls = Self {
            listen: listen.unwrap_or(LISTEN),
            certificates: entries.into_iter().filter_map(|entry| certificate(entry, files)).collect(),
            handshake_timeout_ms: section.number("handshake_timeout_ms", 1..=600_000, 10_000),
            max_handshakes: section.number("max_handshakes", 1..=1_000_000, 1_000),
            hsts,
            redirect: section.flag("redirect", false),
            redirect_port,
            line: section.line,
        };
        section.finish();
        Some(tls)
    }
}

fn certificate(entry: Entry<'_>, files: &Files) -> Option<Located<CertificateFiles>> {
    let section = entry.section()?;
    let path = |key| section.required_string(key).and_then(|path| files.inside(&path, &section));
    let (certificate, key) = (path("certificate"), path("key"));
    let line = section.line;
    section.finish();
    Some(Located::new(CertificateFiles { certificate: certificate?, key: key? }, line))
}
