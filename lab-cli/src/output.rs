//! Everything that is printed.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use lab_core::deploy::{DeployEvent, DeployEventKind};
use serde::Serialize;
use serde_json::json;

use crate::error::CliError;

/// Where and how to print: data to standard output, progress and errors to standard error.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    /// Shows what goes on, on a terminal.
    bar: Option<ProgressBar>,
}

fn print_line(text: &str) {
    if !text.is_empty() {
        // a reader that closed the pipe has seen enough
        let _ = writeln!(anstream::stdout(), "{text}");
    }
}

/// Text from a server or an app, without what could play tricks on a terminal.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || *c == '\n' || *c == '\t').collect()
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let bar = (!json && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new_spinner();
            // the template is constant: it is checked by the first run
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}") {
                bar.set_style(style);
            }
            bar
        });
        Self { json, bar }
    }

    /// Whether somebody can be asked.
    pub(crate) fn is_interactive(&self) -> bool {
        !self.json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Whether standard output is a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        !self.json && std::io::stdout().is_terminal()
    }

    /// The result: as JSON, or as `text`.
    pub(crate) fn data(&self, data: &impl Serialize, text: impl FnOnce() -> String) {
        if self.json {
            print_line(&json!({"ok": true, "data": data}).to_string());
        } else {
            print_line(plain(&text()).trim_end());
        }
    }

    /// One item of a stream.
    pub(crate) fn item(&self, item: &impl Serialize, text: impl FnOnce() -> String) {
        self.data(item, text);
    }

    /// Something beside the result.
    pub(crate) fn note(&self, text: &str) {
        if self.json {
            return;
        }
        let text = plain(text);
        match &self.bar {
            Some(bar) => bar.suspend(|| drop(writeln!(anstream::stderr(), "{text}"))),
            None => drop(writeln!(anstream::stderr(), "{text}")),
        }
    }

    /// Asks, and returns whether the answer is yes.
    pub(crate) fn asks(&self, question: &str) -> bool {
        self.done();
        let _ = write!(anstream::stderr(), "{question} [y/N] ");
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
    }

    /// Shows what a deployment tells.
    pub(crate) fn event(&self, event: &DeployEvent) {
        if self.json {
            return self.item(event, String::new);
        }
        match &event.kind {
            DeployEventKind::StepStarted { step } => self.busy(&format!("{step} …")),
            DeployEventKind::StepFinished { step, millis } if *millis >= 100 || self.bar.is_none() => {
                self.note(&format!("✓ {step} ({millis} ms)"));
            }
            DeployEventKind::StepFailed { step, millis } => self.note(&format!("✗ {step} ({millis} ms)")),
            DeployEventKind::Undone { what } => self.note(&format!("  taken back: {what}")),
            DeployEventKind::Log { line } => self.note(&format!("  {line}")),
            DeployEventKind::Amount { done, total, unit } => {
                let of = total.map(|total| format!(" of {total}")).unwrap_or_default();
                let unit = format!("{unit:?}").to_lowercase();
                self.busy(&format!("{done}{of} {unit} …"));
            }
            DeployEventKind::StepFinished { .. } | DeployEventKind::Finished { .. } => {}
        }
    }

    fn busy(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(plain(text));
            bar.enable_steady_tick(Duration::from_millis(120));
        }
    }

    /// Ends what [`Output::event`] shows.
    pub(crate) fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Why the command failed.
    pub(crate) fn error(&self, error: &CliError) {
        self.done();
        if self.json {
            let envelope = json!({"ok": false, "error": {"code": error.code(), "message": error.to_string()}});
            print_line(&envelope.to_string());
        } else {
            let _ = writeln!(anstream::stderr(), "lab: {}", plain(&error.to_string()));
        }
    }
}

/// Text that is not in an envelope: a shell's completions.
pub(crate) fn raw(text: &str) {
    print_line(text.trim_end());
}

/// A table without frames.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for row in rows {
        table.add_row(row.map(|cell| plain(&cell)));
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_elsewhere_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\u{7}\nc\r"), "a[31mb\nc");
    }

    #[test]
    fn tables_line_up() {
        let text = table(["NAME", "STATUS"], [["a".to_owned(), "running".to_owned()]].into_iter());
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains("running"));
    }
}
