//! What to do about the usual causes of a failed build.

/// A text that the last lines hold, and what to do then. The first row that fits is taken.
const HINTS: &[(&str, &str)] = &[
    ("ENOSPC", DISK),
    ("no space left on device", DISK),
    ("JavaScript heap out of memory", MEMORY),
    ("cannot allocate memory", MEMORY),
    ("signal: killed", MEMORY),
    (
        "can only install packages when your package.json and package-lock.json",
        "`package-lock.json` does not match `package.json`: run `npm install` and commit both",
    ),
    ("can only install with an existing package-lock.json", "run `npm install` and commit `package-lock.json`"),
    (
        "ERR_PNPM_OUTDATED_LOCKFILE",
        "`pnpm-lock.yaml` does not match `package.json`: run `pnpm install` and commit both",
    ),
    (
        "packages field missing or empty",
        "`pnpm-workspace.yaml` has settings for pnpm 10: state that version as `packageManager` in `package.json`",
    ),
    ("lockfile needs to be updated", "`yarn.lock` does not match `package.json`: run `yarn install` and commit both"),
    (
        "lockfile would have been modified",
        "`yarn.lock` does not match `package.json`: run `yarn install` and commit both",
    ),
    ("lockfile had changes", "`bun.lock` does not match `package.json`: run `bun install` and commit both"),
    ("Missing script", "`package.json` has no such script: add it, or state `build` under `[frontend]` in `lab.toml`"),
    ("EBADENGINE", NODE),
    ("Unsupported engine", NODE),
    ("You are using Node.js", NODE),
    ("GOTOOLCHAIN=local", NEWER_GO),
    ("golang.org/toolchain@", NEWER_GO),
    ("missing go.sum entry", "`go.sum` is out of step: run `go mod tidy` and commit it"),
    ("updates to go.mod needed", "`go.mod` is out of step: run `go mod tidy` and commit it"),
    (
        "build constraints exclude all Go files",
        "a library needs a C compiler that the server does not have, or is for another system: install `gcc` there, or use another library",
    ),
    ("inconsistent vendoring", "`vendor` is out of step: run `go mod vendor` and commit it"),
    (
        "no matching files found",
        "a folder that the program embeds is not there: commit it, or state how it is built in `lab.toml`",
    ),
    ("ENOTFOUND", NETWORK),
    ("EAI_AGAIN", NETWORK),
    ("ECONNREFUSED", NETWORK),
    ("ETIMEDOUT", NETWORK),
    ("no such host", NETWORK),
    ("connection refused", NETWORK),
    ("Temporary failure in name resolution", NETWORK),
    ("E404", "a package is not in the registry: is it private?"),
    ("EACCES", "a file may not be read or written by the server's user"),
    ("SELF_SIGNED_CERT", CERTIFICATE),
    ("UNABLE_TO_GET_ISSUER_CERT", CERTIFICATE),
    ("certificate signed by unknown authority", CERTIFICATE),
    ("command not found", "a tool is not installed: is it among the dependencies?"),
    (": not found", "a tool is not installed: is it among the dependencies?"),
    ("Killed", MEMORY),
];

const DISK: &str = "the server's disk is full: remove releases or apps, or enlarge it";
const MEMORY: &str = "the server ran out of memory: give it more, or build elsewhere and commit the result";
const NODE: &str = "the app wants another version of Node.js than the server has";
const NEWER_GO: &str =
    "the app's `go.mod` wants a newer Go than the server has or can fetch: install it there, or lower the `go` line";
const NETWORK: &str = "the server did not reach the package registry: is its network, proxy or DNS in order?";
const CERTIFICATE: &str = "the server does not trust the registry's certificate: does a proxy need its CA file set?";

const AWAY: &str =
    "the build asked an address that did not answer; if it is the app's own: that is not up while it is built";

/// The hint for what `command` printed last and how it ended.
pub(super) fn hint(command: &str, last_lines: &[String], was_killed: bool) -> Option<String> {
    let lower: Vec<String> = last_lines.iter().map(|line| line.to_lowercase()).collect();
    let fits = |needle: &str| lower.iter().any(|line| line.contains(&needle.to_lowercase()));
    let found = HINTS.iter().find(|(needle, _)| fits(needle)).map(|(_, hint)| *hint);
    let found = if found == Some(NETWORK) && !fetches(command) { Some(AWAY) } else { found };
    found.or(was_killed.then_some(MEMORY)).map(str::to_owned)
}

/// Whether a command asks a registry.
fn fetches(command: &str) -> bool {
    let mut words = command.split(' ');
    words.any(|word| ["install", "ci", "i", "add", "go"].contains(&word)) || !command.contains(' ')
}

#[cfg(test)]
mod tests {
    use super::hint;

    #[test]
    fn the_usual_causes_have_a_hint() {
        for (line, word) in [
            (
                "npm error `npm ci` can only install packages when your package.json and package-lock.json",
                "commit both",
            ),
            ("npm error Missing script: \"build\"", "no such script"),
            ("go: go.mod requires go >= 1.99 (running go 1.26; GOTOOLCHAIN=local)", "newer Go"),
            ("x.go:3:2: missing go.sum entry for module", "go mod tidy"),
            ("write /x: no space left on device", "disk"),
            ("npm error code ENOTFOUND", "network"),
        ] {
            let found = hint("npm ci", &[line.to_owned()], false);
            assert!(found.as_deref().is_some_and(|hint| hint.contains(word)), "{line}: {found:?}");
        }
        assert!(hint("x", &[], true).is_some_and(|hint| hint.contains("memory")));
        assert_eq!(hint("x", &["it just failed".to_owned()], false), None);
        let refused = hint("npm run build", &["ECONNREFUSED 127.0.0.1:8090".to_owned()], false);
        assert!(refused.is_some_and(|hint| hint.contains("not up")));
    }
}
