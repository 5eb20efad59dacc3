//! Work that blocks, off the async threads.

/// Runs `work` on a thread for blocking work, to its end even when the caller is dropped.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // the runtime is being shut down and never began it: nobody will see an answer
            Err(_) => std::future::pending().await,
        },
    }
}
