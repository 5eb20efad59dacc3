//! What was measured: the lines, whether each meets its target, and how they are written down.

use std::fmt::Write;

use serde_json::{Map, Value, json};

/// The peer's name of a fixed limit, in the line's own unit.
pub const LIMIT: &str = "limit";

/// Which of two values is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// As with requests per second.
    Higher,
    /// As with milliseconds.
    Lower,
}

/// One measured line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// `<benchmark>: <what>`.
    pub name: String,
    /// Of the values, not of the ratio.
    pub unit: &'static str,
    /// Lab's value.
    pub lab: f64,
    /// The others' values, by name; a fixed limit is one of them.
    pub peers: Vec<(String, f64)>,
    /// How many times better Lab is than the best of the peers that it is compared with: below 1 it is worse. It is rounded
    /// before it is judged, so that whoever reads `results.json` comes to the same verdict.
    pub ratio: f64,
    /// The ratio that is wanted.
    pub target: f64,
    /// With which peers it is compared.
    pub against: Vec<String>,
}

impl Line {
    /// A line that compares Lab with the best of the peers named in `against`. Those that were not measured count as
    /// absent; a line without any of them does not meet its target.
    pub fn new(name: &str, unit: &'static str, better: Better, lab: f64, peers: Vec<(String, f64)>) -> Self {
        let mut line = Self { name: name.to_owned(), unit, lab, peers, ratio: 0.0, target: 1.0, against: Vec::new() };
        let all: Vec<String> = line.peers.iter().map(|(name, _)| name.clone()).collect();
        line.compare(better, &all);
        line
    }

    /// The same, compared with these peers only and with a target of its own.
    pub fn against(mut self, better: Better, peers: &[&str], target: f64) -> Self {
        let peers: Vec<String> = peers.iter().map(|name| (*name).to_owned()).collect();
        self.compare(better, &peers);
        self.target = target;
        self
    }

    /// A value that must not be above a limit.
    pub fn at_most(name: &str, unit: &'static str, lab: f64, limit: f64, mut peers: Vec<(String, f64)>) -> Self {
        peers.push((LIMIT.to_owned(), limit));
        Self::new(name, unit, Better::Lower, lab, peers).against(Better::Lower, &[LIMIT], 1.0)
    }

    fn compare(&mut self, better: Better, names: &[String]) {
        let ratios = self.peers.iter().filter(|(name, _)| names.contains(name)).map(|(_, peer)| match better {
            Better::Higher => self.lab / peer,
            Better::Lower => peer / self.lab,
        });
        // the best peer is the one that Lab is the least ahead of
        self.ratio = ratios.reduce(f64::min).filter(|ratio| ratio.is_finite()).map_or(0.0, rounded);
        self.against = names.to_vec();
    }

    /// Whether the target is met.
    pub fn is_met(&self) -> bool {
        self.ratio >= self.target
    }

    fn to_json(&self) -> Value {
        let peers: Map<String, Value> =
            self.peers.iter().map(|(name, value)| (name.clone(), rounded(*value).into())).collect();
        json!({
            "name": self.name,
            "unit": self.unit,
            "lab": rounded(self.lab),
            "peers": peers,
            "ratio": rounded(self.ratio),
            "target": self.target,
            "met": self.is_met(),
        })
    }
}

/// To four digits: more would only be noise.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

/// A number for people: three digits, or all of a whole number.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// What one run found out.
#[derive(Debug, Clone, Default)]
pub struct Results {
    /// The lines, in order.
    pub lines: Vec<Line>,
    /// What a reader must know to read them right; what could not be measured, and why.
    pub notes: Vec<String>,
}

impl Results {
    /// The content of `results.json`.
    pub fn to_json(&self) -> Value {
        self.lines.iter().map(Line::to_json).collect()
    }

