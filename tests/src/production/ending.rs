//! How init ends, and what it lets nobody begin twice.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    process::{Child, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use lab_core::machine::RENEW_EVERY;

use super::{answers, small};
use crate::{
    server::{Server, eventually},
    stack::{Stack, run},
};

/// Every app's database files that a process left because it was not told to end, or had no time to.
fn open_databases(server: &Server) -> Vec<String> {
    let apps = fs::read_dir(server.data().join("apps")).unwrap().flatten();
    let files = apps.filter_map(|app| fs::read_dir(app.path().join("pb_data")).ok()).flatten().flatten();
    files.map(|file| file.path().display().to_string()).filter(|path| path.ends_with("-wal")).collect()
}

#[test]
fn however_many_apps_there_are_each_is_told_to_end_and_waited_for() {
    let mut server = Server::start_on(Stack::Edge);
    // supervisord by itself ends one a second
    let names: Vec<String> = (0..24).map(|n| format!("app-{n}")).collect();
    let repository = small("an app");
    for name in &names {
        server.deploy(name, &repository);
    }
    assert_eq!(server.processes().len(), names.len());
    let begun = Instant::now();
    assert!(server.end_with("TERM").success(), "{}", server.log());
    let took = begun.elapsed();
    let log = fs::read_to_string(server.data().join("supervisor/supervisord.log")).unwrap();
    assert!(!log.contains("SIGKILL"), "{took:?}: {log}");
    assert_eq!(open_databases(&server), [""; 0], "{took:?}: {log}");
    assert!(took < Duration::from_secs(12), "{took:?}: {log}");
    assert!(server.processes().is_empty());
}

/// Another init on the same data, which is to be refused. Ends with the test.
struct Second(Child);

impl Second {
    fn start(server: &Server, stack: Stack) -> Self {
        let mut command = server.command();
        Self(command.envs(stack.env()).arg("init").stderr(Stdio::piped()).spawn().unwrap())
    }

    /// How it ended, and what it said. `meanwhile` is done again and again until then.
    fn refused(mut self, mut meanwhile: impl FnMut()) -> (ExitStatus, String) {
        let mut status = None;
        eventually("the end of the second init", || {
            meanwhile();
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        let mut said = String::new();
        std::io::Read::read_to_string(self.0.stderr.as_mut().unwrap(), &mut said).unwrap();
        (status.unwrap(), said)
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What nobody else may change: the inode of Caddy's socket, and the apps' files with theirs.
fn kept(server: &Server) -> Vec<(String, u64, i64)> {
    let programs = fs::read_dir(server.data().join("supervisor/programs")).unwrap();
    let mut paths: Vec<_> = programs.map(|entry| entry.unwrap().path()).collect();
    paths.push(server.data().join("caddy/admin.sock"));
    paths.push(server.data().join("supervisor/supervisord.conf"));
    paths.push(server.data().join("machine.json"));
    paths.sort();
    let one = |path: std::path::PathBuf| {
        let meta = fs::metadata(&path).unwrap();
        // the claim is renewed meanwhile
        let inode = if path.ends_with("machine.json") { 0 } else { meta.ino() };
        (path.display().to_string(), inode, if inode == 0 { 0 } else { meta.ctime_nsec() })
    };
    paths.into_iter().map(one).collect()
}

#[test]
fn a_second_init_on_the_same_data_is_refused_and_touches_nothing() {
    let server = Server::start_on(Stack::Edge);
    server.deploy("app", &small("app"));
    let (before, apps, programs) = (kept(&server), server.processes(), server.programs());
    let begun = Instant::now();
    let (status, said) = Second::start(&server, Stack::Edge).refused(|| ());
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(said.contains(&format!("`{}` is in use", server.data().display())), "{said}");
    assert!(said.contains(&format!("pid {}", server.init_pid())), "{said}");
    assert_eq!(kept(&server), before);
    assert_eq!((server.processes(), server.programs()), (apps, programs));
    assert!(run(answers(&server.visit("app"), "app")));
}

#[test]
fn an_embedded_server_and_init_refuse_each_other() {
    let server = Server::start_on(Stack::Edge);
    // also in the moment in which init starts its lab-server again
    server.kill_program("lab-server");
    let mut embedded = server.command();
    embedded.env("LAB_STACK", "embedded").env("LAB_PUBLIC_LISTEN", "127.0.0.1:0").env("LAB_MANAGER_PORT", "0");
    let refused = embedded.output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("is in use"), "{said}");
    drop(server);

    let server = Server::start();
    let (status, said) = Second::start(&server, Stack::Edge).refused(|| ());
    assert!(!status.success() && said.contains("is in use"), "{said}");
    assert!(!server.data().join("supervisor").exists());
}

fn claim_of_another(server: &Server, beat: u64) {
    let claim = serde_json::json!({
        "machine": "another", "boot": "00000000-0000-0000-0000-000000000001", "pid": 1,
        "claim": "00000000-0000-0000-0000-000000000002", "beat": beat, "renewed": "2026-01-01T00:00:00Z",
    });
    lab_core::durable::write(&server.data().join("machine.json"), claim.to_string().as_bytes(), 0o600).unwrap();
}

#[test]
fn nothing_is_started_on_data_that_another_machine_uses() {
    let mut server = Server::start_on(Stack::Edge);
    server.deploy("app", &small("app"));
    assert!(server.end_with("TERM").success());
    let socket = server.data().join("caddy/admin.sock");
    let _ = fs::remove_file(&socket);
    claim_of_another(&server, 1);
    let mut beat = 1;
    let (status, said) = Second::start(&server, Stack::Edge).refused(|| {
        beat += 1;
        claim_of_another(&server, beat);
        assert!(!socket.exists() && server.processes().is_empty(), "something was started");
    });
    assert!(!status.success() && said.contains("in use by the machine `another`"), "{said}");
}

#[test]
fn data_that_another_machine_took_over_is_let_go_of_at_once() {
    let mut server = Server::start_on(Stack::Edge);
    server.deploy("app", &small("app"));
    claim_of_another(&server, 1);
    let begun = Instant::now();
    let status = server.ended();
    assert_eq!(status.code(), Some(1), "{}", server.log());
    assert!(begun.elapsed() < RENEW_EVERY + Duration::from_secs(3), "{:?}: {}", begun.elapsed(), server.log());
    assert!(server.processes().is_empty() && server.holders().is_empty());
    // it is the other's to give back
    let claim = fs::read_to_string(server.data().join("machine.json")).unwrap();
    assert!(claim.contains("another") && server.log().contains("was taken over"), "{claim}");
}
