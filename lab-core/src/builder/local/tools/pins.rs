//! Which versions are taken: pinned, so that the same plan is built by the same tools.

use semver::{Version, VersionReq};

use crate::builder::plan::Tool;

/// A package of the npm registry that carries a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Wanted {
    /// `pnpm`, `yarn`, `bun`, `npm`, `node`
    pub name: &'static str,
    /// The package.
    pub package: String,
    /// Its version.
    pub version: Version,
    /// The version to take when that one cannot be had.
    pub instead: Option<Version>,
}

/// A tool, the newest release of each generation that Lab was tried with, and the generation that is taken when nothing
/// says which.
struct Pins {
    name: &'static str,
    default: u64,
    versions: &'static [(u64, u64, u64)],
}

/// Read from the registry in November 2026.
const PINS: &[Pins] = &[
    Pins {
        name: "pnpm",
        // from 10 on, a dependency's install scripts do not run unless the repository allows them
        default: 9,
        versions: &[(6, 35, 1), (7, 33, 7), (8, 15, 9), (9, 15, 9), (10, 34, 9), (11, 28, 11), (12, 21, 0)],
    },
    Pins { name: "yarn", default: 1, versions: &[(1, 22, 22), (2, 4, 2), (3, 8, 7), (4, 18, 1)] },
    Pins { name: "bun", default: 1, versions: &[(1, 4, 5)] },
    Pins { name: "npm", default: 10, versions: &[(6, 14, 18), (8, 19, 4), (9, 9, 4), (10, 9, 4)] },
];

/// Of Node.js, the likeliest to build an app first: long-term versions, then what is left.
const NODES: &[(u64, u64, u64)] = &[
    (22, 23, 3),
    (20, 20, 2),
    (24, 21, 0),
    (18, 20, 8),
    (26, 10, 0),
    (16, 20, 2),
    (14, 21, 3),
    (25, 9, 0),
    (23, 11, 1),
    (21, 7, 3),
    (19, 8, 1),
    (17, 9, 1),
    (15, 14, 0),
    (13, 14, 0),
];

/// The package that carries a manager; none: a program that Lab does not know.
pub(in super::super) fn manager(tool: &Tool) -> Option<Wanted> {
    let pins = PINS.iter().find(|pins| pins.name == tool.name)?;
    let stated = tool.version.as_deref().map(str::trim).unwrap_or_default();
    let exact = Version::parse(stated).ok();
    let major = stated.split('.').next().and_then(|major| major.parse().ok());
    let pin = |major: u64| {
        let found = pins.versions.iter().find(|version| version.0 == major);
        found.map(|(major, minor, patch)| Version::new(*major, *minor, *patch))
    };
    let pinned = major.and_then(pin).or_else(|| pin(pins.default));
    let version = exact.clone().or_else(|| pinned.clone())?;
    let package = match pins.name {
        "yarn" if version.major > 1 => "@yarnpkg/cli-dist",
        "bun" => bun(),
        name => name,
    };
    Some(Wanted {
        name: pins.name,
        package: package.to_owned(),
        instead: pinned.filter(|pinned| *pinned != version && pinned.major == version.major),
        version,
    })
}

/// The package with bun's program for this machine.
fn bun() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        // the usual one ends with an illegal instruction on older processors
        let is_modern = std::arch::is_x86_feature_detected!("avx2");
        if is_modern { "@oven/bun-linux-x64" } else { "@oven/bun-linux-x64-baseline" }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        "@oven/bun-linux-aarch64"
    }
}

/// Which Node.js builds what asks for `range`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Node {
    /// The machine's.
    Machine,
    /// Another one.
    Fetched(Wanted),
    /// None that Lab knows fits.
    Unknown,
}

/// The machine's, where it fits, else a pinned one that does. A version without a sign means any of its major: patches of
/// Node.js do not break builds, and a repository's old one has known holes.
pub(in super::super) fn node(range: &str, machine: Option<&Version>) -> Node {
    let Some(range) = parse(range) else { return Node::Unknown };
    let fits = |version: &Version| range.iter().any(|part| part.matches(version));
    if machine.is_some_and(fits) {
        return Node::Machine;
    }
    let mut pinned = NODES.iter().map(|(major, minor, patch)| Version::new(*major, *minor, *patch));
    let Some(version) = pinned.find(fits) else { return Node::Unknown };
    let platform = if cfg!(target_arch = "x86_64") { "x64" } else { "arm64" };
    Node::Fetched(Wanted { name: "node", package: format!("node-linux-{platform}"), version, instead: None })
}

/// A long-term version that fits `range` as well, for what the one that it gave does not run.
pub(in super::super) fn other_node(range: &str, machine: Option<&Version>) -> Option<Version> {
    let used = match node(range, machine) {
        Node::Fetched(wanted) => wanted.version.major,
        Node::Machine | Node::Unknown => machine?.major,
    };
    let range = parse(range);
    let fits = |version: &Version| range.as_ref().is_none_or(|range| range.iter().any(|part| part.matches(version)));
    let pinned = NODES.iter().map(|(major, minor, patch)| Version::new(*major, *minor, *patch));
    let long_term = pinned.filter(|version| version.major != used && matches!(version.major, 22 | 24) && fits(version));
    // newer than most of what is asked for
    long_term.max()
}

