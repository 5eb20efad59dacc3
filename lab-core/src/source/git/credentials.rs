//! Who may see the token, and how often a server may ask.

use std::{cell::Cell, sync::Arc};

use git2::{Cred, CredentialType, Error, ErrorClass, ErrorCode};
use url::Url;

use super::GitSettings;
use crate::{
    git_url::{Credentials, GitUrl, Transport},
    secret::Secret,
    source::FetchRequest,
};

/// How often one connection may ask; then it is told no. ssh asks once for the user, once per agent and key.
const MAX_QUESTIONS: usize = 8;

/// The credentials of one fetch and the one server they are for.
#[derive(Debug)]
pub(super) struct Keyring {
    home: Option<Place>,
    web: Vec<Credentials>,
    settings: Arc<GitSettings>,
}

/// Scheme, host and port.
type Place = (String, String, Option<u16>);

impl Keyring {
    pub(super) fn new(request: &FetchRequest, settings: Arc<GitSettings>) -> Self {
        let from_url = request.repository.credentials().cloned();
        let home = place(request.repository.as_str());
        let mut web = Vec::new();
        if let Some(token) = &request.token {
            let named = from_url.as_ref().filter(|c| c.password.expose().is_empty()).map(|c| c.user.expose());
            let host = home.as_ref().map(|place| place.1.as_str()).unwrap_or_default();
            let user = named.unwrap_or_else(|| token_user(host));
            web.push(Credentials { user: Secret::new(user), password: token.clone() });
        }
        web.extend(from_url);
        Self { home, web, settings }
    }

    /// Whether `url` is on the server that the credentials are for.
    pub(super) fn fits(&self, url: &GitUrl) -> bool {
        matches!(url.transport(), Transport::Https | Transport::Http) && self.is_home(url.as_str())
    }

    fn is_home(&self, url: &str) -> bool {
        self.home.is_some() && place(url) == self.home
    }

    /// Whether there is anything to keep from others.
    pub(super) fn is_empty(&self) -> bool {
        self.web.is_empty()
    }

    /// Answers the questions of one connection to `origin`.
    pub(super) fn answer<'a>(
        &'a self,
        origin: &'a GitUrl,
    ) -> impl FnMut(&str, Option<&str>, CredentialType) -> Result<Cred, Error> + 'a {
        let asked = Cell::new(0);
        let tried = Cell::new(0);
        move |url, user, allowed| {
            asked.set(asked.get() + 1);
            if asked.get() > MAX_QUESTIONS {
                return Err(denied());
            }
            if allowed.contains(CredentialType::USERNAME) {
                return Cred::username(user.unwrap_or("git"));
            }
            let turn = tried.replace(tried.get() + 1);
            if allowed.contains(CredentialType::SSH_KEY) {
                return self.ssh(user.unwrap_or("git"), turn);
            }
            if allowed.contains(CredentialType::USER_PASS_PLAINTEXT) {
                return self.web(origin, url, turn);
            }
            Err(denied())
        }
    }

    /// `url` is where libgit2 is, maybe after a redirect.
    fn web(&self, origin: &GitUrl, url: &str, turn: usize) -> Result<Cred, Error> {
        let own = origin.credentials().filter(|_| place(url).is_some() && place(url) == place(origin.as_str()));
        let mut candidates = self.web.iter().filter(|_| self.is_home(url)).chain(own);
        let Credentials { user, password } = candidates.nth(turn).ok_or_else(denied)?;
        Cred::userpass_plaintext(user.expose(), password.expose())
    }

    fn ssh(&self, user: &str, turn: usize) -> Result<Cred, Error> {
        let turn = match (self.settings.ssh_agent, turn) {
            (true, 0) => return Cred::ssh_key_from_agent(user),
            (true, turn) => turn - 1,
            (false, turn) => turn,
        };
        let key = self.settings.ssh_keys.get(turn).ok_or_else(denied)?;
        Cred::ssh_key(user, None, &key.path, key.passphrase.as_ref().map(Secret::expose))
    }

    /// `text` without any of the secrets.
    pub(super) fn scrub(&self, text: &str) -> String {
        let mut text = text.to_owned();
        let passphrases = self.settings.ssh_keys.iter().filter_map(|key| key.passphrase.as_ref());
        for secret in self.web.iter().flat_map(|c| [&c.user, &c.password]).chain(passphrases) {
            let encoded: String = url::form_urlencoded::byte_serialize(secret.expose().as_bytes()).collect();
            for form in [secret.expose(), &encoded] {
                if !form.is_empty() && !PUBLIC_USERS.contains(&form) {
                    text = text.replace(form, "***");
                }
            }
        }
        text
    }
}

const PUBLIC_USERS: [&str; 4] = ["x-access-token", "x-token-auth", "oauth2", "git"];

/// The user that goes with a token. GitHub documents `x-access-token`, GitLab and Gitea take any, Bitbucket wants its own
/// (<https://support.atlassian.com/bitbucket-cloud/docs/using-access-tokens/>).
fn token_user(host: &str) -> &'static str {
    if host == "bitbucket.org" { "x-token-auth" } else { "x-access-token" }
}

fn denied() -> Error {
    Error::new(ErrorCode::Auth, ErrorClass::Callback, "authentication required")
}

fn place(url: &str) -> Option<Place> {
    let url = Url::parse(url).ok()?;
    let host = url.host_str()?.to_ascii_lowercase();
    Some((url.scheme().to_owned(), host, url.port_or_known_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{git_url::UrlPolicy, source::FetchLimits};

    fn keyring(url: &str, token: Option<&str>) -> Keyring {
        let request = FetchRequest {
            repository: GitUrl::parse(url, UrlPolicy::LocalAllowed).expect("url"),
            reference: None,
            token: token.map(Secret::new),
            destination: "/nowhere".into(),
            cache: "/nowhere".into(),
            limits: FetchLimits::default(),
        };
        Keyring::new(&request, Arc::new(GitSettings::default()))
    }

    #[test]
    fn a_token_is_for_the_same_scheme_host_and_port_only() {
        let keyring = keyring("https://git.example/me/app", Some("tok"));
        assert!(keyring.is_home("https://git.example/other"));
        assert!(keyring.is_home("https://GIT.example:443/other"));
        for other in ["https://git.example:8443/a", "http://git.example/a", "https://evil.example/a", "not a url"] {
            assert!(!keyring.is_home(other), "{other}");
        }
    }

    #[test]
    fn a_server_that_keeps_asking_is_refused() {
        let keyring = keyring("https://git.example/me/app", Some("tok"));
        let origin = GitUrl::parse("https://git.example/me/app", UrlPolicy::Remote).expect("url");
        let mut answer = keyring.answer(&origin);
        let mut ask = |url| answer(url, None, CredentialType::USER_PASS_PLAINTEXT).is_ok();
        assert!(ask("https://git.example/me/app"));
        assert!(!ask("https://git.example/me/app"));
    }

    #[test]
    fn secrets_are_scrubbed_from_texts_plain_and_encoded() {
        let keyring = keyring("https://me:p%2Fw@git.example/me/app", Some("t/k"));
        assert_eq!(keyring.scrub("a t/k b t%2Fk c p/w d p%2Fw"), "a *** b *** c *** d ***");
    }
}
