//! Detection over a table of trees.

use proptest::prelude::*;

use super::*;

mod programs;
mod trees;

use trees::TREES;

type Files = &'static [(&'static str, &'static str)];

const GO_MOD: &str = "module example.com/app\n\ngo 1.24\n\nrequire (\n\tgithub.com/pocketbase/pocketbase v0.29.1\n)\n";
const INDIRECT_MOD: &str = "module x\nrequire github.com/pocketbase/pocketbase v0.29.1 // indirect\n";
const OTHER_MOD: &str = "module example.com/other\n\ngo 1.24\n";
const MAIN: &str = "// Command app.\npackage main\n\nimport \"github.com/pocketbase/pocketbase\"\n\nfunc main() { pocketbase.New() }\n";
const SEEDER: &str = "package main\n\nimport \"github.com/pocketbase/pocketbase/tools/security\"\n\nfunc main() {}\n";
const FETCHES: &str = "FROM alpine\nADD https://github.com/pocketbase/pocketbase/releases/download/v0.28.4/pb.zip /\n";
const RUNNER: &str = "package main\n\nimport \"example.com/app/internal/app\"\n\nfunc main() { app.New().Start() }\n";
const MAKER: &str = "package app\n\nimport \"github.com/pocketbase/pocketbase\"\n\nvar New = pocketbase.New\n";
const CALLER: &str = "package main\n\nimport \"example.com/app/internal/app\"\n\nfunc main() { app.New() }\n";
const PLAIN_MAIN: &str = "package main\n\nfunc main() {}\n";
const OLD_SCHEMA: &str = r#"[{"id":"a","name":"posts","type":"base","schema":[{"name":"title","type":"text"}]}]"#;
const VITE: &str = r#"{"scripts":{"build":"vite build"},"devDependencies":{"vite":"7"}}"#;
const SVELTEKIT: &str = r#"{"scripts":{"build":"vite build"},"devDependencies":{"vite":"7","@sveltejs/kit":"2"}}"#;
const ALLOWS: &str = "# what may build\nonlyBuiltDependencies:\n  - esbuild\n";
const REACT_APP: &str = r#"{"scripts":{"build":"react-scripts build"},"dependencies":{"react-scripts":"5"}}"#;
const ASTRO: &str = r#"{"scripts":{"build":"astro build"},"dependencies":{"astro":"5"}}"#;
/// A program that git holds: its head, for a processor, and what it says.
macro_rules! program {
    ($processor:literal, $said:literal) => {
        concat!("\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0", $processor, "\0", $said, "\0")
    };
}
const OWN: &str = program!(
    ">",
    "path\texample.com/shop\nmod\texample.com/shop\t(devel)\t\ndep\tgithub.com/pocketbase/pocketbase\tv0.29.1\th1:x\n"
);
const OWN_FOR_386: &str = program!(
    "\x03",
    "path\texample.com/shop\nmod\texample.com/shop\t(devel)\t\ndep\tgithub.com/pocketbase/pocketbase\tv0.29.1\th1:x\n"
);
const RELEASED: &str = program!(
    ">",
    "path\tgithub.com/pocketbase/pocketbase/examples/base\nbuild\t-ldflags=\"-X github.com/pocketbase/pocketbase.Version=0.28.4\"\n"
);
const PACKED: &str = program!(">", "UPX!");
const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
const PLAIN: &str = r#"{"scripts":{"build":"node build.js"}}"#;

/// Those of a server on x86-64, wherever this is tested.
fn settings() -> DetectSettings {
    DetectSettings { pocketbase: "1.2.3".to_owned(), root: None, programs: Magic::Elf(62) }
}

fn plan(files: Files) -> Result<BuildPlan, BuildError> {
    detect(&Tree::of(files), &settings())
}

