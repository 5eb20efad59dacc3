//! How long work tells what it does.

use std::fmt;

/// What a transfer or count has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// How much is done.
    pub done: u64,
    /// How much there is, when known.
    pub total: Option<u64>,
    /// What is counted.
    pub unit: Unit,
}

/// What an [`Amount`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Bytes
    Bytes,
    /// Git objects
    Objects,
}

/// Receives what long work has to say. Calls come from any thread, must not block, and may be many: receivers thin
/// them out.
pub trait Progress: fmt::Debug + Send + Sync + 'static {
    /// One line of a log, without its line end.
    fn log(&self, line: &str);
    /// How far a transfer is.
    fn amount(&self, amount: Amount);
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn log(&self, _line: &str) {}
    fn amount(&self, _amount: Amount) {}
}
