//! The `lab` command as a library: arguments, a client of the server's API, and what is printed.

use std::{
    ffi::OsString,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

mod args;
mod client;
mod commands;
mod error;
mod output;
#[cfg(test)]
mod tests;

pub use args::Arguments;
use output::{Output, Printed, Sink};

/// What a command that was [called](call) came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// The exit code, as `lab --help` lists them.
    pub code: u8,
    /// What it printed to standard output.
    pub out: String,
    /// What it printed to standard error.
    pub err: String,
}

/// Runs the command line of this process.
pub async fn run() -> ExitCode {
    ExitCode::from(with(std::env::args_os().collect(), Sink::Process).await)
}

/// Runs a command line, its program's name first, and keeps what it prints. Nobody is asked anything: as without a terminal.
///
/// ```no_run
/// # async fn example() {
/// let called = lab_cli::call(["lab", "ls", "--json"]).await;
/// assert_eq!(called.code, 0, "{}", called.err);
/// # }
/// ```
pub async fn call<W: Into<OsString>>(words: impl IntoIterator<Item = W>) -> Called {
    let printed = Arc::new(Mutex::new(Printed::default()));
    let code = with(words.into_iter().map(Into::into).collect(), Sink::Kept(printed.clone())).await;
    let Printed { out, err } = std::mem::take(&mut *printed.lock().unwrap_or_else(PoisonError::into_inner));
    Called { code, out, err }
}

async fn with(words: Vec<OsString>, sink: Sink) -> u8 {
    // also a command line that cannot be read is answered in the form it asks for
    let json = words.iter().any(|word| word == "--json");
    let arguments = match Arguments::read_from(words) {
        Ok(arguments) => arguments,
        Err(error) => return Output::new(json, sink).usage(&error),
    };
    let output = Output::new(arguments.json, sink);
    match commands::run(arguments, &output).await {
        Ok(()) => 0,
        Err(error) => {
            output.error(&error);
            error.exit_code()
        }
    }
}
