//! HTTPS: certificates from PEM files, chosen by the name that the client asks for, and replaced while connections go on.
//! Sessions keep the certificate that they began with; a new one that cannot be used leaves the old one in place.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};
use webpki::EndEntityCert;
use weft_core::manifest::{self, CertificateFiles, Located};

/// Largest PEM file, in bytes.
const PEM_BYTES: u64 = 1024 * 1024;
/// What is offered in the handshake, the better first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A certificate that cannot be used. `line` is the line in the manifest.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    File {
        /// Where it is named.
        line: usize,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{} {what}", path.display())]
    Content {
        /// Where it is named.
        line: usize,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// There is none.
    #[error("no certificate is named")]
    None,
    /// The library does not take its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Library(rustls::Error),
}

impl CertificateError {
    /// The line in the manifest that names the file.
    #[must_use]
    pub fn line(&self) -> usize {
        match self {
            Self::File { line, .. } | Self::Content { line, .. } => *line,
            Self::None | Self::Library(_) => 0,
        }
    }
}

/// HTTPS, ready to be served.
#[derive(Debug)]
pub struct Tls {
    chosen: Arc<Chooser>,
    config: Arc<ServerConfig>,
    pub(crate) handshakes: ArcSwap<Handshakes>,
}

/// What handshakes keep to.
#[derive(Debug)]
pub(crate) struct Handshakes {
    pub time: Duration,
    pub places: Semaphore,
    most: usize,
}

impl Handshakes {
    fn of(settings: &manifest::Tls) -> Self {
        let most = usize::try_from(settings.max_handshakes).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let time = Duration::from_millis(settings.handshake_timeout_ms.into());
        Self { time, places: Semaphore::new(most), most }
    }
}

impl Tls {
    /// Reads the certificates that the manifest names.
    ///
    /// # Errors
    /// [`CertificateError`] for the first that cannot be used.
    pub fn new(settings: &manifest::Tls) -> Result<Self, CertificateError> {
        let certificates = Certificates::read(&settings.certificates)?;
        let chosen = Arc::new(Chooser(ArcSwap::from_pointee(certificates)));
        Ok(Self {
            config: Arc::new(server_config(Arc::clone(&chosen)).map_err(CertificateError::Library)?),
            chosen,
            handshakes: ArcSwap::from_pointee(Handshakes::of(settings)),
        })
    }

    /// Reads the certificates again. Handshakes from now on get the new ones, and keep to the new bounds; says whether there
    /// were new certificates.
    ///
    /// # Errors
    /// [`CertificateError`] for the first that cannot be used; all the old ones then stay.
    pub fn reload(&self, settings: &manifest::Tls) -> Result<bool, CertificateError> {
        let certificates = Certificates::read(&settings.certificates)?;
        let is_new = certificates.digest != self.chosen.0.load().digest;
        if is_new {
            self.chosen.0.store(Arc::new(certificates));
        }
        let (before, now) = (self.handshakes.load(), Handshakes::of(settings));
        if (before.time, before.most) != (now.time, now.most) {
            self.handshakes.store(Arc::new(now));
        }
        Ok(is_new)
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

/// TLS 1.2 and 1.3 with the suites that rustls holds to be safe. Sessions are resumed by id from a bounded memory.
fn server_config(chosen: Arc<Chooser>) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(chosen);
    config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

#[derive(Debug)]
struct Chooser(ArcSwap<Certificates>);

impl ResolvesServerCert for Chooser {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().choose(hello.server_name()))
    }
}

#[derive(Debug)]
struct Certificates {
    /// By name in lower case; one below `*.` stands for every host directly below the rest.
    by_name: HashMap<String, Arc<CertifiedKey>>,
    /// For clients that name no host, or one that there is no certificate for.
    first: Arc<CertifiedKey>,
    /// Of the files.
    digest: [u8; 32],
}

impl Certificates {
    fn read(files: &[Located<CertificateFiles>]) -> Result<Self, CertificateError> {
        let (mut by_name, mut first) = (HashMap::new(), None);
        let mut digest = Sha256::new();
        let provider = ring::default_provider();
        for pair in files {
            let (key, names) = certified(pair, &provider, &mut digest)?;
            let key = Arc::new(key);
            for name in names {
                // The one that is named first is the one.
                by_name.entry(name).or_insert_with(|| Arc::clone(&key));
            }
            first.get_or_insert(key);
        }
        let first = first.ok_or(CertificateError::None)?;
        Ok(Self { by_name, first, digest: digest.finalize().into() })
    }

    fn choose(&self, name: Option<&str>) -> Arc<CertifiedKey> {
        let of_name = |name: &str| {
            let name = name.to_ascii_lowercase();
            let wildcard = || name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
            self.by_name.get(&name).or_else(|| self.by_name.get(&wildcard()?))
        };
        Arc::clone(name.and_then(of_name).unwrap_or(&self.first))
    }
}

/// A certificate with its key, and the names that it is for.
fn certified(
    pair: &Located<CertificateFiles>,
    provider: &CryptoProvider,
    digest: &mut Sha256,
) -> Result<(CertifiedKey, Vec<String>), CertificateError> {
    let CertificateFiles { certificate, key } = &pair.value;
    let content =
        |path: &Path, what: String| CertificateError::Content { line: pair.line, path: path.to_owned(), what };
    let (certificates, keys) = (read(certificate, pair.line)?, read(key, pair.line)?);
    for text in [&certificates, &keys] {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text);
    }
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&certificates).collect();
    let chain = chain.map_err(|error| content(certificate, format!("is no PEM text of certificates: {error}")))?;
    let Some(own) = chain.first() else {
        return Err(content(certificate, "holds no certificate: it needs a section BEGIN CERTIFICATE".into()));
    };
    let names = {
        let own = EndEntityCert::try_from(own);
        let own =
            own.map_err(|error| content(certificate, format!("holds a certificate that cannot be read: {error}")))?;
        own.valid_dns_names().map(str::to_ascii_lowercase).collect()
    };
    let private = PrivateKeyDer::from_pem_slice(&keys)
        .map_err(|error| content(key, format!("holds no private key in PEM (PKCS #8, PKCS #1 or SEC1): {error}")))?;
    let certified = CertifiedKey::from_der(chain, private, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            content(key, format!("is not the key of the certificate in {}", certificate.display()))
        }
        error => content(key, format!("holds a key that cannot be used: {error}")),
    })?;
    Ok((certified, names))
}

fn read(path: &Path, line: usize) -> Result<Vec<u8>, CertificateError> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(PEM_BYTES).read_to_end(&mut text));
    read.map_err(|source| CertificateError::File { line, path: path.to_owned(), source })?;
    Ok(text)
}
