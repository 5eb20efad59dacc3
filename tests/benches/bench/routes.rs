//! `routes`: how long the change of one route takes, by the number of routes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lab_core::{
    Port,
    router::{
        Hostname, Route, RouteTable, RouterConfig, Target,
        caddy::CaddyLayout,
        gateway::{Gateway, GatewaySettings},
    },
    testing::ports::leased_range,
};

use super::{
    Outcome, median, millis,
    peers::caddy::{Administered, Routed, host, version},
    results::{Better, Line, Results},
};
use crate::parts::folder;

/// The longest that a change may take, in milliseconds.
const LONGEST: f64 = 1.0;

pub async fn run(is_quick: bool) -> Outcome<Results> {
    let (changes, caddy_changes) = if is_quick { (50, 3) } else { (500, 15) };
    let dir = folder();
    let (mut ports, _lease) = leased_range();
    let mut port = || ports.next().ok_or("a lease is long enough");
    let caddy = Administered::start(port()?, dir.path())?;
    let (direct, edge) = (port()?, port()?);
    let routed = async |layout, port| {
        Routed::start(layout, port, dir.path(), Arc::new(Gateway::new(GatewaySettings::default()))).await
    };
    let direct = routed(CaddyLayout::Direct, direct).await?;
    let edge = routed(CaddyLayout::Edge, edge).await?;
    let mut results = Results::default();
    results.notes.push(format!(
        "routes: the median of {changes} changes of one route with {caddy_changes} of Caddy's. `lab` is \
         `RouterConfig::apply` of the whole table on the gateway in this process; `caddy` is a PATCH of the one route by \
         its `@id` over the admin API's unix socket, `caddy load` the whole configuration by `/load`; `caddy direct` and \
         `caddy edge` are `RouterConfig::apply` of the whole table on Lab's `CaddyRouter`. It is not flat because `apply` takes \
         the whole table: comparing it with the one before is linear, off the requests' path. {}.",
        version()?
    ));
    let mut first = None;
    for size in [1, 100, 1000, 5000] {
        let lab = applied(&Gateway::new(GatewaySettings::default()), size, changes).await?;
        let (one, whole) = (by_id(&caddy, size, caddy_changes).await?, by_load(&caddy, size, caddy_changes).await?);
        let mut peers = vec![("caddy".to_owned(), one), ("caddy load".to_owned(), whole)];
        for (name, caddy) in [("caddy direct", &direct), ("caddy edge", &edge)] {
            peers.push((name.to_owned(), applied(&caddy.router, size, caddy_changes).await?));
        }
        let name = format!("routes: one change, {size} in the table");
        results.lines.push(Line::at_most(&name, "ms", lab, LONGEST, peers));
        first.get_or_insert(lab);
        if size == 5000 {
            let with_one = vec![("with 1 route".to_owned(), first.unwrap_or(lab))];
            let line = Line::new("routes: flat, 5000 routes beside 1", "ms", Better::Lower, lab, with_one);
            // what is at most doubled by 5000 times as many counts as flat
            results.lines.push(line.against(Better::Lower, &["with 1 route"], 0.5));
        }
    }
    Ok(results)
}

/// A table, and changes of its first route.
async fn applied(router: &dyn RouterConfig, size: u16, changes: u16) -> Outcome<f64> {
    let to = |port: u16| -> Outcome<Route> {
        Ok(Route { app: Some("app".parse()?), target: Target::Port(Port::new(port).ok_or("a port is not 0")?) })
    };
    let mut table = RouteTable::new();
    for n in 0..size {
        table.insert(host(n).parse::<Hostname>()?, to(20_000 + n)?);
    }
    router.apply(table.clone()).await?;
    let first: Hostname = host(0).parse()?;
    let mut took = Vec::new();
    for n in 0..changes {
        let mut next = table.clone();
        next.insert(first.clone(), to(1000 + n)?);
        took.push(time(router.apply(next)).await?);
    }
    Ok(millis(median(&mut took)))
}

async fn by_id(caddy: &Administered, size: u16, changes: u16) -> Outcome<f64> {
    caddy.load(size, 9).await?;
    let mut took = Vec::new();
    for n in 0..changes {
        took.push(time(caddy.change_one_route(1000 + n)).await?);
    }
    Ok(millis(median(&mut took)))
}

async fn by_load(caddy: &Administered, size: u16, changes: u16) -> Outcome<f64> {
    let mut took = Vec::new();
    for n in 0..changes {
        took.push(time(caddy.load(size, 1000 + n)).await?);
    }
    Ok(millis(median(&mut took)))
}

async fn time<E>(work: impl Future<Output = Result<(), E>>) -> Result<Duration, E> {
    let begun = Instant::now();
    work.await?;
    Ok(begun.elapsed())
}
