//! [`Visitor`]: one HTTP/1.1 connection to a public address.
#![expect(clippy::missing_panics_doc, reason = "made for tests, which want to panic")]

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::HOST};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    body::{Body, Incoming},
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// One connection. It closes when this and the answers from it are dropped.
#[derive(Debug)]
pub struct Visitor {
    sender: SendRequest<UnsyncBoxBody<Bytes, hyper::Error>>,
}

impl Visitor {
    /// Connects.
    ///
    /// # Panics
    /// If nothing listens there.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the public address listens");
        stream.set_nodelay(true).expect("an open socket takes options");
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a handshake sends nothing");
        tokio::spawn(async move {
            let _ = connection.with_upgrades().await;
        });
        Self { sender }
    }

    /// Sends a request.
    pub async fn send<B>(&mut self, request: Request<B>) -> hyper::Result<Response<Incoming>>
    where
        B: Body<Data = Bytes, Error: Into<std::convert::Infallible>> + Send + 'static,
    {
        self.sender.ready().await?;
        self.sender.send_request(request.map(|body| body.map_err(|e| match e.into() {}).boxed_unsync())).await
    }

    /// A GET, read to its end.
    pub async fn get(&mut self, host: &str, path: &str) -> hyper::Result<(StatusCode, String)> {
        let request = Request::get(path).header(HOST, host).body(Full::<Bytes>::default());
        let response = self.send(request.expect("a path and a host")).await?;
        let status = response.status();
        Ok((status, read_all(response).await?))
    }

    /// A GET over a connection of its own.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn once(address: SocketAddr, host: &str, path: &str) -> (StatusCode, String) {
        Self::connect(address).await.get(host, path).await.expect("an answer")
    }
}

/// A body as text.
pub async fn read_all(response: Response<Incoming>) -> hyper::Result<String> {
    let body = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}
