//! The nouns of an app: its name, port and record.

use std::{collections::BTreeSet, fmt, num::NonZeroU16, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    builder::RepoPath,
    domain::CustomDomain,
    git_url::{GitRef, GitUrl},
    ids::ReleaseId,
    lifecycle::{Desired, Status},
    rehearsal::RehearsalPolicy,
};

/// Names that would shadow something of the lab's own or mislead a visitor.
pub const RESERVED_NAMES: &[&str] = &[
    "admin",
    "api",
    "assets",
    "auth",
    "caddy",
    "dashboard",
    "health",
    "internal",
    "lab",
    "localhost",
    "login",
    "mail",
    "metrics",
    "ns1",
    "ns2",
    "root",
    "smtp",
    "static",
    "status",
    "system",
    "webmail",
    "www",
];

/// Why a text is not an [`AppName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAppName {
    /// Not 1 to 40 characters.
    #[error("an app name has 1 to 40 characters, this one has {0}")]
    Length(usize),
    /// A character that a DNS label may not hold.
    #[error("an app name holds only a-z, 0-9 and `-`, not `{}`", .0.escape_default())]
    Character(char),
    /// A hyphen at either end, or two at the third place (the form of encoded international names).
    #[error("an app name neither starts nor ends with `-`, and has no `--` at its third place")]
    Hyphen,
    /// One of [`RESERVED_NAMES`].
    #[error("the name `{0}` is reserved for the lab itself; choose another")]
    Reserved(String),
}

/// The name of an app: one lower-case DNS label (RFC 1035) of 1 to 40 characters, so that it can be a host name, a
/// folder and a program's name without escaping.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct AppName(String);

impl AppName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AppName {
    type Err = InvalidAppName;

    fn from_str(text: &str) -> Result<Self, InvalidAppName> {
        if let Some(c) = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
            return Err(InvalidAppName::Character(c));
        }
        if text.is_empty() || text.len() > 40 {
            return Err(InvalidAppName::Length(text.len()));
        }
        if text.starts_with('-') || text.ends_with('-') || text.get(2..4) == Some("--") {
            return Err(InvalidAppName::Hyphen);
        }
        if RESERVED_NAMES.contains(&text) {
            return Err(InvalidAppName::Reserved(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AppName({})", self.0)
    }
}

impl TryFrom<String> for AppName {
    type Error = InvalidAppName;

    fn try_from(text: String) -> Result<Self, InvalidAppName> {
        text.parse()
    }
}

impl From<AppName> for String {
    fn from(name: AppName) -> Self {
        name.0
    }
}

/// A TCP port that an app listens on (loopback only): 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Port(NonZeroU16);

impl Port {
    /// `None` for 0, which means "any port" to the kernel.
    pub fn new(number: u16) -> Option<Self> {
        NonZeroU16::new(number).map(Self)
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The record of one app, as `apps.json` keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct App {
    /// Its name.
    pub name: AppName,
    /// Where its code comes from; holds no credentials when written.
    pub repository: GitUrl,
    /// The branch, tag or commit it follows; none: the remote's HEAD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<GitRef>,
    /// The folder of the app in its repository, where its owner named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<RepoPath>,
    /// When its releases are rehearsed, where its owner said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<RehearsalPolicy>,
    /// The version of PocketBase that its owner upgraded it to: no deployment uses an older one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pocketbase: Option<semver::Version>,
    /// The loopback port it listens on; none while nothing of it can run (a first deploy that failed).
    pub port: Option<Port>,
    /// What it was last seen to be.
    pub status: Status,
    /// What its owner wants it to be.
    pub desired: Desired,
    /// When it was first deployed (UTC).
    pub created_at: Timestamp,
    /// When it was last deployed with success (UTC).
    pub last_deploy: Option<Timestamp>,
    /// The label in front of the lab's domain.
    pub subdomain: AppName,
    /// Domains of its own that lead to it as well.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub domains: BTreeSet<CustomDomain>,
    /// The release that serves: the one source of truth, which the `current` link follows.
    pub release: Option<ReleaseId>,
    /// Counts the writes of this record; a write that carries an older one is refused.
    #[serde(default)]
    pub revision: u64,
    /// Fields of a later version of Lab, kept as they are.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_dns_labels_that_are_not_reserved() {
        for good in ["a", "app", "my-app-2", "a--b", "0", &"a".repeat(40)] {
            assert!(good.parse::<AppName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "xn--abc",
            "ab--c",
            "App",
            "a_b",
            "a.b",
            "a/b",
            "..",
            "a b",
            "a\n",
            "é",
            "www",
            "api",
            "lab",
            "admin",
            "status",
            "health",
            "localhost",
            &"a".repeat(41),
        ] {
            assert!(bad.parse::<AppName>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_safe_name_or_an_error(text in "\\PC{0,50}") {
            if let Ok(name) = text.parse::<AppName>() {
                prop_assert!(name.as_str().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}
