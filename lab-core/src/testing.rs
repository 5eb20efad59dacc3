//! The conformance suite of every trait, and the fakes that pass it. Feature `testing`.
//!
//! A backend of your own is checked by one line in a test, such as:
//! ```ignore
//! lab_core::registry_conformance!(async { Subject::new(MyRegistry::new()) });
//! ```
//! Each behaviour is a `pub async fn` over `&dyn Trait`; the macro per trait owns the list of behaviours, so that a new
//! one reaches every backend.

#![expect(clippy::missing_panics_doc, reason = "a check fails by panicking")]
#![allow(clippy::wildcard_imports, reason = "a suite's behaviours see what its file sees")]

pub mod health;
pub mod http;
pub mod pocketbase;
pub mod ports;
pub mod registry;
pub mod rehearsal;
pub mod router;
pub mod router_traffic;
pub mod source;
pub mod supervisor;

use std::{any::Any, fmt, sync::Arc};

pub mod builder;

/// A backend under test, and what must live as long as it does (a temporary folder, a server).
pub struct Subject<T: ?Sized> {
    /// The backend.
    pub backend: Arc<T>,
    guards: Vec<Box<dyn Any + Send>>,
}

impl<T: ?Sized> Subject<T> {
    /// A subject without guards.
    pub fn new(backend: Arc<T>) -> Self {
        Self { backend, guards: Vec::new() }
    }

    /// Keeps `guard` until the behaviour was checked.
    #[must_use]
    pub fn with(mut self, guard: impl Any + Send) -> Self {
        self.guards.push(Box::new(guard));
        self
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Subject<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("backend", &self.backend).finish_non_exhaustive()
    }
}

/// One test per behaviour of a suite. Used by the macros of the traits.
#[macro_export]
#[doc(hidden)]
macro_rules! conformance_tests {
    ($suite:ident, $make:expr; $($behaviour:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                let subject = $make.await;
                $crate::testing::$suite::$behaviour(&*subject.backend).await;
            }
        )+
    };
}
