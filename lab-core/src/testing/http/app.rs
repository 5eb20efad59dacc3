//! [`TestApp`]: an HTTP server whose answers show what reached it.
#![expect(clippy::missing_panics_doc, reason = "made for tests, which want to panic")]

use std::{
    convert::Infallible,
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::{broadcast, watch},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::app::Port;

/// A request as the app saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The target, as it stood in the request line.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
}

/// A small app on a loopback port.
///
/// | Path | Answer |
/// |---|---|
/// | `/echo` | the request's body, frame by frame, trailers included |
/// | `/upload` | the number of bytes in the body; [`uploaded`](Self::uploaded) tells while they come |
/// | `/events` | an event stream: `hello`, then what [`tell`](Self::tell) is given |
/// | `/ws` | switches protocols, then echoes bytes |
/// | `/hops` | the app's name, under hop-by-hop headers |
/// | `/status/<n>` | that status; without body |
/// | `/hang` | none |
/// | `/cut` | none: the connection closes |
/// | any other | the app's name |
#[derive(Debug)]
pub struct TestApp {
    port: Port,
    state: Arc<State>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    name: String,
    seen: Mutex<Vec<Seen>>,
    connections: watch::Sender<usize>,
    uploaded: watch::Sender<u64>,
    streams: watch::Sender<usize>,
    events: broadcast::Sender<String>,
}

type AppBody = UnsyncBoxBody<Bytes, hyper::Error>;

impl TestApp {
    /// Starts one on a free port.
    pub async fn start(name: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        Self::serve(name, listener)
    }

    /// Starts one on this port.
    ///
    /// # Panics
    /// If the port is taken.
    pub async fn start_on(name: &str, port: Port) -> Self {
        Self::serve(name, TcpListener::bind((Ipv4Addr::LOCALHOST, port.get())).await.expect("the port is free"))
    }

    fn serve(name: &str, listener: TcpListener) -> Self {
        let port = listener.local_addr().ok().and_then(|a| Port::new(a.port())).expect("a bound listener has a port");
        let state = Arc::new(State {
            name: name.to_owned(),
            seen: Mutex::default(),
            connections: watch::Sender::new(0),
            uploaded: watch::Sender::new(0),
            streams: watch::Sender::new(0),
            events: broadcast::Sender::new(64),
        });
        let stop = CancellationToken::new();
        let task = tokio::spawn(accept(listener, state.clone(), stop.clone()));
        Self { port, state, stop, task }
    }

    /// Its port.
    pub fn port(&self) -> Port {
        self.port
    }

    /// The requests that reached it.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many connections it has accepted so far.
    pub fn connections(&self) -> usize {
        *self.state.connections.borrow()
    }

    /// How many bytes `/upload` got so far.
    pub fn uploaded(&self) -> watch::Receiver<u64> {
        self.state.uploaded.subscribe()
    }

    /// How many `/events` are open.
    pub fn streams(&self) -> watch::Receiver<usize> {
        self.state.streams.subscribe()
    }

    /// Sends an event on all `/events`.
    pub fn tell(&self, event: &str) {
        let _ = self.state.events.send(event.to_owned());
    }

    /// Ends like a killed process: listener and connections close at once.
    pub async fn kill(mut self) {
        self.stop.cancel();
        let _ = (&mut self.task).await;
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let Ok((stream, _)) = accepted else { continue };
        let _ = stream.set_nodelay(true);
        state.connections.send_modify(|n| *n += 1);
        let (state, stop) = (state.clone(), stop.clone());
        connections.spawn(async move {
            let service = service_fn(|request| answer(state.clone(), stop.clone(), request));
            let http = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
            let _ = http.await;
        });
    }
    drop(listener);
    connections.shutdown().await;
}

async fn answer(
    state: Arc<State>,
    stop: CancellationToken,
    mut request: Request<Incoming>,
) -> io::Result<Response<AppBody>> {
    let seen = Seen {
        method: request.method().to_string(),
        target: request.uri().to_string(),
        headers: request.headers().clone(),
    };
    let path = request.uri().path().to_owned();
    state.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    let mut response = Response::new(full(state.name.clone()));
    match path.as_str() {
        "/echo" => {
            if let Some(trailer) = request.headers().get(header::TRAILER) {
                response.headers_mut().insert(header::TRAILER, trailer.clone());
            }
            *response.body_mut() = request.into_body().boxed_unsync();
        }
        "/upload" => {
            let mut body = request.into_body();
            let mut total = 0;
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(io::Error::other)?;
                total += frame.data_ref().map_or(0, |data| data.len() as u64);
                state.uploaded.send_replace(total);
            }
            *response.body_mut() = full(total.to_string());
        }
        "/events" => {
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            *response.body_mut() = events(&state);
        }
        "/ws" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(stop.run_until_cancelled_owned(async move {
                if let Ok(upgraded) = upgrade.await {
                    let _ = echo(TokioIo::new(upgraded)).await;
                }
            }));
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        "/hops" => {
            let hops = [
                ("connection", "x-secret"),
                ("x-secret", "1"),
                ("proxy-authenticate", "Basic"),
                ("keep-alive", "timeout=9"),
            ];
            for (name, value) in hops {
                response.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
        }
        "/hang" => std::future::pending().await,
        "/cut" => return Err(io::ErrorKind::ConnectionAborted.into()),
        other => {
            if let Some(status) = other.strip_prefix("/status/").and_then(|s| s.parse().ok()) {
                *response.status_mut() = status;
                *response.body_mut() = full(String::new());
            }
        }
    }
    Ok(response)
}

fn full(text: String) -> AppBody {
    Full::new(Bytes::from(text)).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// An open event stream; counted until dropped.
struct Open(Arc<State>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.streams.send_modify(|n| *n -= 1);
    }
}

fn events(state: &Arc<State>) -> AppBody {
    state.streams.send_modify(|n| *n += 1);
    let start = (Some("hello".to_owned()), state.events.subscribe(), Open(state.clone()));
    let frames = futures_util::stream::unfold(start, |(first, mut more, open)| async move {
        let event = match first {
            Some(event) => event,
            None => more.recv().await.ok()?,
        };
        Some((Ok(Frame::data(Bytes::from(format!("data: {event}\n\n")))), (None, more, open)))
    });
    BodyExt::boxed_unsync(StreamBody::new(frames))
}

async fn echo(mut io: TokioIo<hyper::upgrade::Upgraded>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match io.read(&mut buffer).await? {
            0 => return io.shutdown().await,
            n => io.write_all(&buffer[..n]).await?,
        }
        io.flush().await?;
    }
}
