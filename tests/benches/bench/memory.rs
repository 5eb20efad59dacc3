//! `memory`: how much lab-server takes with and without apps.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, Instant},
};

use lab_core::testing::ports::{LEASE, leased_ranges};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    Outcome, go_on, itself,
    processes::{family, name, resident},
    results::{Line, Results},
};
use crate::{parts::Repository, server::Server};

/// The most that it may take without apps, in MiB.
const WITHOUT_APPS: f64 = 30.0;
/// The most that each app may add, in MiB.
const PER_APP: f64 = 10.0 / 1024.0;

pub fn run(is_quick: bool, stopping: &CancellationToken) -> Outcome<Results> {
    let apps: u16 = if is_quick { 100 } else { 1000 };
    let measured = measure(apps, stopping)?;
    let mut results = Results::default();
    for (what, bytes, limit) in [
        ("0 apps".to_owned(), measured.without, WITHOUT_APPS),
        (format!("{apps} stopped apps"), measured.stopped, WITHOUT_APPS + f64::from(apps) * PER_APP),
        (format!("{apps} running apps"), measured.running, WITHOUT_APPS + f64::from(apps) * PER_APP),
    ] {
        #[expect(clippy::cast_precision_loss, reason = "memory in bytes is far below 2^52")]
        let lab = bytes as f64 / f64::from(1 << 20);
        results.lines.push(Line::at_most(&format!("memory: {what}"), "MiB", lab, limit, Vec::new()));
    }
    results.notes.push(
        "memory: the resident memory of lab-server (release build, native supervisor and gateway) when the apps have been \
         healthy for two seconds. The apps are tiny programs that answer the health check; their own memory does not count. \
         The limit is 30 MiB and 10 KiB an app."
            .to_owned(),
    );
    Ok(results)
}

struct Measured {
    without: u64,
    stopped: u64,
    running: u64,
}

fn measure(apps: u16, stopping: &CancellationToken) -> Outcome<Measured> {
    let (ports, _lease) = leased_ranges(apps.div_ceil(LEASE) + 1);
    let range = format!("{}-{}", ports.start(), ports.end());
    let mut server = Server::start_with(crate::stack::Stack::Embedded, &[("LAB_PORTS", &range)]);
    let without = settled(&server)?;
    // a real app, as the pattern of all others
    server.deploy("pattern", &Repository::of_files(&[("pb_public/index.html", "hello")]));
    server.lab_json(&["stop", "pattern"]);
    let mut taken = |desired: &str| -> Outcome<u64> {
        server.terminate();
        populate(&server.data(), ports.clone().zip(0..apps), desired)?;
        server.up();
        wait_for(&server, apps, desired, stopping)?;
        settled(&server)
    };
    let stopped = taken("stopped")?;
    let running = taken("running")?;
    Ok(Measured { without, stopped, running })
}

/// Writes the registry's file anew, and each app's release: the `pattern`'s, with this program for PocketBase.
fn populate(data: &Path, apps: impl Iterator<Item = (u16, u16)>, desired: &str) -> Outcome<()> {
    let registry = data.join("apps.json");
    let mut document = read(&registry)?;
    let pattern = document["apps"]["pattern"].clone();
    let id = pattern["release"].as_str().ok_or("the pattern has a release")?;
    let release = read(&data.join("apps/pattern/releases").join(id).join("release.json"))?;
    for (port, n) in apps {
        let app = format!("app-{n}");
        let mut record = pattern.clone();
        let status = if desired == "running" { "running" } else { "stopped" };
        for (field, value) in [("name", json!(app)), ("subdomain", json!(app)), ("port", json!(port))] {
            record[field] = value;
        }
        record["desired"] = desired.into();
        record["status"] = status.into();
        document["apps"][&app] = record;

        let folder = data.join("apps").join(&app).join("releases").join(id);
        if folder.exists() {
            continue;
        }
        fs::create_dir_all(&folder)?;
        fs::create_dir_all(data.join("apps").join(&app).join("pb_data"))?;
        symlink("../../pb_data", folder.join("pb_data"))?;
        fs::hard_link(itself::program()?, folder.join("app"))?;
        let mut release = release.clone();
        release["app"] = app.into();
        release["run"]["program"] = "app".into();
        release["run"]["flags"] = "base".into();
        fs::write(folder.join("release.json"), release.to_string())?;
    }
    fs::write(registry, document.to_string())?;
    Ok(())
}

fn read(path: &Path) -> Outcome<Value> {
    let text = fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

fn wait_for(server: &Server, apps: u16, status: &str, stopping: &CancellationToken) -> Outcome<()> {
    let begun = Instant::now();
    loop {
        go_on(stopping)?;
        let list = server.lab_json(&["ls"]);
        let there = list.as_array().into_iter().flatten();
        let there = there.filter(|app| app["name"] != "pattern" && is(app, status)).count();
        if there == usize::from(apps) {
            return Ok(());
        }
        if begun.elapsed() > Duration::from_mins(5) {
            return Err(format!("{there} of {apps} apps are {status}: {}", server.log()).into());
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn is(app: &Value, status: &str) -> bool {
    app["status"] == status && (status != "running" || app["process"]["state"] == "running")
}

/// The server's resident memory when it has had two seconds for itself.
fn settled(server: &Server) -> Outcome<u64> {
    std::thread::sleep(Duration::from_secs(2));
    let is_server = |pid: &u32| name(*pid).is_some_and(|name| name == "lab-server");
    let pid = family(std::process::id()).into_iter().find(is_server);
    resident(pid.ok_or_else(|| format!("lab-server is gone: {}", server.log()))?)
}
