use super::*;

fn config(arguments: &[&str], file: &str) -> Result<Config, ConfigError> {
    let all = std::iter::once("lab-server").chain(arguments.iter().copied());
    let arguments = Arguments::read_from(all.map(OsString::from)).expect("arguments");
    Config::of(&arguments, toml::from_str(file).expect("a file"), String::new(), BTreeMap::new())
}

#[test]
fn the_command_line_is_well_formed() {
    use clap::CommandFactory;
    Arguments::command().debug_assert();
}

#[test]
fn flags_win_over_the_file_and_the_file_over_the_defaults() {
    let defaults = config(&[], "").expect("defaults");
    assert_eq!(defaults.addresses.listen, ([127, 0, 0, 1], 9000).into());
    assert_eq!(defaults.addresses.public_listen.port(), 8080);
    let both = config(&["--manager-port", "9100"], "manager_port = 9200\ncaddy_port = 8081").expect("both");
    assert_eq!((both.addresses.listen.port(), both.addresses.public_listen.port()), (9100, 8081));
}

#[test]
fn an_open_api_without_a_key_is_refused_and_told_why() {
    let error = config(&["--listen", "0.0.0.0:9000"], "").expect_err("refused");
    assert!(error.to_string().contains("LAB_API_KEY"), "{error}");
    assert!(config(&["--listen", "0.0.0.0:9000", "--api-key", "0123456789abcdef"], "").is_ok());
    for key in ["short", "0123456789 abcdef", "0123456789abcdé0"] {
        assert!(config(&["--api-key", key], "").is_err(), "{key}");
    }
    assert!(config(&["--api-key", ""], "").expect("no key").api_key.is_none());
    assert!(config(&["--listen", "0.0.0.0:9000", "--api-key", ""], "").is_err());
}

#[test]
fn values_that_make_no_sense_are_named() {
    for (arguments, name) in [
        (["--ports", "9-8"], "ports"),
        (["--ports", "8000-8100"], "caddy_port"),
        (["--domain-name", "no host"], "domain_name"),
        (["--pocketbase-source", "ftp://x"], "pocketbase_source"),
        (["--parallel-builds", "0"], "parallel_builds"),
        (["--trusted-proxies", "everyone"], "trusted_proxies"),
        (["--manager-port", "8500"], "manager_port"),
        (["--log", "lab=loud"], "log"),
        (["--manager-port", "8080"], "caddy_port"),
        (["--pocketbase-version", "latest"], "pocketbase_version"),
        (["--build-timeout", "0"], "build_timeout"),
        (["--kept-releases", "0"], "kept_releases"),
        (["--point-days", "99999999999"], "point_days"),
    ] {
        let error = config(&arguments, "").expect_err(name);
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn the_production_stack_is_chosen_by_init_or_by_name() {
    assert_eq!(config(&[], "").expect("defaults").production.stack, StackKind::Embedded);
    assert_eq!(config(&["init"], "").expect("init").production.stack, StackKind::Production);
    assert_eq!(config(&[], "stack = \"production\"").expect("a file").production.stack, StackKind::Production);
    for (arguments, name) in [
        (vec!["init", "--stack", "embedded"], "stack"),
        (vec!["--tls", "acme"], "tls"),
        (vec!["--stack", "production", "--acme-directory", "http://ca.example"], "acme_directory"),
        (vec!["--stack", "production", "--tls", "acme", "--https-listen", "0.0.0.0:8500"], "https_listen"),
    ] {
        let error = config(&arguments, "").expect_err(name);
        assert!(error.to_string().starts_with(&format!("`{name}`")), "{error}");
    }
    let acme = config(&["--stack", "production", "--tls", "acme"], "").expect("acme");
    assert_eq!((acme.addresses.public.https, acme.addresses.public.port), (true, 443));
}

#[test]
fn caddy_asks_where_the_api_listens() {
    let key = ["--api-key", "0123456789abcdef"];
    for (listen, asked) in [
        ("127.0.0.1:9000", "127.0.0.1:9000"),
        ("0.0.0.0:9100", "127.0.0.1:9100"),
        ("10.0.0.5:9000", "10.0.0.5:9000"),
        ("[::1]:9000", "[::1]:9000"),
        ("[::]:9000", "[::1]:9000"),
    ] {
        let arguments = [&["--stack", "production", "--tls", "acme", "--listen", listen], &key[..]].concat();
        let settings = config(&arguments, "").expect(listen).caddy();
        assert_eq!(settings.ask, format!("http://{asked}/tls/ask"));
    }
    let error =
        config(&["--stack", "production", "--tls", "internal", "--manager-port", "0"], "").expect_err("refused");
    assert!(error.to_string().contains("give it a port"), "{error}");
}

#[test]
fn a_check_hides_secrets_and_shows_where_settings_come_from() {
    let mirror = "https://me:s3cr3t@mirror.example/{version}/{file}";
    let (text, _) = config(&["--pocketbase-source", mirror], "").expect("config").check();
    assert!(!text.contains("s3cr3t") && text.contains("@mirror.example/{version}/{file}"), "{text}");
    let config =
        config(&["--api-key", "0123456789abcdef", "--github-token", "t0ken"], "trash_days = 3").expect("config");
    let (text, _) = config.check();
    assert!(!text.contains("0123456789abcdef") && !text.contains("t0ken"), "{text}");
    assert!(text.contains("(hidden)"), "{text}");
    let origin = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(origin("api_key").ends_with("(--api-key)"), "{text}");
    assert!(origin("trash_days").ends_with("(file)"), "{text}");
    assert!(origin("ports").ends_with("(default)"), "{text}");
    assert!(!text.contains('?'), "{text}");
    assert!(!format!("{config:?}").contains("t0ken"));
}

#[test]
fn a_file_with_a_key_nobody_knows_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("lab-server.toml");
    std::fs::write(&file, "manager_prot = 9000").expect("written");
    let words = ["lab-server", "--config", file.to_str().expect("text")];
    let arguments = Arguments::read_from(words.map(OsString::from)).expect("arguments");
    let error = lab_core::report(&Config::read(&arguments).expect_err("refused"));
    assert!(error.contains("manager_prot") && error.contains("lab-server.toml"), "{error}");
}

#[test]
fn paths_that_cannot_work_are_found_by_a_check() {
    let long = format!("/tmp/{}", "x".repeat(100));
    let (text, is_fine) = config(&["--data-dir", &long], "").expect("config").check();
    assert!(!is_fine && text.contains("too long"), "{text}");
    let production = ["--stack", "production", "--supervisord", "/nowhere/supervisord", "--caddy", "/nowhere/caddy"];
    let (text, is_fine) = config(&production, "").expect("config").check();
    assert!(!is_fine && text.contains("LAB_SUPERVISORD") && text.contains("LAB_CADDY"), "{text}");
    let absent = ["--ssh-keys", "/nowhere/key", "--pocketbase-source", "path:/nowhere/pb"];
    let (text, is_fine) = config(&absent, "").expect("config").check();
    assert!(!is_fine && text.contains("/nowhere/key") && text.contains("/nowhere/pb"), "{text}");
}
