//! The processes that are measured. Each ends with its guard, whatever it started with it.

use std::{
    io::Read,
    iter::Sum,
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::Outcome;
use crate::parts::root;

/// A program in `.tools/`, which `scripts/install-tools.sh` brings.
pub fn tool(path: &str) -> Outcome<PathBuf> {
    let path = root().join(".tools").join(path);
    if path.is_file() { Ok(path) } else { Err(format!("{} is missing: run `make bench`", path.display()).into()) }
}

/// What a program says when it is asked for its version.
pub fn version(command: &mut Command) -> Outcome<String> {
    let output = command.output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned())
}

/// Where a program listens.
#[derive(Debug, Clone)]
pub enum Place {
    /// On the loopback interface.
    Port(u16),
    Socket(PathBuf),
}

impl Place {
    fn is_listened_on(&self) -> bool {
        match self {
            Self::Port(port) => TcpStream::connect(("127.0.0.1", *port)).is_ok(),
            Self::Socket(path) => UnixStream::connect(path).is_ok(),
        }
    }
}

/// A running program. Dropped, it and its descendants are killed, by their ids.
#[derive(Debug)]
pub struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts a program whose output goes to a file.
    pub fn start(command: &mut Command, log: &Path) -> Outcome<Self> {
        let file = std::fs::File::create(log)?;
        let child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn();
        let child = child.map_err(|e| format!("cannot start {}: {e}", command.get_program().display()))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it, not its descendants, and waits until it is gone.
    pub fn kill(&mut self) -> Outcome<()> {
        signal(self.pid(), Signal::SIGKILL);
        self.child.wait()?;
        Ok(())
    }

    /// The CPU time that it and its descendants used so far.
    pub fn cpu(&self) -> Cpu {
        family(self.pid()).into_iter().filter_map(stat).map(|stat| stat.cpu).sum()
    }

    /// The processes that it started and that are there.
    pub fn descendants(&self) -> Vec<u32> {
        family(self.pid()).split_off(1)
    }

    /// Waits until something listens there.
    pub fn listens_on(&mut self, place: &Place) -> Outcome<()> {
        let begun = Instant::now();
        while !place.is_listened_on() {
            if let Some(status) = self.child.try_wait()? {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                return Err(format!("{status} before it listened on {place:?}: {log}").into());
            }
            if begun.elapsed() > Duration::from_secs(20) {
                return Err(format!("nothing listens on {place:?}").into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // stopped first, so that it starts no more while its descendants are looked up
        signal(self.pid(), Signal::SIGSTOP);
        for pid in family(self.pid()) {
            signal(pid, Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

/// Sends a signal to one process, which may be gone.
pub fn signal(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// CPU time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    /// In the program's own code and in the kernel's.
    pub whole: Duration,
    /// In the kernel's alone.
    pub kernel: Duration,
}

impl Sum for Cpu {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self { whole: sum.whole + one.whole, kernel: sum.kernel + one.kernel })
    }
}

/// What `/proc/<pid>/stat` says of a process that is there.
#[derive(Debug)]
struct Stat {
    parent: u32,
    is_zombie: bool,
    cpu: Cpu,
}

fn stat(pid: u32) -> Option<Stat> {
    let mut text = String::new();
    std::fs::File::open(format!("/proc/{pid}/stat")).ok()?.read_to_string(&mut text).ok()?;
    // the name before may hold spaces and brackets; proc(5) counts state as field 3
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    // USER_HZ is 100 wherever Linux runs Lab
    let time = |field: usize| Some(Duration::from_millis(fields.get(field)?.parse::<u64>().ok()? * 10));
    let (own, kernel) = (time(11)?, time(12)?);
    let cpu = Cpu { whole: own + kernel, kernel };
    Some(Stat { parent: fields.get(1)?.parse().ok()?, is_zombie: *fields.first()? == "Z", cpu })
}

/// Whether a process runs.
pub fn runs(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| !stat.is_zombie)
}

/// A process and its descendants.
pub fn family(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?.parent)))
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found
}

/// The resident memory of one process, in bytes.
pub fn resident(pid: u32) -> Outcome<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

/// The name of a process that is there, at most 15 bytes of it.
pub fn name(pid: u32) -> Option<String> {
    Some(std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().to_owned())
}
