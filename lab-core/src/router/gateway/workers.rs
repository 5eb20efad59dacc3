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
    /// Ends the thread by going away; none for a runtime that is not ours.
    end: Option<oneshot::Sender<()>>,
}

impl Worker {
    /// Whether the thread runs: a task's panic does not end it, one in the runtime itself would.
    fn runs(&self) -> bool {
        self.end.as_ref().is_none_or(|end| !end.is_closed())
    }
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
            all.push(Worker { runtime: Handle::current(), connections: Arc::default(), end: None });
        }
        Self { all: all.into(), threads }
    }

    /// A place on the thread that has the fewest connections, and its runtime.
    pub(super) fn place(&self) -> (Place, &Handle) {
        // without this a thread that is gone would get every connection: it always has the fewest
        let load = |(_, worker): &(usize, &Worker)| (!worker.runs(), worker.connections.load(Ordering::Relaxed));
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
    Ok(Worker { runtime: handle, connections: Arc::default(), end: Some(end) })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn workers(count: usize) -> Workers {
        Workers::start(NonZero::new(count).unwrap())
    }

    #[tokio::test]
    async fn a_connection_goes_where_the_fewest_are() {
        let workers = workers(3);
        let mut places: Vec<Place> = (0..6).map(|_| workers.place().0).collect();
        assert_eq!(places.iter().map(Place::worker).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2]);
        places.remove(4);
        assert_eq!(workers.place().0.worker(), 1);
    }

    #[tokio::test]
    async fn a_panic_ends_its_task_and_not_the_thread() {
        let workers = workers(1);
        let name = || std::thread::current().name().map(str::to_owned);
        assert!(workers.place().1.spawn(async { panic!("on purpose") }).await.unwrap_err().is_panic());
        let next = workers.place().1.spawn(async move { name() });
        assert_eq!(timeout(LONG, next).await.unwrap().unwrap().as_deref(), Some("lab-gateway-0"));
    }

    #[tokio::test]
    async fn a_thread_that_is_gone_gets_nothing() {
        let mut workers = workers(2);
        workers.all[0].end = Some(oneshot::channel().0);
        let _places: Vec<Place> = (0..4).map(|_| workers.place().0).inspect(|p| assert_eq!(p.worker(), 1)).collect();
    }

    #[tokio::test]
    async fn threads_end_with_the_workers_and_tasks_with_the_threads() {
        let workers = workers(2);
        let threads = workers.threads();
        assert_eq!(threads.len(), 2);
        let forever = workers.place().1.spawn(std::future::pending::<()>());
        drop(workers);
        timeout(LONG, threads.wait()).await.unwrap();
        assert!(forever.await.unwrap_err().is_cancelled());
    }
}
