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
use crate::{parts::Repository, server::Server, stack::Stack};

/// The most that it may take without apps, in MiB.
const WITHOUT_APPS: f64 = 30.0;
/// The most that each app may add, in MiB.
const PER_APP: f64 = 10.0 / 1024.0;

/// supervisord reads all of its files again for each new app, so that a thousand take it a quarter of an hour.
const WITH_SUPERVISORD: u16 = 100;

pub fn run(is_quick: bool, stopping: &CancellationToken) -> Outcome<Results> {
    let most: u16 = if is_quick { WITH_SUPERVISORD } else { 1000 };
    let mut running = vec![WITH_SUPERVISORD, most];
    running.dedup();
    let embedded = measure(Stack::Embedded, most, &running, stopping)?;
    let production = measure(Stack::Edge, most, &[WITH_SUPERVISORD], stopping)?;
    let mut results = Results::default();
    for (n, lab) in embedded.iter().enumerate() {
        let peers = production.get(n).map_or_else(Vec::new, |it| it.programs.clone());
        let limit = WITHOUT_APPS + f64::from(lab.apps) * PER_APP;
        let name = format!("memory: {}", lab.name);
        results.lines.push(Line::at_most(&name, "MiB", lab.sum(), limit, peers));
    }
    results.notes.push(format!(
        "memory: the resident memory of lab-server (release build, native supervisor and gateway) when the apps have been \
         healthy for two seconds; beside it that of each program of the production stack: init, lab-server, supervisord and \
         Caddy in the layout `edge`, with at most {WITH_SUPERVISORD} running apps. The apps are tiny programs that answer \
         the health check; their own memory does not count. The limit is 30 MiB and 10 KiB an app."
    ));
    Ok(results)
}

/// What each of a stack's programs takes, in MiB.
struct Measured {
    name: String,
    apps: u16,
    programs: Vec<(String, f64)>,
}

impl Measured {
    fn sum(&self) -> f64 {
        self.programs.iter().map(|(_, taken)| taken).sum()
    }
}

/// With no apps, with so many stopped ones, and with each number of running ones.
fn measure(stack: Stack, stopped: u16, running: &[u16], stopping: &CancellationToken) -> Outcome<Vec<Measured>> {
    let (ports, _lease) = leased_ranges(stopped.div_ceil(LEASE) + 1);
    let range = format!("{}-{}", ports.start(), ports.end());
    let mut server = Server::start_with(stack, &[("LAB_PORTS", &range)]);
    let mut all = vec![Measured { name: "0 apps".to_owned(), apps: 0, programs: settled(&server)? }];
    // a real app, as the pattern of all others
    server.deploy("pattern", &Repository::of_files(&[("pb_public/index.html", "hello")]));
    server.lab_json(&["stop", "pattern"]);
    let wanted = std::iter::once((stopped, "stopped")).chain(running.iter().map(|apps| (*apps, "running")));
    for (apps, desired) in wanted {
        server.terminate();
        populate(&server.data(), ports.clone().zip(0..apps), desired)?;
        server.up();
        wait_for(&server, apps, desired, stopping)?;
        all.push(Measured { name: format!("{apps} {desired} apps"), apps, programs: settled(&server)? });
    }
    Ok(all)
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

/// The programs' resident memory when they have had two seconds for themselves.
fn settled(server: &Server) -> Outcome<Vec<(String, f64)>> {
    const KNOWN: [&str; 3] = ["lab-server", "supervisord", "caddy"];
    std::thread::sleep(Duration::from_secs(2));
    let init = family(std::process::id()).into_iter().find(|pid| name(*pid).is_some_and(|name| name == "lab-server"));
    let init = init.ok_or_else(|| format!("lab-server is gone: {}", server.log()))?;
    if server.stack == Stack::Embedded {
        return Ok(vec![("lab-server".to_owned(), mebibytes(init)?)]);
    }
    let mut taken = vec![("init".to_owned(), mebibytes(init)?)];
    for (pid, words) in server.programs() {
        let known = KNOWN.into_iter().find(|known| words.contains(*known)).ok_or("a program that is known")?;
        taken.push((known.to_owned(), mebibytes(u32::try_from(pid)?)?));
    }
    Ok(taken)
}

fn mebibytes(pid: u32) -> Outcome<f64> {
    #[expect(clippy::cast_precision_loss, reason = "memory in bytes is far below 2^52")]
    let bytes = resident(pid)? as f64;
    Ok(bytes / f64::from(1 << 20))
}
