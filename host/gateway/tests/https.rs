//! HTTPS: which certificate a client gets, what it may speak, how certificates are replaced, and what plain HTTP is told.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::common::{self, Got, Setup};
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use weft_core::manifest::{self, CertificateFiles, Gateway, Hsts, Located};
use weft_gateway::{CertificateError, Policy, Tls};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes `<file>.pem` and `<file>.key` for these names.
    fn issue(&self, folder: &Path, file: &str, names: &[&str]) -> Located<CertificateFiles> {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let issued = CertificateParams::new(names).unwrap().signed_by(&key, &self.0).unwrap();
        let files = CertificateFiles {
            certificate: folder.join(format!("{file}.pem")),
            key: folder.join(format!("{file}.key")),
        };
        std::fs::write(&files.certificate, issued.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        Located::new(files, 7)
    }

    fn connector(&self, versions: &[&'static SupportedProtocolVersion], protocols: &[&[u8]]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(versions).unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

fn settings(certificates: Vec<Located<CertificateFiles>>) -> manifest::Tls {
    manifest::Tls {
        listen: "127.0.0.1:0".parse().unwrap(),
        certificates,
        handshake_timeout_ms: 10_000,
        max_handshakes: 100,
        hsts: Some(Hsts { max_age_s: 31_536_000, subdomains: false }),
        redirect: false,
        redirect_port: None,
        line: 1,
    }
}

struct Https {
    server: common::Server,
    address: std::net::SocketAddr,
    tls: Arc<Tls>,
}

async fn start(settings: manifest::Tls) -> Https {
    let tls = Arc::new(Tls::new(&settings).unwrap());
    let listener = weft_gateway::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let policy = Policy::from(&Gateway { tls: Some(settings), ..Gateway::default() });
    let setup = Setup { policy, ..Setup::default() };
    let server = setup.start_on(|plain| plain.with_tls(listener, Arc::clone(&tls))).await;
    Https { server, address, tls }
}

impl Https {
    async fn connect(&self, connector: &TlsConnector, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let socket = TcpStream::connect(self.address).await.unwrap();
        connector.connect(ServerName::try_from(name.to_owned()).unwrap(), socket).await
    }
}

async fn exchange(stream: &mut TlsStream<TcpStream>, request: &str) -> Got {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    // A connection that ends without the farewell of TLS still leaves the answer.
    let _ = stream.read_to_end(&mut bytes).await;
    Got::parse(&String::from_utf8(bytes).unwrap())
}

const REQUEST: &str = "GET /echo HTTP/1.1\r\nhost: one.test\r\nconnection: close\r\n\r\n";
const BOTH: [&[u8]; 2] = [b"h2", b"http/1.1"];

#[tokio::test]
async fn both_versions_are_spoken_and_answers_say_so() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let https = start(settings(vec![authority.issue(folder.path(), "one", &["one.test"])])).await;
    for version in [&TLS12, &TLS13] {
        let mut stream = https.connect(&authority.connector(&[version], &[b"http/1.1"]), "one.test").await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let got = exchange(&mut stream, REQUEST).await;
        assert_eq!((got.status, got.header("strict-transport-security")), (200, Some("max-age=31536000")));
        let seen = got.json();
        assert_eq!(seen["headers"]["spin-full-url"], "https://one.test/echo");
        assert_eq!(seen["headers"]["x-forwarded-proto"], "https");
    }
    let plain = https.server.get("/echo").await;
    assert_eq!((plain.status, plain.header("strict-transport-security")), (200, None));
}

#[tokio::test]
async fn http2_is_agreed_on_in_the_handshake() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let https = start(settings(vec![authority.issue(folder.path(), "one", &["one.test"])])).await;
    let stream = https.connect(&authority.connector(&[&TLS13], &BOTH), "one.test").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://one.test/echo").body(http_body_util::Empty::<bytes::Bytes>::new());
    let response = sender.send_request(request.unwrap()).await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, http::Version::HTTP_2));
    assert!(response.headers().contains_key("strict-transport-security"));
}

/// The certificate that a client gets which asks for this name.
async fn chosen(https: &Https, authority: &Authority, name: &str) -> Vec<u8> {
    // Whoever is not in it is told by the client; what counts is which one it was.
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone()).unwrap();
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().dangerous();
    let config = builder.with_custom_certificate_verifier(Arc::new(See(seen.clone()))).with_no_client_auth();
    https.connect(&TlsConnector::from(Arc::new(config)), name).await.unwrap();
    let der = seen.lock().unwrap();
    der.clone()
}

/// Takes every certificate and remembers it.
#[derive(Debug)]
struct See(Arc<std::sync::Mutex<Vec<u8>>>);

mod seeing {
    use super::See;
    use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use tokio_rustls::rustls::{DigitallySignedStruct, Error, SignatureScheme};

