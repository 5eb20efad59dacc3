//! The corpus of repositories in `tests/fixtures`: what Lab makes of each, and those that are built and started.

use std::{collections::BTreeSet, fs, path::PathBuf};

use lab_core::{
    Error,
    builder::{
        detect::{DetectSettings, detect},
        plan::BuildPlan,
        tree::{Limits, Magic, Tree},
    },
};

mod expected;
mod made;
mod runs;

use expected::Expected;

fn corpus() -> PathBuf {
    crate::parts::root().join("tests/fixtures")
}

fn decide(name: &str) -> Result<BuildPlan, Error> {
    let folder = made::folder(name);
    let tree = Tree::read(folder.path(), &Limits::default())?;
    // on every machine the plans are those for a server on x86-64
    Ok(detect(&tree, &DetectSettings { programs: Magic::Elf(62), ..DetectSettings::default() })?)
}

#[test]
fn the_corpus_is_whole() {
    let expected = expected::all();
    let folders = fs::read_dir(corpus().join("repositories")).unwrap().map(Result::unwrap);
    let folders = folders.filter(|entry| entry.file_type().unwrap().is_dir());
    let folders: BTreeSet<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert_eq!(folders, expected.keys().cloned().collect());
    let readme = fs::read_to_string(corpus().join("repositories/README.md")).unwrap();
    for name in &folders {
        assert_eq!(readme.matches(&format!("- `{name}`: ")).count(), 1, "{name} in the README");
    }
    assert!(folders.len() >= 40, "{}", folders.len());
    // each is also asked for its health
    let whole = |it: &&Expected| {
        let runs = it.runs.as_ref().filter(|runs| runs.error.is_none() && runs.gap.is_none());
        runs.is_some_and(|runs| runs.hook && runs.collection.is_some() && runs.page.is_some())
    };
    let whole: Vec<_> = expected.values().filter(whole).collect();
    assert!(whole.len() >= 20, "{} answer with a hook, a collection and a page", whole.len());
    for version in ["0.22", "0.23", "0.28", "0.40"] {
        let count = whole.iter().filter(|it| it.version.as_deref() == Some(version)).count();
        assert!(count >= 2, "{count} of them with PocketBase {version}");
    }
}

#[test]
fn each_repository_becomes_what_a_person_would_make_of_it() {
    let mut wrong = Vec::new();
    for (name, expected) in expected::all() {
        wrong.extend(expected.differences(&decide(&name)).into_iter().map(|what| format!("{name}: {what}")));
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

/// `LAB_BLESS=1` writes the plans as they are now; what changed is then read in the diff.
#[test]
fn plans_are_word_by_word_what_they_were() {
    let plans = corpus().join("plans");
    let bless = std::env::var_os("LAB_BLESS").is_some();
    let mut wrong = Vec::new();
    let names: BTreeSet<String> = expected::all().into_keys().collect();
    for name in &names {
        let (file, is) = (plans.join(format!("{name}.json")), expected::golden(decide(name)));
        if bless {
            fs::create_dir_all(&plans).unwrap();
            fs::write(&file, &is).unwrap();
        } else if fs::read_to_string(&file).unwrap_or_default() != is {
            wrong.push(format!("{}\n{is}", file.display()));
        }
    }
    for plan in fs::read_dir(&plans).unwrap() {
        let path = plan.unwrap().path();
        if !names.contains(path.file_stem().unwrap().to_str().unwrap()) {
            wrong.push(format!("{} is for no repository", path.display()));
        }
    }
    assert!(wrong.is_empty(), "LAB_BLESS=1 writes what is now:\n{}", wrong.join("\n"));
}
