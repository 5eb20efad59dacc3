//! On what it was measured.

use std::fs;

use super::Outcome;

/// Cores, processor, memory, kernel, and what else kept them busy.
pub fn describe() -> Outcome<String> {
    let read = |path: &str| fs::read_to_string(path).map_err(|e| format!("cannot read {path}: {e}"));
    let field = |text: &str, name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().strip_prefix(':'))
            .map(|value| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism()?;
    let model = field(&read("/proc/cpuinfo")?, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let memory = field(&read("/proc/meminfo")?, "MemTotal").unwrap_or_default();
    let memory: u64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
    let (kernel, load) = (read("/proc/sys/kernel/osrelease")?, read("/proc/loadavg")?);
    let load = load.split_whitespace().next().unwrap_or_default();
    Ok(format!(
        "{cores} cores ({model}), {} GiB, Linux {}, load {load} when it began",
        memory.div_ceil(1 << 20),
        kernel.trim()
    ))
}
