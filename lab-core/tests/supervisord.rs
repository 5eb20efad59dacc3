//! The supervisor over a real supervisord: its suite, and what only it has to deal with.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and says what it saw")]

mod supervisord {
    mod crashes;
    mod faults;
    mod hostile;
    mod restarts;
    mod running;
    mod suite;
}
