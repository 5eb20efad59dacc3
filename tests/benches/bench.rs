//! Measures Lab beside Caddy, nginx, webcentral and supervisord: `make bench [ONLY=<name>]`.
//!
//! `bench [--quick] [<name>]` prints a table and writes `target/bench/results.json`; a run of everything writes
//! `docs/benchmarks.md` too, with `--quick` a `target/bench/benchmarks.md` instead. The same program is the app and the
//! gateway that are measured, see `bench::itself`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    reason = "shares files with the tests, which fail by panicking and use more of them"
)]

use std::{fs, process::ExitCode, time::Duration};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[path = "../src/parts.rs"]
mod parts;
#[path = "../src/server.rs"]
mod server;
#[path = "../src/stack.rs"]
#[allow(unused_macros, reason = "the tests use them")]
mod stack;

mod bench {
    pub mod deploy;
    pub mod exchange;
    pub mod itself;
    pub mod machine;
    pub mod memory;
    pub mod peers;
    pub mod processes;
    pub mod proxy;
    pub mod restart;
    pub mod results;
    pub mod routes;
    pub mod wrk;

    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    /// What a benchmark may fail with: it is told and ends the run.
    pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

    /// The host that every proxy leads to the app.
    pub const HOST: &str = "app.lab.localhost";

    pub const NAMES: [&str; 6] = ["proxy", "routes", "restart", "memory", "deploy", "exchange"];

    /// Runs one benchmark. Those that block look at `stopping`; the others are dropped.
    pub async fn run(name: &str, is_quick: bool, stopping: &CancellationToken) -> Outcome<results::Results> {
        match name {
            "proxy" => proxy::run(is_quick).await,
            "routes" => routes::run(is_quick).await,
            "restart" => restart::run(is_quick).await,
            "memory" => tokio::task::block_in_place(|| memory::run(is_quick, stopping)),
            "deploy" => tokio::task::block_in_place(|| deploy::run(is_quick, stopping)),
            "exchange" => tokio::task::block_in_place(|| exchange::run(is_quick, stopping)),
            _ => Err(format!("there is no benchmark `{name}`, only {}", NAMES.join(", ")).into()),
        }
    }

    /// Between two things that block.
    pub fn go_on(stopping: &CancellationToken) -> Outcome<()> {
        if stopping.is_cancelled() { Err("interrupted".into()) } else { Ok(()) }
    }

    pub fn median(values: &mut [Duration]) -> Duration {
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or_default()
    }

    pub fn median_of(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }

    pub fn millis(time: Duration) -> f64 {
        time.as_secs_f64() * 1000.0
    }
}

use bench::{Outcome, results::Results};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("serve") => one_thread(bench::itself::serve(&arguments)),
        Some("gateway") => many_threads(bench::itself::gateway(&arguments[1..])),
        _ => many_threads(until_signal(|stopping| measure(&arguments, stopping))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn one_thread(work: impl Future<Output = Outcome<()>>) -> Outcome<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

fn many_threads(work: impl Future<Output = Outcome<()>>) -> Outcome<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

/// Ctrl-C ends what was started, as every other way out does: by dropping it. What blocks looks at the token.
async fn until_signal<W: Future<Output = Outcome<()>>>(work: impl FnOnce(CancellationToken) -> W) -> Outcome<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stopping = CancellationToken::new();
    let cancel = stopping.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        cancel.cancel();
    });
    stopping.run_until_cancelled(work(stopping.clone())).await.unwrap_or_else(|| Err("interrupted".into()))
}

async fn measure(arguments: &[String], stopping: CancellationToken) -> Outcome<()> {
    let is_quick = arguments.iter().any(|word| word == "--quick");
    // cargo adds `--bench`
    let only = arguments.iter().find(|word| !word.starts_with("--"));
    let names: Vec<&str> = only.map_or(bench::NAMES.to_vec(), |name| vec![name.as_str()]);
    let machine = bench::machine::describe()?;
    let mut results = Results::default();
    for name in names {
        eprintln!("bench: {name} …");
        let part = bench::run(name, is_quick, &stopping).await.map_err(|e| format!("{name}: {e}"))?;
        results.lines.extend(part.lines);
        results.notes.extend(part.notes);
        // what the last one left in caches and on disks is not the next one's
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let folder = parts::root().join("target/bench");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("results.json"), format!("{:#}\n", results.to_json()))?;
    if only.is_none() {
        let place = if is_quick { folder.join("benchmarks.md") } else { parts::root().join("docs/benchmarks.md") };
        fs::write(place, results.to_markdown(&machine, is_quick))?;
    }
    println!("{machine}\n\n{}", results.table());
    for note in &results.notes {
        println!("{note}");
    }
    Ok(())
}
