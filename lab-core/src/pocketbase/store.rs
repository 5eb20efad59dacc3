//! One binary per version, fetched once, verified, read-only.

/// The store.
#[derive(Debug, Clone)]
pub struct PocketBaseStore;
