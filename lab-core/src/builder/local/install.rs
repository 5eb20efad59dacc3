//! What to do when an install fails for a usual reason: a lock file out of step, a script of a package.

/// Another way to install.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Other {
    /// The command.
    pub words: Vec<String>,
    /// Why: the start of a sentence.
    pub why: &'static str,
}

struct Row {
    /// How the command begins.
    start: &'static [&'static str],
    /// Texts in what it printed last, one of which must be there.
    causes: &'static [&'static str],
    /// What takes the place of `start`.
    instead: &'static [&'static str],
    why: &'static str,
}

const OUT_OF_STEP: &str = "the lock file does not match `package.json`";
const PEERS: &str = "the dependencies disagree about a peer";
const SCRIPTS: &str = "a script of a package failed while it was installed";

/// Texts of the package managers, read in their sources and seen in their output.
const ROWS: &[Row] = &[
    Row {
        start: &["npm", "ci"],
        causes: &[
            "can only install packages when your package.json and",
            "can only install with an existing package-lock.json",
            "Invalid: lock file's",
        ],
        instead: &["npm", "install"],
        why: OUT_OF_STEP,
    },
    Row { start: &["npm", "ci"], causes: &["ERESOLVE"], instead: &["npm", "ci", "--legacy-peer-deps"], why: PEERS },
    Row {
        start: &["npm", "install"],
        causes: &["ERESOLVE"],
        instead: &["npm", "install", "--legacy-peer-deps"],
        why: PEERS,
    },
    Row {
        start: &["pnpm", "install", "--frozen-lockfile"],
        causes: &[
            "ERR_PNPM_OUTDATED_LOCKFILE",
            "ERR_PNPM_NO_LOCKFILE",
            "ERR_PNPM_LOCKFILE_CONFIG_MISMATCH",
            "ERR_PNPM_LOCKFILE_BREAKING_CHANGE",
            "ERR_PNPM_LOCKFILE_MISSING_DEPENDENCY",
            "ERR_PNPM_BROKEN_LOCKFILE",
        ],
        instead: &["pnpm", "install", "--no-frozen-lockfile"],
        why: OUT_OF_STEP,
    },
    Row {
        start: &["yarn", "install", "--frozen-lockfile"],
        causes: &["lockfile needs to be updated"],
        instead: &["yarn", "install"],
        why: OUT_OF_STEP,
    },
    Row {
        start: &["yarn", "install"],
        causes: &["is incompatible with this module"],
        instead: &["yarn", "install", "--ignore-engines"],
        why: "a dependency asks for another version of Node.js",
    },
    Row {
        start: &["yarn", "install", "--immutable"],
        causes: &["lockfile would have been modified", "YN0028", "would have been created by this install"],
        instead: &["yarn", "install", "--no-immutable"],
        why: OUT_OF_STEP,
    },
    Row {
        start: &["bun", "install", "--frozen-lockfile"],
        causes: &["lockfile had changes", "lockfile is frozen"],
        instead: &["bun", "install"],
        why: OUT_OF_STEP,
    },
    // what such scripts make is often not needed for a build: programs for tests, faster variants of plain JavaScript
    Row { start: &["npm", "ci"], causes: NPM_SCRIPT, instead: &["npm", "ci", "--ignore-scripts"], why: SCRIPTS },
    Row {
        start: &["npm", "install"],
        causes: NPM_SCRIPT,
        instead: &["npm", "install", "--ignore-scripts"],
        why: SCRIPTS,
    },
    Row {
        start: &["pnpm", "install"],
        causes: &["ELIFECYCLE", "gyp ERR!"],
        instead: &["pnpm", "install", "--ignore-scripts"],
        why: SCRIPTS,
    },
    Row {
        start: &["bun", "install"],
        causes: &["script from \"", "gyp ERR!"],
        instead: &["bun", "install", "--ignore-scripts"],
        why: SCRIPTS,
    },
    Row {
        start: &["yarn", "install"],
        causes: &["YN0009"],
        instead: &["yarn", "install", "--mode=skip-build"],
        why: SCRIPTS,
    },
    Row {
        start: &["yarn", "install"],
        causes: &["Command failed.", "gyp ERR!"],
        instead: &["yarn", "install", "--ignore-scripts"],
        why: SCRIPTS,
    },
];

const NPM_SCRIPT: &[&str] = &["npm error command failed", "npm ERR! command failed", "gyp ERR!"];

/// The command to try after `words` failed with these last lines; none: it would fail for the same reason.
pub(super) fn loosened(words: &[String], last_lines: &[String]) -> Option<Other> {
    let row = ROWS.iter().find(|row| {
        let begins = words.len() >= row.start.len() && words.iter().zip(row.start).all(|(word, start)| word == start);
        // the same again would be tried for ever
        let is_new =
            !row.instead.starts_with(row.start) || !row.instead.iter().all(|word| words.iter().any(|it| it == word));
        let is_it = |line: &String| row.causes.iter().any(|cause| line.contains(cause));
        begins && is_new && last_lines.iter().any(is_it)
    });
    row.map(|row| {
        let words = row.instead.iter().map(|word| (*word).to_owned()).chain(words[row.start.len()..].iter().cloned());
        Other { words: words.collect(), why: row.why }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn what_fails_for_a_usual_reason_is_tried_otherwise_once() {
        for (run, printed, instead) in [
            (
                "npm ci",
                "`npm ci` can only install packages when your package.json and package-lock.json",
                "npm install",
            ),
            ("npm ci", "npm error ERESOLVE could not resolve", "npm ci --legacy-peer-deps"),
            (
                "pnpm install --frozen-lockfile",
                " ERR_PNPM_OUTDATED_LOCKFILE  Cannot",
                "pnpm install --no-frozen-lockfile",
            ),
            ("yarn install --frozen-lockfile", "error Your lockfile needs to be updated", "yarn install"),
            (
                "yarn install --immutable",
                "YN0028: The lockfile would have been modified",
                "yarn install --no-immutable",
            ),
            ("bun install --frozen-lockfile", "error: lockfile had changes", "bun install"),
            ("npm ci --omit=dev", "npm error ERESOLVE", "npm ci --legacy-peer-deps --omit=dev"),
            ("npm ci --legacy-peer-deps", "npm error command failed", "npm ci --ignore-scripts --legacy-peer-deps"),
            (
                "pnpm install --frozen-lockfile",
                " ELIFECYCLE  Command",
                "pnpm install --ignore-scripts --frozen-lockfile",
            ),
            ("yarn install --immutable", "YN0009: couldn't be built", "yarn install --mode=skip-build --immutable"),
            ("yarn install", "error /x/node_modules/y: Command failed.", "yarn install --ignore-scripts"),
        ] {
            let found = loosened(&words(run), &[printed.to_owned()]).expect(run);
            assert_eq!(found.words, words(instead));
            let twice = loosened(&found.words, &[printed.to_owned()]);
            assert!(twice.is_none_or(|twice| twice.words != found.words), "{run}");
        }
        assert_eq!(loosened(&words("npm ci"), &["ENOTFOUND".to_owned()]), None);
        assert_eq!(loosened(&words("npm ci --legacy-peer-deps"), &["ERESOLVE".to_owned()]), None);
    }
}
