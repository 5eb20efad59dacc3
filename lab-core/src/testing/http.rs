//! A small app and a small visitor, for tests of what stands between them.

mod app;
mod visitor;

pub use app::{Seen, TestApp};
pub use visitor::{Visitor, read_all};
