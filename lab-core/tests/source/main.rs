//! `GitSource` and the fakes against real repositories: on the disk, over `git://` with git's own daemon, over HTTP with
//! git's own CGI program, and servers that are silent, redirect or lie.
#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "tests")]

mod bench;
mod conformance;
mod hostile;
mod http;
mod limits;
mod references;
mod repo;
mod servers;
mod ssh;
mod submodules;
