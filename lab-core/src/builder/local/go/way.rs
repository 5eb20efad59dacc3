//! Other ways to build a Go program than the usual one, for what real repositories get wrong.

use std::{collections::BTreeMap, fmt};

/// What is done otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// What `go.mod`, `go.sum` and `vendor` lack is fetched.
    Modules,
    /// The module is built alone.
    NoWorkspace,
    /// With a C compiler.
    Cgo,
    /// By that version of Go, or a newer one where a dependency insists.
    Toolchain(String),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Modules => f.write_str("-mod=mod"),
            Self::NoWorkspace => f.write_str("GOWORK=off"),
            Self::Cgo => f.write_str("CGO_ENABLED=1"),
            Self::Toolchain(version) => write!(f, "GOTOOLCHAIN=go{version}+auto"),
        }
    }
}

/// A change, texts in what Go printed that ask for it, and why: the start of a sentence.
type Row = (Change, &'static [&'static str], &'static str);

/// Texts of Go, seen in its output.
const ROWS: &[Row] = &[
    (
        Change::Modules,
        &[
            "missing go.sum entry",
            "updates to go.mod needed",
            "updates to go.sum needed",
            "inconsistent vendoring",
            "no required module provides package",
            "is replaced but not required",
            "disabled by -mod=vendor",
        ],
        "`go.mod`, `go.sum` or `vendor` is out of step with the code (run `go mod tidy` and commit what it changes)",
    ),
    (
        Change::NoWorkspace,
        &["go.work", "workspace mode"],
        "`go.work` does not fit the module (run `go work use` and commit what it changes)",
    ),
    (
        Change::Cgo,
        &["build constraints exclude all Go files", "C source files not allowed when not using cgo", "requires cgo"],
        "a dependency needs a C compiler",
    ),
];

/// A way to build: the usual one, changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    changes: Vec<Change>,
}

impl Way {
    pub(super) fn add(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// What to change after Go printed these lines and failed, and why; each change is made once.
    pub(super) fn next(&self, printed: &[String], has_c_compiler: bool) -> Option<(Change, &'static str)> {
        let says = |texts: &[&str]| printed.iter().any(|line| texts.iter().any(|text| line.contains(text)));
        let fits = |(change, texts, _): &&Row| {
            !self.changes.contains(change) && (*change != Change::Cgo || has_c_compiler) && says(texts)
        };
        ROWS.iter().find(fits).map(|(change, _, why)| (change.clone(), *why))
    }

    /// The command.
    pub(super) fn words(&self, words: &[String]) -> Vec<String> {
        let mut words = words.to_vec();
        if self.changes.contains(&Change::Modules) {
            // `go build -mod=mod …`
            words.insert(words.len().min(2), Change::Modules.to_string());
        }
        words
    }

    /// Its environment.
    pub(super) fn env(&self, env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut env = env.clone();
        for set in self.changes.iter().filter(|change| **change != Change::Modules).map(ToString::to_string) {
            env.extend(set.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        env
    }
}

/// Whether a dependency or the linker is what failed, which an older Go may do better.
pub(super) fn is_too_new(printed: &[String]) -> bool {
    printed.iter().any(|line| {
        let of_dependency = line.contains("@v") || line.contains("vendor/");
        line.starts_with("link: ") || (of_dependency && line.contains(".go:"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn each_cause_changes_the_way_once() {
        let mut way = Way::default();
        let words = lines("go\nbuild\n.");
        for (printed, expected) in [
            ("main.go:3:8: missing go.sum entry for module providing package x; to add:", "-mod=mod"),
            ("go: -mod may only be set to readonly or vendor when in workspace mode", "GOWORK=off"),
            ("package x: build constraints exclude all Go files in /x", "CGO_ENABLED=1"),
        ] {
            let (change, _) = way.next(&lines(printed), true).expect(printed);
            assert_eq!(change.to_string(), expected);
            way.add(change);
            assert_eq!(way.next(&lines(printed), true), None, "{printed}");
        }
        way.add(Change::Toolchain("1.20".to_owned()));
        assert_eq!(way.words(&words), lines("go\nbuild\n-mod=mod\n."));
        let env = way.env(&BTreeMap::from([("CGO_ENABLED".to_owned(), "0".to_owned())]));
        let env: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(env, ["CGO_ENABLED=1", "GOTOOLCHAIN=go1.20+auto", "GOWORK=off"]);
        assert_eq!(Way::default().next(&lines("this requires cgo"), false), None);
        assert_eq!(Way::default().next(&lines("./main.go:3:1: syntax error"), true), None);
    }

    #[test]
    fn an_older_go_is_asked_only_for_what_others_wrote() {
        assert!(is_too_new(&lines("# x/y\n../mod/golang.org/x/tools@v0.20.0/i/t.go:64:9: invalid array length")));
        assert!(is_too_new(&lines("# example.com/app\nlink: main: invalid reference to runtime.gcount")));
        assert!(!is_too_new(&lines("# example.com/app\n./main.go:3:2: undefined: x")));
    }
}
