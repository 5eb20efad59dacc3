//! The store of PocketBase binaries over the fake and over its real sources.
#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "tests")]

mod archive;
mod local;
mod store;
mod wheel;

use std::path::Path;

use semver::Version;

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

/// A program that says it is `version`.
fn script(version: &str) -> String {
    format!("#!/bin/sh\necho 'pocketbase version {version}'\n")
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
