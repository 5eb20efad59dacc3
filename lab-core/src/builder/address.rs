//! Addresses that a Go program gives PocketBase in its code, instead of taking them from the command line: where they are
//! plain texts, a build can put the one there that the app is told at its start.

use std::borrow::Cow;

/// The function that is put in their place.
const CALL: &str = "labAddress()";

/// So many are replaced in one file.
const MAX: usize = 16;

/// A Go file without its fixed addresses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Freed {
    /// Its text.
    pub text: String,
    /// The first of the addresses.
    pub address: String,
    /// The name of its package.
    pub package: String,
}

impl Freed {
    /// A file of the same package, with what the text calls.
    pub(super) fn function(&self) -> String {
        format!(
            "package {}\n\nimport \"os\"\n\n// where Lab has the app listen\nfunc {CALL} string {{ return \"127.0.0.1:\" + os.Getenv(\"PORT\") }}\n",
            self.package
        )
    }
}

/// `text`, a Go file, where it gives PocketBase a fixed address.
pub(super) fn freed(text: &str) -> Option<Freed> {
    let mut freed = String::with_capacity(text.len());
    let mut first = None;
    let mut done = 0;
    for found in fixed(text).into_iter().take(MAX) {
        freed.push_str(&text[done..found.from]);
        freed.push_str(&found.instead);
        done = found.to;
        first.get_or_insert(found.address);
    }
    freed.push_str(&text[done..]);
    let package = text.lines().find_map(|line| line.strip_prefix("package "))?.split_whitespace().next()?;
    let is_name = package.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let address = first.filter(|_| is_name)?.to_owned();
    Some(Freed { text: freed, address, package: package.to_owned() })
}

/// An address in a text, what stands from where to where, and what is put there.
struct Fixed<'a> {
    from: usize,
    to: usize,
    instead: Cow<'static, str>,
    address: &'a str,
}

/// In order, none inside another: `"--http=:8090"`, `"--http", ":8090"`, `HttpAddr: ":8090"`.
fn fixed(text: &str) -> Vec<Fixed<'_>> {
    const FLAG: &str = "\"--http";
    let flags = text.match_indices(FLAG).filter_map(|(from, flag)| {
        let rest = &text[from + flag.len()..];
        if let Some(value) = rest.strip_prefix('=') {
            let (address, _) = value.split_once('"')?;
            let to = from + flag.len() + 1 + address.len() + 1;
            return Some(Fixed { from, to, instead: format!("\"--http=\" + {CALL}").into(), address });
        }
        next(text, rest.strip_prefix('"')?.trim_start().strip_prefix(',')?)
    });
    let fields = text.match_indices("HttpAddr:").filter_map(|(at, field)| next(text, &text[at + field.len()..]));
    let mut all: Vec<Fixed<'_>> =
        flags.chain(fields).filter(|it| is_address(it.address) && !is_kept(text, it.from)).collect();
    all.sort_by_key(|it| it.from);
    all
}

/// The text that `rest`, the end of `text`, begins with.
fn next<'a>(text: &'a str, rest: &'a str) -> Option<Fixed<'a>> {
    let value = rest.trim_start();
    let (address, _) = value.strip_prefix('"')?.split_once('"')?;
    let from = text.len() - value.len();
    Some(Fixed { from, to: from + address.len() + 2, instead: CALL.into(), address })
}

/// `:8090`, `0.0.0.0:8090`, `[::1]:8090`
fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_host = host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c));
    is_host && port.parse::<u16>().is_ok()
}

/// Whether what is at `at` must be a constant, or is a comment.
fn is_kept(text: &str, at: usize) -> bool {
    let line = text[..at].rsplit('\n').next().unwrap_or_default().trim_start();
    line.starts_with("const ") || line.contains("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_addresses_are_replaced_where_they_stand_in_the_code() {
        let text = "package main\n\nconst A = \"--http=:1\"\n\nfunc main() {\n\t// SetArgs(\"--http=:2\")\n\tapp.RootCmd.SetArgs([]string{\"serve\", \"--http=0.0.0.0:8090\"})\n\tos.Args = append(os.Args, \"--http\",\n\t\t\":8070\")\n\tapis.Serve(app, apis.ServeConfig{HttpAddr:   \"localhost:80\", HttpsAddr: \"\"})\n\tf(\"--http=:\" + port, \"--https=:443\", \"--http\", addr, HttpAddr: addr)\n}\n";
        let freed = freed(text).expect("freed");
        let expected = "package main\n\nconst A = \"--http=:1\"\n\nfunc main() {\n\t// SetArgs(\"--http=:2\")\n\tapp.RootCmd.SetArgs([]string{\"serve\", \"--http=\" + labAddress()})\n\tos.Args = append(os.Args, \"--http\",\n\t\tlabAddress())\n\tapis.Serve(app, apis.ServeConfig{HttpAddr:   labAddress(), HttpsAddr: \"\"})\n\tf(\"--http=:\" + port, \"--https=:443\", \"--http\", addr, HttpAddr: addr)\n}\n";
        assert_eq!(freed.text, expected);
        assert_eq!(freed.address, "0.0.0.0:8090");
        assert!(freed.function().starts_with("package main\n"), "{}", freed.function());
    }

    #[test]
    fn other_files_are_left_alone() {
        for text in [
            "",
            "package main\n",
            "package main\nvar a = \"--http=:x\"",
            "\"--http=:1\"",
            "package m;x\nf(\"--http=:1\")",
        ] {
            assert_eq!(freed(text), None, "{text}");
        }
        assert_eq!(freed("package main\nf(\"--http"), None);
        assert_eq!(freed("package main\nf(\"--http\","), None);
    }
}
