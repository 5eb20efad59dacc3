//! Errors that name the file, the line and the key.

use std::ops::Range;

use crate::builder::BuildError;

/// What the parser says, with a suggestion where a name is nearly right.
pub(super) fn describe(file: &str, text: &str, error: &toml::de::Error) -> BuildError {
    let message = error.message().lines().next().unwrap_or_default();
    let reason = match suggestion(message) {
        Some(name) => format!("{message}; did you mean `{name}`?"),
        None => message.to_owned(),
    };
    at(file, text, error.span(), &reason)
}

/// An error at a place of the file.
pub(super) fn at(file: &str, text: &str, span: Option<Range<usize>>, reason: &str) -> BuildError {
    let before = span.and_then(|span| text.get(..span.start));
    let Some(before) = before else {
        return BuildError::Invalid { what: format!("`{file}`"), reason: reason.to_owned() };
    };
    let line = before.matches('\n').count();
    let key = key(text, line).map(|key| format!(", `{key}`")).unwrap_or_default();
    BuildError::Invalid { what: format!("`{file}`, line {}{key}", line + 1), reason: reason.to_owned() }
}

/// The key on that line, with its section.
fn key(text: &str, line: usize) -> Option<String> {
    let is_header = |line: &&str| line.starts_with('[');
    let here = text.lines().nth(line)?.trim();
    if is_header(&here) {
        return Some(here.split(']').next()?.trim_start_matches('[').to_owned());
    }
    let (name, _) = here.split_once('=')?;
    let section = text.lines().take(line).map(str::trim).filter(is_header).last();
    let section = section.and_then(|header| header.trim_start_matches('[').split(']').next());
    let name = name.trim();
    Some(section.map_or_else(|| name.to_owned(), |section| format!("{section}.{name}")))
}

/// The expected name that is nearest to the unknown one.
fn suggestion(message: &str) -> Option<&str> {
    if !message.starts_with("unknown ") {
        return None;
    }
    // names are what stands between backticks: the unknown one first, then the expected ones
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    names
        .map(|name| (strsim::damerau_levenshtein(unknown, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
