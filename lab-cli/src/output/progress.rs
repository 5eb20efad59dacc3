//! How a deployment is shown while it runs: a moving line on a terminal, plain lines elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use lab_core::{deploy::DeployEventKind, progress::Unit};

use super::plain;

/// How often the moving line moves.
const TICK: Duration = Duration::from_millis(120);
/// Steps that take less are not worth a line on a terminal.
const SHORT: u64 = 100;

/// The moving line, where there is one.
#[derive(Debug)]
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    pub(super) fn new(shows: bool) -> Self {
        Self(shows.then(ProgressBar::new_spinner))
    }

    /// Shows an event; what is to stand in a line of its own is returned.
    pub(super) fn event(&self, event: &DeployEventKind) -> Option<String> {
        match event {
            DeployEventKind::StepStarted { step } => {
                self.line(&format!("{step} …"));
                None
            }
            DeployEventKind::StepFinished { millis, .. } if *millis < SHORT && self.0.is_some() => None,
            DeployEventKind::StepFinished { step, millis } => Some(format!("✓ {step} ({millis} ms)")),
            DeployEventKind::StepFailed { step, millis } => Some(format!("✗ {step} ({millis} ms)")),
            DeployEventKind::Undone { what } => Some(format!("  taken back: {what}")),
            DeployEventKind::Log { line } => Some(format!("  {line}")),
            DeployEventKind::Amount { done, total, unit } => {
                self.amount(*done, *total, *unit);
                None
            }
            DeployEventKind::Finished { .. } => None,
        }
    }

    fn style(&self, template: &str) {
        // the templates are constants, which the tests try
        if let (Some(bar), Ok(style)) = (&self.0, ProgressStyle::with_template(template)) {
            bar.set_style(style);
            bar.enable_steady_tick(TICK);
        }
    }

    fn line(&self, text: &str) {
        if let Some(bar) = &self.0 {
            self.style(LINE);
            bar.set_message(plain(text));
        }
    }

    fn amount(&self, done: u64, total: Option<u64>, unit: Unit) {
        if let Some(bar) = &self.0 {
            bar.set_length(total.unwrap_or(done).max(1));
            bar.set_position(done);
            self.style(template(total.is_some(), unit));
        }
    }

    /// Does what prints without the moving line in its way.
    pub(super) fn aside(&self, print: impl FnOnce()) {
        match &self.0 {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    pub(super) fn done(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

const LINE: &str = "{spinner} {msg} {elapsed:.dim}";

fn template(has_total: bool, unit: Unit) -> &'static str {
    match (has_total, unit) {
        (true, Unit::Bytes) => "{spinner} {msg} [{bar:30}] {bytes} of {total_bytes}",
        (true, Unit::Objects) => "{spinner} {msg} [{bar:30}] {pos} of {len} objects",
        (false, Unit::Bytes) => "{spinner} {msg} {bytes} {elapsed:.dim}",
        (false, Unit::Objects) => "{spinner} {msg} {pos} objects {elapsed:.dim}",
    }
}

#[cfg(test)]
mod tests {
    use lab_core::deploy::DeployStep;

    use super::*;

    #[test]
    fn every_template_is_valid() {
        for (has_total, unit) in
            [(true, Unit::Bytes), (true, Unit::Objects), (false, Unit::Bytes), (false, Unit::Objects)]
        {
            assert!(ProgressStyle::with_template(template(has_total, unit)).is_ok());
        }
        assert!(ProgressStyle::with_template(LINE).is_ok());
    }

    #[test]
    fn without_a_terminal_every_step_has_its_line_and_amounts_have_none() {
        let lines = Progress::new(false);
        let step = DeployStep::Fetch;
        assert_eq!(lines.event(&DeployEventKind::StepFinished { step, millis: 1 }).as_deref(), Some("✓ fetch (1 ms)"));
        let amount = DeployEventKind::Amount { done: 1, total: None, unit: Unit::Bytes };
        assert_eq!(lines.event(&amount), None);
    }
}
