//! supervisord with its own defaults and `autorestart=true`.

use std::{fmt::Write, path::Path, process::Command};

use lab_core::supervisor::ProcessSpec;

use crate::bench::{
    Outcome,
    processes::{Program, tool, version as version_of},
};

/// `supervisord 4.3.0`.
pub fn version() -> Outcome<String> {
    Ok(format!("supervisord {}", version_of(Command::new(tool("bin/supervisord")?).arg("--version"))?))
}

/// Starts supervisord with one program, whose words hold nothing that its configuration would have to quote.
pub fn start(spec: &ProcessSpec, folder: &Path) -> Outcome<Program> {
    let place = folder.display();
    let mut config = format!(
        "[supervisord]\nnodaemon=true\nlogfile={place}/supervisord.log\npidfile={place}/supervisord.pid\n\
         childlogdir={place}\n\n[program:app]\nautorestart=true\ndirectory={}\ncommand={} {}\n",
        spec.directory.display(),
        spec.program.display(),
        spec.args.join(" ")
    );
    let variables: Vec<String> = spec.env.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    let _ = writeln!(config, "environment={}", variables.join(","));
    let file = folder.join("supervisord.conf");
    std::fs::write(&file, config)?;
    run(&file)
}

/// Starts supervisord with a configuration.
pub fn run(file: &Path) -> Outcome<Program> {
    let mut command = Command::new(tool("bin/supervisord")?);
    command.arg("-c").arg(file);
    Program::start(&mut command, &file.with_extension("out"))
}
