//! What `/proc` tells of processes; see proc(5). Everything here blocks.

use std::{fs, io};

/// The id of every process there is.
pub fn pids() -> io::Result<Vec<i32>> {
    Ok(fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// The environment a process was started with, as `NAME=value` each; empty where it is gone or not ours to read.
pub fn environment(pid: i32) -> Vec<Vec<u8>> {
    let all = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    all.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}

/// The fields of `/proc/<pid>/stat` after the name, so that the state is the first.
pub(crate) fn stat_fields(pid: i32) -> io::Result<Vec<String>> {
    Ok(after_name(&fs::read_to_string(format!("/proc/{pid}/stat"))?))
}

/// The id of a process's parent; none where the process is gone.
pub fn parent(pid: i32) -> Option<i32> {
    stat_fields(pid).ok()?.get(1)?.parse().ok()
}

/// The name, in brackets, may hold anything, brackets and spaces too.
fn after_name(stat: &str) -> Vec<String> {
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_process_with_an_odd_name_is_read() {
        assert_eq!(super::after_name("12 (a) b (c)) S 1 42 42 0 -1")[..3], ["S", "1", "42"]);
        assert!(super::after_name("nonsense").is_empty());
    }
}
