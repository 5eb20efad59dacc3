//! Detection over a table of trees.

use proptest::prelude::*;

use super::*;

type Files = &'static [(&'static str, &'static str)];

const GO_MOD: &str = "module example.com/app\n\ngo 1.24\n\nrequire (\n\tgithub.com/pocketbase/pocketbase v0.29.1\n)\n";
const OTHER_MOD: &str = "module example.com/other\n\ngo 1.24\n";
const MAIN: &str = "// Command app.\npackage main\n\nimport \"github.com/pocketbase/pocketbase\"\n\nfunc main() { pocketbase.New() }\n";
const PLAIN_MAIN: &str = "package main\n\nfunc main() {}\n";
const VITE: &str = r#"{"scripts":{"build":"vite build"},"devDependencies":{"vite":"7"}}"#;
const SVELTEKIT: &str = r#"{"scripts":{"build":"vite build"},"devDependencies":{"vite":"7","@sveltejs/kit":"2"}}"#;
const PLAIN: &str = r#"{"scripts":{"build":"node build.js"}}"#;

fn plan(files: Files) -> Result<BuildPlan, BuildError> {
    detect(&Tree::of(files), &DetectSettings { pocketbase: "1.2.3".to_owned(), root: None })
}

/// A plan on one line: what a table can hold.
fn short(plan: &BuildPlan) -> String {
    let mut parts = match &plan.server {
        Server::PocketBase { version } => vec![format!("pb {version}")],
        Server::Go { module, package, pocketbase, .. } => {
            vec![format!("go {} {package} {}", module.display(), pocketbase.as_deref().unwrap_or("?"))]
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
    parts.join("; ")
}

const TREES: &[(&str, Files, &str)] = &[
    ("hooks at the root", &[("pb_hooks/main.pb.js", "")], "pb 1.2.3; hooks pb_hooks"),
    (
        "all three at the root",
        &[("pb_hooks/a.pb.js", ""), ("pb_migrations/1.js", ""), ("pb_public/index.html", "")],
        "pb 1.2.3; hooks pb_hooks; migrations pb_migrations; public pb_public",
    ),
    ("only files to serve", &[("pb_public/index.html", "")], "pb 1.2.3; public pb_public"),
    (
        "a folder of any name",
        &[("Mein Server/pb_migrations/1.js", "")],
        "pb 1.2.3; migrations Mein Server/pb_migrations",
    ),
    ("two folders down", &[("apps/one/pb_hooks/a.pb.js", "")], "pb 1.2.3; hooks apps/one/pb_hooks"),
    (
        "an example beside the app",
        &[("examples/pb_hooks/a.pb.js", ""), ("server/pb_hooks/a.pb.js", "")],
        "pb 1.2.3; hooks server/pb_hooks",
    ),
    (
        "a decoy alone is better than nothing",
        &[("legacy/pb_hooks/a.pb.js", ""), ("README.md", "")],
        "pb 1.2.3; hooks legacy/pb_hooks",
    ),
    (
        "the root wins over folders",
        &[("pb_migrations/1.js", ""), ("other/pb_migrations/1.js", "")],
        "pb 1.2.3; migrations pb_migrations",
    ),
    (
        "code wins over files to serve",
        &[("pb_public/index.html", ""), ("backend/pb_migrations/1.js", "")],
        "pb 1.2.3; migrations backend/pb_migrations; public pb_public",
    ),
    (
        "a backend's name wins over another",
        &[("backend/pb_hooks/a.pb.js", ""), ("stuff/pb_hooks/a.pb.js", "")],
        "pb 1.2.3; hooks backend/pb_hooks",
    ),
    (
        "empty folders do not count",
        &[("pb_hooks/.gitkeep", ""), ("pb_migrations/1.js", "")],
        "pb 1.2.3; migrations pb_migrations",
    ),
    (
        "a version pinned in a Dockerfile",
        &[("pb_hooks/a.pb.js", ""), ("Dockerfile", "FROM alpine\nARG PB_VERSION=0.28.4\n")],
        "pb 0.28.4; hooks pb_hooks",
    ),
    (
        "a link to a folder inside",
        &[("pb_public", "-> site/dist"), ("site/dist/index.html", "")],
        "pb 1.2.3; public pb_public",
    ),
    ("Go at the root", &[("go.mod", GO_MOD), ("main.go", MAIN)], "go  . 0.29.1"),
    ("Go in backend", &[("backend/go.mod", GO_MOD), ("backend/main.go", MAIN)], "go backend . 0.29.1"),
    ("Go one folder down", &[("srv/go.mod", GO_MOD), ("srv/main.go", MAIN)], "go srv . 0.29.1"),
    (
        "Go with one command",
        &[("go.mod", GO_MOD), ("cmd/app/main.go", MAIN), ("lib/lib.go", "package lib")],
        "go  ./cmd/app 0.29.1",
    ),
    (
        "Go with several commands, one of which is PocketBase's",
        &[("go.mod", GO_MOD), ("cmd/app/main.go", MAIN), ("cmd/seed/main.go", PLAIN_MAIN)],
        "go  ./cmd/app 0.29.1",
    ),
    (
        "Go with a generator that is not built",
        &[
            ("go.mod", GO_MOD),
            ("internal/gen/gen.go", "//go:build ignore\n\npackage main\n"),
            ("server/main.go", PLAIN_MAIN),
        ],
        "go  ./server 0.29.1",
    ),
    (
        "Go with a module of its own inside",
        &[("go.mod", GO_MOD), ("app/main.go", PLAIN_MAIN), ("tool/go.mod", OTHER_MOD), ("tool/main.go", PLAIN_MAIN)],
        "go  ./app 0.29.1",
    ),
    (
        "Go wins over its own folders",
        &[("go.mod", GO_MOD), ("main.go", MAIN), ("pb_hooks/a.pb.js", ""), ("pb_public/index.html", "")],
        "go  . 0.29.1; hooks pb_hooks; public pb_public",
    ),
    (
        "Go without PocketBase is not the app",
        &[("tool/go.mod", OTHER_MOD), ("tool/main.go", PLAIN_MAIN), ("pb_hooks/a.pb.js", "")],
        "pb 1.2.3; hooks pb_hooks",
    ),
    (
        "an indirect requirement is not one",
        &[
            ("go.mod", "module x\nrequire github.com/pocketbase/pocketbase v0.29.1 // indirect\n"),
            ("main.go", MAIN),
            ("pb_hooks/a.pb.js", ""),
        ],
        "pb 1.2.3; hooks pb_hooks",
    ),
    (
        "Go and a frontend",
        &[
            ("backend/go.mod", GO_MOD),
            ("backend/main.go", MAIN),
            ("frontend/package.json", VITE),
            ("frontend/package-lock.json", "{}"),
        ],
        "go backend . 0.29.1; frontend frontend [npm ci, npm run build] frontend/dist",
    ),
    (
        "a frontend without a lock file",
        &[("pb_hooks/a.pb.js", ""), ("frontend/package.json", PLAIN)],
        "pb 1.2.3; hooks pb_hooks; frontend frontend [npm install, npm run build] ?",
    ),
    (
        "a frontend at the root",
        &[("pb_hooks/a.pb.js", ""), ("package.json", VITE), ("package-lock.json", "{}")],
        "pb 1.2.3; hooks pb_hooks; frontend  [npm ci, npm run build] dist",
    ),
    (
        "a frontend with pnpm",
        &[("pb_hooks/a.pb.js", ""), ("web/package.json", VITE), ("web/pnpm-lock.yaml", "")],
        "pb 1.2.3; hooks pb_hooks; frontend web [pnpm install --frozen-lockfile, pnpm run build] web/dist",
    ),
    (
        "a frontend with bun",
        &[("pb_hooks/a.pb.js", ""), ("frontend/package.json", VITE), ("frontend/bun.lock", "")],
        "pb 1.2.3; hooks pb_hooks; frontend frontend [bun install --frozen-lockfile, bun run build] frontend/dist",
    ),
    (
        "several lock files, one manager named",
        &[
            (
                "frontend/package.json",
                r#"{"packageManager":"yarn@4.1.0","scripts":{"build":"vite build"},"devDependencies":{"vite":"7"}}"#,
            ),
            ("frontend/yarn.lock", ""),
            ("frontend/package-lock.json", "{}"),
            ("pb_hooks/a.pb.js", ""),
        ],
        "pb 1.2.3; hooks pb_hooks; frontend frontend [yarn install --immutable, yarn run build] frontend/dist",
    ),
    (
        "frontend/ wins over the root's package.json",
        &[("pb_hooks/a.pb.js", ""), ("package.json", PLAIN), ("frontend/package.json", VITE)],
        "pb 1.2.3; hooks pb_hooks; frontend frontend [npm install, npm run build] frontend/dist",
    ),
    (
        "a frontend that builds into pb_public",
        &[
            ("pb_hooks/a.pb.js", ""),
            ("pb_public/index.html", "old"),
            ("ui/package.json", VITE),
            ("ui/vite.config.ts", "export default { build: { outDir: \"../pb_public\" } }"),
        ],
        "pb 1.2.3; hooks pb_hooks; frontend ui [npm install, npm run build] pb_public",
    ),
    (
        "a frontend that is copied into pb_public",
        &[
            ("backend/pb_hooks/a.pb.js", ""),
            (
                "ui/package.json",
                r#"{"scripts":{"build":"vite build","postbuild":"cp -r dist/. ../backend/pb_public/"}}"#,
            ),
        ],
        "pb 1.2.3; hooks backend/pb_hooks; frontend ui [npm install, npm run build] backend/pb_public",
    ),
    (
        "a committed page that no build writes",
        &[("pb_public/index.html", ""), ("package.json", PLAIN)],
        "pb 1.2.3; public pb_public",
    ),
    (
        "files to serve beside a built frontend",
        &[("pb_public/robots.txt", ""), ("pb_hooks/a.pb.js", ""), ("frontend/package.json", VITE)],
        "pb 1.2.3; hooks pb_hooks; public pb_public; frontend frontend [npm install, npm run build] frontend/dist",
    ),
    (
        "a package without a build script",
        &[("pb_hooks/a.pb.js", ""), ("package.json", r#"{"scripts":{"test":"x"}}"#)],
        "pb 1.2.3; hooks pb_hooks",
    ),
    ("a broken package.json", &[("pb_hooks/a.pb.js", ""), ("package.json", "{")], "pb 1.2.3; hooks pb_hooks"),
    (
        "SvelteKit with a server",
        &[
            ("pb_hooks/a.pb.js", ""),
            ("frontend/package.json", SVELTEKIT),
            ("frontend/svelte.config.js", "import adapter from '@sveltejs/adapter-node';"),
        ],
        "pb 1.2.3; hooks pb_hooks",
    ),
    (
        "SvelteKit as files",
        &[
            ("pb_hooks/a.pb.js", ""),
            ("frontend/package.json", SVELTEKIT),
            ("frontend/svelte.config.js", "import adapter from '@sveltejs/adapter-static';\nadapter({ pages: 'www' })"),
        ],
        "pb 1.2.3; hooks pb_hooks; frontend frontend [npm install, npm run build] frontend/www",
    ),
    (
        "Next.js with a server",
        &[
            ("pb_hooks/a.pb.js", ""),
            ("frontend/package.json", r#"{"scripts":{"build":"next build"},"dependencies":{"next":"15"}}"#),
            ("frontend/next.config.js", "// output: 'export'\nmodule.exports = {}"),
        ],
        "pb 1.2.3; hooks pb_hooks",
    ),
    (
        "Next.js as files",
        &[
            ("pb_hooks/a.pb.js", ""),
            ("frontend/package.json", r#"{"scripts":{"build":"next build"},"dependencies":{"next":"15"}}"#),
            ("frontend/next.config.js", "module.exports = { output: \"export\" }"),
        ],
        "pb 1.2.3; hooks pb_hooks; frontend frontend [npm install, npm run build] frontend/out",
    ),
    (
        "a frontend that Go embeds",
        &[
            ("go.mod", GO_MOD),
            ("main.go", MAIN),
            ("ui/embed.go", "package ui\n\n//go:embed all:dist\nvar Dist embed.FS\n"),
            ("ui/package.json", VITE),
            ("other/package.json", VITE),
        ],
        "go  . 0.29.1; frontend ui [npm install, npm run build] ui/dist",
    ),
    (
        "frontends that are as likely",
        &[("pb_hooks/a.pb.js", ""), ("one/package.json", VITE), ("two/package.json", VITE)],
        "pb 1.2.3; hooks pb_hooks",
    ),
    (
        "a backend and a frontend in apps",
        &[("apps/api/go.mod", GO_MOD), ("apps/api/main.go", MAIN), ("apps/web/package.json", VITE)],
        "go apps/api . 0.29.1; frontend apps/web [npm install, npm run build] apps/web/dist",
    ),
    (
        "lab.toml names the root",
        &[("lab.toml", "root = \"two\""), ("one/pb_hooks/a.pb.js", ""), ("two/pb_hooks/a.pb.js", "")],
        "pb 1.2.3; hooks two/pb_hooks",
    ),
    (
        "lab.toml states everything",
        &[
            (
                "lab.toml",
                "[pocketbase]\nversion = \"0.30.0\"\n[server]\nkind = \"pocketbase\"\n[hooks]\npath = \"src/hooks\"\n[migrations]\npath = \"db\"\n[public]\npath = \"www\"\n",
            ),
            ("src/hooks/a.pb.js", ""),
            ("db/1.js", ""),
            ("www/index.html", ""),
        ],
        "pb 0.30.0; hooks src/hooks; migrations db; public www",
    ),
    (
        "lab.toml switches the frontend off",
        &[("lab.toml", "frontend = false"), ("pb_hooks/a.pb.js", ""), ("frontend/package.json", VITE)],
        "pb 1.2.3; hooks pb_hooks",
    ),
    (
        "lab.toml corrects the frontend",
        &[
            ("lab.toml", "[frontend]\ndirectory = \"site\"\nbuild = \"npm run export\"\noutput = \"site/www\""),
            ("pb_hooks/a.pb.js", ""),
            ("site/package.json", PLAIN),
        ],
        "pb 1.2.3; hooks pb_hooks; frontend site [npm install, npm run export] site/www",
    ),
    ("lab.toml alone is an app", &[("lab.toml", "[server]\nkind = \"pocketbase\""), ("README.md", "")], "pb 1.2.3"),
    (
        "lab.toml chooses the Go package",
        &[
            ("lab.toml", "[server]\nkind = \"go\"\npackage = \"cmd/b\""),
            ("go.mod", GO_MOD),
            ("cmd/a/main.go", MAIN),
            ("cmd/b/main.go", MAIN),
        ],
        "go  ./cmd/b 0.29.1",
    ),
];

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
        let after = detect(&tree, &DetectSettings::default()).unwrap_or_else(|error| panic!("{name}: {error}\n{toml}"));
        assert_eq!(without_words(after), without_words(before), "{name}: {toml}");
    }
}

#[test]
fn what_cannot_be_decided_is_told_and_asked() {
    const FAILURES: &[(&str, Files, &[&str])] = &[
        ("nothing", &[("README.md", "")], &["no PocketBase app", "go.mod", "pb_hooks", "lab.toml"]),
        ("a frontend only", &[("package.json", VITE)], &["no PocketBase app"]),
        ("too deep", &[("a/b/c/pb_hooks/a.pb.js", "")], &["no PocketBase app"]),
        (
            "two apps",
            &[("one/pb_hooks/a.pb.js", ""), ("two/pb_hooks/a.pb.js", "")],
            &["2 folders", "`one`, `two`", "lab.toml", "--root one"],
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
fn a_given_root_is_looked_in_and_a_frontend_beside_it_is_found() {
    let tree = Tree::of(&[
        ("apps/one/pb_hooks/a.pb.js", ""),
        ("apps/two/backend/pb_hooks/a.pb.js", ""),
        ("apps/two/frontend/package.json", VITE),
        ("examples/three/backend/pb_hooks/a.pb.js", ""),
        ("examples/three/frontend/package.json", VITE),
    ]);
    let at = |root: &str| detect(&tree, &DetectSettings { root: Some(root.into()), ..DetectSettings::default() });
    assert_eq!(at("apps/one").expect("plan").hooks, Some("apps/one/pb_hooks".into()));
    let two = at("apps/two/backend").expect("plan");
    assert_eq!(two.hooks, Some("apps/two/backend/pb_hooks".into()));
    assert_eq!(two.frontend.expect("frontend").directory, Path::new("apps/two/frontend"));
    let named = at("examples/three/backend").expect("plan");
    assert_eq!(named.frontend.expect("frontend").directory, Path::new("examples/three/frontend"));
    for bad in ["..", "/etc", "nowhere", "apps/../.."] {
        assert!(at(bad).is_err(), "{bad}");
    }
}

#[test]
fn reasons_tell_what_was_passed_over() {
    let find = |name: &str| TREES.iter().find(|(tree, ..)| *tree == name).expect(name).1;
    for (name, words) in [
        ("an example beside the app", "`examples` was passed over"),
        ("SvelteKit with a server", "rendered by a server"),
        ("a committed page that no build writes", "served as it is"),
        ("frontends that are as likely", "could both be the frontend"),
    ] {
        let plan = plan(find(name)).expect(name);
        let mut told = plan.reasons.iter().chain(&plan.warnings);
        assert!(told.any(|reason| reason.contains(words)), "{name}: {plan:#?}");
    }
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
    "x",
    "..",
    "",
];

fn content() -> impl Strategy<Value = String> {
    let known = [GO_MOD, MAIN, VITE, SVELTEKIT, PLAIN, "-> ..", "-> ../..", "-> backend", "-> /etc", "-> pb_public"];
    let toml = "(root|\\[hooks\\]\npath|\\[frontend\\]\noutput|\\[server\\]\nmodule) = \"[a-z./_]{0,12}\"";
    let vite = "outDir: '[a-z./_]{0,12}'";
    prop_oneof![prop::sample::select(known.to_vec()).prop_map(str::to_owned), toml, vite, "\\PC{0,40}"]
}

proptest! {
    #[test]
    fn any_tree_gives_a_confined_plan_or_an_error(
        files in prop::collection::vec((prop::collection::vec(prop::sample::select(WORDS), 1..4), content()), 0..12),
    ) {
        let files: Vec<(String, String)> = files.into_iter().map(|(path, text)| (path.join("/"), text)).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        if let Ok(plan) = detect(&Tree::of(&files), &DetectSettings::default()) {
            let frontend = plan.frontend.iter().flat_map(|it| [Some(it.directory.clone()), it.output.clone()]);
            let module = if let Server::Go { module, .. } = &plan.server { Some(module.clone()) } else { None };
            let all = [plan.hooks.clone(), plan.migrations.clone(), plan.public.clone(), module];
            for path in all.into_iter().chain(frontend).flatten() {
                prop_assert!(is_confined(&path), "{}", path.display());
            }
            prop_assert!(!plan.reasons.is_empty());
        }
    }
}
