//! ssh with a real `sshd`, which `make tools` unpacks into `.tools/`.
//!
//! libgit2 reads `known_hosts` of the user's home, which it learns from the environment when it starts: so the fetch
//! itself runs in a process of its own, whose home is a temporary folder.

use std::{
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use lab_core::source::{
    SourceError,
    git::{GitSettings, GitSource, SshKey},
};
use tokio::net::TcpListener;

use crate::{
    bench::{Bench, chain},
    repo::Repo,
};

fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(".tools/sshd")
}

/// Run by root, `sshd` wants a user and a folder that its package would have made: it gets them in a mount namespace of
/// its own.
fn sshd(config: &Path, home: &Path) -> tokio::process::Command {
    let program = tools().join("usr/sbin/sshd");
    assert!(program.is_file(), "the ssh server is missing: run `make tools`");
    let mut command = if rustix::process::geteuid().is_root() {
        let mut users = fs::read_to_string("/etc/passwd").unwrap();
        users.push_str("sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n");
        fs::write(home.join("passwd"), users).unwrap();
        let script =
            "mount --bind \"$1\" /etc/passwd && mount -t tmpfs tmpfs /run && mkdir /run/sshd && shift && exec \"$@\"";
        let mut command = tokio::process::Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(home.join("passwd")).arg(program);
        command
    } else {
        tokio::process::Command::new(program)
    };
    let libraries =
        ["lib", "usr/lib"].map(|folder| tools().join(folder).join(format!("{}-linux-gnu", std::env::consts::ARCH)));
    command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries).unwrap());
    command.args(["-i", "-e", "-f"]).arg(config);
    command
}

fn keygen(path: &Path) -> String {
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status().unwrap();
    assert!(made.success());
    fs::read_to_string(path.with_extension("pub")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_ssh_server_is_fetched_from_and_an_unknown_one_is_not() {
    let home = tempfile::tempdir().unwrap();
    let dot_ssh = home.path().join(".ssh");
    fs::create_dir(&dot_ssh).unwrap();
    let repo = Repo::new(home.path().join("app.git"));
    repo.commit("main", "over ssh", &[("a", "1")]);
    fs::write(dot_ssh.join("authorized_keys"), keygen(&dot_ssh.join("key"))).unwrap();
    let host_key = keygen(&home.path().join("host"));
    let config = home.path().join("sshd_config");
    let lines = format!(
        "HostKey {0}/host\nAuthorizedKeysFile {0}/.ssh/authorized_keys\nStrictModes no\nUsePAM no\n\
         PasswordAuthentication no\nPermitRootLogin yes\nPidFile none\n",
        home.path().display()
    );
    fs::write(&config, lines).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let folder = home.path().to_owned();
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let stream = stream.into_std().unwrap();
            stream.set_nonblocking(false).unwrap();
            let fd = OwnedFd::from(stream);
            let mut child = sshd(&config, &folder)
                .stdin(Stdio::from(fd.try_clone().unwrap()))
                .stdout(Stdio::from(fd))
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            tokio::spawn(async move { child.wait().await });
        }
    });
    let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    let url = format!("ssh://{}@127.0.0.1:{port}{}", user.trim(), repo.path.display());
    for (known, expected) in [(false, "unknown"), (true, "fetched")] {
        if known {
            fs::write(dot_ssh.join("known_hosts"), format!("[127.0.0.1]:{port} {host_key}")).unwrap();
        }
        let inner = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "ssh::inner", "--ignored", "--nocapture"])
            .env("HOME", home.path())
            .env("LAB_TEST_SSH", format!("{expected} {url} {}", dot_ssh.join("key").display()))
            .output()
            .await
            .unwrap();
        assert!(inner.status.success(), "{expected}: {}", String::from_utf8_lossy(&inner.stderr));
    }
    server.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the test above, with another home"]
async fn inner() {
    let Ok(told) = std::env::var("LAB_TEST_SSH") else { return };
    let [expected, url, key] = told.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let mut bench = Bench::new();
    let keys = vec![SshKey { path: key.into(), passphrase: None }];
    bench.source = GitSource::new(GitSettings { ssh_agent: false, ssh_keys: keys, ..GitSettings::default() });
    if expected == "unknown" {
        let error = bench.get(url, None).await.unwrap_err();
        assert!(chain(&error).contains("known_hosts"), "{error:?}");
        return;
    }
    assert_eq!(bench.get(url, None).await.unwrap().message, "over ssh");
    assert_eq!(bench.read("a"), "1");
    let missing = bench.get(&format!("{url}-not"), None).await.unwrap_err();
    assert!(matches!(missing, SourceError::NotFoundOrPrivate { .. }), "{missing:?}");
    bench.source = GitSource::new(GitSettings { ssh_agent: false, ..GitSettings::default() });
    let keyless = bench.get(url, None).await.unwrap_err();
    assert!(matches!(keyless, SourceError::NotFoundOrPrivate { .. }), "{keyless:?}");
}
