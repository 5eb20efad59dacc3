//! A network of one thread's own, with nothing in it but the loopback interface.
//!
//! Linux has namespaces per thread (namespaces(7)): the thread leaves the machine's network, and what it starts from then on
//! is born outside it as well. So neither `unshare` nor `ip` has to be installed, and the thread itself can ask the app.

use std::io;

use nix::sched::{CloneFlags, unshare};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with, sockopt};

/// The loopback interface is the first of every network namespace.
const LOOPBACK: i32 = 1;
/// `IFF_UP`, see netdevice(7).
const UP: u32 = 1;

/// Gives the calling thread a network of its own, and what it starts from now on also a process namespace: when the first
/// process that it starts ends, the kernel ends all that this one ever started. The thread cannot start threads afterwards.
///
/// # Errors
/// The kernel refuses (`EPERM`) without `CAP_SYS_ADMIN`, or where namespaces are switched off. After an error the thread is
/// only fit to end.
pub(super) fn leave() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWPID)?;
    bring_up_loopback()
}

/// Asks for what `ip link set lo up` does (rtnetlink(7), `RTM_NEWLINK`).
fn bring_up_loopback() -> io::Result<()> {
    const NEWLINK: u16 = 16;
    const REQUEST_AND_ACKNOWLEDGE: u16 = 1 | 4;
    const ERROR: u16 = 2;
    let mut request = Vec::with_capacity(32);
    // struct nlmsghdr: length, type, flags, sequence, port
    request.extend(32_u32.to_ne_bytes());
    request.extend(NEWLINK.to_ne_bytes());
    request.extend(REQUEST_AND_ACKNOWLEDGE.to_ne_bytes());
    request.extend([0; 8]);
    // struct ifinfomsg: family and type (any), index, flags, which of them to change
    request.extend([0; 4]);
    request.extend(LOOPBACK.to_ne_bytes());
    request.extend(UP.to_ne_bytes());
    request.extend(UP.to_ne_bytes());
    // no protocol is NETLINK_ROUTE
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(std::time::Duration::from_secs(5)))?;
    send(&socket, &request, SendFlags::empty())?;
    let mut answer = [0; 128];
    let (_, length) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    let field = |from: usize| answer.get(from..from + 4).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; 4]);
    let kind = u16::from_ne_bytes([answer[4], answer[5]]);
    // struct nlmsgerr after the header: the error as a negative number, 0 for none
    match i32::from_ne_bytes(field(16)) {
        0 if kind == ERROR && length >= 20 => Ok(()),
        error if kind == ERROR && length >= 20 => Err(io::Error::from_raw_os_error(error.saturating_neg())),
        _ => Err(io::Error::other("the kernel gave no answer that is one")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_thread_that_left_reaches_its_own_loopback_and_not_the_machines() {
        let outside = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = outside.local_addr().expect("an address");
        let inside = std::thread::spawn(move || {
            leave().expect("this test needs a kernel that lets it: run it as root");
            let own = TcpListener::bind("127.0.0.1:0").expect("a listener inside");
            TcpStream::connect(own.local_addr().expect("an address")).expect("its own loopback");
            TcpStream::connect(address).is_ok()
        });
        assert!(!inside.join().expect("no panic"), "it reached the machine's loopback");
        TcpStream::connect(address).expect("the others did not leave");
    }
}