/// A plan on one line: what a table can hold.
fn short(plan: &BuildPlan) -> String {
    let mut parts = match &plan.server {
        Server::PocketBase { version, program } => {
            let program = program.as_ref().map(|path| format!(" or {}", path.display())).unwrap_or_default();
            vec![format!("pb {version}{program}")]
        }
        Server::Program { path, pocketbase } => {
            vec![format!("program {} {}", path.display(), pocketbase.as_deref().unwrap_or("?"))]
        }
        Server::Go { module, package, pocketbase, tags, generate, cgo, go } => {
            let mut words = vec![format!("go {}", module.display()), package.clone()];
            words.push(pocketbase.clone().unwrap_or("?".to_owned()));
            words.extend((tags.len() > 1).then(|| format!("[{}]", tags.join(", "))));
            words.extend(go.clone().filter(|go| *go != "1.24"));
            words.extend(cgo.then(|| "cgo".to_owned()));
            words.extend(generate.iter().map(|words| format!("[{}]", words.join(" "))));
            words.extend(plan.env_file.then(|| ".env".to_owned()));
            vec![words.join(" ")]
        }
    };
    for (name, path) in [("hooks", &plan.hooks), ("migrations", &plan.migrations), ("public", &plan.public)] {
        parts.extend(path.as_ref().map(|path| format!("{name} {}", path.display())));
    }
    if let Some(frontend) = &plan.frontend {
        let commands: Vec<String> = frontend.commands.iter().map(|words| words.join(" ")).collect();
        let output = frontend.output.as_ref().map_or("?".to_owned(), |output| output.display().to_string());
        parts.push(format!("frontend {} [{}] {output}", frontend.directory.display(), commands.join(", ")));
    }
    parts.extend(
        plan.packages.as_ref().map(|it| format!("packages {} [{}]", it.directory.display(), it.install.join(" "))),
    );
    parts.extend((!plan.listen.is_empty()).then(|| format!("listens at {}", plan.listen.join(", "))));
    let fixed: Vec<_> = plan.fixed.iter().map(|file| file.display().to_string()).collect();
    parts.extend((!fixed.is_empty()).then(|| format!("frees {}", fixed.join(", "))));
    parts.extend((plan.health != HealthCheck::default()).then(|| format!("health {}", plan.health.path)));
    let build = plan.hooks_build.as_ref();
    parts.extend(build.map(|build| format!("made by {}", build.commands[1].join(" "))));
    let files: Vec<_> = plan.files.iter().map(|file| file.display().to_string()).collect();
    parts.extend((!files.is_empty()).then(|| format!("reads {}", files.join(", "))));
    parts.extend(plan.directory.as_ref().map(|directory| format!("in {}", directory.display())));
    parts.extend(plan.seed.as_ref().map(|seed| format!("seed {}", seed.display())));
    parts.join("; ")
}

