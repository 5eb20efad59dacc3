//! Text from a server or an app, which is not to be trusted with a terminal.

use std::fmt::Write;

/// Without what could play tricks on a terminal: control characters, and those that turn the direction of what follows.
pub(crate) fn plain(text: &str) -> String {
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !(c.is_control() || turns(*c))).collect()
}

/// Bidirectional controls (UAX #9), by which a text can look like another.
fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// JSON with the control characters above ASCII escaped too, which JSON does not ask for and some terminals obey. Outside of
/// its strings JSON has none.
pub(super) fn ascii_controls(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() || turns(c) {
            // writing to a string cannot fail
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_elsewhere_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\u{7}\nc\r\u{9b}\u{202e}d\te"), "a[31mb\ncd\te");
        let json = serde_json::json!({"a": "\u{7f}\u{9b}\u{202e}é"}).to_string();
        let safe = ascii_controls(&json);
        assert_eq!(safe, r#"{"a":"\u007f\u009b\u202eé"}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).ok(), serde_json::from_str(&json).ok());
    }
}
