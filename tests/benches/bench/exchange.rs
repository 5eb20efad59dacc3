//! `exchange`: how long requests wait while an app's process is exchanged, and how long a rehearsal takes, by the size of
//! the data.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio_util::sync::CancellationToken;

use super::{
    Outcome, go_on, median_of, millis,
    results::{Line, Results},
};
use crate::{
    parts::{Repository, Visitor},
    server::Server,
};

/// The longest that a request may wait for an app with 100 MB of data, in milliseconds.
const LONGEST: f64 = 500.0;
/// What a rehearsal may take, in seconds: its copy has two minutes.
const REHEARSAL: f64 = 120.0;
/// In megabytes.
const SIZES: [usize; 3] = [1, 100, 1000];

const MIGRATION: &str = r#"migrate((app) => {
    app.save(new Collection({
        type: "base", name: "filling", listRule: "", createRule: "",
        fields: [{ type: "text", name: "text", max: 100000 }],
    }));
}, () => {});
"#;

pub fn run(is_quick: bool, stopping: &CancellationToken) -> Outcome<Results> {
    let rounds = if is_quick { 1 } else { 5 };
    let mut results = Results::default();
    results.notes.push(format!(
        "exchange: an app of PocketBase 0.40.6 with 1 MB, 100 MB and 1 GB in its database, and a visitor who asks for a page of \
         it again and again over one connection. `hold` is the longest that the visitor waited in `lab restart`, the median of \
         {rounds}; `rehearsal` is the step of that name of a deployment with another migration: the copy (`copy`), the \
         migration and 5 s in which the app must stay up; `data point` is the step `save` of the same deployment."
    ));
    for size in if is_quick { &SIZES[..2] } else { &SIZES } {
        go_on(stopping)?;
        let measured = measure(*size, rounds, stopping)?;
        let name = if *size == 1000 { "1 GB".to_owned() } else { format!("{size} MB") };
        results.lines.push(Line::at_most(&format!("exchange: hold, {name}"), "ms", measured.hold, LONGEST, Vec::new()));
        let copy = vec![("copy".to_owned(), measured.copy), ("data point".to_owned(), measured.save)];
        results.lines.push(Line::at_most(
            &format!("exchange: rehearsal, {name}"),
            "s",
            measured.rehearsal,
            REHEARSAL,
            copy,
        ));
    }
    Ok(results)
}

struct Measured {
    /// In milliseconds.
    hold: f64,
    /// In seconds, all three.
    rehearsal: f64,
    copy: f64,
    save: f64,
}

fn measure(megabytes: usize, rounds: usize, stopping: &CancellationToken) -> Outcome<Measured> {
    let repository = Repository::of_files(&[("pb_migrations/1700000000_filling.js", MIGRATION)]);
    let server = Server::start();
    server.deploy("app", &repository);
    lab(&server, &["stop", "app"])?;
    fill(&server, megabytes)?;
    lab(&server, &["start", "app"])?;
    let mut holds = Vec::new();
    for _ in 0..rounds {
        go_on(stopping)?;
        holds.push(millis(longest_wait(&server, || lab(&server, &["restart", "app"]))?));
    }
    let another = "migrate((app) => { app.db().newQuery('CREATE TABLE another (x TEXT)').execute() }, () => {});";
    repository.push(&[("pb_migrations/1700000001_another.js", another)]);
    server.deploy("app", &repository);
    let deployments = server.lab_json(&["deployments", "app"]);
    let last = &deployments[0];
    let seconds = |millis: Option<u64>| {
        Ok::<_, Box<dyn std::error::Error>>(f64::from(u32::try_from(millis.ok_or("a time")?)?) / 1000.0)
    };
    let steps = last["steps"].as_array().ok_or("a deployment has steps")?;
    let step =
        |name: &str| seconds(steps.iter().find(|step| step["step"] == name).and_then(|step| step["millis"].as_u64()));
    let copy = seconds(last["rehearsal"]["copy_millis"].as_u64())?;
    Ok(Measured { hold: median_of(holds), rehearsal: step("rehearse")?, copy, save: step("save")? })
}

fn lab(server: &Server, words: &[&str]) -> Outcome<()> {
    let done = server.lab(words);
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned().into()) }
}

/// Writes rows into the app's database, which does not run.
fn fill(server: &Server, megabytes: usize) -> Outcome<()> {
    let mut database = Connection::open(server.data().join("apps/app/pb_data/data.db"))?;
    let text = "x".repeat(100_000);
    let all = database.transaction()?;
    for n in 0..megabytes * 10 {
        all.execute("INSERT INTO filling (id, text) VALUES (?1, ?2)", [&format!("{n:015}"), &text])?;
    }
    all.commit()?;
    Ok(())
}

/// The longest that a visitor waits for an answer during `work`.
fn longest_wait(server: &Server, work: impl FnOnce() -> Outcome<()>) -> Outcome<Duration> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let stop = Arc::new(AtomicBool::new(false));
    let visitor = Visitor::new("app", server.public_port);
    let visits = runtime.spawn({
        let stop = stop.clone();
        async move {
            let (mut longest, mut failed) = (Duration::ZERO, 0);
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let answer = visitor.try_get("/api/collections/filling/records?perPage=1&skipTotal=1&fields=id").await;
                failed += u32::from(answer.is_none_or(|(status, _)| status != 200));
                longest = longest.max(begun.elapsed());
            }
            (longest, failed)
        }
    });
    std::thread::sleep(Duration::from_millis(200));
    let worked = work();
    stop.store(true, Ordering::Relaxed);
    let (longest, failed) = runtime.block_on(visits)?;
    worked?;
    if failed == 0 { Ok(longest) } else { Err(format!("{failed} requests failed").into()) }
}
