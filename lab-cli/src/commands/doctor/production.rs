//! The programs of the production stack, where this machine runs it.

use std::{fs, io, path::Path};

use lab_core::{
    Finding,
    layout::DataDir,
    router::caddy::{self, CaddySettings},
    supervisor::supervisord::{self, SupervisordSettings},
};

use super::Check;
use crate::{args::Place, client::sockets};

pub(super) async fn checks(place: &Place) -> Vec<Check> {
    for folder in sockets(place).into_iter().filter_map(|socket| Some(socket.parent()?.to_owned())) {
        let data = DataDir::new(folder);
        let supervisord = SupervisordSettings::new(data.supervisor(), data.logs());
        // only the folder counts: what Caddy has is looked at, not what it should have
        let caddy = CaddySettings::new(data.caddy(), ([127, 0, 0, 1], 0).into());
        // the files that init leaves, also when nothing of it runs. One of them may be lost
        match is_there(&supervisord.config_file())
            .and_then(|is_there| Ok(is_there || self::is_there(&caddy.config_file())?))
        {
            Ok(true) => return of(&supervisord, &caddy).await,
            Ok(false) => {}
            Err(error) => return vec![Check::needed("stack", Err(unseen(&data, &error)))],
        }
    }
    Vec::new()
}

/// Whether there is such a file. Where that cannot be told it is an error: not to see a file is not that there is none.
fn is_there(path: &Path) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(meta) => Ok(meta.is_file()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(error),
    }
}

fn unseen(data: &DataDir, error: &io::Error) -> String {
    let place = data.path().display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "`{place}` belongs to another user, so whether supervisord and Caddy are well cannot be seen; run this as the \
             user that lab-server runs as (`sudo -u lab lab doctor`, `docker exec --user lab …`)"
        ),
        _ => format!("what is in `{place}` cannot be seen: {error}"),
    }
}

async fn of(supervisord: &SupervisordSettings, caddy: &CaddySettings) -> Vec<Check> {
    let mut checks: Vec<Check> =
        supervisord::diagnose(supervisord).await.into_iter().map(|found| check("supervisor", found)).collect();
    checks.extend(caddy::diagnose(caddy).await.into_iter().map(|found| check("caddy", found)));
    checks
}

fn check(what: &'static str, Finding { is_well, text }: Finding) -> Check {
    Check::needed(what, if is_well { Ok(text) } else { Err(text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_seen_is_not_one_that_is_not_there() {
        let folder = tempfile::tempdir().expect("tempdir");
        assert!(!is_there(&folder.path().join("none")).expect("told"));
        fs::write(folder.path().join("some"), "").expect("write");
        assert!(is_there(&folder.path().join("some")).expect("told"));
        assert!(!is_there(&folder.path().join("some/none")).expect("told"));
        // a name that is too long, because root is refused nothing
        assert!(is_there(&folder.path().join("x".repeat(300))).is_err());
        let denied = unseen(&DataDir::new("/data"), &io::ErrorKind::PermissionDenied.into());
        assert!(denied.contains("`/data` belongs to another user") && denied.contains("run this as"), "{denied}");
    }
}
