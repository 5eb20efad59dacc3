//! Which committed program runs, and what is told of the others.

use super::*;

#[test]
fn committed_programs_are_told() {
    const RUNS: &str = "it is run as it is";
    let with = |files: Files| {
        let mut tree = Tree::of(&[("pb_hooks/a.pb.js", "onRecordCreate((e) => e.next())")]);
        for (path, text) in files {
            tree.insert_file(path, text);
        }
        detect(&tree, &settings()).expect("plan")
    };
    let official = |version: &str, program: Option<&str>| Server::PocketBase {
        version: version.to_owned(),
        program: program.map(PathBuf::from),
    };
    let own = |path: &str| Server::Program { path: path.into(), pocketbase: Some("0.29.1".to_owned()) };
    let cases: &[(Files, Server, &str)] = &[
        (&[("pocketbase", OWN)], own("pocketbase"), RUNS),
        (&[("bin/pb", OWN), ("bin/pocketbase_arm64", OWN_FOR_386)], own("bin/pb"), RUNS),
        // what is for another machine, or not here, is not run
        (&[("pocketbase", OWN_FOR_386)], official("0.29.1", None), "lacks its own code (`example.com/shop`)"),
        (&[("pocketbase", POINTER)], official("1.2.3", None), "Git LFS: it is not run, the official"),
        (&[("pocketbase", PACKED)], official("1.2.3", None), "to have it run, state `program = \"pocketbase\"`"),
        (&[("pocketbase.exe", "MZ")], official("1.2.3", None), "program for Windows, of an unknown version"),
        (&[("examples/pocketbase", OWN)], official("0.29.1", None), "`examples/pocketbase` names it"),
        (
            &[
                ("pb_migrations/1.js", ""),
                ("other/pb_public/a", ""),
                ("lab.toml", "root = \"other\""),
                ("pocketbase", OWN),
            ],
            official("1.2.3", None),
            "nothing names a version",
        ),
        (&[("pocketbase", OWN), ("one/pb", OWN)], own("pocketbase"), RUNS),
        (&[("tests/pb", OWN), ("one/a/pb", OWN), ("two/pb", OWN)], own("two/pb"), RUNS),
        (
            &[
                ("a/pb_hooks/a.pb.js", ""),
                ("a/pb_migrations/1.js", ""),
                ("pb_hooks/a.pb.js", ""),
                ("b/pocketbase", OWN),
                ("lab.toml", "[hooks]\npath = \"a/pb_hooks\""),
            ],
            own("b/pocketbase"),
            RUNS,
        ),
        // what asks for the official one
        (
            &[("pocketbase", OWN), ("Dockerfile", FETCHES)],
            official("0.28.4", None),
            "is not run: `Dockerfile` fetches the official one; to have it run, state `program = \"pocketbase\"`",
        ),
        (&[("pocketbase", OWN), ("Dockerfile", "FROM x/pocketbase:0.22.4\n")], own("pocketbase"), RUNS),
        (&[("pocketbase", OWN), ("README.md", "PocketBase 0.30.0")], own("pocketbase"), RUNS),
        (
            &[("pocketbase", OWN), ("lab.toml", "[pocketbase]\nversion = \"0.30.0\"")],
            official("0.30.0", None),
            "is not run: `lab.toml` asks for the official one",
        ),
        (
            &[("pocketbase", OWN), ("lab.toml", "[server]\nkind = \"pocketbase\"")],
            official("0.29.1", None),
            "is not run: `lab.toml` asks for the official one",
        ),
        (
            &[("pocketbase", OWN), ("pb_hooks/a.pb.js", "onRecordBeforeCreateRequest((e) => {})")],
            official("0.22.27", None),
            "is not run: the code (`pb_hooks/a.pb.js`) is for the API before 0.23",
        ),
        // releases
        (&[("pocketbase", RELEASED)], official("0.28.4", Some("pocketbase")), "and the file itself where it is not"),
        (
            &[("pocketbase", RELEASED), ("lab.toml", "[pocketbase]\nversion = \"0.30.0\"")],
            official("0.30.0", None),
            "PocketBase 0.28.4: it is not run, the official PocketBase 0.30.0 is",
        ),
        // what `lab.toml` names is run, whatever is found
        (
            &[
                ("pocketbase", RELEASED),
                ("server/run", "?"),
                ("Dockerfile", FETCHES),
                ("lab.toml", "[server]\nprogram = \"server/run\""),
            ],
            Server::Program { path: "server/run".into(), pocketbase: None },
            "`server/run` is run: `lab.toml` names it",
        ),
    ];
    for (files, server, words) in cases {
        let plan = with(files);
        assert_eq!(plan.server, *server, "{files:?}: {plan:#?}");
        let mut told = plan.reasons.iter().chain(&plan.warnings);
        assert!(told.any(|told| told.contains(words)), "{words}: {plan:#?}");
    }
    // a server on another processor
    let tree = Tree::of(&[("pb_hooks/a.pb.js", ""), ("pocketbase", OWN), ("pocketbase_386", OWN_FOR_386)]);
    let other = detect(&tree, &DetectSettings { programs: Magic::Elf(3), ..settings() }).expect("plan");
    assert_eq!(other.server, own("pocketbase_386"));
}