    impl ServerCertVerifier for See {
        fn verify_server_cert(
            &self,
            certificate: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            *self.0.lock().unwrap() = certificate.to_vec();
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            ring::default_provider().signature_verification_algorithms.supported_schemes()
        }
    }
}

fn der_of(files: &CertificateFiles) -> Vec<u8> {
    use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject as _};
    CertificateDer::from_pem_file(&files.certificate).unwrap().to_vec()
}

#[tokio::test]
async fn the_name_that_is_asked_for_chooses_the_certificate() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let first = authority.issue(folder.path(), "first", &["one.test", "www.one.test"]);
    let second = authority.issue(folder.path(), "second", &["two.test", "*.two.test", "one.test"]);
    let https = start(settings(vec![first.clone(), second.clone()])).await;
    for (name, expected) in [
        ("one.test", &first),
        ("www.one.test", &first),
        ("two.test", &second),
        ("ANY.two.test", &second),
        ("a.b.two.test", &first),
        ("elsewhere.test", &first),
        ("127.0.0.1", &first),
    ] {
        assert_eq!(chosen(&https, &authority, name).await, der_of(expected), "{name}");
    }
}

#[tokio::test]
async fn certificates_change_while_connections_go_on() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = authority.issue(folder.path(), "one", &["one.test"]);
    let settings = settings(vec![files.clone()]);
    let https = start(settings.clone()).await;
    let old = der_of(&files);
    let connector = authority.connector(&[&TLS13], &[b"http/1.1"]);
    let mut open = https.connect(&connector, "one.test").await.unwrap();
    assert!(!https.tls.reload(&settings).unwrap(), "nothing has changed");
    authority.issue(folder.path(), "one", &["one.test"]);
    assert!(https.tls.reload(&settings).unwrap());
    let new = chosen(&https, &authority, "one.test").await;
    assert!(new != old && new == der_of(&files));
    // One that cannot be used leaves this one in place, and says why.
    std::fs::write(&files.key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let error = https.tls.reload(&settings).unwrap_err();
    assert_eq!(error.line(), 7);
    assert!(error.to_string().contains("is not the key of the certificate in"), "{error}");
    assert_eq!(chosen(&https, &authority, "one.test").await, new);
    assert_eq!(exchange(&mut open, REQUEST).await.status, 200, "the connection of before");
}

#[test]
fn what_cannot_be_used_is_named() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let good = authority.issue(folder.path(), "good", &["one.test"]).value;
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let broken = folder.path().join("broken.pem");
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let nowhere = folder.path().join("nowhere.pem");
    for (certificate, key, file, what) in [
        (&nowhere, &good.key, &nowhere, "cannot be read"),
        (&good.certificate, &nowhere, &nowhere, "cannot be read"),
        (&empty, &good.key, &empty, "holds no certificate"),
        (&good.key, &good.key, &good.key, "holds no certificate"),
        (&broken, &good.key, &broken, "holds a certificate that cannot be read"),
        (&good.certificate, &good.certificate, &good.certificate, "holds no private key"),
    ] {
        let files = CertificateFiles { certificate: certificate.clone(), key: key.clone() };
        let error: CertificateError = Tls::new(&settings(vec![Located::new(files, 3)])).unwrap_err();
        assert_eq!(error.line(), 3);
        let text = error.to_string();
        assert!(text.starts_with(&file.display().to_string()) && text.contains(what), "{text}");
    }
}

#[tokio::test]
async fn a_handshake_is_bounded_in_time_and_number() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let certificates = vec![authority.issue(folder.path(), "one", &["one.test"])];
    let https =
        start(manifest::Tls { handshake_timeout_ms: 100, max_handshakes: 1, ..settings(certificates.clone()) }).await;
    // Silent, plain HTTP, and slow: all of them are cut off.
    for bytes in [&b""[..], b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"\x16\x03\x01"] {
        let mut socket = TcpStream::connect(https.address).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        let text = common::read_to_end(&mut socket).await;
        assert!(!text.contains("HTTP/1.1"), "{text}");
    }
    let connector = authority.connector(&[&TLS13], &[b"http/1.1"]);
    assert_eq!(exchange(&mut https.connect(&connector, "one.test").await.unwrap(), REQUEST).await.status, 200);
    // While one place is taken, the next waits for it, and no longer than its own time.
    let https =
        start(manifest::Tls { handshake_timeout_ms: 60_000, max_handshakes: 1, ..settings(certificates) }).await;
    let silent = TcpStream::connect(https.address).await.unwrap();
    let mut waiting = Box::pin(https.connect(&connector, "one.test"));
    let early = tokio::time::timeout(Duration::from_millis(300), waiting.as_mut()).await;
    assert!(early.is_err(), "there is one place");
    drop(silent);
    assert_eq!(exchange(&mut waiting.await.unwrap(), REQUEST).await.status, 200);
}

