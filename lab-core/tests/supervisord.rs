//! The supervisor over a real supervisord: its suite, and what only it has to deal with.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod supervisord {
    mod faults;
    mod hostile;
    mod restarts;
    mod running;
    mod suite;
}
