//! What a Dockerfile does, as far as it matters here.

use super::{Kind, Recipe};
use crate::builder::{detect::Notes, plan::Server};

/// The instructions, each on one line: name in capitals, and the rest.
fn instructions(text: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut line = String::new();
    for raw in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let raw = raw.trim();
        if let Some(part) = raw.strip_suffix('\\') {
            line.push_str(part);
            line.push(' ');
            continue;
        }
        line.push_str(raw);
        let whole = std::mem::take(&mut line);
        if let Some((name, rest)) = whole.trim().split_once(char::is_whitespace) {
            all.push((name.to_ascii_uppercase(), rest.trim().to_owned()));
        }
    }
    all
}

/// What is copied from the build's context, and where to.
pub(in super::super) fn copies(text: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (name, rest) in instructions(text) {
        if !["COPY", "ADD"].contains(&name.as_str()) || rest.contains("--from=") {
            continue;
        }
        let json = rest.trim_start().starts_with('[');
        let rest = if json { rest.replace(['[', ']', '"', ','], " ") } else { rest };
        let words: Vec<&str> = rest.split_whitespace().filter(|word| !word.starts_with("--")).collect();
        if let Some((to, from)) = words.split_last() {
            all.extend(from.iter().map(|from| ((*from).to_owned(), (*to).to_owned())));
        }
    }
    all
}

/// Whether what an earlier stage built is copied to a path that holds `name`.
pub(in super::super) fn stages_into(text: &str, name: &str) -> bool {
    instructions(text).iter().any(|(instruction, rest)| {
        let is_copy = instruction == "COPY" && rest.contains("--from=");
        is_copy && rest.split_whitespace().any(|word| word.contains(name))
    })
}

/// Programs of a `RUN` that only fetch PocketBase, arrange files or build what the plan builds too.
const PLAIN: &[&str] = &[
    "apk",
    "apt-get",
    "apt",
    "unzip",
    "wget",
    "curl",
    "chmod",
    "chown",
    "mkdir",
    "rm",
    "mv",
    "cp",
    "ln",
    "echo",
    "set",
    "adduser",
    "addgroup",
    "useradd",
    "groupadd",
    "test",
    "[",
    "cd",
    "tar",
    "export",
    "sha256sum",
    "true",
    "exit",
    "ls",
    "touch",
    "npm",
    "pnpm",
    "yarn",
    "bun",
    "corepack",
    "arch",
    "uname",
    "update-ca-certificates",
];

/// What `go` does that only builds.
const GO: &[&str] = &["build", "mod", "get", "env", "version", "clean", "vet", "fmt", "list"];

/// Words of the shell before a command.
const SHELL: &[&str] = &["if", "then", "else", "elif", "fi", "do", "done", "esac", "!", "{", "}"];

/// Packages of the distribution that change nothing for PocketBase.
const PACKAGES: &[&str] = &[
    "add",
    "install",
    "update",
    "upgrade",
    "clean",
    "apk",
    "apt",
    "apt-get",
    "unzip",
    "zip",
    "wget",
    "curl",
    "ca-certificates",
    "bash",
    "sh",
    "tzdata",
    "openssh",
    "git",
    "zlib",
    "zlib-dev",
    "build-base",
    "gcc",
    "musl-dev",
    "g++",
    "make",
    "python3",
    "libc6-compat",
    "su-exec",
    "tini",
    "dumb-init",
    "sudo",
    "jq",
    "sqlite",
    "sqlite3",
    "shadow",
];