#[tokio::test]
async fn plain_http_is_sent_to_https_where_the_manifest_says_so() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let certificates = vec![authority.issue(folder.path(), "one", &["one.test"])];
    let https = start(manifest::Tls { redirect: true, ..settings(certificates.clone()) }).await;
    let got = https.server.send("POST", "/echo?a=b", &[], "body").await;
    let location = format!("https://weft.test:{}/echo?a=b", https.address.port());
    assert_eq!((got.status, got.header("location")), (308, Some(&*location)));
    assert_eq!(https.server.get("/livez").await.status, 200, "probes come by plain HTTP");
    for host in ["", "u@weft.test", "weft test", "a/b"] {
        let got = https.server.raw(format!("GET /echo HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")).await;
        assert!(got.starts_with("HTTP/1.1 400 "), "{host:?}: {got}");
    }
    let mut stream = https.connect(&authority.connector(&[&TLS13], &[b"http/1.1"]), "one.test").await.unwrap();
    assert_eq!(exchange(&mut stream, REQUEST).await.status, 200);
    let https = start(manifest::Tls { redirect: true, redirect_port: Some(443), ..settings(certificates) }).await;
    let got = https.server.get("/echo").await;
    assert_eq!(got.header("location"), Some("https://weft.test/echo"));
}

#[tokio::test]
async fn a_slow_head_is_told_so_in_tls() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let tls_settings = settings(vec![authority.issue(folder.path(), "one", &["one.test"])]);
    let tls = Arc::new(Tls::new(&tls_settings).unwrap());
    let listener = weft_gateway::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut setup = Setup::default();
    setup.limits.head_timeout = Duration::from_millis(200);
    let server = setup.start_on(|plain| plain.with_tls(listener, Arc::clone(&tls))).await;
    let https = Https { server, address, tls };
    let connector = authority.connector(&[&TLS13], &[b"http/1.1"]);
    let mut stream = https.connect(&connector, "one.test").await.unwrap();
    assert_eq!(exchange(&mut stream, "GET /echo HTTP/1.1\r\n").await.status, 408);
}

#[tokio::test]
async fn it_is_listened_for_elsewhere_while_connections_go_on() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let mut https = start(settings(vec![authority.issue(folder.path(), "one", &["one.test"])])).await;
    let connector = authority.connector(&[&TLS13], &[b"http/1.1"]);
    let mut in_work = https.connect(&connector, "one.test").await.unwrap();
    in_work.write_all(b"GET /hold HTTP/1.1\r\nhost: one.test\r\nconnection: close\r\n\r\n").await.unwrap();
    https.server.gate.entered.notified().await;
    // One that has reached the old socket is served, though its handshake comes later.
    let waiting = TcpStream::connect(https.address).await.unwrap();
    let listener = weft_gateway::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let old = std::mem::replace(&mut https.address, listener.local_addr().unwrap());
    https.server.gateway.listen_tls(Some((listener, Arc::clone(&https.tls))));
    let mut there = https.connect(&connector, "one.test").await.unwrap();
    assert_eq!(exchange(&mut there, REQUEST).await.status, 200);
    let mut waiting = connector.connect(ServerName::try_from("one.test").unwrap(), waiting).await.unwrap();
    assert_eq!(exchange(&mut waiting, REQUEST).await.status, 200);
    assert!(TcpStream::connect(old).await.is_err(), "nobody listens there");
    https.server.gate.open.notify_one();
    assert_eq!(exchange(&mut in_work, "").await.body, "held");
    // Nor anywhere, in the end.
    https.server.gateway.listen_tls(None);
    while TcpStream::connect(https.address).await.is_ok() {}
    assert_eq!(https.server.get("/echo").await.status, 200);
}

#[tokio::test]
async fn bounds_of_handshakes_change_with_the_certificates() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let settings = settings(vec![authority.issue(folder.path(), "one", &["one.test"])]);
    let https = start(settings.clone()).await;
    let mut before = TcpStream::connect(https.address).await.unwrap();
    // Connections are taken in their order, so its handshake is awaited once another is done.
    let connector = authority.connector(&[&TLS13], &[b"http/1.1"]);
    let mut other = https.connect(&connector, "one.test").await.unwrap();
    assert_eq!(exchange(&mut other, REQUEST).await.status, 200);
    assert!(!https.tls.reload(&manifest::Tls { handshake_timeout_ms: 50, ..settings }).unwrap());
    let mut after = TcpStream::connect(https.address).await.unwrap();
    assert_eq!(after.read(&mut [0]).await.unwrap(), 0, "closed after 50 ms");
    // The one before has its 10 s.
    let mut stream = connector.connect(ServerName::try_from("one.test").unwrap(), &mut before).await.unwrap();
    stream.write_all(REQUEST.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    assert!(bytes.starts_with(b"HTTP/1.1 200 "));
}
