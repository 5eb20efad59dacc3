//! The router over a real Caddy: the suites, and what only it has to deal with.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and says what it saw")]

mod caddy {
    mod away;
    mod changes;
    mod faults;
    mod hostile;
    mod pebble;
    mod running;
    mod sent;
    mod suites;
    mod tls;
    mod trust;
}
