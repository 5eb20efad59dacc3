//! The two ends of a request: a visitor's socket, and one to an app that can be looked at while hyper owns it.

use std::{
    io,
    net::IpAddr,
    os::unix::net::UnixStream as StdUnixStream,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{RecvFlags, recv, sockopt},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// A connection on its way from the listener's thread to its own.
#[derive(Debug)]
pub(super) enum Accepted {
    Tcp(std::net::TcpStream, IpAddr),
    Unix(StdUnixStream),
}

impl Accepted {
    /// The address at the other end, if it has one.
    pub(super) fn peer(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(_, peer) => Some(*peer),
            Self::Unix(_) => None,
        }
    }
}

/// A visitor's connection.
#[derive(Debug)]
pub(super) enum VisitorSocket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl VisitorSocket {
    /// On the runtime that this is called on.
    pub(super) fn new(accepted: Accepted) -> io::Result<Self> {
        match accepted {
            Accepted::Tcp(stream, _) => {
                stream.set_nodelay(true)?;
                // finds visitors that vanished without a word, behind streams that have nothing to say
                let _ = sockopt::set_socket_keepalive(&stream, true);
                let _ = sockopt::set_tcp_keepidle(&stream, Duration::from_mins(1));
                TcpStream::from_std(stream).map(Self::Tcp)
            }
            Accepted::Unix(stream) => UnixStream::from_std(stream).map(Self::Unix),
        }
    }
}

/// Calls a method of the socket inside.
macro_rules! inside {
    ($socket:expr, $stream:ident => $call:expr) => {
        match $socket.get_mut() {
            VisitorSocket::Tcp($stream) => $call,
            VisitorSocket::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for VisitorSocket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        inside!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for VisitorSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        inside!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        inside!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        inside!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        inside!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// A socket to an app, shared between hyper, which reads and writes, and the pool, which only asks whether it lives. Both
/// are on one thread, so the lock is never waited for.
///
/// It goes through [`TcpStream`]'s own `poll_read`, which knows that a read that did not fill the buffer emptied the
/// socket: with `try_read` every answer would cost one more system call.
#[derive(Debug, Clone)]
pub(super) struct AppSocket(Arc<Mutex<TcpStream>>);

impl AppSocket {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(Arc::new(Mutex::new(stream)))
    }

    fn stream(&self) -> MutexGuard<'_, TcpStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the app has neither closed nor said anything unasked, now and not when hyper last looked. It costs one
    /// system call and closes the gap between the arrival of a FIN and the task that acts on it.
    pub(super) fn is_quiet(&self) -> bool {
        let mut byte = [0_u8; 1];
        matches!(
            recv(&*self.stream(), &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT),
            Err(Errno::AGAIN | Errno::INTR)
        )
    }
}

impl AsyncRead for AppSocket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream()).poll_read(cx, buf)
    }
}

impl AsyncWrite for AppSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream()).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream()).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream()).poll_shutdown(cx)
    }
}
