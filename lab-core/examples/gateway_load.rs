//! Something to put load on: `gateway_load app`, `gateway_load gateway <app's port>`, `gateway_load tables`.
#![expect(clippy::print_stdout, reason = "a program for people")]

use std::{convert::Infallible, error::Error, time::Instant};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use lab_core::{
    AppName, Port,
    router::{
        Hostname, Route, RouteTable, RouterConfig, Target,
        gateway::{Gateway, GatewaySettings},
    },
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("app") => app().await,
        Some("gateway") => gateway(arguments.next().unwrap_or_default().parse()?).await,
        Some("tables") => tables().await,
        _ => Err("usage: gateway_load app | gateway <app's port> | tables".into()),
    }
}

/// Answers every request with two bytes.
async fn app() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let service =
                service_fn(async |_| Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok")))));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Leads `127.0.0.1` to the app.
async fn gateway(port: u16) -> Result<(), Box<dyn Error>> {
    let gateway = Gateway::new(GatewaySettings::default());
    let target = Target::Port(Port::new(port).ok_or("a port is not 0")?);
    gateway.apply([("127.0.0.1".parse()?, Route { app: None, target })].into()).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    gateway.serve(listener, CancellationToken::new()).await;
    Ok(())
}

/// How long a change of one route takes, by the number of routes.
async fn tables() -> Result<(), Box<dyn Error>> {
    for size in [1, 100, 1000, 5000] {
        let gateway = Gateway::new(GatewaySettings::default());
        let mut table = RouteTable::new();
        for n in 0..size {
            let app: AppName = format!("app-{n}").parse()?;
            let target = Target::Port(Port::new(20000 + n).ok_or("a port is not 0")?);
            table.insert(format!("{app}.lab.example.com").parse::<Hostname>()?, Route { app: Some(app), target });
        }
        gateway.apply(table.clone()).await?;
        let host: Hostname = "app-0.lab.example.com".parse()?;
        let mut took = Vec::new();
        for n in 0..200 {
            let mut next = table.clone();
            next.insert(host.clone(), Route { app: None, target: Target::Port(Port::new(1000 + n).ok_or("not 0")?) });
            let begun = Instant::now();
            gateway.apply(next).await?;
            took.push(begun.elapsed());
        }
        took.sort();
        println!("{size} routes: median {:?}, worst {:?}", took[100], took[199]);
    }
    Ok(())
}
