//! Programs that embed `lab-core`, and small PocketBase apps to deploy. See `embed.rs`, `own_registry.rs` and `apps/`.
