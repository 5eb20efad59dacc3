//! A plan as a person reads it.

use std::{fmt, path::Path};

use super::{BuildPlan, Frontend, Server};

impl BuildPlan {
    /// What will be built and run, then what the owner should know (`!`), then why (`-`), as lines.
    pub fn explain(&self) -> Vec<String> {
        let mut lines = vec![format!("server      {}", self.server)];
        for (name, path) in [("hooks", &self.hooks), ("migrations", &self.migrations), ("public", &self.public)] {
            lines.extend(path.as_deref().map(|path| format!("{name:<12}{}", shown(path))));
        }
        if let Some(build) = &self.hooks_build {
            let commands: Vec<String> = build.commands.iter().map(|words| words.join(" ")).collect();
            lines.push(format!("builds      hooks, in {}: {}", shown(&build.directory), commands.join(", ")));
        }
        if let Some(frontend) = &self.frontend {
            let optional = if frontend.optional { " (deployed without it when its build fails)" } else { "" };
            lines.push(format!("frontend    {}{optional}", shown(&frontend.directory)));
            lines.extend(frontend.tools().map(|tools| format!("  with      {tools}")));
            lines.extend(frontend.env.iter().map(|(name, value)| format!("  sets      {name}={value}")));
            lines.extend(frontend.commands.iter().map(|words| format!("  runs      {}", words.join(" "))));
            let output = frontend.output.as_deref().map_or("the folder the build makes".to_owned(), shown);
            lines.push(format!("  serves    {output}"));
        }
        if let Some(packages) = &self.packages {
            lines.push(format!(
                "packages    of hooks, in {}: {}",
                shown(&packages.directory),
                packages.install.join(" ")
            ));
        }
        lines.extend(self.files.iter().map(|path| format!("reads       {}", shown(path))));
        lines.extend(self.directory.as_deref().map(|path| format!("runs in     {}", shown(path))));
        if !self.args.is_empty() {
            lines.push(format!("arguments   {}", self.args.join(" ")));
        }
        lines.push(format!("health      {} within {} s", self.health.path, self.health.timeout_secs));
        if !self.required_env.is_empty() {
            lines.push(format!("needs       {}", self.required_env.join(", ")));
        }
        if !self.env_hints.is_empty() {
            lines.push(format!("may want    {}", self.env_hints.join(", ")));
        }
        if !self.listen.is_empty() {
            lines.push(format!("sets        {}", self.listen.join(", ")));
        }
        if self.env_file {
            lines.push("writes      .env".to_owned());
        }
        lines.extend(self.seed.as_deref().map(|seed| format!("seed        {} (with --seed-data)", shown(seed))));
        lines.extend(self.warnings.iter().map(|warning| format!("! {warning}")));
        lines.extend(self.reasons.iter().map(|reason| format!("- {reason}")));
        lines
    }
}

impl Frontend {
    /// The tools it is built with: `pnpm 9, Node >=20`.
    fn tools(&self) -> Option<String> {
        let manager = self.manager.as_ref().map(|manager| match &manager.version {
            Some(version) => format!("{} {version}", manager.name),
            None => manager.name.clone(),
        });
        let node = self.node.as_ref().map(|node| format!("Node {node}"));
        let all: Vec<String> = manager.into_iter().chain(node).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }
}

impl fmt::Display for BuildPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.explain().join("\n"))
    }
}

impl Server {
    /// The command that makes a Go app's program, written to `output`.
    pub fn go_build(package: &str, tags: &[String], output: &Path) -> Vec<String> {
        let mut words = vec!["go".to_owned(), "build".to_owned(), "-trimpath".to_owned(), "-buildvcs=false".to_owned()];
        if !tags.is_empty() {
            words.extend(["-tags".to_owned(), tags.join(",")]);
        }
        words.extend(["-o".to_owned(), output.to_string_lossy().into_owned(), package.to_owned()]);
        words
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PocketBase { version, program } => {
                write!(f, "the official PocketBase {version}")?;
                program.as_deref().map_or(Ok(()), |path| write!(f, ", else the same in {}", shown(path)))
            }
            Self::Program { path, pocketbase } => {
                write!(f, "the committed program {}", shown(path))?;
                pocketbase.as_ref().map_or(Ok(()), |version| write!(f, " (PocketBase {version})"))
            }
            Self::Go { module, package, tags, pocketbase, generate, cgo, go } => {
                let go = go.as_ref().map_or_else(|| "Go".to_owned(), |go| format!("Go {go}"));
                let cgo = if *cgo { " with cgo" } else { "" };
                let build = Self::go_build(package, tags, Path::new("app"));
                let commands: Vec<String> = generate.iter().chain([&build]).map(|words| words.join(" ")).collect();
                let command = commands.join(" && ");
                write!(f, "{go}{cgo}, in {}: {command}", shown(module))?;
                pocketbase.as_ref().map_or(Ok(()), |version| write!(f, " (PocketBase {version})"))
            }
        }
    }
}

fn shown(path: &Path) -> String {
    if path.as_os_str().is_empty() { ".".to_owned() } else { path.display().to_string() }
}
