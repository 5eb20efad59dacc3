//! `deploy`: what Lab adds to the clone, the build and the boot of an app.

use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::{
    Outcome, go_on, median_of,
    results::{Line, Results},
};
use crate::{parts::Repository, server::Server, stack::Stack};

/// The longest that everything else may take, in milliseconds.
const LONGEST: f64 = 150.0;
/// The steps that any way of deploying has: clone, build, boot.
const WORK: [&str; 4] = ["fetch", "build", "start", "health"];

pub fn run(is_quick: bool, stopping: &CancellationToken) -> Outcome<Results> {
    let rounds: u32 = if is_quick { 2 } else { 10 };
    let [first, again] = measure(Stack::Embedded, rounds, stopping)?;
    let production = measure(Stack::Edge, rounds, stopping)?;
    let mut results = Results::default();
    results.notes.push(format!(
        "deploy: the median of {rounds} runs of `lab deploy` of the guestbook, from the start of the command to its end, \
         without the steps that the deployment's record names {}: what is left is the command itself, the API, queue, plan, \
         switch (the old process's stop) and publish, the records on disk among them. `work` is those steps, \
         `production` the same overhead on the production stack.",
        WORK.join(", ")
    ));
    for ((what, measured), production) in [("first", first), ("again", again)].into_iter().zip(production) {
        let part = |measured: &[Measured], value: fn(&Measured) -> f64| median_of(measured.iter().map(value).collect());
        let name = format!("deploy: overhead, {what}");
        let overhead = |measured: &[Measured]| part(measured, |deployed| deployed.overhead);
        let work = part(&measured, |deployed| deployed.work);
        let peers = vec![("work".to_owned(), work), ("production".to_owned(), overhead(&production))];
        results.lines.push(Line::at_most(&name, "ms", overhead(&measured), LONGEST, peers));
    }
    results.notes.push(
        "build: `lab deploy` of the Go and Vite example (`examples/apps/notes-go`), from the start of the command to its end. \
         `first`: with nothing in the lab's caches, so Go modules and packages come over the network and PocketBase is \
         compiled; `page changed`: with another file of the frontend; `unchanged`: once more as it is."
            .to_owned(),
    );
    go_on(stopping)?;
    let [first, changed, unchanged] = builds();
    results.lines.push(Line::at_most(
        "build: again, page changed",
        "s",
        changed,
        first / 3.0,
        vec![("first".to_owned(), first)],
    ));
    results.lines.push(Line::at_most(
        "build: again, unchanged",
        "s",
        unchanged,
        2.0,
        vec![("first".to_owned(), first)],
    ));
    Ok(results)
}

/// Three deployments of the Go and Vite example, in seconds.
fn builds() -> [f64; 3] {
    let repository = Repository::of_example("notes-go");
    let server = Server::start();
    let timed = || {
        let begun = Instant::now();
        server.deploy("notes", &repository);
        begun.elapsed().as_secs_f64()
    };
    let first = timed();
    repository.push(&[("frontend/public/changed.txt", "another file")]);
    [first, timed(), timed()]
}

/// Deployments of new apps, and of one app again and again.
fn measure(stack: Stack, rounds: u32, stopping: &CancellationToken) -> Outcome<[Vec<Measured>; 2]> {
    let repository = Repository::of_example("guestbook");
    let server = Server::start_on(stack);
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        go_on(stopping)?;
        first.push(deploy(&server, &format!("app-{round}"), &repository)?);
    }
    for round in 0..rounds {
        go_on(stopping)?;
        repository.push(&[("pb_public/round.txt", &round.to_string())]);
        again.push(deploy(&server, "app-0", &repository)?);
    }
    Ok([first, again])
}

/// One deployment, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Measured {
    work: f64,
    overhead: f64,
}

fn deploy(server: &Server, app: &str, repository: &Repository) -> Outcome<Measured> {
    let begun = Instant::now();
    server.deploy(app, repository);
    let whole = begun.elapsed().as_secs_f64() * 1000.0;
    let deployments = server.lab_json(&["deployments", app]);
    let steps = deployments[0]["steps"].as_array().ok_or("a deployment has steps")?;
    let work: u64 = steps
        .iter()
        .filter(|step| step["step"].as_str().is_some_and(|name| WORK.contains(&name)))
        .map(|step| step["millis"].as_u64().ok_or("a step that ended has its time"))
        .sum::<Result<_, _>>()?;
    let work = f64::from(u32::try_from(work)?);
    Ok(Measured { work, overhead: whole - work })
}
