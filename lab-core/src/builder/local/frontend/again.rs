//! What a build that failed is tried with once more.

use semver::Version;

use super::super::tools::pins;
use crate::builder::plan::Frontend;

/// Makes Node.js since 17 hash as before, as old versions of webpack need.
pub(super) const LEGACY_HASHES: &str = "--openssl-legacy-provider";

/// Texts of a webpack that is older than Node.js 17.
const WANTS_LEGACY_HASHES: &[&str] = &["digital envelope routines::unsupported", "ERR_OSSL_EVP_UNSUPPORTED"];

/// Words beside `Node` in the refusals of package managers and frameworks.
const REFUSALS: &[&str] =
    &["requires", "is required", "not supported", "unsupported", "incompatible", "you are using", "upgrade"];

/// What runs into something that a version of Node.js does not have.
const MISSING: &[&str] = &[
    "EBADENGINE",
    "UNSUPPORTED_ENGINE",
    "ERR_UNKNOWN_BUILTIN_MODULE",
    "ERR_REQUIRE_ESM",
    "ERR_UNKNOWN_FILE_EXTENSION",
    "crypto.hash is not a function",
    "named 'styleText'",
];

/// Whether the old way of hashing may help.
pub(super) fn wants_legacy_hashes(said: &[String]) -> bool {
    said.iter().any(|line| WANTS_LEGACY_HASHES.iter().any(|text| line.contains(text)))
}

/// The Node.js to build with instead, where that may help.
pub(super) fn other_node(said: &[String], frontend: &Frontend, machine: Option<&Version>) -> Option<Version> {
    let refuses = |line: &String| {
        let lower = line.to_lowercase();
        MISSING.iter().any(|text| line.contains(text))
            || (lower.contains("node") && REFUSALS.iter().any(|word| lower.contains(word)))
    };
    let range = frontend.node.as_deref().unwrap_or("*");
    said.iter().any(refuses).then(|| pins::other_node(range, machine)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_node_is_told_from_other_failures() {
        let frontend = Frontend {
            directory: "web".into(),
            commands: Vec::new(),
            output: None,
            node: None,
            manager: None,
            env: std::collections::BTreeMap::new(),
            optional: true,
        };
        let other = |line: &str| other_node(&[line.to_owned()], &frontend, Some(&Version::new(20, 1, 0))).is_some();
        for line in [
            "npm error code EBADENGINE",
            "You are using Node.js 20.1.0. Vite requires Node.js version 20.19+ or 22.12+.",
            "Node.js v20.1.0 is not supported by Astro!",
            "The Angular CLI requires a minimum Node.js version of v22.12.",
            "ERROR: This version of pnpm requires at least Node.js v22.13",
            "Error [ERR_UNKNOWN_BUILTIN_MODULE]: No such built-in module: node:sqlite",
        ] {
            assert!(other(line), "{line}");
        }
        for line in ["src/a.ts(1,1): error TS2304: Cannot find name 'x'.", "Node.js v20.1.0"] {
            assert!(!other(line), "{line}");
        }
    }
}
