//! libgit2's time-outs.

use std::{ffi::c_int, sync::Once};

/// Milliseconds until a connection must stand.
const CONNECT: c_int = 10_000;

/// Milliseconds a server may be silent. git's own server sends a keep-alive every 5 s while it thinks
/// (`uploadpack.keepAlive` in git-config(1)).
pub(super) const SILENCE: c_int = 30_000;

/// Sets them for the process, once: without them libgit2 waits for a silent server for ever.
pub(super) fn set_once() {
    static SET: Once = Once::new();
    SET.call_once(set);
}

#[expect(unsafe_code, reason = "libgit2's time-outs are process-wide integers and only have unsafe setters")]
fn set() {
    // SAFETY: libgit2 stores each in a plain static `int` that it reads when it opens a socket (settings.c, socket.c).
    // `Once` keeps our writes apart; another thread that opens a socket meanwhile reads the old value or the new.
    // The setters fail for negative numbers only.
    unsafe {
        drop(git2::opts::set_server_connect_timeout_in_milliseconds(CONNECT));
        drop(git2::opts::set_server_timeout_in_milliseconds(SILENCE));
    }
}
