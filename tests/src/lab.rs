//! The tests that span crates, in one program.
#![allow(missing_docs, unreachable_pub, reason = "tests are named for what they say, and nobody links them")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test fails by panicking, and a long one tells how far it is"
)]

mod api;
#[path = "../benches/bench/results.rs"]
mod bench_results;
#[path = "../benches/bench/wrk.rs"]
mod bench_wrk;
mod builds;
mod chance;
mod cli;
mod crashes;
mod data;
mod deploy;
mod domains;
mod exchange;
mod fakes;
mod faults;
mod fixtures;
mod fly;
mod hostile;
mod kills;
mod load;
mod parts;
#[path = "../../lab-core/tests/caddy/pebble.rs"]
mod pebble;
mod prebuilt;
mod production;
mod real;
mod recovery;
mod rehearsal;
mod releases;
mod rollback;
mod server;
mod stack;
mod tls;
mod units;
mod upgrade;
mod variables;
mod world;
