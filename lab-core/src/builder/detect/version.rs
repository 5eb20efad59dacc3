//! Which PocketBase version an app without Go was written for.

use super::{Scope, paths};

/// What Dockerfiles call it.
const NAMES: &[&str] = &["PB_VERSION", "POCKETBASE_VERSION", "POCKET_BASE_VERSION"];

/// What `lab.toml` says, else what a Dockerfile pins, else the embedder's.
pub(super) fn find(scope: &Scope<'_>, root: &str, reasons: &mut Vec<String>) -> String {
    if let Some(pocketbase) = &scope.stated.toml.pocketbase {
        let version = pocketbase.version.as_str().to_owned();
        reasons.push(format!("PocketBase {version}: `{}` says so", scope.stated.path()));
        return version;
    }
    for folder in [root, scope.root.as_str()] {
        let file = paths::join(folder, "Dockerfile");
        if let Some(version) = scope.tree.text(&file).and_then(pin) {
            reasons.push(format!("PocketBase {version}: `{file}` pins it"));
            return version;
        }
    }
    let version = scope.settings.pocketbase.clone();
    reasons.push(format!("PocketBase {version}: nothing names a version, this is the default"));
    version
}

/// `ARG PB_VERSION=0.28.4`, `ENV PB_VERSION 0.28.4`
fn pin(dockerfile: &str) -> Option<String> {
    dockerfile.lines().find_map(|line| {
        let (instruction, rest) = line.trim().split_once(char::is_whitespace)?;
        if !["ARG", "ENV"].iter().any(|it| instruction.eq_ignore_ascii_case(it)) {
            return None;
        }
        let (name, value) = rest.trim().split_once(['=', ' '])?;
        let value = value.split_whitespace().next()?.trim_matches(['"', '\'']).trim_start_matches('v');
        let version = semver::Version::parse(value).ok()?;
        NAMES.contains(&name.trim()).then(|| version.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::pin;

    #[test]
    fn a_dockerfile_pins_a_version_in_several_ways() {
        for text in ["ARG PB_VERSION=0.28.4", "FROM x\nENV PB_VERSION \"v0.28.4\"", "arg POCKETBASE_VERSION=0.28.4 # x"]
        {
            assert_eq!(pin(text).as_deref(), Some("0.28.4"), "{text}");
        }
        for text in ["ARG PB_VERSION", "ARG PB_VERSION=latest", "ARG NODE_VERSION=20.0.0", "RUN PB_VERSION=0.28.4"] {
            assert_eq!(pin(text), None, "{text}");
        }
    }
}
