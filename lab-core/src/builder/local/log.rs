//! What commands print, cleaned and bounded.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::redact::Redact;
use crate::progress::Progress;

/// A longer line is cut.
const MAX_LINE: usize = 4096;

/// So many last lines stay for the error.
const TAIL: usize = 20;

/// So many are looked at for them.
const LOOKED_AT: usize = 200;

/// What begins a line that says nothing about a failure.
const NOISE: &[&str] = &[
    "npm notice",
    "npm error A complete log of this run",
    "npm ERR! A complete log of this run",
    "npm error     /",
    "npm ERR!     /",
    "info Visit ",
    "warning ",
    "npm warn ",
    "npm WARN ",
    "at ",
];

/// The log of one build.
#[derive(Debug, Clone)]
pub(super) struct Log {
    progress: Arc<dyn Progress>,
    redact: Arc<Redact>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    left: u64,
    is_full: bool,
    tail: VecDeque<Vec<u8>>,
    warnings: Vec<String>,
    has_setbacks: bool,
}

impl Log {
    /// A log that lets `max_bytes` of what commands print through, without what `redact` holds.
    pub(super) fn new(progress: Arc<dyn Progress>, redact: Redact, max_bytes: u64) -> Self {
        let state =
            State { left: max_bytes, is_full: false, tail: VecDeque::new(), warnings: Vec::new(), has_setbacks: false };
        Self { progress, redact: Arc::new(redact), state: Arc::new(Mutex::new(state)) }
    }

    /// Where lines go, for what has nothing to clean or to bound.
    pub(super) fn progress(&self) -> &dyn Progress {
        self.progress.as_ref()
    }

    /// What the builder itself says: always there.
    pub(super) fn say(&self, line: &str) {
        self.progress.log(&self.clean(line.as_bytes()));
    }

    /// What the owner should know: also kept for the deployment's record.
    pub(super) fn warn(&self, line: &str) {
        let line = self.clean(line.as_bytes());
        self.progress.log(&format!("warning: {line}"));
        self.state().warnings.push(line);
    }

    /// The same of what may go better another time: the result is not that of every build.
    pub(super) fn setback(&self, line: &str) {
        self.state().has_setbacks = true;
        self.warn(line);
    }

    /// Whether there were any.
    pub(super) fn has_setbacks(&self) -> bool {
        self.state().has_setbacks
    }

    /// All warnings.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.state().warnings.clone()
    }

    /// One line that a command printed.
    pub(super) fn printed(&self, raw: &[u8]) {
        let line = {
            let mut state = self.state();
            if state.tail.len() == LOOKED_AT {
                state.tail.pop_front();
            }
            state.tail.push_back(raw.to_owned());
            if state.is_full {
                return;
            }
            let cost = raw.len() as u64 + 1;
            state.is_full = cost > state.left;
            state.left = state.left.saturating_sub(cost);
            if state.is_full {
                "… it prints more than the log holds: the rest is left out".to_owned()
            } else {
                self.clean(raw)
            }
        };
        self.progress.log(&line);
    }

    /// Forgets the last lines: another command starts.
    pub(super) fn next_command(&self) {
        self.state().tail.clear();
    }

    /// The last lines that the command printed, whether or not they were logged.
    pub(super) fn tail(&self) -> Vec<String> {
        let said = self.said();
        if !said.is_empty() {
            return said[said.len().saturating_sub(TAIL)..].to_vec();
        }
        let all: Vec<String> = self.printed_last().into_iter().filter(|line| !line.trim().is_empty()).collect();
        all[all.len().saturating_sub(TAIL)..].to_vec()
    }

    /// All that was printed last and may tell of a failure: causes are looked for in it.
    pub(super) fn said(&self) -> Vec<String> {
        let says = |line: &String| {
            let line = line.trim_start();
            !line.is_empty() && !NOISE.iter().any(|start| line.starts_with(start))
        };
        self.printed_last().into_iter().filter(says).collect()
    }

    /// All that was printed last, also what says nothing about a failure.
    pub(super) fn printed_last(&self) -> Vec<String> {
        self.state().tail.iter().map(|raw| self.clean(raw)).collect()
    }

    fn clean(&self, raw: &[u8]) -> String {
        self.redact.line(&clean(raw))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without colours and control characters; what a terminal would show of a line that overwrites itself.
fn clean(raw: &[u8]) -> String {
    let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
    let shown = raw.rsplit(|byte| *byte == b'\r').next().unwrap_or(raw);
    let text = strip_ansi_escapes::strip(shown);
    String::from_utf8_lossy(&text).replace('\t', "    ").chars().filter(|c| !c.is_control()).collect()
}

/// Cuts what arrives into lines; never holds more than one line's start.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    is_cut: bool,
}

impl Lines {
    /// Gives each complete line of `bytes` to `each`.
    pub(super) fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            let room = MAX_LINE.saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            self.is_cut |= text.len() > room;
            if ends {
                self.finish(&mut each);
            }
        }
    }

    /// Gives the line that has no end yet, if any.
    pub(super) fn finish_last(&mut self, mut each: impl FnMut(&[u8])) {
        if !self.line.is_empty() {
            self.finish(&mut each);
        }
    }

    fn finish(&mut self, each: &mut impl FnMut(&[u8])) {
        if std::mem::take(&mut self.is_cut) {
            self.line.extend_from_slice(" …".as_bytes());
        }
        each(&self.line);
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_whole_clean_and_cut() {
        let mut lines = Lines::default();
        let mut got = Vec::new();
        lines.feed(b"one\ntw", |line| got.push(clean(line)));
        lines.feed(b"o\r\n\x1b[31mred\x1b[0m\x07\nspin\rdone\n", |line| got.push(clean(line)));
        lines.feed(&vec![b'x'; 3 * MAX_LINE], |line| got.push(clean(line)));
        lines.feed(b"\nlast", |line| got.push(clean(line)));
        lines.finish_last(|line| got.push(clean(line)));
        assert_eq!(got[..4], ["one", "two", "red", "done"]);
        assert!(got[4].ends_with("x …") && got[4].len() < MAX_LINE + 10);
        assert_eq!(got[5], "last");
    }
}
