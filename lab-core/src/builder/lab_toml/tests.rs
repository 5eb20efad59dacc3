//! What a `lab.toml` may say, and how it fails.

use super::*;

fn read(text: &str) -> Result<LabToml, String> {
    let stated = Stated::find(&Tree::of(&[(FILE, text)]), "");
    stated.map(|stated| stated.toml).map_err(|error| error.to_string())
}

const WHOLE: &str = r#"
root = "backend"

[pocketbase]
version = "0.40.6"

[server]
kind = "pocketbase"
args = ["--encryptionEnv=PB_KEY"]

[frontend]
directory = "web"
install = "pnpm install"
build = ["pnpm", "run", "build"]
output = "web/dist"

[hooks]
path = "./backend/hooks/"
pool = 4

[migrations]
path = "backend/db"

[public]
path = "backend/static"

[health]
path = "/api/ready"
timeout = 30

[env]
required = ["SMTP_HOST", "SMTP_KEY"]
"#;

#[test]
fn everything_can_be_stated() {
    let toml = read(WHOLE).expect("read");
    let Some(Section::On(frontend)) = &toml.frontend else { panic!("no frontend: {toml:?}") };
    assert_eq!(frontend.install, Some(Words(vec!["pnpm".to_owned(), "install".to_owned()])));
    let Some(Section::On(hooks)) = &toml.hooks else { panic!("no hooks: {toml:?}") };
    let path = hooks.path.as_ref().expect("path");
    assert_eq!(path.get_ref().as_str(), "backend/hooks");
    assert_eq!(hooks.pool, Some(PoolSize(4)));
    assert_eq!(toml.health.and_then(|health| health.timeout), Some(Seconds(30)));
    assert_eq!(read("").expect("empty"), LabToml::default());
    assert_eq!(read("frontend = false").expect("off").frontend, Some(Section::Off));
}

#[test]
fn the_example_of_the_documentation_is_read() {
    let page = include_str!("../../../../docs/lab-toml.md");
    let examples: Vec<&str> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        read(example).unwrap_or_else(|error| panic!("{error}\n{example}"));
    }
}

#[test]
fn a_command_with_shell_syntax_is_run_by_a_shell() {
    let build = |text: &str| match read(&format!("[frontend]\nbuild = {text}")).expect("read").frontend {
        Some(Section::On(frontend)) => frontend.build.expect("build").0,
        other => panic!("{other:?}"),
    };
    assert_eq!(build("\"npm  run build:web\""), ["npm", "run", "build:web"]);
    assert_eq!(build("'make && cp -r a b'"), ["sh", "-c", "make && cp -r a b"]);
    assert_eq!(build("[\"a b\", \"$c\"]"), ["a b", "$c"]);
}

#[test]
fn errors_name_the_file_the_line_and_the_key() {
    for (text, words) in [
        ("\n[servr]\nkind = \"go\"", &["`lab.toml`, line 2", "unknown field `servr`", "did you mean `server`?"][..]),
        ("[server]\n\nkindd = \"go\"", &["line 3", "`server.kindd`", "did you mean `kind`?"]),
        ("[server]\nkind = \"goo\"", &["line 2", "`server.kind`", "did you mean `go`?"]),
        ("[pocketbase]\nversion = \"latest\"", &["line 2", "`pocketbase.version`", "exact version"]),
        ("[pocketbase]\nversion = 1", &["line 2", "`pocketbase.version`", "invalid type"]),
        ("[hooks]\npath = \"../x\"", &["line 2", "`hooks.path`", "inside the repository"]),
        ("[hooks]\npath = \"/etc\"", &["line 2", "inside the repository"]),
        ("root = \"-x\"", &["line 1", "`root`", "must not start"]),
        ("frontend = true", &["line 1", "`frontend`", "or `false`"]),
        ("[frontend]\noutptu = \"x\"", &["line 2", "did you mean `output`?"]),
        ("[server]\nargs = [\"--http=0.0.0.0:80\"]", &["line 2", "`--http` is not the app's"]),
        ("[server]\nargs = [\"--dir\", \"/\"]", &["`--dir` is not the app's"]),
        ("[server]\ntags = [\"a b\"]", &["build tag"]),
        ("[health]\npath = \"api\"", &["line 2", "starts with `/`"]),
        ("[hooks]\npool = 0", &["line 2", "`hooks.pool`", "from 1 to 1000"]),
        ("[health]\ntimeout = 0", &["line 2", "from 1 to 3600"]),
        ("[env]\nrequired = [\"1X\"]", &["line 2", "name of a variable"]),
        ("[frontend]\nbuild = \"\\u0000\"", &["line 2", "not a command"]),
        ("root = ", &["line 1"]),
        ("a = 1\na = 2", &["line"]),
    ] {
        let error = read(text).expect_err(text);
        for word in words {
            assert!(error.contains(word), "{text:?}: `{word}` is not in: {error}");
        }
    }
}

#[test]
fn a_file_that_is_too_big_is_refused() {
    let error = read(&"# comment\n".repeat(10_000)).expect_err("too big");
    assert!(error.contains("65536"), "{error}");
}

/// What the parser knows in a section, by its own words.
fn known(section: &str) -> Vec<String> {
    let text = if section.is_empty() { "zzz = 1".to_owned() } else { format!("[{section}]\nzzz = 1") };
    let error = toml::from_str::<LabToml>(&text).expect_err(&text);
    let (_, expected) = error.message().split_once("expected ").expect("a list of names");
    let mut names: Vec<String> = expected.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn the_schema_knows_what_the_parser_knows() {
    let schema: serde_json::Value =
        serde_json::from_str(include_str!("../../../../docs/lab.schema.json")).expect("the schema is JSON");
    let properties = |section: &serde_json::Value| {
        let object = section.get("oneOf").map_or(section, |one_of| &one_of[0]);
        assert_eq!(object["additionalProperties"], serde_json::Value::Bool(false));
        object["properties"].as_object().expect("properties").clone()
    };
    let check = |section: &str, properties: &serde_json::Map<String, serde_json::Value>| {
        let mut names: Vec<String> = properties.keys().cloned().collect();
        names.sort();
        assert_eq!(names, known(section), "[{section}]");
        let is_section = |property: &serde_json::Value| property.get("type").is_none_or(|it| it == "object");
        for (name, property) in properties {
            let Some(example) = property["examples"].get(0) else {
                assert!(section.is_empty() && is_section(property), "{section} {name} has no example");
                continue;
            };
            let header = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
            let text = format!("{header}{name} = {example}\n");
            read(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        }
    };
    let top = properties(&schema);
    check("", &top);
    for (section, property) in top.iter().filter(|(name, _)| *name != "root") {
        check(section, &properties(property));
        let can_be_off = property.get("oneOf").is_some();
        assert_eq!(read(&format!("{section} = false")).is_ok(), can_be_off, "{section} = false");
    }
}
