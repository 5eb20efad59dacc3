//! The unix socket: for the server's own user only.

use std::{io, os::unix::fs::PermissionsExt, path::Path};

use tokio::net::{UnixListener, UnixStream};

/// Opens the socket at `path`. One that is there is replaced when nobody answers on it.
pub(super) async fn bind(path: &Path) -> io::Result<UnixListener> {
    if UnixStream::connect(path).await.is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    // made in a folder nobody else may enter and renamed, so that it is open to others for no moment, and so that a
    // client finds the old socket or the new one
    let private = tempfile::Builder::new().prefix(".").rand_bytes(4).tempdir_in(folder)?;
    let temporary = private.path().join("s");
    let listener = UnixListener::bind(&temporary)?;
    std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&temporary, path)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_its_users_only_and_replaces_one_that_nobody_answers() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lab.sock");
        let first = bind(&path).await.expect("bound");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        let refused = bind(&path).await.expect_err("somebody answers");
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        let second = bind(&path).await.expect("nobody answers any more");
        assert!(UnixStream::connect(&path).await.is_ok());
        drop(second);
        assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 1, "nothing is left beside it");
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let deep = folder.path().join("x".repeat(120));
        std::fs::create_dir(&deep).expect("made");
        assert!(bind(&deep.join("lab.sock")).await.is_err());
    }
}
