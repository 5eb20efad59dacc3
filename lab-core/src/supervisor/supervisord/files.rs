//! The apps' files below `programs/`: `<app>.sh`, which is the truth, and `<app>.conf`, which follows from it. Everything
//! here blocks.

use std::{fs, io, path::PathBuf};

use super::{SupervisordError, SupervisordSettings, config, launch};
use crate::{
    app::AppName,
    durable,
    supervisor::{ProcessSpec, file},
};

/// The longest file that is read; an argument of a program has at most 128 KiB (execve(2)), all of them 2 MiB.
const MAX_FILE: u64 = 16 << 20;

#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) programs: PathBuf,
    spools: PathBuf,
}

impl Files {
    pub(super) fn new(settings: &SupervisordSettings) -> Self {
        Self { programs: settings.programs(), spools: settings.spools() }
    }

    /// The script that becomes the app's process.
    pub(super) fn launch(&self, app: &AppName) -> PathBuf {
        file(&self.programs, app, "sh")
    }

    fn conf(&self, app: &AppName) -> PathBuf {
        file(&self.programs, app, "conf")
    }

    /// The program file's text.
    pub(super) fn program(&self, spec: &ProcessSpec, wanted: bool) -> String {
        config::program(spec, &self.launch(&spec.app), wanted)
    }

    /// The launch file's text.
    pub(super) fn script(&self, spec: &ProcessSpec) -> io::Result<String> {
        launch::render(spec, &self.launch(&spec.app), &file(&self.spools, &spec.app, "out"))
    }

    /// Writes both; they hold secrets.
    pub(super) fn write(&self, spec: &ProcessSpec, wanted: bool) -> io::Result<()> {
        durable::write(&self.launch(&spec.app), self.script(spec)?.as_bytes(), 0o600)?;
        self.write_wanted(spec, wanted)
    }

    /// Writes only whether supervisord is to start it.
    pub(super) fn write_wanted(&self, spec: &ProcessSpec, wanted: bool) -> io::Result<()> {
        durable::write(&self.conf(&spec.app), self.program(spec, wanted).as_bytes(), 0o600)
    }

    /// Deletes both, first the one that supervisord reads.
    pub(super) fn remove(&self, app: &AppName) -> io::Result<()> {
        durable::remove(&self.conf(app))?;
        durable::remove(&self.launch(app))
    }

    /// Every app's specification, and whether it is wanted. Files that make no sense, or belong to no app, go: one that
    /// supervisord cannot read would stop all apps.
    pub(super) fn read_all(&self) -> Result<Vec<(ProcessSpec, bool)>, SupervisordError> {
        let failed = |action, path: &PathBuf| {
            let path = path.clone();
            move |source| SupervisordError::File { action, path, source }
        };
        let mut specs = Vec::new();
        let entries = fs::read_dir(&self.programs).map_err(failed("read", &self.programs))?;
        let mut paths = entries
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<Vec<_>>>()
            .map_err(failed("read", &self.programs))?;
        // scripts before what follows from them
        paths.sort_by_key(|path| path.extension().is_none_or(|extension| extension != "sh"));
        for path in paths {
            let app = path.file_stem().and_then(|stem| stem.to_str()?.parse::<AppName>().ok());
            let is_known = match (app, path.extension().and_then(|extension| extension.to_str())) {
                (Some(app), Some("sh")) => match self.read(&app).map_err(failed("read", &path))? {
                    Some(known) => {
                        specs.push(known);
                        true
                    }
                    None => false,
                },
                (Some(app), Some("conf")) => specs.iter().any(|(spec, _): &(ProcessSpec, bool)| spec.app == app),
                _ => false,
            };
            if !is_known {
                tracing::warn!(file = %path.display(), "a file that belongs to no app is deleted");
                durable::remove(&path).map_err(failed("delete", &path))?;
            }
        }
        Ok(specs)
    }

    /// One app's; its program file is written anew where it is not what it should be.
    fn read(&self, app: &AppName) -> io::Result<Option<(ProcessSpec, bool)>> {
        let text = read_bounded(&self.launch(app))?;
        let Some(spec) = launch::parse(&text).filter(|spec| spec.app == *app) else { return Ok(None) };
        let Ok(script) = self.script(&spec) else { return Ok(None) };
        if script != text {
            // an older version's
            durable::write(&self.launch(app), script.as_bytes(), 0o600)?;
        }
        let found = match read_bounded(&self.conf(app)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            other => other?,
        };
        let wanted = [true, false].into_iter().find(|wanted| self.program(&spec, *wanted) == found);
        let wanted = if let Some(wanted) = wanted {
            wanted
        } else {
            // garbage, or an older version's. What is not clearly unwanted is wanted, but for one that was never there
            let wanted = !found.is_empty() && !found.contains("autostart=false");
            self.write_wanted(&spec, wanted)?;
            wanted
        };
        Ok(Some((spec, wanted)))
    }
}

fn read_bounded(path: &std::path::Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(fs::File::open(path)?, MAX_FILE), &mut bytes)?;
    // what is not UTF-8 makes no sense either
    Ok(String::from_utf8(bytes).unwrap_or_default())
}
