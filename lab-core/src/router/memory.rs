//! [`MemoryRouter`]: keeps the table and routes nothing.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::{RouteTable, RouterConfig, RouterError};

/// A router for programs that lead requests to apps themselves.
#[derive(Debug, Default)]
pub struct MemoryRouter {
    table: Mutex<RouteTable>,
}

impl MemoryRouter {
    /// A router without routes.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl RouterConfig for MemoryRouter {
    fn backend(&self) -> &'static str {
        "memory"
    }

    async fn apply(&self, table: RouteTable) -> Result<(), RouterError> {
        *self.table.lock().unwrap_or_else(PoisonError::into_inner) = table;
        Ok(())
    }

    async fn table(&self) -> Result<RouteTable, RouterError> {
        Ok(self.table.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}
