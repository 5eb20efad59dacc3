//! The bodies that pass through. They are never gathered: a frame is asked for when the other side takes it.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Duration, Instant};

use super::upstream::Lease;

/// When something last moved.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    base: Instant,
    millis: Arc<AtomicU64>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { base: Instant::now(), millis: Arc::default() }
    }

    pub(super) fn touch(&self) {
        let millis = u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
    }

    pub(super) fn last(&self) -> Instant {
        self.base + Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }
}

/// A visitor's body on its way to the app.
#[derive(Debug, Default)]
pub(super) struct RequestBody(Option<(Incoming, Progress)>);

impl RequestBody {
    pub(super) fn new(body: Incoming, progress: &Progress) -> Self {
        Self((!body.is_end_stream()).then(|| (body, progress.clone())))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some((body, progress)) = &mut self.0 else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        progress.touch();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |(body, _)| body.size_hint())
    }
}

/// An answer's body on its way to the visitor, and what ends with it.
pub(super) struct ReplyBody<G> {
    kind: Kind,
    _guard: G,
}

enum Kind {
    /// One of ours.
    Own(Option<Bytes>),
    /// An app's.
    App {
        body: Incoming,
        lease: Option<Lease>,
        /// An event stream ends when the gateway shuts down or its app is exchanged: it has no end of its own to wait for.
        until: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    },
}

fn give_back(lease: &mut Option<Lease>) {
    if let Some(lease) = lease.take() {
        lease.give_back();
    }
}

impl<G> ReplyBody<G> {
    pub(super) fn own(body: Bytes, guard: G) -> Self {
        Self { kind: Kind::Own(Some(body).filter(|b| !b.is_empty())), _guard: guard }
    }

    pub(super) fn app(
        body: Incoming,
        lease: Lease,
        until: Option<impl Future<Output = ()> + Send + 'static>,
        guard: G,
    ) -> Self {
        let mut lease = Some(lease);
        if body.is_end_stream() {
            give_back(&mut lease);
        } else if let Some(lease) = &mut lease {
            lease.answers(until.is_some());
        }
        let until = until.map(|until| Box::pin(until) as Pin<Box<dyn Future<Output = ()> + Send>>);
        Self { kind: Kind::App { body, lease, until }, _guard: guard }
    }
}

impl<G: Unpin> Body for ReplyBody<G> {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.kind {
            Kind::Own(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Kind::App { body, lease, until } => {
                if until.as_mut().is_some_and(|until| until.as_mut().poll(cx).is_ready()) {
                    lease.take();
                    return Poll::Ready(None);
                }
                let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
                match &frame {
                    Some(Err(_)) => drop(lease.take()),
                    // with a known length nobody polls for the end
                    Some(Ok(_)) if !body.is_end_stream() => {}
                    _ => give_back(lease),
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Own(body) => body.is_none(),
            Kind::App { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Own(body) => SizeHint::with_exact(body.as_ref().map_or(0, |b| b.len() as u64)),
            Kind::App { body, .. } => body.size_hint(),
        }
    }
}
