//! `proxy`: what a request costs through each proxy.

use std::{sync::Arc, thread, time::Duration};

use lab_core::{
    Port,
    router::{Route, RouterConfig, Target, caddy::CaddyLayout, memory::MemoryRouter},
    testing::ports::leased_ranges,
};

use super::{
    HOST, Outcome, itself,
    peers::{caddy, nginx, webcentral},
    processes::{Cpu, Place, Program, tool},
    results::{Better, Line, Results},
    wrk::{self, Load},
};
use crate::parts::{folder, root};

/// One thing to put load on.
struct Proxy {
    name: &'static str,
    port: u16,
    /// Whose CPU time counts.
    programs: Vec<Program>,
    best: Best,
}

/// The best of each value over all rounds: noise only makes them worse.
#[derive(Debug, Clone, Copy)]
struct Best {
    per_second: f64,
    p50: f64,
    p99: f64,
    /// Microseconds of CPU time per request.
    cpu: f64,
    /// The kernel's part of it.
    kernel: f64,
}

const WORST: Best =
    Best { per_second: 0.0, p50: f64::INFINITY, p99: f64::INFINITY, cpu: f64::INFINITY, kernel: f64::INFINITY };

/// The proxies that Lab is compared with on every line.
const AGAINST: [&str; 2] = ["caddy", "nginx"];

pub async fn run(is_quick: bool) -> Outcome<Results> {
    let (rounds, seconds) = if is_quick { (1, 1) } else { (5, 4) };
    let dir = folder();
    let (ports, _lease) = leased_ranges(2);
    let mut ports = ports;
    let mut port = || ports.next().ok_or("a lease is long enough");
    let mut results = Results::default();
    results.notes.push(format!(
        "proxy: keep-alive connections of wrk to an app that answers two bytes, {seconds} s each, in turns, the best of \
         {rounds} rounds; all on this machine's cores, wrk and the app included. `direct` is the app alone, `caddy` leads to it by a \
         configuration of this benchmark's own; `caddy direct` and `caddy edge` are configured by Lab's `CaddyRouter`, `edge` \
         with Lab's gateway behind. CPU is user and system time of the proxy's processes. {}; {}.",
        caddy::version()?,
        nginx::version()?
    ));

    let app = port()?;
    let _app = itself::start_app(app, dir.path())?;
    let mut proxies = vec![Proxy { name: "direct", port: app, programs: Vec::new(), best: WORST }];
    let mut add = |name, port, programs| proxies.push(Proxy { name, port, programs, best: WORST });
    let (gateway, plain, nginx, other) = (port()?, port()?, port()?, port()?);
    let (direct, edge) = (port()?, port()?);
    add("lab", gateway, vec![itself::start_gateway(&Place::Port(gateway), app, dir.path())?]);
    add("caddy", plain, vec![caddy::start_proxy(plain, app, dir.path())?]);
    let routed =
        async |layout, port| caddy::Routed::start(layout, port, dir.path(), Arc::new(MemoryRouter::new())).await;
    let caddy = routed(CaddyLayout::Direct, direct).await?;
    let target = Target::Port(Port::new(app).ok_or("a port is not 0")?);
    let route = Route { app: Some("app".parse()?), target };
    caddy.router.apply([(HOST.parse()?, route)].into()).await?;
    add("caddy direct", direct, vec![caddy.into_program()]);
    let caddy = routed(CaddyLayout::Edge, edge).await?;
    let behind = itself::start_gateway(&Place::Socket(caddy.gateway.clone()), app, dir.path())?;
    add("caddy edge", edge, vec![caddy.into_program(), behind]);
    add("nginx", nginx, vec![nginx::start_proxy(nginx, app, dir.path())?]);
    match webcentral::start_proxy(other, app, dir.path()) {
        Ok(program) => add("webcentral", other, vec![program]),
        Err(error) => results.notes.push(format!("webcentral is absent: {error}")),
    }

    // the first requests open connections and files, and are no measure
    for proxy in &proxies {
        load(proxy.port, 32, 1).await.map_err(|e| format!("{}: {e}", proxy.name))?;
    }
    for connections in [1, 32, 128] {
        for proxy in &mut proxies {
            proxy.best = WORST;
        }
        for _ in 0..rounds {
            for proxy in &mut proxies {
                proxy.measure(connections, seconds).await?;
            }
        }
        results.lines.extend(lines(&proxies, connections));
        if connections == 32 {
            results.notes.extend(bound(&proxies));
        }
    }
    Ok(results)
}

