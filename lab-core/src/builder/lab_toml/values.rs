//! The values of `lab.toml`, each checked while it is read, so that an error knows its line.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

use crate::builder::tree::paths;

/// A section, or `false` to say that there is no such thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Section<T> {
    /// The section.
    On(T),
    /// `false`
    Off,
}

impl<T> Section<T> {
    /// The section, unless it is `false`.
    pub fn on(&self) -> Option<&T> {
        match self {
            Self::On(section) => Some(section),
            Self::Off => None,
        }
    }
}

impl<T: Serialize> Serialize for Section<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::On(section) => section.serialize(serializer),
            Self::Off => serializer.serialize_bool(false),
        }
    }
}

// by hand: an untagged enum would forget which key of the section is wrong
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Section<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SectionVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for SectionVisitor<T> {
            type Value = Section<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a section or `false`")
            }
            fn visit_bool<E: de::Error>(self, on: bool) -> Result<Self::Value, E> {
                if on {
                    Err(E::custom("is a section or `false`: leave it out to have it detected"))
                } else {
                    Ok(Section::Off)
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Section::On)
            }
        }
        deserializer.deserialize_any(SectionVisitor(PhantomData))
    }
}

/// A command: a list of words, or one text. A text with nothing a shell would see in it is split at spaces, any other is
/// run by `sh -c`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Words(pub Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordsVisitor;
        impl<'de> Visitor<'de> for WordsVisitor {
            type Value = Words;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a command: a text or a list of words")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Words, E> {
                let plain = text.chars().all(|c| c.is_alphanumeric() || " -_./:@=,+".contains(c));
                let words = text.split_whitespace().map(str::to_owned).collect();
                let shell = || vec!["sh".to_owned(), "-c".to_owned(), text.to_owned()];
                checked(if plain { words } else { shell() })
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Words, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = seq.next_element::<String>()? {
                    words.push(word);
                }
                checked(words)
            }
        }
        fn checked<E: de::Error>(words: Vec<String>) -> Result<Words, E> {
            if words.iter().any(|word| word.contains('\0')) || words.first().is_some_and(String::is_empty) {
                return Err(E::custom("is not a command that can be run"));
            }
            Ok(Words(words))
        }
        deserializer.deserialize_any(WordsVisitor)
    }
}

/// Texts that follow a rule.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident: $check:expr;)+) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
        pub struct $name(pub(super) String);

        impl $name {
            /// Checks a text.
            pub fn new(text: &str) -> Result<Self, String> {
                let check: fn(&str) -> Result<String, String> = $check;
                check(text).map(Self)
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::new(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }
    )+ };
}

texts! {
    /// A path that stays inside the repository: relative, without `..`.
    RepoPath: repo_path;
    /// An exact version, such as `0.40.6`.
    VersionNumber: version;
    /// A build tag.
    Tag: tag;
    /// An argument for the server that is not Lab's own to give.
    Flag: flag;
    /// The name of a variable.
    EnvName: env_name;
    /// The path of a URL.
    HealthPath: health_path;
}

fn repo_path(text: &str) -> Result<String, String> {
    let outside = || format!("`{text}` must be a path inside the repository: relative and without `..`");
    if text.starts_with('/') || text.contains(['\0', '\\', '\n']) || text.split('/').any(|name| name == "..") {
        return Err(outside());
    }
    let path = paths::normal("", text).ok_or_else(outside)?;
    // it would be an option to the commands that get it
    if path.starts_with('-') { Err(format!("`{text}` must not start with `-`")) } else { Ok(path) }
}

fn version(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('v').unwrap_or(text);
    let version = semver::Version::parse(bare);
    version.map(|version| version.to_string()).map_err(|_| format!("`{text}` is not an exact version such as `0.40.6`"))
}

fn tag(text: &str) -> Result<String, String> {
    let good = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
    if good { Ok(text.to_owned()) } else { Err(format!("`{text}` is not a Go build tag")) }
}

/// What Lab passes itself: said twice, the second would win, and the app would listen or write elsewhere.
const OWN_FLAGS: &[(&str, &str)] = &[
    ("http", "Lab chooses the address"),
    ("https", "Lab's router ends TLS"),
    ("dir", "Lab chooses where the data is"),
    ("hooksDir", "use `[hooks] path`"),
    ("migrationsDir", "use `[migrations] path`"),
    ("publicDir", "use `[public] path`"),
];

fn flag(text: &str) -> Result<String, String> {
    if text.contains('\0') {
        return Err("an argument must not hold a NUL character".to_owned());
    }
    let name = text.trim_start_matches('-').split('=').next().unwrap_or_default();
    match OWN_FLAGS.iter().find(|(own, _)| text.starts_with('-') && name == *own) {
        Some((own, instead)) => Err(format!("`--{own}` is not the app's to give: {instead}")),
        None => Ok(text.to_owned()),
    }
}

fn env_name(text: &str) -> Result<String, String> {
    let good = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().next().is_some_and(|c| !c.is_ascii_digit());
    if good { Ok(text.to_owned()) } else { Err(format!("`{text}` is not the name of a variable")) }
}

fn health_path(text: &str) -> Result<String, String> {
    let good = text.starts_with('/') && text.chars().all(|c| c.is_ascii_graphic()) && text.len() <= 1024;
    if good { Ok(text.to_owned()) } else { Err(format!("`{text}` is not a path that starts with `/`")) }
}

/// A number of seconds from 1 to 3600.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Seconds(pub u64);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(deserializer, 3600, "seconds").map(Self)
    }
}

/// A number of JavaScript runtimes from 1 to 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PoolSize(pub u64);

impl<'de> Deserialize<'de> for PoolSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(deserializer, 1000, "runtimes").map(Self)
    }
}

fn number<'de, D: Deserializer<'de>>(deserializer: D, most: u64, of: &str) -> Result<u64, D::Error> {
    let number = i64::deserialize(deserializer)?;
    let good = u64::try_from(number).ok().filter(|number| (1..=most).contains(number));
    good.ok_or_else(|| de::Error::custom(format!("{number} is not a number of {of} from 1 to {most}")))
}
