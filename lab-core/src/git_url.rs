//! Where an app's code comes from: repository addresses and the names of branches, tags and commits.

use std::{fmt, path::Path, str::FromStr};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::secret::Secret;

/// The longest repository address that is read, in bytes.
const MAX_URL: usize = 2048;

/// Why a text is not a [`GitUrl`]. No variant holds the text: it may contain a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGitUrl {
    /// Empty, too long, or with characters that no address holds.
    #[error("a repository address is 1 to {MAX_URL} printable characters without spaces and does not start with `-`")]
    Malformed,
    /// Nothing that tells it from any other word.
    #[error("that is no repository address; one looks like `https://host/me/app` or `git@host:me/app`")]
    NoAddress,
    /// A form git knows and Lab does not take.
    #[error(
        "repositories are read over https, ssh or git:// (as `https://host/me/app` or `git@host:me/app`), not over `{0}`"
    )]
    Scheme(String),
    /// No host, or no path on it.
    #[error("the repository address names no host or no path on it")]
    Incomplete,
    /// A local path, or plain http, where the embedder does not allow them.
    #[error("repositories on this machine's disk or over plain http are not allowed here; use an https or ssh address")]
    LocalNotAllowed,
}

/// Which addresses [`GitUrl::parse`] takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UrlPolicy {
    /// https, ssh and `git://` only.
    #[default]
    Remote,
    /// Also absolute local paths, `file://`, and plain http to a loopback address. For tests and for a lab whose users
    /// may read this machine's disk.
    LocalAllowed,
}

/// How a repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `https://`
    Https,
    /// Plain `http://` to a loopback address
    Http,
    /// `ssh://` or `user@host:path`
    Ssh,
    /// `git://`
    Git,
    /// A folder on this machine
    Local,
}

/// The address of a git repository. What it prints and stores never holds credentials; they are taken out when it is
/// parsed and can only be had through [`GitUrl::credentials`].
#[derive(Clone)]
pub struct GitUrl {
    text: String,
    transport: Transport,
    credentials: Option<Credentials>,
}

/// The user and password that stood in an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name, or a token alone: hence a secret too.
    pub user: Secret,
    /// The password.
    pub password: Secret,
}

impl GitUrl {
    /// Reads `text` as far as `policy` allows.
    pub fn parse(text: &str, policy: UrlPolicy) -> Result<Self, InvalidGitUrl> {
        let text = text.trim();
        let malformed = |c: char| c.is_control() || c.is_whitespace();
        if text.is_empty() || text.len() > MAX_URL || text.starts_with('-') || text.contains(malformed) {
            return Err(InvalidGitUrl::Malformed);
        }
        if text.starts_with('/') {
            return Self::local(text, policy);
        }
        // `ext::sh -c …` and its like would let the address run commands
        if let Some((helper, _)) = text.split_once("::")
            && helper.chars().all(|c| c.is_ascii_alphanumeric())
        {
            return Err(InvalidGitUrl::Scheme(format!("{helper}::")));
        }
        if text.contains("://") { Self::with_scheme(text, policy) } else { Self::scp_like(text) }
    }

    fn local(path: &str, policy: UrlPolicy) -> Result<Self, InvalidGitUrl> {
        if policy != UrlPolicy::LocalAllowed {
            return Err(InvalidGitUrl::LocalNotAllowed);
        }
        if Path::new(path).components().any(|part| part == std::path::Component::ParentDir) {
            return Err(InvalidGitUrl::Malformed);
        }
        Ok(Self { text: path.to_owned(), transport: Transport::Local, credentials: None })
    }

