//! Where the control socket is. A socket's address has at most 107 bytes on Linux, a data directory may have more: then
//! it is reached through an open descriptor of the directory.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

const NAME: &str = "control.sock";
const MAX_ADDRESS_BYTES: usize = 107;

/// An address, and what has to stay open while it is used.
fn address(data: &Path) -> io::Result<(PathBuf, Option<File>)> {
    let direct = data.join(NAME);
    if direct.as_os_str().len() <= MAX_ADDRESS_BYTES {
        return Ok((direct, None));
    }
    let directory = File::open(data)?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd())), Some(directory)))
}

/// Listens on the socket of `data`, whose lock the caller holds: so a socket that is there already is nobody's.
pub(super) fn listen(data: &Path) -> io::Result<UnixListener> {
    let (address, _open) = address(data)?;
    match fs::remove_file(&address) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&address)?;
    fs::set_permissions(&address, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Connects to the host on `data`.
pub(super) async fn connect(data: &Path) -> io::Result<UnixStream> {
    let (address, _open) = address(data)?;
    UnixStream::connect(&address).await
}

/// Removes the socket, so that the next client is told at once that there is no host.
pub(super) fn remove(data: &Path) {
    if let Ok((address, _open)) = address(data) {
        // A socket without a listener says the same, only later.
        let _ = fs::remove_file(address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_the_new_one_is_the_owners() {
        let data = tempfile::tempdir().unwrap();
        drop(listen(data.path()).unwrap());
        assert_eq!(connect(data.path()).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let _listener = listen(data.path()).unwrap();
        connect(data.path()).await.unwrap();
        let mode = fs::metadata(data.path().join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        remove(data.path());
        assert_eq!(connect(data.path()).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_directory_with_a_long_name_has_a_socket_too() {
        let data = tempfile::tempdir().unwrap();
        let long = data.path().join("x".repeat(100)).join("y".repeat(100));
        fs::create_dir_all(&long).unwrap();
        let _listener = listen(&long).unwrap();
        connect(&long).await.unwrap();
    }
}
