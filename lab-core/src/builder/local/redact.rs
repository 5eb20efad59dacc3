//! Keeps secrets out of a build's log.

use crate::Secret;

/// A shorter value would take ordinary words with it.
const SHORTEST: usize = 6;

/// What takes a secret's place.
const INSTEAD: &str = "•••";

/// Texts that must not be shown.
#[derive(Debug, Default)]
pub(super) struct Redact(Vec<Secret>);

impl Redact {
    /// Of several that begin alike the longest one counts.
    pub(super) fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let lines = |secret: Secret| {
            // a value of several lines is printed line by line
            secret.expose().lines().map(|line| Secret::new(line.trim())).collect::<Vec<_>>()
        };
        let mut all: Vec<Secret> = secrets.into_iter().flat_map(lines).collect();
        all.retain(|secret| secret.expose().len() >= SHORTEST && !is_harmless(secret.expose()));
        all.sort_by_key(|secret| std::cmp::Reverse(secret.expose().len()));
        Self(all)
    }

    /// `line` without secrets, and without the credentials of any address in it.
    pub(super) fn line(&self, line: &str) -> String {
        let mut clean = without_credentials(line);
        for secret in &self.0 {
            if clean.contains(secret.expose()) {
                clean = clean.replace(secret.expose(), INSTEAD);
            }
        }
        clean
    }
}

/// Values that say nothing: hiding them would only make a log hard to read.
fn is_harmless(value: &str) -> bool {
    ["production", "development"].contains(&value) || value.chars().all(|c| c == value.chars().next().unwrap_or(c))
}

/// `https://me:token@host/` is `https://•••@host/`.
fn without_credentials(line: &str) -> String {
    let mut parts = line.split("://");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        clean.push_str("://");
        let end = part.find(|c: char| matches!(c, '/' | '"' | '\'' | '?' | '#') || c.is_whitespace());
        let (authority, rest) = part.split_at(end.unwrap_or(part.len()));
        match authority.rsplit_once('@') {
            Some((_, host)) => clean.extend([INSTEAD, "@", host]),
            None => clean.push_str(authority),
        }
        clean.push_str(rest);
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_credentials_are_left_out() {
        let redact =
            Redact::new(["s3cr3t-value", "s3cr3t-value-longer", "short", "first line\nsecond line"].map(Secret::new));
        assert_eq!(redact.line("key=s3cr3t-value."), "key=•••.");
        assert_eq!(redact.line("key=s3cr3t-value-longer"), "key=•••");
        assert_eq!(redact.line("in short"), "in short");
        assert_eq!(redact.line("second line"), "•••");
        assert_eq!(
            redact.line("from https://me:pw@git.example/x?a=b@c and ssh://git@host"),
            "from https://•••@git.example/x?a=b@c and ssh://•••@host"
        );
        assert_eq!(redact.line("see https://docs.example/@scope/x"), "see https://docs.example/@scope/x");
    }
}
