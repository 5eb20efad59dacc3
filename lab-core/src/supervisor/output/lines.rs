//! Turns the bytes that an app prints into lines that can be kept and shown.

/// The longest line, in bytes; the rest of a longer one becomes further lines.
const MAX_LINE: usize = 8 << 10;

/// PocketBase 0.23 spells it `pbinstal`, later versions `pbinstall`.
const SECRET_LINK: &str = "pbinstal";

/// What stands in for a line with the link that PocketBase prints on its first start, which holds a superuser's token.
const REPLACED: &str = "(the link to create the first superuser is left out: use `lab superuser <app> <email>`)";

/// Splits and cleans. Keeps the part of a line whose end has not come yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines {
    part: Vec<u8>,
    /// The rest of the current line belongs to a secret.
    is_hiding: bool,
}

impl Lines {
    /// Takes `bytes` and returns the lines that are whole now.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let (text, is_end) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            // a hole in the file, where bytes that were read have been freed
            self.part.extend(text.iter().filter(|b| **b != 0));
            while self.part.len() > MAX_LINE {
                let cut = character_end(&self.part, MAX_LINE);
                let rest = self.part.split_off(cut);
                let whole = std::mem::replace(&mut self.part, rest);
                self.push(&whole, false, &mut lines);
            }
            if is_end {
                let whole = std::mem::take(&mut self.part);
                self.push(&whole, true, &mut lines);
            }
        }
        lines
    }

    /// What is left when nothing will follow.
    pub(crate) fn finish(&mut self) -> Option<String> {
        let mut lines = Vec::new();
        if !self.part.is_empty() {
            let whole = std::mem::take(&mut self.part);
            self.push(&whole, true, &mut lines);
        }
        lines.pop()
    }

    fn push(&mut self, raw: &[u8], is_end: bool, lines: &mut Vec<String>) {
        let was_hiding = std::mem::replace(&mut self.is_hiding, false);
        let text = clean(raw);
        if text.contains(SECRET_LINK) {
            self.is_hiding = !is_end;
            lines.push(REPLACED.to_owned());
        } else if was_hiding {
            self.is_hiding = !is_end;
        } else {
            lines.push(text);
        }
    }
}

/// The last place at or before `at` that does not cut a UTF-8 character.
fn character_end(bytes: &[u8], at: usize) -> usize {
    (at.saturating_sub(3)..=at).rev().find(|i| bytes.get(*i).is_none_or(|b| b & 0xc0 != 0x80)).unwrap_or(at)
}

/// Text without colours and control characters, so that a log cannot play tricks on the terminal it is shown on.
pub(crate) fn clean(raw: &[u8]) -> String {
    if raw.iter().all(|b| (b' '..=b'~').contains(b)) {
        return String::from_utf8_lossy(raw).into_owned();
    }
    let plain = strip_ansi_escapes::strip(raw);
    String::from_utf8_lossy(&plain)
        .chars()
        .map(|c| if c == '\t' { ' ' } else { c })
        .filter(|c| !c.is_control())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_whole_and_clean() {
        let mut lines = Lines::default();
        assert_eq!(lines.take(b"one\ntw"), ["one"]);
        assert_eq!(lines.take(b"o\n\x1b[31mred\x1b[0m\r\n\0\0three"), ["two", "red"]);
        assert_eq!(lines.finish().as_deref(), Some("three"));
        assert_eq!(lines.finish(), None);
    }

    #[test]
    fn what_pocketbase_prints_on_its_first_start_is_kept_without_the_token() {
        let mut lines = Lines::default();
        let printed = b"2026/01/01 Server started at http://127.0.0.1:8091\n\
            (!) Launch the URL below in the browser if it hasn't been open already to create your first superuser account:\n\
            http://127.0.0.1:8091/_/#/pbinstall/eyJhbGciOiJIUzI1NiJ9.e30.x\n\
            (you can also create your first superuser by running: pocketbase superuser upsert EMAIL PASS)\n";
        let kept = lines.take(printed);
        assert_eq!(kept.len(), 4);
        assert!(!kept.concat().contains("eyJ"), "{kept:?}");
    }

    #[test]
    fn a_token_cannot_hide_in_a_line_that_is_too_long() {
        let mut lines = Lines::default();
        let mut printed = format!("{}/pbinstall/", "x".repeat(MAX_LINE - 14)).into_bytes();
        printed.extend("t".repeat(3 * MAX_LINE).bytes());
        printed.extend(b"\nnext\n");
        let kept = lines.take(&printed).concat();
        assert!(!kept.contains("ttt") && kept.ends_with("next"), "{} bytes", kept.len());
    }

    proptest! {
        #[test]
        fn how_the_bytes_come_makes_no_difference(text in "[a-zé\n]{0,300}", cut in 0..300usize) {
            let bytes = text.as_bytes();
            let cut = cut.min(bytes.len());
            let mut at_once = Lines::default();
            let mut expected = at_once.take(bytes);
            expected.extend(at_once.finish());
            let mut in_two = Lines::default();
            let mut lines = in_two.take(&bytes[..cut]);
            lines.extend(in_two.take(&bytes[cut..]));
            lines.extend(in_two.finish());
            prop_assert_eq!(lines, expected);
        }

        #[test]
        fn nothing_but_text_comes_out(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut lines = Lines::default();
            let mut all = lines.take(&bytes);
            all.extend(lines.finish());
            prop_assert!(all.iter().flat_map(|l| l.chars()).all(|c| !c.is_control()));
        }
    }
}
