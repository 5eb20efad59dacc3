//! The `lab` command as a library: arguments, a client of the server's API, and what is printed.

use std::process::ExitCode;

use clap::Parser;

mod args;
mod client;
mod commands;
mod error;
mod output;

pub use args::Arguments;
use output::Output;

/// Runs the command line of this process.
pub async fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let output = Output::new(arguments.json);
    match commands::run(arguments, &output).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
