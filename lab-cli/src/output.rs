//! Everything that is printed: data to standard output, progress, notes and errors to standard error.

use std::{
    io::{IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
};

use comfy_table::{Table, presets};
use lab_core::deploy::DeployEvent;
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::CliError;

mod progress;
mod text;

use progress::Progress;
pub(crate) use text::plain;

/// What was printed, where it was kept instead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Printed {
    /// To standard output.
    pub(crate) out: String,
    /// To standard error.
    pub(crate) err: String,
}

/// Where to print.
#[derive(Debug, Clone)]
pub(crate) enum Sink {
    /// The process's own streams.
    Process,
    /// Memory: for programs that call the command as a library.
    Kept(Arc<Mutex<Printed>>),
}

impl Sink {
    /// One line to standard output. A reader that closed the pipe has seen enough.
    fn out(&self, text: &str) {
        match self {
            Self::Process => drop(writeln!(anstream::stdout(), "{text}")),
            Self::Kept(printed) => {
                let mut printed = printed.lock().unwrap_or_else(PoisonError::into_inner);
                printed.out.push_str(text);
                printed.out.push('\n');
            }
        }
    }

    /// To standard error, as it is.
    fn err(&self, text: &str) {
        match self {
            Self::Process => {
                let mut stream = anstream::stderr();
                let _ = write!(stream, "{text}").and_then(|()| stream.flush());
            }
            Self::Kept(printed) => printed.lock().unwrap_or_else(PoisonError::into_inner).err.push_str(text),
        }
    }
}

/// How and where to print.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    sink: Sink,
    progress: Progress,
}

impl Output {
    pub(crate) fn new(json: bool, sink: Sink) -> Self {
        let shows = !json && matches!(sink, Sink::Process) && std::io::stderr().is_terminal();
        Self { json, sink, progress: Progress::new(shows) }
    }

    fn is_process(&self) -> bool {
        matches!(self.sink, Sink::Process)
    }

    /// Whether somebody can be asked.
    pub(crate) fn is_interactive(&self) -> bool {
        !self.json && self.is_process() && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Whether somebody sees standard output.
    pub(crate) fn is_terminal(&self) -> bool {
        !self.json && self.is_process() && std::io::stdout().is_terminal()
    }

    /// The result, or one item of a stream: as JSON, or as `text`.
    pub(crate) fn data(&self, data: &impl Serialize, text: impl FnOnce() -> String) {
        if self.json {
            return self.envelope(&json!({"ok": true, "data": data}));
        }
        let text = plain(&text());
        let text = text.trim_end();
        if !text.is_empty() {
            self.sink.out(text);
        }
    }

    fn envelope(&self, envelope: &Value) {
        self.sink.out(&text::ascii_controls(&envelope.to_string()));
    }

    /// Text that is not in an envelope: a shell's completions.
    pub(crate) fn raw(&self, text: &str) {
        self.sink.out(text.trim_end());
    }

    /// Something beside the result.
    pub(crate) fn note(&self, text: &str) {
        if !self.json {
            let line = format!("{}\n", plain(text));
            self.progress.aside(|| self.sink.err(&line));
        }
    }

    /// Asks, and returns whether the answer is yes.
    pub(crate) fn asks(&self, question: &str) -> bool {
        self.sink.err(&format!("{} [y/N] ", plain(question)));
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
    }

    /// Shows what a deployment tells.
    pub(crate) fn event(&self, event: &DeployEvent) {
        if self.json {
            return self.data(event, String::new);
        }
        if let Some(line) = self.progress.event(&event.kind) {
            self.note(&line);
        }
    }

    /// Ends what [`Output::event`] shows.
    pub(crate) fn done(&self) {
        self.progress.done();
    }

    /// Why the command failed.
    pub(crate) fn error(&self, error: &CliError) {
        self.done();
        let (message, hint) = (error.to_string(), error.hint());
        if self.json {
            let mut body = json!({"code": error.code(), "message": message});
            if let Some(hint) = hint {
                body["hint"] = hint.into();
            }
            return self.envelope(&json!({"ok": false, "error": body}));
        }
        self.sink.err(&format!("lab: {}\n", plain(&message)));
        if let Some(hint) = hint {
            self.sink.err(&format!("hint: {}\n", plain(&hint)));
        }
    }

    /// What clap has to say: help and version, or what is wrong with the command line. Returns the exit code.
    pub(crate) fn usage(&self, error: &clap::Error) -> u8 {
        let code = u8::try_from(error.exit_code()).unwrap_or(2);
        match (&self.sink, error.use_stderr()) {
            (_, true) if self.json => {
                self.error(&CliError::Usage(error.render().to_string().trim_end().to_owned()));
            }
            (Sink::Process, _) => drop(error.print()),
            (Sink::Kept(_), true) => self.sink.err(&error.render().to_string()),
            (Sink::Kept(_), false) => self.sink.out(&error.render().to_string()),
        }
        code
    }
}

/// A table without frames.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for row in rows {
        table.add_row(row.map(|cell| plain(&cell)));
    }
    // the preset keeps room for the frames it has not
    let lines = table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(json: bool, print: impl FnOnce(&Output)) -> Printed {
        let printed = Arc::new(Mutex::new(Printed::default()));
        print(&Output::new(json, Sink::Kept(printed.clone())));
        let printed = printed.lock().expect("not poisoned");
        printed.clone()
    }

    #[test]
    fn json_has_one_envelope_on_one_line() {
        let good = kept(true, |output| {
            output.note("unseen");
            output.data(&json!({"name": "app", "text": "a\u{1b}[2J\u{9b}2J\nb"}), || "unseen".to_owned());
        });
        let line = r#"{"ok":true,"data":{"name":"app","text":"a\u001b[2J\u009b2J\nb"}}"#;
        assert_eq!((good.out.as_str(), good.err.as_str()), (format!("{line}\n").as_str(), ""));
        let bad = kept(true, |output| output.error(&CliError::Usage("no".to_owned())));
        assert_eq!(bad.out, "{\"ok\":false,\"error\":{\"code\":\"usage\",\"message\":\"no\"}}\n");
        let lost = CliError::Unreachable { place: "here".to_owned(), reason: "gone".to_owned() };
        let lost: Value = serde_json::from_str(&kept(true, |output| output.error(&lost)).out).expect("json");
        assert_eq!(lost["error"]["code"], "unreachable");
        assert!(lost["error"]["hint"].as_str().is_some_and(|hint| hint.contains("lab doctor")), "{lost}");
    }

    #[test]
    fn text_goes_to_one_stream_and_what_is_beside_it_to_the_other() {
        let printed = kept(false, |output| {
            output.note("by the way");
            output.data(&json!(1), || "the \u{1b}]0;result\n\n".to_owned());
            output.data(&json!(1), String::new);
            output.error(&CliError::Usage("no".to_owned()));
        });
        assert_eq!(printed.out, "the ]0;result\n");
        assert_eq!(printed.err, "by the way\nlab: no\n");
    }

    #[test]
    fn tables_line_up() {
        let text = table(["NAME", "STATUS"], [["a".to_owned(), "running".to_owned()]].into_iter());
        assert_eq!(text.lines().count(), 2);
        assert!(text.starts_with("NAME") && text.contains("\na ") && text.ends_with("running"), "{text}");
    }
}
