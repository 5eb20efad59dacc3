//! The router over a real Caddy: the suites, and what only it has to deal with.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod caddy {
    mod changes;
    mod faults;
    mod running;
    mod suites;
    mod tls;
}
