//! What `/proc` tells of processes; see proc(5). Everything here blocks.

use std::{fs, io};

/// The id of every process there is.
pub fn pids() -> io::Result<Vec<i32>> {
    Ok(fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// What tells this boot of the machine from every other.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
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

/// The TCP ports that a process listens on, in order; none where it is gone or not ours to read.
pub(crate) fn listening_ports(pid: u32) -> Vec<u16> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let sockets: Vec<String> = open
        .filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.to_str()?.strip_prefix("socket:[")?.to_owned()))
        .filter_map(|inode| Some(inode.strip_suffix(']')?.to_owned()))
        .collect();
    // the tables of the process's own network namespace
    let tables = ["tcp", "tcp6"].map(|name| fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default());
    let listeners = tables.iter().flat_map(|table| table.lines()).filter_map(listener);
    let mut ports: Vec<u16> =
        listeners.filter(|(_, inode)| sockets.iter().any(|own| own == inode)).map(|(port, _)| port).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The port and the inode of a line of `/proc/net/tcp` that is about a listening socket.
fn listener(line: &str) -> Option<(u16, &str)> {
    /// `TCP_LISTEN`, in the kernel's `include/net/tcp_states.h`.
    const LISTEN: &str = "0A";
    let mut fields = line.split_whitespace().skip(1);
    let local = fields.next()?;
    let is_listening = fields.nth(1)? == LISTEN;
    let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
    is_listening.then_some((port, fields.nth(5)?))
}

/// The name, in brackets, may hold anything, brackets and spaces too.
fn after_name(stat: &str) -> Vec<String> {
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        net::{SocketAddr, TcpListener, TcpStream},
    };

    #[test]
    fn a_process_with_an_odd_name_is_read() {
        assert_eq!(super::after_name("12 (a) b (c)) S 1 42 42 0 -1")[..3], ["S", "1", "42"]);
        assert!(super::after_name("nonsense").is_empty());
    }

    #[test]
    fn the_ports_that_a_process_listens_on_are_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let second = TcpListener::bind("[::1]:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let port = |address: io::Result<SocketAddr>| address.unwrap().port();
        let (one, other) = (port(listener.local_addr()), port(second.local_addr()));
        let connected = port(stream.local_addr());
        let told = super::listening_ports(std::process::id());
        assert!(told.contains(&one) && told.contains(&other), "{one} and {other} in {told:?}");
        assert!(!told.contains(&connected), "{told:?}");
        assert!(super::listening_ports(1 << 30).is_empty());
    }
}
