//! What Lab is measured beside, each as its own documentation would set it up for this job.

pub mod caddy;
pub mod nginx;
pub mod supervisord;
pub mod webcentral;
