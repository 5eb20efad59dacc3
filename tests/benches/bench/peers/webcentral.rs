//! webcentral, the Rust program nearest to Lab: a folder per domain, here with a file that forwards it to a port.

use std::{path::Path, process::Command};

use crate::bench::{
    HOST, Outcome,
    processes::{Place, Program, tool},
};

/// Starts webcentral on a port (of every address: it knows no other way) that leads [`HOST`] to an upstream.
pub fn start_proxy(port: u16, upstream: u16, folder: &Path) -> Outcome<Program> {
    let program = tool("webcentral/2.4.15/bin/webcentral")?;
    let home = folder.join("webcentral");
    let project = home.join("projects").join(HOST);
    std::fs::create_dir_all(&project)?;
    std::fs::write(
        project.join("webcentral.ini"),
        format!("port = {upstream}\nhost = 127.0.0.1\nredirect_http = false\nredirect_https = false\n"),
    )?;
    let mut command = Command::new(program);
    command
        .args(["--https", "0", "--http", &port.to_string(), "--redirect-http", "false", "--redirect-www", "false"])
        .args(["--firejail", "false"])
        .arg("--projects")
        .arg(home.join("projects"))
        .arg("--data-dir")
        .arg(home.join("data"))
        .env("HOME", &home);
    let mut webcentral = Program::start(&mut command, &folder.join("webcentral.log"))?;
    webcentral.listens_on(&Place::Port(port))?;
    Ok(webcentral)
}
