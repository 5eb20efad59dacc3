//! What PocketBase prints of a hook file that throws (`plugins/jsvm/jsvm.go`).
//!
//! ```text
//! panic: failed to execute a.pb.js:      a capital letter up to 0.22; `panic: ` only where the file ends the program
//!  - Error: boom at a.pb.js:1:7(2)
//! ```

/// Where in `lines` that begins, and what it says in one line.
pub(crate) fn find<'a>(lines: impl IntoIterator<Item = &'a str>) -> Option<(usize, String)> {
    let mut lines = lines.into_iter().enumerate();
    let (index, file) = lines.find_map(|(index, line)| {
        let file = line.trim().split_once("ailed to execute ")?.1;
        file.ends_with(".js:").then_some((index, file))
    })?;
    let why = lines.next().map(|(_, line)| line.trim().trim_start_matches("- ")).unwrap_or_default();
    Some((index, format!("{file} {why}")))
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn both_generations_tell_of_a_file_and_others_of_none() {
        let new = [
            "panic: Error: boom at /a/pb.js:1:7(2) [recovered]",
            "\tpanic: failed to execute a.pb.js:",
            "\t - Error: boom",
            "",
        ];
        assert_eq!(find(new), Some((1, "a.pb.js: Error: boom".to_owned())));
        let old = ["Failed to execute b.pb.js:", " - ReferenceError: x is not defined"];
        assert_eq!(find(old), Some((0, "b.pb.js: ReferenceError: x is not defined".to_owned())));
        assert_eq!(find(["failed to execute a query", "x"]), None);
        assert_eq!(find(["failed to execute a.pb.js:"]), Some((0, "a.pb.js: ".to_owned())));
    }
}