/// The npm that a fetched Node.js runs, where it may not run the machine's. Source: `engines` of each generation of npm.
pub(in super::super) fn npm_for(node: &Version) -> Option<Wanted> {
    let major = match node {
        node if *node >= Version::new(20, 17, 0) => return None,
        node if *node >= Version::new(18, 17, 0) => 10,
        node if *node >= Version::new(14, 17, 0) => 9,
        _ => 6,
    };
    manager(&Tool { name: "npm".to_owned(), version: Some(major.to_string()) })
}

/// A range as npm writes it: alternatives of comparators that all hold.
fn parse(text: &str) -> Option<Vec<VersionReq>> {
    let alternatives: Option<Vec<VersionReq>> = text.split("||").map(alternative).collect();
    alternatives.filter(|all| !all.is_empty())
}

fn alternative(text: &str) -> Option<VersionReq> {
    if let Some((from, to)) = text.split_once(" - ") {
        return VersionReq::parse(&format!(">={}, <={}", plain(from), plain(to))).ok();
    }
    // `>= 18` and `>=18` are the same
    let mut comparators: Vec<String> = Vec::new();
    for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
        match comparators.last_mut().filter(|last| last.ends_with(['>', '<', '=', '^', '~'])) {
            Some(sign) => sign.push_str(plain(word)),
            None => comparators.push(plain(word).to_owned()),
        }
    }
    let comparators: Vec<&str> = comparators.iter().map(|text| text.strip_prefix('=').unwrap_or(text)).collect();
    VersionReq::parse(&if comparators.is_empty() { "*".to_owned() } else { comparators.join(", ") }).ok()
}

fn plain(version: &str) -> &str {
    version.trim().trim_start_matches('v')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().expect("version")
    }

    #[test]
    fn a_manager_has_the_version_that_is_stated_or_the_pin_of_its_generation() {
        for (name, stated, package, wanted, instead) in [
            ("pnpm", Some("9.1.0"), "pnpm", "9.1.0", Some("9.15.9")),
            ("pnpm", Some("8"), "pnpm", "8.15.9", None),
            ("pnpm", None, "pnpm", "9.15.9", None),
            ("pnpm", Some("99"), "pnpm", "9.15.9", None),
            ("pnpm", Some("9 && reboot"), "pnpm", "9.15.9", None),
            ("yarn", Some("1"), "yarn", "1.22.22", None),
            ("yarn", Some("4.5.3"), "@yarnpkg/cli-dist", "4.5.3", Some("4.18.1")),
            ("yarn", None, "yarn", "1.22.22", None),
        ] {
            let tool = Tool { name: name.to_owned(), version: stated.map(str::to_owned) };
            let found = manager(&tool).expect("known");
            let instead = instead.map(version);
            assert_eq!(
                (found.package.as_str(), found.version, found.instead),
                (package, version(wanted), instead),
                "{tool:?}"
            );
        }
        assert_eq!(manager(&Tool { name: "deno".to_owned(), version: None }), None);
    }

    #[test]
    fn the_machines_node_is_taken_where_it_fits() {
        let machine = version("20.20.2");
        for range in [">=18", "20", "v20.11.1", "^18 || ^20", ">= 18.0.0 < 23", "18 - 20", "*", "", "20.x", "=20.1.0"] {
            assert_eq!(node(range, Some(&machine)), Node::Machine, "{range}");
        }
        for (range, wanted) in [
            ("22", "22.23.3"),
            ("^18", "18.20.8"),
            (">=22 <23", "22.23.3"),
            ("16.x || 14.x", "16.20.2"),
            (">20", "22.23.3"),
        ] {
            let Node::Fetched(found) = node(range, Some(&machine)) else { panic!("{range}") };
            assert_eq!(found.version, version(wanted), "{range}");
        }
        for range in ["4", "lts/*", ">=99", "; reboot"] {
            assert_eq!(node(range, Some(&machine)), Node::Unknown, "{range}");
        }
    }

    #[test]
    fn what_one_node_does_not_run_another_may() {
        let (old, new) = (version("20.20.2"), version("24.1.0"));
        assert_eq!(other_node("*", Some(&old)), Some(version("24.21.0")));
        assert_eq!(other_node("lts/*", Some(&new)), Some(version("22.23.3")));
        assert_eq!(other_node("^20 || ^22", Some(&old)), Some(version("22.23.3")));
        assert_eq!(other_node("20", Some(&old)), None);
        assert_eq!(other_node("22", Some(&old)), None);
    }

    #[test]
    fn an_old_node_gets_an_npm_that_it_can_run() {
        assert_eq!(npm_for(&version("22.23.3")), None);
        assert_eq!(npm_for(&version("18.20.8")).expect("npm").version, version("10.9.4"));
        assert_eq!(npm_for(&version("16.20.2")).expect("npm").version, version("9.9.4"));
    }
}
