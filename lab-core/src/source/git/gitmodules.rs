//! Reads `.gitmodules`. Not with libgit2's configuration reader: that follows `include.path`, which would let a
//! repository read files of this machine.

use std::collections::HashMap;

/// The longest file that is read.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// What is said of one submodule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: Option<String>,
    pub(super) url: Option<String>,
    pub(super) update: Option<String>,
}

/// The submodules by the path they are at. What cannot be read is passed over, as a gitlink without an entry is.
pub(super) fn parse(text: &str) -> HashMap<String, Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with('[') {
            inside = line.to_ascii_lowercase().starts_with("[submodule ");
            if inside {
                entries.push(Entry::default());
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        let Some(entry) = entries.last_mut().filter(|_| inside) else { continue };
        let value = Some(unquote(value));
        match key.trim().to_ascii_lowercase().as_str() {
            "path" => entry.path = value,
            "url" => entry.url = value,
            "update" => entry.update = value,
            _ => {}
        }
    }
    let named = |entry: Entry| Some((entry.path.clone()?.trim_end_matches('/').to_owned(), entry));
    entries.into_iter().filter_map(named).collect()
}

/// A value as git-config(1) writes it: quotes, backslashes, and comments outside of quotes.
fn unquote(value: &str) -> String {
    let (mut text, mut quoted) = (String::new(), false);
    let mut chars = value.trim().chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' => text.extend(match chars.next() {
                Some('n') => Some('\n'),
                Some('t') => Some('\t'),
                other => other,
            }),
            '#' | ';' if !quoted => break,
            _ => text.push(c),
        }
    }
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn entries_are_found_by_path_and_includes_are_not_followed() {
        let text = "[include]\n\tpath = /etc/passwd\n[submodule \"a\"]\n\tpath = \"lib/a b\"\n\turl = ../a.git # x\n\
                    [Submodule \"b\"]\npath=lib/b/\nURL = https://host.example/b\n\tupdate = none\n[core]\nurl = x\n";
        let entries = parse(text);
        assert_eq!(entries.len(), 2);
        assert_eq!(entries["lib/a b"].url.as_deref(), Some("../a.git"));
        assert_eq!(entries["lib/b"].url.as_deref(), Some("https://host.example/b"));
        assert_eq!(entries["lib/b"].update.as_deref(), Some("none"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(\\PC|\n|\\[submodule \"|path|url|=|\"|\\\\){0,60}") {
            parse(&text);
        }
    }
}
