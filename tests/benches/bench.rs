//! Measures Lab beside Caddy, nginx, webcentral and supervisord: `make bench [ONLY=<name>]`.
//!
//! `bench [--quick] [<name>]` measures, prints a table and writes `target/bench/results.json`; a whole run writes
//! `docs/benchmarks.md` too. The same program is the app and the gateway that it measures, as processes of their own:
//! `bench serve --http <address>` and `bench gateway <app's port> [<socket>]`.
#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]
#![allow(missing_docs, unreachable_pub, dead_code, reason = "shares files with the tests, whose needs differ")]

#[path = "../src/parts.rs"]
mod parts;
#[path = "../src/server.rs"]
mod server;

mod bench {
    pub mod results;
    pub mod processes;

    /// What a benchmark may fail with: it is told and ends the run.
    pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;
}

fn main() {}