    /// A Markdown table.
    pub fn table(&self) -> String {
        let mut text =
            "| What | Unit | Lab | Others | Ratio | Target | Met |\n|---|---|--:|---|--:|--:|---|\n".to_owned();
        for line in &self.lines {
            let peers: Vec<String> =
                line.peers.iter().map(|(name, value)| format!("{name} {}", number(*value))).collect();
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {}× {} | {} | {} |",
                line.name,
                line.unit,
                number(line.lab),
                peers.join(", "),
                number(line.ratio),
                line.against.join(" or "),
                line.target,
                if line.is_met() { "yes" } else { "**no**" },
            );
        }
        text
    }

    /// The content of `docs/benchmarks.md`.
    pub fn to_markdown(&self, machine: &str, is_quick: bool) -> String {
        let mut text = String::from("# Benchmarks\n\n");
        if is_quick {
            text += "**From a smoke run (`--quick`): it shows that everything is measured, and its numbers mean little.**\n\n";
        }
        text += "Made by `make bench`, which writes this file and `target/bench/results.json`; `make bench ONLY=<name>` runs one\n\
                 benchmark and leaves this file alone. All values of a line are from one run on one machine, taken in turns, so\n\
                 compare them with each other only.\n\n";
        let _ = writeln!(text, "Machine: {machine}.\n");
        text += "A ratio says how many times better Lab is than the best of the peers named beside it: below 1 it is worse.\n\
                 A limit is a peer too. The target is the least ratio that is wanted.\n\n";
        text += &self.table();
        text += "\n## What falls short\n\n";
        let short: Vec<&Line> = self.lines.iter().filter(|line| !line.is_met()).collect();
        if short.is_empty() {
            text += "Nothing: every target is met.\n";
        }
        for line in short {
            let against = line.against.join(" or ");
            let (ratio, target) = (number(line.ratio), line.target);
            let _ = writeln!(text, "- {}: {ratio}× against {against} where {target}× is the target.", line.name);
        }
        text += "\n## What is compared\n\n";
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        text
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "ratios are rounded to a few digits")]
mod tests {
    use super::*;

    fn peers(values: &[(&str, f64)]) -> Vec<(String, f64)> {
        values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    fn requests() -> Line {
        let peers = peers(&[("caddy", 6000.0), ("nginx", 25_000.0)]);
        Line::new("proxy: 32 connections", "requests/s", Better::Higher, 30_000.0, peers)
    }

    #[test]
    fn a_ratio_says_how_many_times_better_than_the_best_peer() {
        assert_eq!(requests().ratio, 1.2);
        let slow = Line::new("x", "ms", Better::Lower, 2.0, peers(&[("a", 1.0), ("b", 8.0)]));
        assert_eq!(slow.ratio, 0.5);
        assert!(!slow.is_met());
    }

    #[test]
    fn only_the_named_peers_count() {
        let line = requests().against(Better::Higher, &["caddy"], 5.0);
        assert_eq!(line.ratio, 5.0);
        assert!(line.is_met());
        assert!(!requests().against(Better::Higher, &["caddy"], 5.1).is_met());
    }

    #[test]
    fn a_peer_that_was_not_measured_meets_nothing() {
        let line = requests().against(Better::Higher, &["webcentral"], 1.0);
        assert!(!line.is_met());
        assert_eq!(line.to_json()["ratio"], 0.0);
        let line = Line::new("x", "ms", Better::Lower, 0.0, peers(&[("a", 1.0)]));
        assert!(!line.is_met(), "a ratio without end is no measurement");
    }

    #[test]
    fn a_limit_is_a_peer() {
        let line = Line::at_most("memory: 0 apps", "MiB", 20.0, 30.0, Vec::new());
        assert!(line.is_met());
        assert_eq!(line.to_json()["peers"], json!({"limit": 30.0}));
        assert!(!Line::at_most("memory: 0 apps", "MiB", 30.1, 30.0, Vec::new()).is_met());
    }

    #[test]
    fn a_line_has_the_documented_fields_and_no_other() {
        let results = Results { lines: vec![requests()], notes: Vec::new() };
        let expected = json!([{
            "name": "proxy: 32 connections",
            "unit": "requests/s",
            "lab": 30000.0,
            "peers": {"caddy": 6000.0, "nginx": 25000.0},
            "ratio": 1.2,
            "target": 1.0,
            "met": true,
        }]);
        assert_eq!(results.to_json(), expected);
    }

    #[test]
    fn the_document_names_the_machine_and_what_falls_short() {
        let lines = vec![requests(), requests().against(Better::Higher, &["caddy"], 6.0)];
        let results = Results { lines, notes: vec!["webcentral: absent".to_owned()] };
        let text = results.to_markdown("2 cores", false);
        assert!(text.contains("Machine: 2 cores."), "{text}");
        assert!(text.contains("| 1.20× caddy or nginx | 1 | yes |"), "{text}");
        assert!(text.contains("| 5.00× caddy | 6 | **no** |"), "{text}");
        assert!(text.contains("- proxy: 32 connections: 5.00× against caddy where 6× is the target."), "{text}");
        assert!(text.contains("- webcentral: absent"), "{text}");
        assert!(!text.contains("smoke run"));
        assert!(results.to_markdown("2 cores", true).contains("smoke run"));
    }

    #[test]
    fn a_document_without_shortfall_says_so() {
        let results = Results { lines: vec![requests()], notes: Vec::new() };
        assert!(results.to_markdown("2 cores", false).contains("Nothing: every target is met."));
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [(0.0, "0"), (0.01234, "0.0123"), (1.234_56, "1.23"), (57_123.4, "57123"), (12.34, "12.3")]
        {
            assert_eq!(number(value), text);
        }
    }
}
