//! Identifiers that sort by the time they were made.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind} id: it should look like `{example}`")]
pub struct InvalidId {
    text: String,
    kind: &'static str,
    example: &'static str,
}

macro_rules! time_ordered_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// A new one, later than every one made before it in this process.
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                // only the form that `Display` writes: an id is also a file name, so one id has one spelling
                match Uuid::try_parse(text) {
                    Ok(id) if id.get_version_num() == 7 && id.to_string() == text => Ok(Self(id)),
                    _ => Err(InvalidId {
                        text: text.chars().take(64).flat_map(char::escape_default).collect(),
                        kind: $kind,
                        example: "0198c0de-0000-7000-8000-000000000000",
                    }),
                }
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }
    };
}

time_ordered_id!(
    /// One built release of an app (UUID version 7, RFC 9562): also the name of its folder.
    ReleaseId, "release"
);
time_ordered_id!(
    /// One run of the deploy pipeline (UUID version 7, RFC 9562): also the name of its record.
    DeploymentId, "deployment"
);
time_ordered_id!(
    /// One data point of an app (UUID version 7, RFC 9562): also the name of its folder.
    DataPointId, "data point"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_the_time_they_were_made() {
        let ids: Vec<ReleaseId> = (0..1000).map(|_| ReleaseId::new()).collect();
        assert!(ids.is_sorted());
        let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
        assert!(texts.is_sorted());
    }

    #[test]
    fn an_id_has_one_spelling_and_never_leaves_its_folder() {
        let id = DeploymentId::new();
        assert_eq!(id.to_string().parse::<DeploymentId>(), Ok(id));
        for bad in [
            "",
            "..",
            "../x",
            &id.to_string().to_uppercase(),
            &format!("{{{id}}}"),
            "67e55044-10b1-426f-9247-bb680e5fe0c8",
        ] {
            assert!(bad.parse::<DeploymentId>().is_err(), "{bad}");
        }
    }
}
