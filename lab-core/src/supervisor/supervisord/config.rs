//! supervisord's files, in the INI dialect that its own parser reads (`options.py`, over Python's `configparser`).
//!
//! The dialect cannot hold every text: lines end values, ` ;` and ` #` begin comments, blanks at the ends are lost. So
//! nothing that an app's owner chooses is in these files but the app's name, which needs no escaping; arguments and
//! environment are in the launch file. What is left, our own paths, is checked and escaped.

use std::{fmt::Write, os::unix::ffi::OsStrExt, path::Path, time::Duration};

use super::{SupervisordError, SupervisordSettings};
use crate::supervisor::ProcessSpec;

/// The longest path of a socket (`sun_path` of unix(7) less its end), less what supervisord appends while it binds it: a
/// dot and its process id.
const MAX_SOCKET: usize = 107 - ".4194304".len();

/// Refuses a folder whose path the INI, its `[include]` patterns or a socket's address cannot hold.
pub(super) fn check(settings: &SupervisordSettings) -> Result<(), SupervisordError> {
    let refuse = |why: String| SupervisordError::Folder { path: settings.dir.clone(), why };
    let path = settings.dir.to_str().ok_or_else(|| refuse("its path is not UTF-8".to_owned()))?;
    if !settings.dir.is_absolute() {
        return Err(refuse("its path is not absolute".to_owned()));
    }
    // quotes and backslashes for `command`, which is split as a shell would; the rest for patterns and comments
    if let Some(odd) = path.chars().find(|c| c.is_control() || "*?[]'\"\\;#()".contains(*c)) {
        return Err(refuse(format!("its path has a `{}`", odd.escape_default())));
    }
    if path.split('/').any(|part| part != part.trim()) {
        return Err(refuse("a folder's name in its path begins or ends with a blank".to_owned()));
    }
    let socket = settings.socket();
    let length = socket.as_os_str().as_bytes().len();
    if length > MAX_SOCKET {
        return Err(refuse(format!(
            "the path of its socket, `{}`, is {length} bytes long and {MAX_SOCKET} is the most a socket's may have",
            socket.display()
        )));
    }
    Ok(())
}

/// `%` begins an expansion, everywhere.
fn escape(path: &Path) -> String {
    path.display().to_string().replace('%', "%%")
}

/// supervisord's main file. It runs the apps only, in the foreground, with its own log beside it.
pub fn main_config(settings: &SupervisordSettings) -> String {
    format!(
        "; Written by the lab at every start: changes are lost.\n\
         [unix_http_server]\n\
         file={socket}\n\
         chmod=0600\n\
         \n\
         [supervisord]\n\
         nodaemon=true\n\
         silent=true\n\
         user={user}\n\
         pidfile={dir}/supervisord.pid\n\
         logfile={log}\n\
         logfile_maxbytes=1MB\n\
         logfile_backups=1\n\
         ; each start, end and failure of a process is told at this level, and read by the lab\n\
         loglevel=info\n\
         ; two descriptors an app; the hard limit is 10240 on Fly\n\
         minfds=4096\n\
         minprocs=200\n\
         ; the apps' output is not its business, nor are other programs' files in the temporary folder\n\
         childlogdir={dir}\n\
         nocleanup=true\n\
         \n\
         [rpcinterface:supervisor]\n\
         supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
         \n\
         [include]\n\
         files={programs}/*.conf\n",
        socket = escape(&settings.socket()),
        user = nix::unistd::geteuid(),
        dir = escape(&settings.dir),
        log = escape(&settings.log_file()),
        // relative to this file: a pattern cannot hold blanks
        programs = super::PROGRAMS,
    )
}

/// One app's program file. `wanted`: whether supervisord itself starts it when it starts.
pub(super) fn program(spec: &ProcessSpec, launch: &Path, wanted: bool) -> String {
    let mut text = format!("; Written by the lab: changes are lost.\n[program:{}]\n", spec.app);
    // the process does not see supervisord's environment; `env` and `sh` are on every system
    let _ = writeln!(text, "command=/usr/bin/env -i /bin/sh \"{}\"", escape(launch));
    let _ = writeln!(text, "autostart={wanted}\nautorestart=true");
    // 0 would mean that it never fails
    let _ = writeln!(text, "startsecs={}", whole_seconds(spec.restart.stable_after).max(1));
    let _ = writeln!(text, "startretries={}", spec.restart.max_restarts);
    let _ = writeln!(text, "stopwaitsecs={}", whole_seconds(spec.stop_grace).max(1));
    text.push_str("stopsignal=TERM\nstopasgroup=true\nkillasgroup=true\n");
    // it writes into its own file
    text.push_str("redirect_stderr=true\nstdout_logfile=NONE\n");
    text
}

/// supervisord knows whole seconds only: rounded up.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(path: &str) -> Result<(), String> {
        check(&SupervisordSettings::new(path, "/logs")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_folder_that_the_configuration_cannot_hold_is_refused_with_the_reason() {
        assert_eq!(checked("/var/lib/my lab 100%/supervisor"), Ok(()));
        for (path, part) in [
            ("lab", "absolute"),
            ("/a;b", "`;`"),
            ("/a\nb", "`\\n`"),
            ("/a'b", "`\\'`"),
            ("/a/ b", "blank"),
            (format!("/{}", "x".repeat(90)).as_str(), "99 is the most"),
        ] {
            let error = checked(path).expect_err(path);
            assert!(error.contains(part) && error.contains("move the data directory"), "{error}");
        }
    }

    #[test]
    fn percent_signs_are_doubled_and_seconds_are_rounded_up() {
        let text = main_config(&SupervisordSettings::new("/a b/100%", "/logs"));
        assert!(text.contains("file=/a b/100%%/supervisor.sock\n"), "{text}");
        assert_eq!(whole_seconds(Duration::from_millis(1001)), 2);
        assert_eq!(whole_seconds(Duration::from_secs(7)), 7);
    }
}
