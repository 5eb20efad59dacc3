//! A WebSocket: after the upgrade the gateway only carries bytes.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes},
    time::{Instant, sleep_until},
};

use super::body::Progress;

/// How much may wait in each direction.
const BUFFER: usize = 8 * 1024;

/// Joins both sides until one closes, both are silent for `idle`, or the gateway stops it by dropping this.
pub(super) async fn carry(visitor: OnUpgrade, app: OnUpgrade, idle: Duration) {
    let (Ok(visitor), Ok(app)) = tokio::join!(visitor, app) else { return };
    let progress = Progress::new();
    let mut visitor = Watched { io: TokioIo::new(visitor), progress: progress.clone() };
    let mut app = Watched { io: TokioIo::new(app), progress: progress.clone() };
    let silence = async {
        loop {
            let deadline = progress.last() + idle;
            if deadline <= Instant::now() {
                return;
            }
            sleep_until(deadline).await;
        }
    };
    tokio::select! {
        // an error is an end like any other
        _ = copy_bidirectional_with_sizes(&mut visitor, &mut app, BUFFER, BUFFER) => {}
        () = silence => tracing::debug!("a silent tunnel was closed"),
    }
}

/// Notes when bytes came.
struct Watched {
    io: TokioIo<Upgraded>,
    progress: Progress,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, buf));
        self.progress.touch();
        Poll::Ready(read)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf));
        self.progress.touch();
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