    fn with_scheme(text: &str, policy: UrlPolicy) -> Result<Self, InvalidGitUrl> {
        let mut url = Url::parse(text).map_err(|_| InvalidGitUrl::Malformed)?;
        let transport = match url.scheme() {
            "https" => Transport::Https,
            "ssh" | "git+ssh" => Transport::Ssh,
            "git" => Transport::Git,
            "file" => {
                let path = url.to_file_path().map_err(|()| InvalidGitUrl::Malformed)?;
                return Self::local(path.to_str().ok_or(InvalidGitUrl::Malformed)?, policy);
            }
            "http" if policy == UrlPolicy::LocalAllowed && is_loopback(&url) => Transport::Http,
            "http" => return Err(InvalidGitUrl::LocalNotAllowed),
            other => return Err(InvalidGitUrl::Scheme(other.to_owned())),
        };
        let host = url.host_str().unwrap_or_default().to_owned();
        // a host with a leading hyphen could be read as an option by an ssh client
        if host.is_empty() || host.starts_with('-') || url.path().trim_matches('/').is_empty() {
            return Err(InvalidGitUrl::Incomplete);
        }
        url.set_fragment(None);
        let mut credentials = None;
        if transport == Transport::Ssh {
            if url.username().starts_with('-') || url.username().starts_with("%2d") || url.username().starts_with("%2D")
            {
                return Err(InvalidGitUrl::Malformed);
            }
            url.set_password(None).map_err(|()| InvalidGitUrl::Malformed)?;
        } else {
            if !url.username().is_empty() || url.password().is_some() {
                credentials = Some(Credentials {
                    user: Secret::new(percent_decode(url.username())),
                    password: Secret::new(percent_decode(url.password().unwrap_or_default())),
                });
            }
            url.set_username("").map_err(|()| InvalidGitUrl::Malformed)?;
            url.set_password(None).map_err(|()| InvalidGitUrl::Malformed)?;
        }
        Ok(Self { text: url.as_str().trim_end_matches('/').to_owned(), transport, credentials })
    }

    /// `user@host:path`, as git takes it. See "GIT URLS" in git-clone(1).
    fn scp_like(text: &str) -> Result<Self, InvalidGitUrl> {
        let (place, path) = text.split_once(':').ok_or(InvalidGitUrl::NoAddress)?;
        let (user, host) = place.split_once('@').unwrap_or(("git", place));
        let plain = |s: &str| !s.starts_with('-') && s.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
        if host.is_empty() || user.is_empty() || path.trim_matches('/').is_empty() {
            return Err(InvalidGitUrl::Incomplete);
        }
        if !plain(user) || !plain(host) || path.starts_with('-') {
            return Err(InvalidGitUrl::Malformed);
        }
        Ok(Self { text: format!("{user}@{host}:{path}"), transport: Transport::Ssh, credentials: None })
    }

    /// The address without credentials.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How it is reached.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The credentials that stood in the text, if any. They are lost when the address is stored.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// The last part of the path without `.git`: a first guess at an app's name.
    pub fn repository_name(&self) -> &str {
        let last = self.text.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
        last.strip_suffix(".git").unwrap_or(last)
    }

    /// Whether both name the same repository: `.git` at the end and the case of the host do not matter.
    pub fn is_same_repository(&self, other: &Self) -> bool {
        let plain = |url: &Self| url.text.strip_suffix(".git").unwrap_or(&url.text).to_owned();
        plain(self) == plain(other)
    }
}

/// Whether the address is on this machine by its form: no name but `localhost` is looked up.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn percent_decode(text: &str) -> String {
    url::form_urlencoded::parse(format!("x={}", text.replace('+', "%2B")).as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// Equality of what is stored: credentials do not count.
impl PartialEq for GitUrl {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for GitUrl {}

impl fmt::Display for GitUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for GitUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GitUrl({})", self.text)
    }
}

impl Serialize for GitUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for GitUrl {
    /// Takes local paths too: what Lab wrote was allowed when it was written.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text, UrlPolicy::LocalAllowed).map_err(serde::de::Error::custom)
    }
}

/// Why a text is not a [`GitRef`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a branch, tag or commit is 1 to 200 characters of git's own rules (no spaces, `..`, `~^:?*[\\`, or leading `-`)"
)]
pub struct InvalidGitRef;

/// The name of a branch or tag, or a commit's full or short hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct GitRef(String);

impl GitRef {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it can be a commit's full hash (SHA-1, 40 hexadecimal digits).
    pub fn is_full_commit(&self) -> bool {
        self.0.len() == 40 && self.0.bytes().all(|b| b.is_ascii_hexdigit())
    }
}

impl FromStr for GitRef {
    type Err = InvalidGitRef;

    fn from_str(text: &str) -> Result<Self, InvalidGitRef> {
        let fits = (1..=200).contains(&text.len())
            && !text.starts_with(['-', '+'])
            && !text.contains("@{")
            && git2::Reference::is_valid_name(&format!("refs/heads/{text}"));
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidGitRef) }
    }
}

