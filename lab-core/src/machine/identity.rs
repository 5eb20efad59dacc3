//! What tells one machine from another.

use std::{fmt, fs, io, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::MachineError;

/// The longest id: a host name's limit is 64 on Linux, a Fly.io machine's id has 14 characters.
const MAX_CHARS: usize = 128;

/// A machine's id: Fly.io's, that of `/etc/machine-id`, or the host's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MachineId(String);

/// A text that is no [`MachineId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a machine's id has 1 to {MAX_CHARS} letters, digits, `-`, `_` and `.`")]
pub struct InvalidMachineId;

impl TryFrom<String> for MachineId {
    type Error = InvalidMachineId;

    fn try_from(text: String) -> Result<Self, InvalidMachineId> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        // it is printed, and another machine wrote it
        let is_valid = (1..=MAX_CHARS).contains(&text.len()) && text.bytes().all(is_plain);
        if is_valid { Ok(Self(text)) } else { Err(InvalidMachineId) }
    }
}

impl FromStr for MachineId {
    type Err = InvalidMachineId;

    fn from_str(text: &str) -> Result<Self, InvalidMachineId> {
        text.to_owned().try_into()
    }
}

impl From<MachineId> for String {
    fn from(id: MachineId) -> Self {
        id.0
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The machine and process that claim a data directory.
#[derive(Debug, Clone)]
pub struct ThisMachine {
    pub(super) id: MachineId,
    pub(super) boot: Uuid,
    pub(super) pid: u32,
}

impl ThisMachine {
    /// Finds out about this machine. `given` is its id where the platform says it (`FLY_MACHINE_ID`); without it that of
    /// `/etc/machine-id` is taken, which must be this machine's alone (see machine-id(5)), else the host's name. Reads a few
    /// small files of the kernel and of `/etc`.
    ///
    /// # Errors
    /// [`MachineError::Unidentified`].
    pub fn read(given: Option<&str>) -> Result<Self, MachineError> {
        let id = match given.map(str::trim).filter(|id| !id.is_empty()) {
            Some(id) => id.parse().map_err(|e| unidentified("its given id is none", io::Error::other(e)))?,
            None => of_files()?,
        };
        let boot = text("/proc/sys/kernel/random/boot_id").and_then(|id| id.parse().map_err(io::Error::other));
        let boot = boot.map_err(|e| unidentified("the kernel gives no boot id", e))?;
        Ok(Self { id, boot, pid: std::process::id() })
    }

    /// Its id.
    pub fn id(&self) -> &MachineId {
        &self.id
    }
}

fn of_files() -> Result<MachineId, MachineError> {
    // an image that is not started yet has an empty file, or the word `uninitialized`
    if let Ok(id) = text("/etc/machine-id")
        && id != "uninitialized"
        && let Ok(id) = id.parse()
    {
        return Ok(id);
    }
    let name = text("/proc/sys/kernel/hostname").and_then(|name| name.parse().map_err(io::Error::other));
    name.map_err(|e| {
        unidentified("there is neither FLY_MACHINE_ID nor /etc/machine-id, and the host's name is none", e)
    })
}

fn text(path: &str) -> io::Result<String> {
    Ok(fs::read_to_string(path)?.trim().to_owned())
}

fn unidentified(reason: &str, source: io::Error) -> MachineError {
    MachineError::Unidentified { reason: reason.to_owned(), source }
}
