//! The routers and the health probe: their suites, and what only the gateway promises.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod gateway {
    mod answers;
    mod bodies;
    mod connections;
    mod drain;
    mod hold;
    mod limits;
    mod raw;
    mod running;
    mod suites;
    mod websocket;
    mod workers;
}
