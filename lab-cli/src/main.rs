//! The `lab` command.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    lab_cli::run().await
}
