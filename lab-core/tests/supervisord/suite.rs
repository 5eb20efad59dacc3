//! What every supervisor must do.

use std::sync::Arc;

use lab_core::{supervisor::ProcessSupervisor, testing::Subject};

use super::running::Running;

lab_core::supervisor_conformance!(async {
    let running = Running::start();
    Subject::<dyn ProcessSupervisor>::new(Arc::new(running.open().await)).with(running)
});
