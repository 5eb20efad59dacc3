//! What a deployment file has to fit: the image, and the settings as `lab-server` itself reads them.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Command, Output},
    sync::OnceLock,
};

use crate::{parts::root, server::binaries};

/// What the last stage of the `Dockerfile` says.
#[derive(Debug)]
pub struct Image {
    /// `EXPOSE`.
    pub exposed: BTreeSet<u16>,
    /// `ENV`.
    pub env: BTreeMap<String, String>,
}

/// That of the repository.
pub fn image() -> Image {
    let text = std::fs::read_to_string(root().join("Dockerfile")).unwrap().replace("\\\n", " ");
    let last = &text[text.rfind("\nFROM ").unwrap()..];
    let words = |name: &str| -> Vec<String> {
        let lines = last.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        lines.flat_map(str::split_whitespace).map(str::to_owned).collect()
    };
    let exposed = words("EXPOSE").iter().map(|port| port.parse().unwrap()).collect();
    let pairs = words("ENV").into_iter().map(|pair| {
        let (name, value) = pair.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    });
    Image { exposed, env: pairs.collect() }
}

/// The settings by name, as `lab-server check` shows them with these variables and no others; else why it takes them not.
pub fn settings(env: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
    let output = lab_server("check", env);
    // 1: a program or folder is missing on this machine, which is not the one that is meant
    if output.status.code() == Some(2) {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().take_while(|line| !line.is_empty());
    let pair = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    };
    let settings: BTreeMap<String, String> = lines.filter_map(pair).collect();
    assert!(settings.contains_key("public_listen"), "`lab-server check` says something else: {text}");
    Ok(settings)
}

/// The variables that `lab-server` reads, as its help lists them.
pub fn variables() -> &'static BTreeSet<String> {
    static KNOWN: OnceLock<BTreeSet<String>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let output = lab_server("--help", &BTreeMap::new());
        let help = String::from_utf8(output.stdout).unwrap();
        let names = help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next());
        let known: BTreeSet<String> = names.map(str::to_owned).collect();
        assert!(known.contains("DATA_DIR"), "`lab-server --help` lists no variables: {help}");
        known
    })
}

fn lab_server(word: &str, env: &BTreeMap<String, String>) -> Output {
    Command::new(binaries().join("lab-server")).arg(word).env_clear().envs(env).output().unwrap()
}