impl Proxy {
    fn cpu(&self) -> Cpu {
        self.programs.iter().map(Program::cpu).sum()
    }

    async fn measure(&mut self, connections: u32, seconds: u32) -> Outcome<()> {
        let before = self.cpu();
        let load = load(self.port, connections, seconds).await.map_err(|e| format!("{}: {e}", self.name))?;
        let after = self.cpu();
        let each = |before, after: Duration| after.saturating_sub(before).as_secs_f64() * 1e6 / load.requests;
        let best = &mut self.best;
        *best = Best {
            per_second: best.per_second.max(load.per_second),
            p50: best.p50.min(load.p50),
            p99: best.p99.min(load.p99),
            cpu: best.cpu.min(each(before.whole, after.whole)),
            kernel: best.kernel.min(each(before.kernel, after.kernel)),
        };
        Ok(())
    }
}

fn lines(proxies: &[Proxy], connections: u32) -> Vec<Line> {
    let line = |what: &str, unit, better, value: fn(&Best) -> f64| {
        let mut values: Vec<(String, f64)> = proxies
            .iter()
            .map(|proxy| (proxy.name.to_owned(), value(&proxy.best)))
            // the app alone has no proxy that would use CPU
            .filter(|(_, value)| *value > 0.0)
            .collect();
        let lab = values.iter().position(|(name, _)| name == "lab").map_or(f64::NAN, |at| values.remove(at).1);
        let plural = if connections == 1 { "" } else { "s" };
        Line::new(&format!("proxy: {what}, {connections} connection{plural}"), unit, better, lab, values)
    };
    let throughput = |what| line(what, "requests/s", Better::Higher, |best| best.per_second);
    let mut lines = vec![throughput("throughput").against(Better::Higher, &AGAINST, 1.0)];
    if connections == 32 {
        lines.push(throughput("throughput beside Caddy").against(Better::Higher, &["caddy"], 5.0));
    }
    for (what, unit, value) in [
        ("CPU per request", "µs", (|best| best.cpu) as fn(&Best) -> f64),
        ("p50", "ms", |best| best.p50),
        ("p99", "ms", |best| best.p99),
    ] {
        lines.push(line(what, unit, Better::Lower, value).against(Better::Lower, &AGAINST, 1.0));
    }
    lines
}

/// What a proxy could reach at best that shares the cores with the load and the app, as all do here.
fn bound(proxies: &[Proxy]) -> Option<String> {
    let of = |name: &str| proxies.iter().find(|proxy| proxy.name == name).map(|proxy| proxy.best);
    let (lab, direct, caddy) = (of("lab")?, of("direct")?, of("caddy")?);
    let cores =
        thread::available_parallelism().ok().and_then(|cores| u32::try_from(cores.get()).ok()).map_or(1.0, f64::from);
    let around = cores * 1e6 / direct.per_second;
    let most = cores * 1e6 / (around + lab.kernel);
    Some(format!(
        "proxy, what bounds it: at 32 connections {:.1} of the {:.1} µs of CPU that Lab takes per request are the kernel's, for \
         the two reads and two writes on sockets that every proxy makes. wrk and the app take {around:.1} µs beside them on the \
         same {cores} cores: a proxy whose own code took no time would come to {most:.0} requests/s here, {:.1} times what \
         Caddy does.",
        lab.kernel,
        lab.cpu,
        most / caddy.per_second
    ))
}

/// Puts load on a port for some seconds.
async fn load(port: u16, connections: u32, seconds: u32) -> Outcome<Load> {
    let libraries = format!(".tools/wrk/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let report = tokio::process::Command::new(tool("wrk/usr/bin/wrk")?)
        .env("LD_LIBRARY_PATH", root().join(libraries))
        .args(["--latency", "--threads", &connections.min(2).to_string()])
        .args(["--connections", &connections.to_string(), "--duration", &format!("{seconds}s")])
        .args(["--header", &format!("Host: {HOST}"), &format!("http://127.0.0.1:{port}/")])
        .kill_on_drop(true)
        .output()
        .await?;
    Ok(wrk::parse(&String::from_utf8_lossy(&report.stdout))?)
}
