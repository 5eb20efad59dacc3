//! Copies folders of a checkout into a release.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink},
    path::{Component, Path, PathBuf},
};

use nix::fcntl::OFlag;

use super::{log::Log, stop::Stop};
use crate::builder::BuildError;

/// Folders inside folders; also ends a walk through links that lead in circles.
const MAX_DEPTH: usize = 64;

/// Copies from one checkout. Blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Copier<'a> {
    /// The checkout: links may lead anywhere in it.
    pub checkout: &'a Path,
    /// Where to say what was left out.
    pub log: &'a Log,
    /// When to end early.
    pub stop: &'a Stop,
    /// Whether what is hidden is left out, and installed packages: not for visitors, and hardly for a program.
    pub is_open: bool,
}

impl Copier<'_> {
    /// Copies what is in `from`, a real path in the checkout, into `to`, over what is there. Links that stay inside
    /// `from` stay links, what others in the checkout lead to is copied, and those that lead out are left out.
    pub(super) fn folder(&self, from: &Path, to: &Path) -> Result<(), BuildError> {
        self.contents(from, from, to, 0)
    }

    /// Copies a real path in the checkout, a file or a folder as by [`folder`](Self::folder), with the folders above `to`.
    pub(super) fn any(&self, from: &Path, to: &Path) -> Result<(), BuildError> {
        if let Some(above) = to.parent() {
            fs::create_dir_all(above).map_err(failed("create", above))?;
        }
        match from.symlink_metadata().map_err(failed("read", from))? {
            meta if meta.is_dir() => self.folder(from, to),
            meta if meta.is_file() => file(from, to),
            _ => {
                self.leave_out(from, "is neither a file nor a folder");
                Ok(())
            }
        }
    }

    fn contents(&self, top: &Path, from: &Path, to: &Path, depth: usize) -> Result<(), BuildError> {
        if depth > MAX_DEPTH {
            return Err(BuildError::Invalid {
                what: format!("`{}`", self.shown(from)),
                reason: format!("more than {MAX_DEPTH} folders are inside each other, or a link leads in circles"),
            });
        }
        clear(to, true).and_then(|()| fs::create_dir_all(to)).map_err(failed("create", to))?;
        for entry in fs::read_dir(from).map_err(failed("read", from))? {
            self.stop.check()?;
            let name = entry.map_err(failed("read", from))?.file_name();
            let from = from.join(&name);
            if self.is_open && is_hidden(&from) {
                self.leave_out(&from, "is hidden, or installed for a build");
            } else if name != ".git" {
                self.entry(top, &from, &to.join(&name), depth)?;
            }
        }
        Ok(())
    }

    fn entry(&self, top: &Path, from: &Path, to: &Path, depth: usize) -> Result<(), BuildError> {
        let meta = from.symlink_metadata().map_err(failed("read", from))?;
        if meta.is_dir() {
            self.contents(top, from, to, depth + 1)
        } else if meta.is_symlink() {
            self.link(top, from, to, depth)
        } else if meta.is_file() {
            file(from, to)
        } else {
            self.leave_out(from, "is neither a file nor a folder");
            Ok(())
        }
    }

    fn link(&self, top: &Path, from: &Path, to: &Path, depth: usize) -> Result<(), BuildError> {
        let parent = from.parent().unwrap_or(top);
        let real = match from.canonicalize() {
            Ok(real) if real.starts_with(self.checkout) && !is_git(&real, self.checkout) => real,
            Ok(_) => {
                self.leave_out(from, "is a link that leads out of the repository");
                return Ok(());
            }
            Err(_) => {
                self.leave_out(from, "is a link that leads to nothing");
                return Ok(());
            }
        };
        if real.starts_with(top) {
            // said anew from the real places: a chain of links cannot lead elsewhere in the release
            let target = relative(parent, &real);
            return clear(to, false).and_then(|()| symlink(target, to)).map_err(failed("create", to));
        }
        if parent.starts_with(&real) {
            self.leave_out(from, "is a link to a folder that it is in");
            return Ok(());
        }
        match real.symlink_metadata().map_err(failed("read", &real))? {
            meta if meta.is_dir() => self.contents(&real, &real, to, depth + 1),
            meta if meta.is_file() => file(&real, to),
            _ => {
                self.leave_out(from, "is a link to neither a file nor a folder");
                Ok(())
            }
        }
    }

    fn leave_out(&self, path: &Path, why: &str) {
        self.log.say(&format!("left out: `{}` {why}", self.shown(path)));
    }

    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(self.checkout).unwrap_or(path).display().to_string()
    }
}

/// `.env` and the like, which hold secrets more often than anything to show, and what a package manager installed (some
/// frameworks put files to serve into a folder of that name).
fn is_hidden(path: &Path) -> bool {
    const INSTALLED: &[&str] = &[".bin", ".package-lock.json", ".modules.yaml", ".yarn-integrity"];
    let name = path.file_name().unwrap_or_default();
    let is_installed = name == "node_modules" && INSTALLED.iter().any(|mark| path.join(mark).exists());
    is_installed || (name != ".well-known" && name.as_encoded_bytes().starts_with(b"."))
}

/// A repository's own data is nothing to serve: it may hold credentials.
fn is_git(path: &Path, checkout: &Path) -> bool {
    path.strip_prefix(checkout).is_ok_and(|inside| inside.components().any(|name| name.as_os_str() == ".git"))
}

/// Copies one file: its content and whether it may be run.
fn file(from: &Path, to: &Path) -> Result<(), BuildError> {
    // neither a link nor a pipe that took its place since it was looked at
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let opened = File::options().read(true).custom_flags(flags.bits()).open(from);
    let mut source = opened.map_err(failed("read", from))?;
    let meta = source.metadata().map_err(failed("read", from))?;
    if !meta.is_file() {
        return Err(failed("read", from)(io::Error::other("it changed while it was copied")));
    }
    clear(to, false).map_err(failed("replace", to))?;
    let created = File::options().write(true).create_new(true).mode(mode(&meta)).open(to);
    let mut destination = created.map_err(failed("create", to))?;
    // the kernel copies, and shares the blocks where the file system can
    io::copy(&mut source, &mut destination).map_err(failed("copy", from))?;
    Ok(())
}

/// Copies a program, as one that may be run, whatever is set on the committed file. Blocks.
pub(super) fn program(from: &Path, to: &Path) -> Result<(), BuildError> {
    file(from, to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).map_err(failed("make runnable", to))
}

fn mode(meta: &Metadata) -> u32 {
    0o644 | (meta.permissions().mode() & 0o111)
}

/// Makes room: what an earlier folder put there goes, apart from a folder that becomes a folder.
fn clear(to: &Path, becomes_folder: bool) -> io::Result<()> {
    match to.symlink_metadata() {
        Ok(meta) if meta.is_dir() && becomes_folder => Ok(()),
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(to),
        Ok(_) => fs::remove_file(to),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The way from the folder `from` to `to`, both real paths.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    let way: PathBuf = up.chain(to.components().skip(common)).collect();
    if way.as_os_str().is_empty() { PathBuf::from(".") } else { way }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BuildError {
    move |source| BuildError::Io { action, path: path.to_owned(), source }
}
