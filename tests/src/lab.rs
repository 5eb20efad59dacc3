//! The tests that span crates, in one program.
#![allow(missing_docs, unreachable_pub, reason = "tests are named for what they say, and nobody links them")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and a long one tells how far it is"
)]

mod api;
mod cli;
mod deploy;
mod fakes;
mod faults;
mod fixtures;
mod kills;
mod parts;
mod real;
mod recovery;
mod server;
mod world;
