//! No way out of the machine by TCP, for one thread and what it starts: what is left where the kernel refuses a network
//! namespace. Landlock (landlock(7)) needs no privilege, but a kernel from 6.7 on.
//!
//! It knows ports and no addresses, and TCP only: UDP, and so the look-up of names, goes on as before.

use std::io;

use landlock::{
    AccessNet, CompatLevel, Compatible, NetPort, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus,
};

use crate::Port;

/// From now on the calling thread, and what it starts, can listen on this port and connect to it, and to no other.
///
/// # Errors
/// The kernel cannot: it is older, or Landlock is switched off. The thread is as it was then.
pub(super) fn confine(port: Port) -> io::Result<()> {
    let status = restrict(port).map_err(io::Error::other)?;
    if status.ruleset == RulesetStatus::FullyEnforced {
        return Ok(());
    }
    Err(io::Error::other("its Landlock does not know TCP"))
}

fn restrict(port: Port) -> Result<RestrictionStatus, RulesetError> {
    let tcp = AccessNet::BindTcp | AccessNet::ConnectTcp;
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(tcp)?
        .create()?
        .add_rule(NetPort::new(port.get(), tcp))?
        .restrict_self()
}

#[cfg(test)]
mod tests {
    use std::{
        net::{SocketAddr, TcpListener, TcpStream},
        process::Command,
    };

    use super::*;

    fn bash_reaches(address: SocketAddr) -> bool {
        let connect = format!("exec 3<>/dev/tcp/{}/{}", address.ip(), address.port());
        Command::new("bash")
            .args(["-c", &connect])
            .stderr(std::process::Stdio::null())
            .status()
            .expect("bash")
            .success()
    }

    #[test]
    fn a_confined_thread_and_what_it_starts_reach_one_port_and_the_others_every() {
        let (outside, own) = (TcpListener::bind("127.0.0.1:0"), TcpListener::bind("127.0.0.1:0"));
        let [outside, own] = [outside, own].map(|listener| listener.expect("a listener"));
        let [address, private] = [&outside, &own].map(|listener| listener.local_addr().expect("an address"));
        assert!(bash_reaches(address));
        let inside = std::thread::spawn(move || {
            confine(Port::new(private.port()).expect("a port")).expect("this test needs Landlock with TCP (Linux 6.7)");
            assert_eq!(TcpStream::connect(address).map(drop).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            assert!(!bash_reaches(address), "what it started got out");
            assert!(TcpListener::bind("127.0.0.1:0").is_err());
            TcpStream::connect(private).expect("its own port");
            assert!(bash_reaches(private));
            // what it starts is confined as well when it is a thread
            std::thread::spawn(move || TcpStream::connect(address).is_ok()).join().expect("no panic")
        });
        assert!(!inside.join().expect("no panic"));
        TcpStream::connect(address).expect("the others are as they were");
    }
}
