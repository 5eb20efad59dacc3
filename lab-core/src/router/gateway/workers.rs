//! The threads that connections run on.
//!
//! Each has a runtime of its own, on which a visitor's connection stays for life, together with the connections to apps
//! that its requests use: one request never crosses threads, which costs more than all else in a small request. A new
//! connection goes to the thread with the fewest. (`SO_REUSEPORT` would spread by the hash of the addresses, badly when
//! connections are few, and not at all on unix sockets.)

use std::{
    io,
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};
use tokio_util::task::TaskTracker;

/// The threads of one gateway. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Workers {
    all: Box<[Worker]>,
    /// Has one entry per thread.
    threads: TaskTracker,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    connections: Arc<AtomicUsize>,
    /// Ends the thread by going away.
    _end: Option<oneshot::Sender<()>>,
}

/// One connection's place on a thread.
#[derive(Debug)]
pub(super) struct Place {
    worker: usize,
    connections: Arc<AtomicUsize>,
}

impl Workers {
    /// As many threads as can be had, at most `count`. Without any, connections run where `serve` runs.
    pub(super) fn start(count: NonZero<usize>) -> Self {
        let threads = TaskTracker::new();
        threads.close();
        let mut all = Vec::new();
        for n in 0..count.get() {
            match start(n, &threads) {
                Ok(worker) => all.push(worker),
                Err(e) => tracing::warn!(error = %e, threads = n, wanted = count, "the gateway has fewer threads"),
            }
        }
        if all.is_empty() {
            all.push(Worker { runtime: Handle::current(), connections: Arc::default(), _end: None });
        }
        Self { all: all.into(), threads }
    }

    /// A place on the thread that has the fewest connections, and its runtime.
    pub(super) fn place(&self) -> (Place, &Handle) {
        let load = |worker: &(usize, &Worker)| worker.1.connections.load(Ordering::Relaxed);
        let (index, worker) = self.all.iter().enumerate().min_by_key(load).unwrap_or((0, &self.all[0]));
        worker.connections.fetch_add(1, Ordering::Relaxed);
        (Place { worker: index, connections: worker.connections.clone() }, &worker.runtime)
    }

    /// Is done when all threads have ended.
    pub(super) fn threads(&self) -> TaskTracker {
        self.threads.clone()
    }
}

impl Place {
    /// Which thread, from 0.
    pub(super) fn worker(&self) -> usize {
        self.worker
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

fn start(n: usize, threads: &TaskTracker) -> io::Result<Worker> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let (end, ended) = oneshot::channel::<()>();
    let counted = threads.token();
    thread::Builder::new().name(format!("lab-gateway-{n}")).spawn(move || {
        // the sender only ever goes away
        let _ = runtime.block_on(ended);
        drop(runtime);
        drop(counted);
    })?;
    Ok(Worker { runtime: handle, connections: Arc::default(), _end: Some(end) })
}
