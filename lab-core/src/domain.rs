//! Domains of an app's own, beside its host below the lab's domain.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{app::AppName, router::Hostname};

/// The most domains of one app.
pub const MAX_DOMAINS: usize = 50;

/// A domain of an app's own: lower case, at least two labels, international names in their ASCII form (`xn--…`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct CustomDomain(Hostname);

/// Why an app does not get a domain, or does not lose it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// It is no domain.
    #[error(
        "`{}` is not a domain: give a name such as `shop.example.com`, without port, path or `*`; an international one in its \
         ASCII form (`xn--…`)",
        .0.escape_default()
    )]
    Invalid(String),
    /// It is the lab's, or below the lab's.
    #[error(
        "`{domain}` belongs to the lab, whose apps have one label below `{lab}` by their names; choose another domain"
    )]
    OfLab {
        /// Which.
        domain: CustomDomain,
        /// The lab's own.
        lab: Hostname,
    },
    /// Another app has it.
    #[error("`{domain}` leads to `{owner}` already; take it away there first: `lab domains {owner} remove {domain}`")]
    Taken {
        /// Which.
        domain: CustomDomain,
        /// Whose it is.
        owner: AppName,
    },
    /// The app has enough.
    #[error("`{0}` has {MAX_DOMAINS} domains, and more it cannot have; take one away first")]
    TooMany(AppName),
    /// The app does not have it.
    #[error("`{app}` has no domain `{domain}`; `lab domains {app} list` shows those there are")]
    Unknown {
        /// The app.
        app: AppName,
        /// What was asked for.
        domain: CustomDomain,
    },
}

impl CustomDomain {
    /// It as a host.
    pub fn host(&self) -> &Hostname {
        &self.0
    }

    /// Whether it is `domain` or below it.
    pub(crate) fn is_within(&self, domain: &Hostname) -> bool {
        self.0.as_str().strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl FromStr for CustomDomain {
    type Err = DomainError;

    /// Upper case is taken, and a final dot.
    fn from_str(text: &str) -> Result<Self, DomainError> {
        let invalid = || DomainError::Invalid(text.chars().take(255).collect());
        let host: Hostname = text.parse().map_err(|_| invalid())?;
        // a last label of digits makes an address of it, or looks like one
        let is_name = host.as_str().rsplit_once('.').is_some_and(|(_, last)| !last.bytes().all(|b| b.is_ascii_digit()));
        if is_name { Ok(Self(host)) } else { Err(invalid()) }
    }
}

impl fmt::Display for CustomDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<CustomDomain> for String {
    fn from(domain: CustomDomain) -> Self {
        domain.0.into()
    }
}

impl TryFrom<String> for CustomDomain {
    type Error = DomainError;

    fn try_from(text: String) -> Result<Self, DomainError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_domain_is_a_name_of_two_labels_or_more() {
        let long = format!("{}.example", "a.".repeat(122).trim_end_matches('.'));
        for good in ["example.com", "www.Example.COM.", "xn--bcher-kva.example", "a-b.c1", "1.example", &long] {
            let domain: CustomDomain = good.parse().expect(good);
            assert_eq!(domain.to_string(), good.trim_end_matches('.').to_ascii_lowercase());
        }
        for bad in [
            "",
            ".",
            "localhost",
            "bücher.example",
            "*.example.com",
            "example.com:443",
            "https://example.com",
            "example.com/x",
            "a..b",
            "-a.example",
            "a_b.example",
            "127.0.0.1",
            "1.2",
            "[::1]",
            "example.com\n",
            &format!("{long}.example"),
        ] {
            assert!(matches!(bad.parse::<CustomDomain>(), Err(DomainError::Invalid(_))), "{bad:?}");
        }
    }

    #[test]
    fn what_is_below_a_domain_is_within_it_and_nothing_else() {
        let is_within = |text: &str, domain: &str| {
            let domain = domain.parse().expect("a host");
            text.parse::<CustomDomain>().expect("a domain").is_within(&domain)
        };
        for text in ["lab.example.com", "a.lab.example.com", "b.a.lab.example.com"] {
            assert!(is_within(text, "lab.example.com"), "{text}");
        }
        for text in ["example.com", "xlab.example.com", "lab.example.com.evil.test"] {
            assert!(!is_within(text, "lab.example.com"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_domain_or_an_error(text in "\\PC{0,300}|[a-z.*-]{0,20}") {
            if let Ok(domain) = text.parse::<CustomDomain>() {
                prop_assert_eq!(domain.to_string().parse(), Ok(domain));
            }
        }
    }
}
