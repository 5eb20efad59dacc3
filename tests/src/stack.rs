//! The stacks that every test of the whole server runs on.

use std::path::PathBuf;

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stack {
    /// Native supervisor and gateway.
    Embedded,
    /// supervisord, and Caddy before Lab's gateway.
    Edge,
    /// supervisord, and Caddy before the apps.
    Direct,
}

impl Stack {
    /// Its variables.
    pub fn env(self) -> Vec<(&'static str, String)> {
        let layout = match self {
            Self::Embedded => return vec![("LAB_STACK", "embedded".to_owned())],
            Self::Edge => "edge",
            Self::Direct => "direct",
        };
        vec![
            ("LAB_STACK", "production".to_owned()),
            ("LAB_CADDY_LAYOUT", layout.to_owned()),
            ("LAB_SUPERVISORD", program("supervisord").display().to_string()),
            ("LAB_CADDY", program("caddy").display().to_string()),
        ]
    }
}

/// A program of the production stack.
pub fn program(name: &str) -> PathBuf {
    let program = crate::parts::root().join(".tools/bin").join(name);
    assert!(program.is_file(), "{name} is missing: run `make tools`");
    program
}

/// Runs a future, on two threads as a server does.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

/// Makes a test of each function on one stack; of async ones, when told so.
macro_rules! on_stack {
    ($module:ident $stack:ident async $($name:ident),+ $(,)?) => {
        mod $module { $( #[test] fn $name() { $crate::stack::run(super::$name($crate::stack::Stack::$stack)); } )+ }
    };
    ($module:ident $stack:ident $($name:ident),+ $(,)?) => {
        mod $module { $( #[test] fn $name() { super::$name($crate::stack::Stack::$stack); } )+ }
    };
}

/// The same on the embedded stack and on the production stack as it is by default.
macro_rules! on_both_stacks {
    ($($tests:tt)+) => {
        $crate::stack::on_stack!(embedded Embedded $($tests)+);
        $crate::stack::on_stack!(edge Edge $($tests)+);
    };
}

/// The same on all of them.
macro_rules! on_every_stack {
    ($($tests:tt)+) => {
        $crate::stack::on_both_stacks!($($tests)+);
        $crate::stack::on_stack!(direct Direct $($tests)+);
    };
}

pub(crate) use {on_both_stacks, on_every_stack, on_stack};
