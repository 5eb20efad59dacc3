//! A length of time as `fly.toml` writes it.

use std::{fmt, time::Duration};

use serde::Deserialize;

/// Units, the longer name first: `ms` before `m`.
const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];

/// Numbers with units, such as `15s` or `1m30s`. A bare number is refused: Fly.io takes it for seconds in `kill_timeout` and
/// for milliseconds in checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "toml::Value")]
pub struct Span(pub Duration);

impl TryFrom<toml::Value> for Span {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        let parsed = value.as_str().and_then(parse);
        parsed.map(Self).ok_or_else(|| format!("{value} is no time with its unit, such as \"15s\""))
    }
}

fn parse(text: &str) -> Option<Duration> {
    let (mut rest, mut total) = (text, 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, millis) = UNITS.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        total = total.checked_add(number.checked_mul(millis)?)?;
    }
    (!text.is_empty()).then(|| Duration::from_millis(total))
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[test]
fn a_time_has_units() {
    for (text, millis) in [("15s", 15_000), ("1m21s", 81_000), ("500ms", 500), ("1h", 3_600_000)] {
        assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
    }
    for text in ["", "15", "s", "15 s", "-1s", "1d", "1.5s", "99999999999999999999s"] {
        assert_eq!(parse(text), None, "{text}");
    }
}
