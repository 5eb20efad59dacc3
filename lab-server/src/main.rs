//! `lab-server`: reads its settings and serves.

use std::{ffi::OsString, process::ExitCode};

use lab_server::{
    Server,
    config::{Arguments, Command, Config},
    init,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Not started, or not served to the end.
const FAILED: u8 = 1;
/// The settings make no sense.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = match Arguments::read_from(std::env::args_os()) {
        Ok(arguments) => arguments,
        // `--help` and `--version` are such errors too
        Err(error) => error.exit(),
    };
    let config = match Config::read(&arguments) {
        Ok(config) => config,
        Err(error) => return fail(&error, USAGE),
    };
    if arguments.command == Some(Command::Check) {
        let (report, is_fine) = config.check();
        say(&report);
        return if is_fine { ExitCode::SUCCESS } else { ExitCode::from(FAILED) };
    }
    tracing_subscriber::fmt()
        .with_env_filter(config.log_filter.clone())
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let mut runtime = match arguments.command {
        Some(Command::Init) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    match runtime.enable_all().build() {
        Ok(runtime) if arguments.command == Some(Command::Init) => runtime.block_on(run_all(&config)),
        Ok(runtime) => runtime.block_on(serve(config)),
        Err(error) => fail(&error, FAILED),
    }
}

/// `lab-server init`.
async fn run_all(config: &Config) -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    if words.next() != Some(OsString::from("init")) {
        return fail(&std::io::Error::other("`init` comes first, before the flags"), USAGE);
    }
    match init::run(config, words.collect()).await {
        Ok(code) => code,
        Err(error) => fail(&error, FAILED),
    }
}

async fn serve(config: Config) -> ExitCode {
    let stop = CancellationToken::new();
    if let Err(error) = stop_on_signals(stop.clone()) {
        return fail(&error, FAILED);
    }
    match Server::bind(config).await {
        Ok(server) => {
            let domain = server.lab().settings().domain.clone();
            let (api, public) = (server.api_address().ok(), server.public_address());
            tracing::info!(%domain, ?api, ?public, version = env!("CARGO_PKG_VERSION"), "the lab is open");
            server.serve(stop).await;
            tracing::info!("the lab is closed");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error, FAILED),
    }
}

/// The first signal ends the server gracefully, the second at once.
fn stop_on_signals(stop: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        for _ in 0..2 {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if stop.is_cancelled() {
                #[expect(clippy::exit, reason = "the operator asked twice")]
                std::process::exit(i32::from(FAILED));
            }
            tracing::info!("ending; a second signal ends at once");
            stop.cancel();
        }
    });
    Ok(())
}

fn fail(error: &dyn std::error::Error, code: u8) -> ExitCode {
    #[expect(clippy::print_stderr, reason = "there is no log yet")]
    {
        eprintln!("lab-server: {}", lab_core::report(error));
    }
    ExitCode::from(code)
}

fn say(text: &str) {
    #[expect(clippy::print_stdout, reason = "it was asked for")]
    {
        println!("{text}");
    }
}
