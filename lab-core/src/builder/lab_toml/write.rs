//! States a plan as a `lab.toml`.

use std::path::{Path, PathBuf};

use toml::Spanned;

use super::{
    EnvName, EnvSection, Flag, FolderSection, FrontendSection, HealthPath, HealthSection, HooksSection, LabToml,
    PocketBaseSection, RepoPath, Seconds, Section, ServerKind, ServerSection, Tag, VersionNumber, Words,
};
use crate::builder::plan::{BuildPlan, Frontend, Server};

impl BuildPlan {
    /// The `lab.toml` at the repository's root that states this plan: with it, detection has nothing left to guess. An
    /// error means that the plan holds what no `lab.toml` may say, such as a path outside of the repository.
    pub fn to_lab_toml(&self) -> Result<String, String> {
        let (pocketbase, server) = self.server.stated(&self.files)?;
        let toml = LabToml {
            root: None,
            pocketbase,
            server: Some(ServerSection { args: all(&self.args, Flag::new)?, ..server }),
            frontend: Some(match &self.frontend {
                Some(frontend) => Section::On(frontend.stated()?),
                None => Section::Off,
            }),
            hooks: match &self.hooks {
                // they are not there before they are built
                _ if self.hooks_build.is_some() => None,
                Some(hooks) => Some(Section::On(HooksSection { path: Some(path(hooks)?), pool: None })),
                None => Some(Section::Off),
            },
            migrations: Some(folder(self.migrations.as_deref())?),
            public: Some(folder(self.public.as_deref())?),
            health: Some(HealthSection {
                path: Some(HealthPath::new(&self.health.path)?),
                // a time that is only the usual one may be cut short
                timeout: self.health.is_stated.then_some(Seconds(self.health.timeout_secs)),
            }),
            env: if self.required_env.is_empty() {
                None
            } else {
                Some(EnvSection { required: all(&self.required_env, EnvName::new)? })
            },
        };
        toml::to_string(&toml).map_err(|error| error.to_string())
    }
}

impl Server {
    fn stated(&self, files: &[PathBuf]) -> Result<(Option<PocketBaseSection>, ServerSection), String> {
        Ok(match self {
            Self::Program { path: program, .. } => (
                None,
                ServerSection {
                    kind: Some(ServerKind::Program),
                    program: Some(path(program)?),
                    files: Some(files.iter().map(path).collect::<Result<_, _>>()?),
                    ..ServerSection::default()
                },
            ),
            Self::PocketBase { version, .. } => (
                Some(PocketBaseSection { version: VersionNumber::new(version)? }),
                ServerSection {
                    kind: Some(ServerKind::PocketBase),
                    files: Some(files.iter().map(path).collect::<Result<_, _>>()?),
                    ..ServerSection::default()
                },
            ),
            Self::Go { module, package, tags, .. } => (
                None,
                ServerSection {
                    kind: Some(ServerKind::Go),
                    module: Some(path(module)?),
                    package: Some(path(package)?),
                    tags: Some(all(tags, Tag::new)?),
                    // what is beside the module is found again
                    files: Some(
                        files
                            .iter()
                            .filter(|file| file.starts_with(module))
                            .map(|file| path(inside(file, module)?))
                            .collect::<Result<_, _>>()?,
                    ),
                    program: None,
                    args: Vec::new(),
                },
            ),
        })
    }
}

impl Frontend {
    fn stated(&self) -> Result<FrontendSection, String> {
        let (install, build) = match self.commands.as_slice() {
            [] => (Vec::new(), Vec::new()),
            [build] => (Vec::new(), build.clone()),
            [install, build] => (install.clone(), build.clone()),
            more => return Err(format!("a `lab.toml` states two commands, the plan has {}", more.len())),
        };
        Ok(FrontendSection {
            directory: Some(path(&self.directory)?),
            install: Some(Words(install)),
            build: Some(Words(build)),
            output: self.output.as_ref().map(path).transpose()?,
            optional: self.optional,
        })
    }
}

/// A file of the module, seen from there.
fn inside<'a>(file: &'a Path, module: &Path) -> Result<&'a Path, String> {
    file.strip_prefix(module).map_err(|_| format!("`{}` is not in the Go module", file.display()))
}

fn folder(at: Option<&Path>) -> Result<Section<FolderSection>, String> {
    at.map_or(Ok(Section::Off), |at| Ok(Section::On(FolderSection { path: path(at)? })))
}

fn path(path: impl AsRef<Path>) -> Result<Spanned<RepoPath>, String> {
    let text = path.as_ref().to_str().ok_or("a path is not UTF-8")?;
    // the repository itself is written `.`, which an empty path is read from too
    let mut stated = RepoPath::new(text)?;
    if stated.0.is_empty() {
        ".".clone_into(&mut stated.0);
    }
    Ok(Spanned::new(0..0, stated))
}

fn all<T>(texts: &[String], check: fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    texts.iter().map(|text| check(text)).collect()
}
