//! What a Go program wants of its environment.

use super::{Notes, Scope, files, paths};
use crate::builder::address;

/// Calls that read a file of variables.
const LOADS: &[&str] =
    &["godotenv.Load(", "godotenv.Overload(", "godotenv.Read(", "gotenv.Load(", ".SetConfigFile(", ".ReadConfig("];

/// What tells that a program reads `.env` where there is one.
const READS: &[&str] = &["/godotenv", "/gotenv\"", "\".env\"", "\"./.env\""];

/// Why the program gets a `.env` file: it ends when its working directory holds none, or it reads one that is committed.
pub(in super::super) fn env_file(scope: &Scope<'_>, module: &str) -> Option<String> {
    if let Some((file, _)) = files(scope, module).find(|(_, text)| ends_without_env_file(text)) {
        return Some(format!("`{file}` ends the program when there is no `.env` file: it gets one"));
    }
    let committed = [module, ""].map(|folder| paths::join(folder, ".env"));
    let committed = committed.iter().find(|path| scope.tree.is_file(path))?;
    let (file, _) = files(scope, module).find(|(_, text)| READS.iter().any(|says| text.contains(says)))?;
    Some(format!("`{file}` reads `.env`, and `{committed}` is committed: the program gets it"))
}

fn ends_without_env_file(text: &str) -> bool {
    const ENDS: &[&str] = &["Fatal", "panic(", "os.Exit", "Panic", "return"];
    if !LOADS.iter().any(|call| text.contains(call)) {
        return false;
    }
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().enumerate().any(|(at, line)| {
        let call = LOADS.iter().find_map(|call| line.split_once(call));
        let Some((before, arguments)) = call else { return false };
        let plain =
            arguments.starts_with(')') || ["\".env\"", "\"./.env\""].iter().any(|name| arguments.contains(name));
        let after = &lines[at..lines.len().min(at + 8)];
        let ends = after
            .iter()
            .take_while(|line| !line.starts_with('}'))
            .any(|line| ENDS.iter().any(|end| line.contains(end)));
        plain && ends && !before.trim_start().starts_with("//")
    })
}

/// Marks of a program that gives PocketBase its address itself, instead of taking it from the command line.
const LISTENS: &[&str] = &["HttpAddr", "SetArgs(", "os.Args =", "os.Args=", "\"--http"];

/// What names of variables are called that hold a server's port or address; those of other servers have other names.
const SERVERS: &[&str] =
    &["", "API", "APP", "BACKEND", "BIND", "HTTP", "LISTEN", "PB", "PB_HTTP", "POCKETBASE", "SERVER", "WEB"];

/// The variables of `names` by which the program is told where to listen.
pub(in super::super) fn listens(scope: &Scope<'_>, module: &str, names: &[String]) -> Vec<String> {
    let itself = files(scope, module).any(|(_, text)| LISTENS.iter().any(|mark| text.contains(mark)));
    let fits = |name: &str| {
        let ends = ["_PORT", "_ADDR", "_ADDRESS"];
        let whole = format!("_{name}");
        ends.iter()
            .find_map(|end| whole.strip_suffix(end))
            .is_some_and(|start| SERVERS.contains(&start.trim_start_matches('_')))
    };
    names.iter().filter(|name| itself && fits(name)).cloned().collect()
}

/// So many files are changed.
const MAX_FIXED: usize = 16;

/// The files of the program that give PocketBase a fixed address: nothing could tell it another one.
pub(in super::super) fn fixed(scope: &Scope<'_>, module: &str, notes: &mut Notes) -> Vec<String> {
    let itself = files(scope, module).filter(|(_, text)| LISTENS.iter().any(|mark| text.contains(mark)));
    let freed = itself.filter_map(|(file, text)| Some((file, address::freed(text)?.address)));
    let told = freed.take(MAX_FIXED).map(|(file, address)| {
        notes.say(format!(
            "`{file}` has PocketBase listen on `{address}`, whatever it is told: the build puts the app's own address there"
        ));
        file.to_owned()
    });
    told.collect()
}
