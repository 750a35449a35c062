//! HTTPS of the real host: certificates from files, replaced while it runs, and what `weft check` says of bad ones.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use weft_tests::platform::{Options, Platform};
use weft_tests::repository;
use weft_tests::wait::eventually;

/// An application with certificates of its own.
struct Application {
    folder: TempDir,
}

impl Application {
    fn new() -> Self {
        let application = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        let component = weft_tests::isolation::component("hello");
        let manifest = format!(
            r#"spin_manifest_version = 2
[application]
name = "https"
[application.tool.weft.gateway.tls]
certificates = [{{ certificate = "tls/cert.pem", key = "tls/key.pem" }}]
redirect = true
[application.tool.weft.routes]
"GET /hello" = {{ component = "hello", public = true }}
[[trigger.http]]
route = "/hello"
component = "hello"
[component.hello]
source = {component:?}
[component.hello.tool.weft]
"#
        );
        std::fs::write(application.manifest(), manifest).expect("the manifest can be written");
        std::fs::create_dir(application.folder.path().join("tls")).expect("a folder");
        application.issue();
        application
    }

    fn manifest(&self) -> PathBuf {
        self.folder.path().join("spin.toml")
    }

    fn tls(&self, file: &str) -> PathBuf {
        self.folder.path().join("tls").join(file)
    }

    /// Moves a new certificate in over the old one, as tools that renew them do.
    fn issue(&self) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["weft.test".to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        replace(&self.tls("key.pem"), &key.serialize_pem());
        replace(&self.tls("cert.pem"), &certificate.pem());
    }

    fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.tls("cert.pem")).expect("a certificate")
    }
}

fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).expect("a file");
    std::fs::rename(new, path).expect("a file can be moved");
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A connection of a client that trusts this certificate alone.
fn connect(address: &str, trusted: &CertificateDer<'static>) -> Result<Stream, std::io::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a root");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("weft.test").expect("a name");
    let session = ClientConnection::new(Arc::new(config), name).expect("a session");
    let mut stream = StreamOwned::new(session, TcpStream::connect(address)?);
    stream.flush()?;
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

fn get(stream: &mut Stream, connection: &str) -> String {
    let request = format!("GET /hello HTTP/1.1\r\nhost: weft.test\r\nconnection: {connection}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the host reads");
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    // The function's answer is small and ends in a brace.
    while !answer.ends_with(b"}") {
        let length = stream.read(&mut part).expect("the host answers");
        assert_ne!(length, 0, "closed early");
        answer.extend_from_slice(&part[..length]);
    }
    String::from_utf8(answer).expect("text")
}

#[test]
fn certificates_are_replaced_while_the_host_runs() {
    let application = Application::new();
    let options = Options {
        manifest: application.manifest(),
        options: vec!["--listen-tls".into(), "127.0.0.1:0".into()],
        ..Options::default()
    };
    let platform = Platform::start_with(&options);
    let address = eventually("it says where it is", || {
        let log = platform.log();
        let said = log.lines().find_map(|line| line.split_once("listening on https://"));
        said.map(|(_, address)| address.to_owned()).ok_or(log)
    });
    let address = address.as_str();
    let old = application.certificate();
    let mut kept = connect(address, &old).expect("TLS");
    let answer = get(&mut kept, "keep-alive");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age=31536000\r\n"), "{answer}");
    let redirect = platform.get("/hello").send();
    assert_eq!(redirect.status, 308);
    // A key without its certificate is not taken, and said to be wrong with its place.
    replace(&application.tls("key.pem"), &KeyPair::generate().expect("a key").serialize_pem());
    eventually("the log names the key", || {
        let log = platform.log();
        let named = log.contains("spin.toml:5: ") && log.contains("is not the key of the certificate in");
        if named { Ok(()) } else { Err(log) }
    });
    connect(address, &old).expect("the old certificate stays");
    application.issue();
    let new = application.certificate();
    eventually("the new certificate", || connect(address, &new).map(drop));
    assert!(connect(address, &old).is_err(), "the old one is gone");
    assert!(get(&mut kept, "close").starts_with("HTTP/1.1 200 "), "connections of before go on");
}

/// Where the log says the last time that HTTPS is listened for.
fn listens(platform: &Platform, what: &str) -> String {
    eventually(what, || {
        let log = platform.log();
        let said = log.lines().rev().find(|line| line.contains(what));
        let address = said.and_then(|line| line.split_once("address=")).map(|(_, rest)| {
            rest.chars().take_while(|letter| letter.is_ascii_digit() || ".:".contains(*letter)).collect::<String>()
        });
        address.ok_or(log)
    })
}

#[test]
fn https_begins_moves_and_ends_with_the_manifest() {
    let application = Application::new();
    let with = std::fs::read_to_string(application.manifest()).expect("the manifest");
    let with = with.replace("redirect = true", "listen = \"127.0.0.1:0\"");
    let (before, rest) = with.split_once("[application.tool.weft.gateway.tls]").expect("its table");
    let (_, after) = rest.split_once("listen = \"127.0.0.1:0\"").expect("its last line");
    let without = format!("{before}{after}");
    std::fs::write(application.manifest(), &without).expect("a file");
    let options = Options { manifest: application.manifest(), options: vec!["--watch".into()], ..Options::default() };
    let platform = Platform::start_with(&options);
    assert_eq!(platform.get("/hello").send().status, 200);
    std::fs::write(application.manifest(), &with).expect("a file");
    let first = listens(&platform, "HTTPS is listened for ");
    let trusted = application.certificate();
    let mut kept = connect(&first, &trusted).expect("TLS");
    assert!(get(&mut kept, "keep-alive").starts_with("HTTP/1.1 200 "));
    std::fs::write(application.manifest(), with.replace("127.0.0.1:0", "127.0.0.2:0")).expect("a file");
    let second = listens(&platform, "HTTPS is listened for elsewhere");
    assert!(second.starts_with("127.0.0.2:"), "{second}");
    let mut there = connect(&second, &trusted).expect("TLS");
    assert!(get(&mut there, "close").starts_with("HTTP/1.1 200 "));
    eventually("the old one is closed", || if TcpStream::connect(&first).is_err() { Ok(()) } else { Err(()) });
    assert!(get(&mut kept, "keep-alive").starts_with("HTTP/1.1 200 "), "connections of before go on");
    std::fs::write(application.manifest(), &without).expect("a file");
    eventually("HTTPS ends", || if TcpStream::connect(&second).is_err() { Ok(()) } else { Err(()) });
    assert!(get(&mut kept, "close").starts_with("HTTP/1.1 200 "), "and still do");
}

#[test]
fn check_names_a_certificate_that_cannot_be_used() {
    let application = Application::new();
    let check = |expected: &str| {
        let mut command = Command::new(repository::weft());
        let output = command.arg("check").arg("--manifest").arg(application.manifest()).output().expect("weft runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(expected), "{said}");
    };
    check("no problems");
    std::fs::write(application.tls("cert.pem"), "nonsense").expect("a file");
    check("spin.toml:5: ");
    check("cert.pem holds no certificate");
    std::fs::remove_file(application.tls("key.pem")).expect("a file");
    check("key.pem cannot be read");
}
