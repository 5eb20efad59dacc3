//! [`HttpProbe`]: asks with one GET over a connection of its own.

use std::{io, net::Ipv4Addr, pin::pin, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use super::{HealthError, HealthProbe};
use crate::app::Port;

/// Asks over HTTP/1.1 on the loopback interface. No proxy, no redirect, no kept connection: what answers is the process
/// that listens now.
#[derive(Debug, Clone, Copy, Default)]
pub struct HttpProbe;

impl HttpProbe {
    /// A probe.
    pub fn new() -> Self {
        Self
    }
}

#[async_trait]
impl HealthProbe for HttpProbe {
    fn backend(&self) -> &'static str {
        "http"
    }

    async fn probe(&self, port: Port, path: &str, limit: Duration) -> Result<(), HealthError> {
        let no_answer = |reason: String| HealthError::NoAnswer { path: path.to_owned(), reason };
        match timeout(limit, status(port, path)).await {
            Err(_) => Err(no_answer(format!("nothing within {limit:?}"))),
            Ok(Ok(status)) if (200..300).contains(&status) => Ok(()),
            Ok(Ok(status)) => Err(HealthError::Status { path: path.to_owned(), status }),
            Ok(Err(Ask::Connect(e))) if e.kind() == io::ErrorKind::ConnectionRefused => Err(HealthError::Refused(port)),
            Ok(Err(Ask::Connect(e))) => Err(no_answer(e.to_string())),
            Ok(Err(Ask::Http(e))) => Err(no_answer(e.to_string())),
            Ok(Err(Ask::Path)) => Err(no_answer("this is not a path".to_owned())),
        }
    }
}

enum Ask {
    Path,
    Connect(io::Error),
    Http(hyper::Error),
}

async fn status(port: Port, path: &str) -> Result<u16, Ask> {
    let uri: Uri = path.parse().map_err(|_| Ask::Path)?;
    if uri.authority().is_some() || !path.starts_with('/') {
        return Err(Ask::Path);
    }
    let request = Request::get(uri)
        .header(header::HOST, format!("127.0.0.1:{port}"))
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| Ask::Path)?;
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port.get())).await.map_err(Ask::Connect)?;
    let ends = stream.local_addr().and_then(|own| Ok((own, stream.peer_addr()?))).map_err(Ask::Connect)?;
    // a free port in the range of outgoing ports can end up connected to itself
    if ends.0 == ends.1 {
        return Err(Ask::Connect(io::ErrorKind::ConnectionRefused.into()));
    }
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Ask::Http)?;
    // nothing is spawned: when the answer is there, or time is up, the connection goes with this future
    let mut answer = pin!(sender.send_request(request));
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        // it may just have brought the answer
        _ = connection => answer.await,
    };
    answer.map(|answer| answer.status().as_u16()).map_err(Ask::Http)
}