impl fmt::Display for GitRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for GitRef {
    type Error = InvalidGitRef;

    fn try_from(text: String) -> Result<Self, InvalidGitRef> {
        text.parse()
    }
}

impl From<GitRef> for String {
    fn from(reference: GitRef) -> Self {
        reference.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn remote_addresses_are_taken_in_every_usual_form() {
        for (text, transport, stored) in [
            ("https://github.com/me/app", Transport::Https, "https://github.com/me/app"),
            ("https://github.com/me/app.git/", Transport::Https, "https://github.com/me/app.git"),
            ("HTTPS://GitHub.com/Me/App", Transport::Https, "https://github.com/Me/App"),
            ("ssh://git@host.example:2222/me/app", Transport::Ssh, "ssh://git@host.example:2222/me/app"),
            ("git@github.com:me/app.git", Transport::Ssh, "git@github.com:me/app.git"),
            ("github.com:me/app", Transport::Ssh, "git@github.com:me/app"),
            ("git://host.example/app", Transport::Git, "git://host.example/app"),
        ] {
            let url = GitUrl::parse(text, UrlPolicy::Remote).expect(text);
            assert_eq!((url.transport(), url.as_str()), (transport, stored));
        }
    }

    #[test]
    fn a_word_is_no_address() {
        for word in ["guestbook", "github.com/me/app", "me/app"] {
            assert_eq!(GitUrl::parse(word, UrlPolicy::LocalAllowed), Err(InvalidGitUrl::NoAddress), "{word}");
        }
    }

    #[test]
    fn addresses_that_could_run_or_read_something_are_refused() {
        for bad in [
            "",
            "-oProxyCommand=x",
            "ext::sh -c x",
            "ext::x",
            "fd::3",
            "file:///etc",
            "/etc",
            "http://example.com/a",
            "https://",
            "https://host",
            "ftp://host/x",
            "ssh://-oProxyCommand=x/y",
            "-x@host:y",
            "git@-host:y",
            "a b",
            "https://host/a\nb",
            "git@host:-x",
            "host",
            "ssh://-u@host/x",
        ] {
            assert!(GitUrl::parse(bad, UrlPolicy::Remote).is_err(), "{bad:?}");
        }
        assert!(GitUrl::parse("/srv/../etc", UrlPolicy::LocalAllowed).is_err());
        assert!(GitUrl::parse("http://example.com/a", UrlPolicy::LocalAllowed).is_err());
        assert!(GitUrl::parse("http://127.0.0.1:3000/a", UrlPolicy::LocalAllowed).is_ok());
        assert!(GitUrl::parse("file:///srv/app", UrlPolicy::LocalAllowed).is_ok());
    }

    #[test]
    fn credentials_are_taken_out_and_never_printed() {
        for text in [
            "https://me:s3cr3t@host.example/app",
            "https://s3cr3t@host.example/app",
            "https://:s3cr3t@host.example/app",
        ] {
            let url = GitUrl::parse(text, UrlPolicy::Remote).expect(text);
            let shown = format!("{url} {url:?} {} {:?}", serde_json::to_string(&url).expect("json"), url.credentials());
            assert!(!shown.contains("s3cr3t"), "{shown}");
            assert!(url.credentials().is_some());
        }
        let secret = GitUrl::parse("https://me:a%2Fb+c@host.example/app", UrlPolicy::Remote).expect("url");
        assert_eq!(secret.credentials().map(|c| c.password.expose()), Some("a/b+c"));
    }

    #[test]
    fn refs_follow_gits_rules() {
        for good in ["main", "v1.2.3", "feature/x", "0123456789abcdef0123456789abcdef01234567"] {
            assert!(good.parse::<GitRef>().is_ok(), "{good}");
        }
        for bad in ["", "-x", "+x", "a..b", "a b", "a~1", "a^", "a:b", "x.lock", "@{u}", "a\n"] {
            assert!(bad.parse::<GitRef>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_what_is_stored_parses_again(text in "\\PC{0,80}") {
            if let Ok(url) = GitUrl::parse(&text, UrlPolicy::LocalAllowed) {
                prop_assert_eq!(GitUrl::parse(url.as_str(), UrlPolicy::LocalAllowed), Ok(url));
            }
        }
    }
}
