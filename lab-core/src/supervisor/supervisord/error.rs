//! What goes wrong with supervisord, and what to do about it.

use std::{io, path::PathBuf, time::Duration};

/// Why supervisord could not be asked, or did not do it.
#[derive(Debug, thiserror::Error)]
pub enum SupervisordError {
    /// The folder cannot be written into supervisord's configuration.
    #[error("supervisord cannot work in `{}`: {why}; move the data directory", .path.display())]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file of ours could not be read or written.
    #[error("cannot {action} `{}`", .path.display())]
    File {
        /// `read`, `write` …
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no socket: it does not run, or did not start.
    #[error("there is no `{}`: supervisord does not run; start it (`lab-server init` does), and look at `{}` when it does not stay",
        .socket.display(), .log.display())]
    NotRunning {
        /// Where its socket should be.
        socket: PathBuf,
        /// Where it says why it ended.
        log: PathBuf,
    },
    /// The socket is there and we may not use it.
    #[error("`{}` belongs to another user; run this as the user that supervisord runs as", .0.display())]
    Permission(PathBuf),
    /// The socket is there and nobody answers.
    #[error("nobody answers on `{}`; supervisord was killed or is just starting: start it again (`lab-server init` does)",
        .socket.display())]
    Unreachable {
        /// Its socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It took too long. supervisord does one thing at a time.
    #[error("supervisord did not answer `{method}` within {} s; it hangs, or the machine is overloaded: look at its processor time", .waited.as_secs())]
    Slow {
        /// What was called.
        method: String,
        /// How long was waited.
        waited: Duration,
    },
    /// Something else than supervisord answers.
    #[error("what answers on `{}` is not supervisord ({why}); something else has its socket: end that, then start supervisord",
        .socket.display())]
    NotSupervisord {
        /// Its socket.
        socket: PathBuf,
        /// What was odd.
        why: String,
    },
    /// It is older than 4.0.
    #[error("supervisord is {found}, and 4.0 is the oldest that works; install 4.3 (`pip install supervisor==4.3.0`)")]
    TooOld {
        /// Its version.
        found: String,
    },
    /// It is ending or restarting.
    #[error("supervisord is shutting down; call again when it was started again")]
    ShuttingDown,
    /// It did not do it.
    #[error("supervisord refused `{method}` with fault {code}, \"{text}\": {}", advice(*.code))]
    Fault {
        /// What was called.
        method: String,
        /// The fault's number; see [`Fault`].
        code: i64,
        /// The fault's text, cleaned.
        text: String,
    },
}

/// The numbers of supervisord's faults that are told apart (its `xmlrpc.py`, `Faults`).
#[derive(Debug)]
pub struct Fault;

impl Fault {
    /// It is ending or restarting.
    pub const SHUTDOWN_STATE: i64 = 6;
    /// No such program, or it is not loaded.
    pub const BAD_NAME: i64 = 10;
    /// It could not be started, or ended at once.
    pub const SPAWN_ERROR: i64 = 50;
    /// It runs already.
    pub const ALREADY_STARTED: i64 = 60;
    /// It does not run.
    pub const NOT_RUNNING: i64 = 70;
    /// It is loaded already.
    pub const ALREADY_ADDED: i64 = 90;
    /// It still runs.
    pub const STILL_RUNNING: i64 = 91;
    /// One of the configuration files cannot be read.
    pub const CANT_REREAD: i64 = 92;
}

/// What to do about a fault.
fn advice(code: i64) -> &'static str {
    match code {
        1 | 4 => "it does not know this call; install supervisor 4.3",
        2 | 3 | 11 => "it did not understand the call; install supervisor 4.3, and report this when it is that",
        Fault::SHUTDOWN_STATE => "it is shutting down; call again when it was started again",
        Fault::BAD_NAME => "it has no such program; redeploy or restart the app",
        20 | 21 => "a program is missing or not executable; are `/usr/bin/env` and `/bin/sh` there?",
        30 => {
            "its log says more; where it has lost track of a process (state UNKNOWN), end supervisord, which `lab-server init` starts again"
        }
        40 | Fault::SPAWN_ERROR => "the process ended at once or could not be made; the app's log says more",
        Fault::ALREADY_STARTED | Fault::NOT_RUNNING | Fault::ALREADY_ADDED | Fault::STILL_RUNNING => {
            "somebody else drives it as well; leave it to the lab"
        }
        Fault::CANT_REREAD => {
            "a file below `supervisor/` was changed by hand; restart the lab, which writes its files anew"
        }
        _ => "this fault is not known here; supervisord's log says more",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_supervisords_has_an_advice_of_its_own_and_an_unknown_one_is_called_so() {
        // its `xmlrpc.py`, `Faults`, 4.3; without SUCCESS
        let known = [1, 2, 3, 4, 6, 10, 11, 20, 21, 30, 40, 50, 60, 70, 90, 91, 92];
        for code in known {
            let error = SupervisordError::Fault { method: "supervisor.x".to_owned(), code, text: "TEXT".to_owned() };
            let said = error.to_string();
            assert!(said.contains(&format!("`supervisor.x` with fault {code}, \"TEXT\": ")), "{said}");
            assert!(!said.contains("not known here"), "{said}");
        }
        for code in [0, 5, 4711] {
            assert!(advice(code).contains("not known here") && advice(code).contains("log says more"), "{code}");
        }
        for (code, part) in [
            (1, "install supervisor 4.3"),
            (2, "report this"),
            (Fault::SHUTDOWN_STATE, "call again"),
            (Fault::BAD_NAME, "redeploy or restart the app"),
            (20, "`/bin/sh`"),
            (30, "end supervisord"),
            (Fault::SPAWN_ERROR, "the app's log"),
            (Fault::STILL_RUNNING, "leave it to the lab"),
            (Fault::CANT_REREAD, "restart the lab"),
        ] {
            assert!(advice(code).contains(part), "{code}: {}", advice(code));
        }
    }

    #[test]
    fn every_error_names_the_thing_and_says_what_to_do() {
        let socket = || PathBuf::from("/lab/supervisor.sock");
        let source = || io::Error::other("why");
        for (error, thing, next) in [
            (
                SupervisordError::Folder { path: "/a;b".into(), why: "odd".to_owned() },
                "`/a;b`",
                "move the data directory",
            ),
            (SupervisordError::File { action: "read", path: "/f".into(), source: source() }, "`/f`", ""),
            (SupervisordError::NotRunning { socket: socket(), log: "/log".into() }, "supervisor.sock", "start it"),
            (SupervisordError::Permission(socket()), "supervisor.sock", "run this as the user"),
            (
                SupervisordError::Unreachable { socket: socket(), source: source().into() },
                "supervisor.sock",
                "start it again",
            ),
            (SupervisordError::Slow { method: "m".to_owned(), waited: Duration::from_secs(30) }, "`m`", "look at"),
            (
                SupervisordError::NotSupervisord { socket: socket(), why: "odd".to_owned() },
                "supervisor.sock",
                "end that",
            ),
            (SupervisordError::TooOld { found: "3.4".to_owned() }, "3.4", "install 4.3"),
            (SupervisordError::ShuttingDown, "supervisord", "call again"),
        ] {
            let said = error.to_string();
            assert!(said.contains(thing) && said.contains(next), "{said}");
        }
    }
}
