//! The stacks that every test of the whole server runs on.

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
        let program = |name: &str| {
            let program = crate::parts::root().join(".tools/bin").join(name);
            assert!(program.is_file(), "{name} is missing: run `make tools`");
            program.display().to_string()
        };
        vec![
            ("LAB_STACK", "production".to_owned()),
            ("LAB_CADDY_LAYOUT", layout.to_owned()),
            ("LAB_SUPERVISORD", program("supervisord")),
            ("LAB_CADDY", program("caddy")),
        ]
    }
}

/// Runs a future, on two threads as a server does.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

/// Makes a test of each function on each stack; of async ones, when told so.
macro_rules! on_every_stack {
    (async $($name:ident),+ $(,)?) => {
        mod embedded { $( #[test] fn $name() { $crate::stack::run(super::$name($crate::stack::Stack::Embedded)); } )+ }
        mod edge { $( #[test] fn $name() { $crate::stack::run(super::$name($crate::stack::Stack::Edge)); } )+ }
        mod direct { $( #[test] fn $name() { $crate::stack::run(super::$name($crate::stack::Stack::Direct)); } )+ }
    };
    ($($name:ident),+ $(,)?) => {
        mod embedded { $( #[test] fn $name() { super::$name($crate::stack::Stack::Embedded); } )+ }
        mod edge { $( #[test] fn $name() { super::$name($crate::stack::Stack::Edge); } )+ }
        mod direct { $( #[test] fn $name() { super::$name($crate::stack::Stack::Direct); } )+ }
    };
}

pub(crate) use on_every_stack;
