//! Versions as people write them.

use super::*;

fn pin(kind: Kind, path: &str, text: &str) -> Option<String> {
    pinned(&Recipe { kind, path, text })
}

#[test]
fn versions_are_read_as_people_write_them() {
    for (kind, path, text, version) in [
        (Kind::Dockerfile, "Dockerfile", "ARG PB_VERSION=0.28.4", "0.28.4"),
        (Kind::Dockerfile, "Dockerfile", "FROM x\nENV PB_VERSION \"v0.28.4\"", "0.28.4"),
        (Kind::Dockerfile, "Dockerfile", "arg POCKETBASE_VERSION=0.28.4 # x", "0.28.4"),
        (
            Kind::Dockerfile,
            "Dockerfile",
            "ARG VERSION=0.22.8\nADD https://github.com/pocketbase/pocketbase/releases/download/v${VERSION}/pocketbase_${VERSION}_linux_amd64.zip /",
            "0.22.8",
        ),
        (
            Kind::Dockerfile,
            "Dockerfile",
            "RUN wget https://github.com/pocketbase/pocketbase/releases/download/v0.29.0/pocketbase_0.29.0_linux_amd64.zip",
            "0.29.0",
        ),
        (Kind::Dockerfile, "Dockerfile", "FROM ghcr.io/muchobien/pocketbase:0.22.21", "0.22.21"),
        (Kind::Compose, "compose.yml", "    image: adrianmusante/pocketbase:0.26.6@sha256:abc", "0.26.6"),
        (Kind::Compose, "compose.yml", "    image: \"ghcr.io/x/pocketbase:${PB_VERSION:-0.26.6}\"", "0.26.6"),
        (Kind::Compose, "compose.yml", "    image: elestio/pocketbase:v0.22", "0.22.27"),
        (Kind::Compose, "compose.yml", "      args:\n        PB_VERSION: 0.27.1", "0.27.1"),
        (Kind::Compose, "compose.yml", "      args:\n        - PB_VERSION=0.27.1", "0.27.1"),
        (Kind::Script, "Makefile", "PB_VERSION := \"0.28.4\"", "0.28.4"),
        (Kind::Script, "run.sh", "PB_VERSION=\"${PB_VERSION:-0.28.4}\"", "0.28.4"),
        (Kind::Script, "run.ps1", "$PocketBaseVersion = \"0.28.4\"", "0.28.4"),
        (Kind::Script, "pb.mjs", "const PB_VERSION = '0.28.4';", "0.28.4"),
        (
            Kind::Script,
            "get.bat",
            "set VERSION=0.22.4\ncurl https://github.com/pocketbase/pocketbase/releases/download/v%VERSION%/x.zip",
            "0.22.4",
        ),
        (
            Kind::Script,
            "get_pb.py",
            "current = '0.22.4'\nurl = f'https://github.com/pocketbase/pocketbase/releases/download/v{current}/x.zip'",
            "0.22.4",
        ),
        (
            Kind::Script,
            "get.sh",
            "V=0.22.4\ncurl -L https://github.com/pocketbase/pocketbase/releases/download/v\"$V\"/x.zip",
            "0.22.4",
        ),
        (Kind::Script, ".tool-versions", "nodejs 20.1.0\npocketbase 0.28.4", "0.28.4"),
        (Kind::Script, "mise.toml", "[tools]\n\"ubi:pocketbase/pocketbase\" = \"0.28.4\"", "0.28.4"),
        (Kind::Script, ".pb-version", "v0.28.4\n", "0.28.4"),
        (Kind::Script, "fly.toml", "[build.args]\n  PB_VERSION = \"0.28.4\"", "0.28.4"),
        (Kind::Readme, "README.md", "We use PocketBase (v0.28.4) here", "0.28.4"),
        (
            Kind::Readme,
            "README.md",
            "wget https://github.com/pocketbase/pocketbase/releases/download/v0.21.1/x.zip",
            "0.21.1",
        ),
        (Kind::Changelog, "CHANGELOG.md", "## v0.28.3\n\n- Fixed the Admin UI; thanks @me\n\n## v0.28.2", "0.28.3"),
    ] {
        assert_eq!(pin(kind, path, text).as_deref(), Some(version), "{text}");
    }
}

#[test]
fn what_is_no_pin_is_none() {
    for (kind, text) in [
        (Kind::Dockerfile, "ARG PB_VERSION"),
        (Kind::Dockerfile, "ARG PB_VERSION=latest"),
        (Kind::Readme, "Needs PocketBase 0.23 or later."),
        (Kind::Readme, "PocketBase 0.23.4+ is needed"),
        (Kind::Readme, "PocketBase (at least v0.23.4)"),
        (Kind::Dockerfile, "ARG NODE_VERSION=20.0.0"),
        (Kind::Dockerfile, "FROM alpine:3.20\nARG GO_VERSION=1.24.0"),
        (Kind::Compose, "image: ghcr.io/muchobien/pocketbase:latest"),
        (Kind::Compose, "ports:\n - \"8090:8090\"\nPB_URL: http://127.0.0.1:8090"),
        (Kind::Package, "{\"dependencies\": {\"pocketbase\": \"0.21.5\"}}"),
        (Kind::Readme, "uses the PocketBase JS SDK 0.21.5 and node 20.1.0"),
        (Kind::Readme, "PocketBase\n\n1. install\n2. 0.1.2"),
        (Kind::Changelog, "## v0.2.0\n\n- our own app"),
        (Kind::Changelog, "## v0.14.2\n\n- the superuser sees all orders"),
        (Kind::Changelog, "## v0.2.0\n\n- Admin UI, with the JSVM"),
    ] {
        assert_eq!(pin(kind, "x", text), None, "{text}");
    }
}

#[test]
fn a_variable_has_its_value_elsewhere() {
    const FETCH: &str = "ARG VERSION\nADD https://github.com/pocketbase/pocketbase/releases/download/v${VERSION}/pocketbase_${VERSION}_linux_amd64.zip /";
    let recipe = |kind, text| Recipe { kind, path: "x", text };
    let dockerfile = recipe(Kind::Dockerfile, FETCH);
    let image = recipe(Kind::Dockerfile, "ARG TAG\nFROM ghcr.io/x/pocketbase:$TAG");
    for elsewhere in [
        "args:\n  VERSION: 0.27.1\n  TAG: 0.26.6",
        "VERSION=0.27.1\nTAG=v0.26.6",
        "--build-arg VERSION=0.27.1 --build-arg TAG=0.26.6",
    ] {
        let elsewhere = recipe(Kind::Compose, elsewhere);
        let set = set_by([dockerfile, elsewhere].iter());
        assert_eq!(pinned_with(&dockerfile, &set).as_deref(), Some("0.27.1"), "{elsewhere:?}");
        assert_eq!(pinned_with(&image, &set).as_deref(), Some("0.26.6"), "{elsewhere:?}");
    }
    assert_eq!(pinned(&dockerfile), None);
}