/// Tells whether the app's Dockerfile is covered by the plan.
pub(in super::super) fn told(recipes: &[Recipe<'_>], server: &Server, notes: &mut Notes) {
    let mut files = recipes.iter().filter(|it| it.kind == Kind::Dockerfile && !it.is_aside());
    let Some(file) = files.find(|it| it.names_pocketbase() || it.text.contains("go build")) else { return };
    let beyond = beyond(file.text);
    if beyond.is_empty() {
        notes.say(format!("`{}` only fetches, builds and copies, as this plan does", file.path));
    } else {
        let instead = match server {
            Server::Program { path, .. } => format!("the committed `{}` is run", path.display()),
            Server::PocketBase { version, .. } => format!("the official PocketBase {version} is run"),
            Server::Go { .. } => "its Go program alone is built and run".to_owned(),
        };
        let (path, beyond) = (file.path, beyond.join(", "));
        notes.warn(format!("`{path}` is not used ({instead} instead), and does more than this plan: {beyond}"));
    }
}

/// What a Dockerfile does beyond fetching PocketBase, building and copying, the first few: empty when it is understood.
fn beyond(text: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for (name, rest) in instructions(text) {
        match name.as_str() {
            "RUN" => all.extend(unusual(&rest)),
            "COPY" | "ADD" if rest.contains("--from=") => {
                let from = rest.split("--from=").nth(1).and_then(|it| it.split_whitespace().next()).unwrap_or_default();
                // another image's program; the stages of the file itself have no slash
                if from.contains('/') && !from.to_ascii_lowercase().contains("pocketbase") {
                    all.push(format!("a copy from `{from}`"));
                }
            }
            "CMD" | "ENTRYPOINT" => all.extend(arguments(&rest)),
            _ => {}
        }
    }
    all.dedup();
    all.truncate(4);
    all
}

fn unusual(run: &str) -> Vec<String> {
    let mut all = Vec::new();
    for command in run.split(['&', ';', '|', '\n']) {
        let mut words = command.split_whitespace().filter(|word| !word.starts_with("--mount") && !word.contains('='));
        let Some(program) = words.find(|word| !SHELL.contains(word) && !word.ends_with(')')) else { continue };
        // what is looped over or chosen from is no command
        if ["for", "while", "case"].contains(&program) {
            continue;
        }
        let program = program.rsplit('/').next().unwrap_or(program).trim_matches(['(', ')', '"', '\'', '{', '}']);
        if program.is_empty() || program.starts_with(['$', '-']) {
            continue;
        }
        if ["apk", "apt-get", "apt"].contains(&program) {
            let packages = words.filter(|word| !word.starts_with('-') && !word.starts_with(['/', '.', '$']));
            let named =
                packages.map(|word| word.trim_matches(['"', '\'']).split(['=', '~']).next().unwrap_or_default());
            all.extend(named.filter(|name| !PACKAGES.contains(name)).map(|name| format!("the package `{name}`")));
        } else if program == "go" {
            let does = words.find(|word| !word.starts_with('-')).filter(|word| !GO.contains(word));
            all.extend(does.map(|does| format!("`RUN go {does} …`")));
        } else if !PLAIN.contains(&program) && !program.to_ascii_lowercase().contains("pocketbase") {
            all.push(format!("`RUN {program} …`"));
        }
    }
    all
}

/// Flags of PocketBase that Lab does not give, and programs that are not PocketBase.
fn arguments(command: &str) -> Vec<String> {
    let known = [
        "--http",
        "--https",
        "--dir",
        "--hooksDir",
        "--migrationsDir",
        "--publicDir",
        "--automigrate",
        "--hooksWatch",
        "--hooksPool",
        "--indexFallback",
        "--dev",
    ];
    let words = command.split(|c: char| c.is_whitespace() || "[]\",'".contains(c));
    let mut all: Vec<String> = words
        .filter(|word| word.starts_with("--") && word.len() > 2)
        .filter(|word| !known.contains(&word.split('=').next().unwrap_or_default()))
        .map(|word| format!("the argument `{word}`"))
        .collect();
    for program in ["litestream", "nginx", "supervisord", "caddy", "pm2", "node"] {
        if command.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == program) {
            all.push(format!("the program `{program}`"));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN_FILE: &str = "FROM alpine:3\nARG PB_VERSION=0.28.4\nRUN apk add --no-cache \\\n    unzip \\\n    # comment\n    ca-certificates\nADD https://x/pb.zip /tmp/pb.zip\nRUN unzip /tmp/pb.zip -d /pb/ && rm /tmp/pb.zip\nCOPY ./pb_hooks /pb/pb_hooks\nCMD [\"/pb/pocketbase\", \"serve\", \"--http=0.0.0.0:8080\"]\n";

    #[test]
    fn a_dockerfile_that_only_fetches_and_copies_is_understood() {
        assert_eq!(beyond(PLAIN_FILE), [""; 0]);
        assert_eq!(copies(PLAIN_FILE)[1], ("./pb_hooks".to_owned(), "/pb/pb_hooks".to_owned()));
        assert_eq!(copies("COPY --chown=a:b [\"a\", \"b\", \"/pb/\"]").len(), 2);
    }

    #[test]
    fn what_a_dockerfile_does_beyond_that_is_told() {
        let generates = "RUN go mod download && CGO_ENABLED=0 go build -o /app .\nRUN if [ -f x ]; then templ generate; else go generate ./...; fi\nRUN sh ./x.sh && npx tailwindcss\nRUN case $A in x86_64) A=amd64 ;; *) exit 1 ;; esac; for a in b c; do mkdir $a; done";
        assert_eq!(beyond(generates), ["`RUN templ …`", "`RUN go generate …`", "`RUN sh …`", "`RUN npx …`"]);
        let more = "RUN apk add --no-cache unzip ffmpeg\nCOPY --from=litestream/litestream:0.3 /bin/l /bin/l\nRUN python3 x.py\nCMD [\"pocketbase\", \"serve\", \"--encryptionEnv=KEY\"]";
        assert_eq!(
            beyond(more),
            [
                "the package `ffmpeg`",
                "a copy from `litestream/litestream:0.3`",
                "`RUN python3 …`",
                "the argument `--encryptionEnv=KEY`"
            ]
        );
    }
}