#[test]
fn trees_are_recognised() {
    for (name, files, expected) in TREES {
        match plan(files) {
            Ok(plan) => {
                assert_eq!(short(&plan), *expected, "{name}: {:#?}", plan.reasons);
                assert!(!plan.reasons.is_empty(), "{name}");
                assert!(plan.explain().len() > plan.reasons.len(), "{name}");
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

/// What a plan does, without what it tells.
fn without_words(plan: BuildPlan) -> BuildPlan {
    BuildPlan { reasons: Vec::new(), warnings: Vec::new(), ..plan }
}

#[test]
fn a_plan_stated_as_lab_toml_gives_the_same_plan() {
    for (name, files, _) in TREES {
        let before = plan(files).expect(name);
        let toml = before.to_lab_toml().expect(name);
        let mut tree = Tree::of(files);
        tree.insert_file("lab.toml", &toml);
        let after = detect(&tree, &settings()).unwrap_or_else(|error| panic!("{name}: {error}\n{toml}"));
        assert_eq!(without_words(after), without_words(before), "{name}: {toml}");
    }
}

#[test]
fn what_cannot_be_decided_is_told_and_asked() {
    const FAILURES: &[(&str, Files, &[&str])] = &[
        ("nothing", &[("README.md", "")], &["no PocketBase app", "go.mod", "pb_hooks", "lab.toml"]),
        ("a frontend only", &[("package.json", VITE)], &["no PocketBase app"]),
        (
            "two apps, deep down",
            &[("a/b/c/pb_hooks/a.pb.js", ""), ("a/b/d/pb_hooks/a.pb.js", "")],
            &["2 folders", "a/b/c"],
        ),
        (
            "hooks that Git LFS keeps elsewhere",
            &[("pb_hooks/a.pb.js", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")],
            &["pb_hooks/a.pb.js", "LFS pointer"],
        ),
        (
            "two apps",
            &[("one/pb_hooks/a.pb.js", ""), ("two/pb_hooks/a.pb.js", "")],
            &["2 folders", "`one`, `two`", "lab.toml", "--root one"],
        ),
        (
            "two apps that are started alike",
            &[
                ("one/pb_hooks/a.pb.js", ""),
                ("one/Dockerfile", "FROM ghcr.io/x/pocketbase:0.28.4"),
                ("two/pb_hooks/a.pb.js", ""),
                ("two/Dockerfile", "FROM ghcr.io/x/pocketbase:0.28.4"),
                ("compose.yml", "services:\n  one:\n    build: one\n  two:\n    build: two\n"),
            ],
            &["2 folders", "`one`, `two`"],
        ),
        (
            "two Go programs",
            &[("go.mod", GO_MOD), ("cmd/a/main.go", MAIN), ("cmd/b/main.go", MAIN)],
            &["2 main packages", "cmd/a", "cmd/b", "package = "],
        ),
        ("Go without a main", &[("go.mod", GO_MOD), ("lib.go", "package lib")], &["no main package"]),
        (
            "a folder outside",
            &[("pb_public", "-> ../../secret"), ("pb_hooks/a.pb.js", "")],
            &["pb_public", "leads out"],
        ),
        (
            "a missing folder",
            &[("lab.toml", "\n[hooks]\npath = \"x\""), ("pb_hooks/a.pb.js", "")],
            &["line 3", "`hooks.path`", "not there"],
        ),
        ("a linked lab.toml", &[("lab.toml", "-> /etc/passwd"), ("pb_hooks/a.pb.js", "")], &["regular file"]),
        (
            "a program of another kind",
            &[("lab.toml", "[server]\nprogram = \"pocketbase\""), ("pocketbase", OWN_FOR_386)],
            &["line 2", "`server.program`", "Linux on another processor", "needs one for Linux on x86-64"],
        ),
        (
            "a program that Git LFS keeps elsewhere",
            &[("lab.toml", "[server]\nprogram = \"pocketbase\""), ("pocketbase", POINTER)],
            &["line 2", "pointer", "commit the file"],
        ),
        (
            "a program outside",
            &[("lab.toml", "[server]\nprogram = \"run\""), ("run", "-> ../run")],
            &["line 2", "`run` leads out"],
        ),
        ("no program", &[("lab.toml", "[server]\nkind = \"program\"")], &["`server.kind`", "needs `program`"]),
        (
            "a program and a version",
            &[("lab.toml", "[pocketbase]\nversion = \"0.30.0\"\n[server]\nprogram = \"run\""), ("run", "")],
            &["line 4", "its own PocketBase"],
        ),
        (
            "a program of the official kind",
            &[("lab.toml", "[server]\nkind = \"pocketbase\"\nprogram = \"run\""), ("run", "")],
            &["line 3", "kind = \"program\""],
        ),
        (
            "an official kind without that",
            &[("lab.toml", "[server]\nkind = \"go\""), ("pb_hooks/a.pb.js", "")],
            &["go.mod"],
        ),
    ];
    for (name, files, words) in FAILURES {
        let error = plan(files).expect_err(name).to_string();
        for word in *words {
            assert!(error.contains(word), "{name}: `{word}` is not in: {error}");
        }
    }
}

#[test]
fn candidates_are_ranked_and_say_why() {
    let tree = Tree::of(&[
        ("examples/pb_hooks/a.pb.js", ""),
        ("one/pb_hooks/a.pb.js", ""),
        ("two/pb_hooks/a.pb.js", ""),
        ("server/go.mod", GO_MOD),
        ("server/main.go", MAIN),
    ]);
    let all = candidates(&tree, &DetectSettings::default()).expect("candidates");
    let places: Vec<_> = all.iter().map(|it| (it.place, it.root.as_str())).collect();
    assert_eq!(places, [(1, "server"), (2, "one"), (2, "two"), (4, "examples")]);
    assert!(all[0].kind == ServerKind::Go && all[0].reason.contains("requires PocketBase 0.29.1"), "{all:?}");
    assert!(all[3].reason.contains("rarely hold the app"), "{all:?}");
}

#[test]
fn a_given_root_is_looked_in_and_a_frontend_beside_it_is_found() {
    let tree = Tree::of(&[
        ("apps/one/pb_hooks/a.pb.js", ""),
        ("apps/two/backend/pb_hooks/a.pb.js", ""),
        ("apps/two/frontend/package.json", VITE),
        ("examples/three/backend/pb_hooks/a.pb.js", ""),
        ("examples/three/frontend/package.json", VITE),
    ]);
    let at = |root: &str| {
        detect(&tree, &DetectSettings { root: Some(root.parse().expect("a path")), ..DetectSettings::default() })
    };
    assert_eq!(at("apps/one").expect("plan").hooks, Some("apps/one/pb_hooks".into()));
    let two = at("apps/two/backend").expect("plan");
    assert_eq!(two.hooks, Some("apps/two/backend/pb_hooks".into()));
    assert_eq!(two.frontend.expect("frontend").directory, Path::new("apps/two/frontend"));
    let named = at("examples/three/backend").expect("plan");
    assert_eq!(named.frontend.expect("frontend").directory, Path::new("examples/three/frontend"));
    assert!(at("nowhere").is_err());
    for outside in ["..", "/etc", "apps/../.."] {
        assert!(outside.parse::<RepoPath>().is_err(), "{outside}");
    }
}

#[test]
fn a_build_that_only_runs_the_frontends_is_not_called_left_out() {
    let build = |script: &'static str| {
        let tree = Tree::of(&[
            ("apps/pocketbase/pb_hooks/a.pb.js", ""),
            ("apps/web/package.json", VITE),
            ("package.json", script),
        ]);
        let plan = detect(&tree, &DetectSettings::default()).expect("plan");
        assert_eq!(plan.frontend.expect("frontend").directory, Path::new("apps/web"));
        plan.reasons.iter().any(|reason| reason.contains("`package.json` is not run"))
    };
    assert!(!build(r#"{"scripts":{"build":"concurrently --raw \"npm run build --prefix apps/web\""}}"#));
    assert!(build(r#"{"scripts":{"build":"node build.js"}}"#));
}

#[test]
fn reasons_tell_what_was_passed_over() {
    let find = |name: &str| TREES.iter().find(|(tree, ..)| *tree == name).expect(name).1;
    for (name, words) in [
        ("an example beside the app", "`examples` was passed over"),
        ("SvelteKit with a server", "rendered by a server"),
        ("a committed page that no build writes", "served as it is"),
        ("frontends that are as likely", "could both be the frontend"),
        ("an export of old collections, and nothing else", "the dashboard imports it"),
        (
            "a hook beside PocketBase's own folders, which it does not load",
            "`pocketbase/a.pb.js` is in no folder of hooks",
        ),
        ("an export of old collections, and nothing else", "`pocketbase/pb_schema.json` is for the API before 0.23"),
    ] {
        let plan = plan(find(name)).expect(name);
        let mut told = plan.reasons.iter().chain(&plan.warnings);
        assert!(told.any(|reason| reason.contains(words)), "{name}: {plan:#?}");
    }
}

#[test]
fn an_exported_schema_that_nothing_imports_is_told() {
    const SCHEMA: (&str, &str) = ("db/pb_schema.json", "[]");
    let told = |files: &[(&str, &str)]| {
        let plan = detect(&Tree::of(files), &DetectSettings::default()).expect("plan");
        plan.warnings.iter().any(|warning| warning.contains("`db/pb_schema.json`"))
    };
    assert!(told(&[SCHEMA]));
    assert!(told(&[SCHEMA, ("pb_hooks/a.pb.js", "")]));
    assert!(!told(&[SCHEMA, ("pb_migrations/1700000000_a.js", "")]), "the migrations make the collections");
    assert!(!told(&[("examples/db/pb_schema.json", "[]"), ("pb_hooks/a.pb.js", "")]));
    assert!(detect(&Tree::of(&[("examples/db/pb_schema.json", "[]")]), &DetectSettings::default()).is_err());
}

#[test]
fn each_thing_that_is_embedded_and_that_nothing_makes_is_told() {
    const EMBEDS: &str = "package main\n\n//go:embed web/dist static/output.css logo.svg\nvar files embed.FS\n";
    let files: &[(&str, &str)] =
        &[("go.mod", GO_MOD), ("main.go", MAIN), ("files.go", EMBEDS), ("web/package.json", VITE), ("logo.svg", "")];
    let plan = detect(&Tree::of(files), &DetectSettings::default()).expect("plan");
    assert_eq!(plan.frontend.expect("frontend").output.as_deref(), Some(Path::new("web/dist")));
    let told: Vec<_> = plan.warnings.iter().filter(|warning| warning.contains("neither committed")).collect();
    assert!(matches!(told[..], [one] if one.contains("`static/output.css`")), "{told:?}");
}

#[test]
fn a_frontend_says_which_tools_and_variables_it_wants() {
    let frontend = |files: &[(&str, &str)]| {
        let mut tree = Tree::of(&[("pb_hooks/a.pb.js", ""), ("web/package.json", VITE)]);
        for (path, text) in files {
            tree.insert_file(path, text);
        }
        detect(&tree, &DetectSettings::default()).expect("plan").frontend.expect("frontend")
    };
    let tool = |files: &[(&str, &str)]| {
        let manager = frontend(files).manager.expect("manager");
        (manager.name, manager.version.unwrap_or_default())
    };
    for (files, name, version) in [
        (&[("web/pnpm-lock.yaml", "lockfileVersion: '9.0'\n")][..], "pnpm", "9"),
        (&[("web/pnpm-lock.yaml", "lockfileVersion: 5.4\n")], "pnpm", "7"),
        (&[("web/pnpm-lock.yaml", "lockfileVersion: '9.0'\n"), ("web/pnpm-workspace.yaml", ALLOWS)], "pnpm", "10"),
        (&[("web/pnpm-lock.yaml", ""), ("pnpm-workspace.yaml", "packages:\n  - web\nallowBuilds: {}\n")], "pnpm", "10"),
        (
            &[("web/pnpm-lock.yaml", "lockfileVersion: '9.0'\n"), ("pnpm-workspace.yaml", "packages:\n  - web\n")],
            "pnpm",
            "9",
        ),
        (&[("web/yarn.lock", "# yarn lockfile v1\n")], "yarn", "1"),
        (&[("web/yarn.lock", "__metadata:\n  version: 6\n")], "yarn", "3"),
        (&[("web/yarn.lock", "__metadata:\n  version: 8\n")], "yarn", "4"),
        (&[("web/yarn.lock", ""), ("web/.yarnrc.yml", "yarnPath: .yarn/releases/yarn-4.1.0.cjs\n")], "yarn", "4.1.0"),
        (&[("web/bun.lockb", ""), ("web/package-lock.json", "")], "bun", ""),
        (&[("package.json", r#"{"workspaces":["web"],"packageManager":"pnpm@9.1.0+sha512.00"}"#)], "pnpm", "9.1.0"),
    ] {
        assert_eq!(tool(files), (name.to_owned(), version.to_owned()), "{files:?}");
    }
    let node = |files: &[(&str, &str)]| frontend(files).node.unwrap_or_default();
    assert_eq!(node(&[(".nvmrc", "v20.11.0\n"), ("web/.node-version", "22")]), "22");
    assert_eq!(node(&[(".nvmrc", "lts/jod\n")]), "22");
    assert_eq!(node(&[(".tool-versions", "nodejs 18.2.0\n")]), "18.2.0");
    assert_eq!(node(&[("package.json", r#"{"engines":{"node":">=20"}}"#)]), ">=20");
    assert_eq!(node(&[(".nvmrc", "lts/*\n")]), "");
    let env = |files: &[(&str, &str)]| frontend(files).env;
    assert_eq!(env(&[("web/.env.example", "VITE_PB_URL=\nVITE_TITLE=x\nPB_URL=x\n")])["VITE_PB_URL"], "/");
    assert_eq!(env(&[("web/.env", "export VITE_API_URL=http://localhost:8090\n")])["VITE_API_URL"], "/");
    assert_eq!(env(&[("web/.env", "VITE_PB_URL=https://pb.your-domain.com\n")])["VITE_PB_URL"], "/");
    assert!(env(&[("web/.env", "VITE_API_URL=https://api.example.com\n")]).is_empty());
    assert_eq!(env(&[("web/package.json", REACT_APP)])["CI"], "false");
    assert!(frontend(&[]).optional, "the app runs without it");
}

#[test]
fn variables_that_the_code_reads_are_hints() {
    const HOOK: &str = "const key = $os.getenv('KEY'), other = $os.getenv(name), port = $os.getenv(`PORT`)";
    const PROGRAM: &str = "package main\n\nimport \"github.com/pocketbase/pocketbase\"\n\n\
        func main() {\n\tif v, ok := os.LookupEnv(\"A\"); ok {}\n\tos.Getenv(\"B C\")\n\tos.Getenv(\"D";
    let hints = |files: Files| plan(files).unwrap().env_hints;
    let found = hints(&[
        ("pb_hooks/main.pb.js", HOOK),
        ("pb_hooks/lib/mail.js", "mail(process.env.FROM, process.env['TO'], process.env[name], process.env)"),
        ("pb_migrations/1_a.js", "migrate((app) => { $os.getenv( \"ADMIN\" ) })"),
        ("other/pb.js", "$os.getenv('NOT')"),
        (".env.example", "MAIL=x\nKEY=\n"),
    ]);
    assert_eq!(found, ["ADMIN", "FROM", "KEY", "MAIL", "TO"]);
    let found = hints(&[
        ("go.mod", GO_MOD),
        ("main.go", PROGRAM),
        ("internal/x/x.go", "os.Getenv(\"E\")"),
        ("vendor/x/x.go", "os.Getenv(\"F\")"),
    ]);
    assert_eq!(found, ["A", "E"]);
}

#[test]
fn a_hostile_tree_is_planned_in_bounded_time() {
    let mut tree = Tree::of(&[("pb_hooks/a.pb.js", "")]);
    let flags = "--dir=".repeat(40_000);
    let versions = "pocketbase_$PB_VERSION=1:".repeat(10_000);
    let imports = "$env/static/public".repeat(10_000);
    for n in 0..300 {
        tree.insert_file(&format!("{n}/package.json"), SVELTEKIT);
        tree.insert_file(&format!("{n}/Dockerfile"), &flags);
        tree.insert_file(&format!("{n}/main.go"), MAIN);
        tree.insert_file(&format!("scripts/{n}.sh"), &versions);
    }
    tree.insert_file("0/src/a.ts", &imports);
    // each of these had taken the square of its number, or more
    let embeds: Vec<String> = (0..20_000).map(|n| format!("//go:embed dist/{n}\n")).collect();
    let paths: Vec<String> = (0..5_000).map(|n| format!("\"data\", \"data/{}\",\n", n % 50)).collect();
    tree.insert_file("0/embeds.go", &format!("package main\n{}", embeds.concat()));
    tree.insert_file("0/paths.go", &format!("package main\nvar a = []string{{\n{}", paths.concat()));
    tree.insert_file("0/go.mod", GO_MOD);
    for n in 0..2_000 {
        tree.insert_file(&format!("0/data/{n}.go"), "package data");
        tree.insert_file(&format!("0/modules/{n}/go.mod"), GO_MOD);
        tree.insert_file(&format!("0/modules/{n}/main.go"), MAIN);
    }
    let started = std::time::Instant::now();
    let _ = detect(&tree, &DetectSettings::default());
    // far above what it takes on a busy machine, far below what a square of the size would
    assert!(started.elapsed() < std::time::Duration::from_mins(1), "{:?}", started.elapsed());
}

fn is_confined(path: &Path) -> bool {
    path.components().all(|part| matches!(part, std::path::Component::Normal(_)))
}

const WORDS: &[&str] = &[
    "pb_hooks",
    "pb_public",
    "pb_migrations",
    "a.pb.js",
    "1.js",
    "index.html",
    "go.mod",
    "main.go",
    "package.json",
    "frontend",
    "backend",
    "cmd",
    "lab.toml",
    "svelte.config.js",
    "vite.config.ts",
    "pocketbase",
    "x",
    "..",
    "",
];

fn content() -> impl Strategy<Value = String> {
    let known = [
        GO_MOD,
        MAIN,
        VITE,
        SVELTEKIT,
        PLAIN,
        OWN,
        RELEASED,
        "-> ..",
        "-> ../..",
        "-> backend",
        "-> /etc",
        "-> pb_public",
    ];
    let toml = "(root|\\[hooks\\]\npath|\\[frontend\\]\noutput|\\[server\\]\n(module|program)) = \"[a-z./_]{0,12}\"";
    let go = "package main\nvar _ = os.Getenv\\(\"[A-Z]{0,3}\", f\\(\"[a-z./_]{0,12}\", \"[a-z./*]{0,6}\"\\)\n";
    let vite = "outDir: '[a-z./_]{0,12}'";
    prop_oneof![prop::sample::select(known.to_vec()).prop_map(str::to_owned), toml, go, vite, "\\PC{0,40}"]
}

proptest! {
    #[test]
    fn any_tree_gives_a_confined_plan_or_an_error(
        files in prop::collection::vec((prop::collection::vec(prop::sample::select(WORDS), 1..4), content()), 0..12),
    ) {
        let files: Vec<(String, String)> = files.into_iter().map(|(path, text)| (path.join("/"), text)).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let tree = Tree::of(&files);
        let plan = detect(&tree, &DetectSettings::default());
        let again = detect(&tree.clone(), &DetectSettings::default());
        prop_assert_eq!(format!("{plan:?}"), format!("{again:?}"));
        if let Ok(plan) = plan {
            let built = plan.frontend.iter().chain(&plan.hooks_build);
            let frontend = built.flat_map(|it| [Some(it.directory.clone()), it.output.clone()]);
            let module = if let Server::Go { module, .. } = &plan.server { Some(module.clone()) } else { None };
            let program = match &plan.server {
                Server::PocketBase { program, .. } => program.clone(),
                Server::Program { path, .. } => Some(path.clone()),
                Server::Go { .. } => None,
            };
            let folders = [plan.hooks.clone(), plan.migrations.clone(), plan.public.clone(), plan.seed.clone()];
            let all = folders.into_iter().chain([module, program]);
            for path in all.chain(frontend).flatten().chain(plan.files.clone()).chain(plan.directory.clone()) {
                prop_assert!(is_confined(&path), "{}", path.display());
            }
            prop_assert!(!plan.reasons.is_empty());
        }
    }
}
