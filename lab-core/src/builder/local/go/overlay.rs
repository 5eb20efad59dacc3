//! What is built instead of files of the checkout, which stays as it is.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    str,
};

use serde_json::json;

use super::super::{files::is_small_file, release::Build, stop::joined};
use crate::builder::{BuildError, address};

/// What is put into a package's folder.
const FUNCTION: &str = "zz_lab_address.go";

impl Build {
    /// Writes what has Go build the plan's files with fixed addresses without them; none where there are none. Source:
    /// `go help build`, `-overlay`.
    pub(super) async fn overlay(&self, module: &Path) -> Result<Option<PathBuf>, BuildError> {
        if self.job.plan.fixed.is_empty() {
            return Ok(None);
        }
        let (checkout, fixed) = (self.checkout.clone(), self.job.plan.fixed.clone());
        let (module, folder) = (module.to_owned(), self.home().join("overlay"));
        let shown = folder.clone();
        let work = move || {
            let failed = |source| BuildError::Io { action: "write", path: folder.clone(), source };
            fs::create_dir_all(&folder).map_err(failed)?;
            let mut replace: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
            let mut put = |path: PathBuf, text: &str| {
                let file = folder.join(format!("{}.go", replace.len()));
                fs::write(&file, text).map_err(failed)?;
                replace.insert(path, file);
                Ok::<_, BuildError>(())
            };
            for path in &fixed {
                // seen from the module, where the command runs
                let Ok(inside) = path.strip_prefix(&module) else { continue };
                let Some(real) = checkout.find(path)?.filter(|real| is_small_file(real)) else { continue };
                let text = fs::read(&real).map_err(|source| BuildError::Io { action: "read", path: real, source })?;
                if let Some(freed) = str::from_utf8(&text).ok().and_then(address::freed) {
                    put(inside.to_owned(), &freed.text)?;
                    put(inside.with_file_name(FUNCTION), &freed.function())?;
                }
            }
            let list = folder.join("overlay.json");
            fs::write(&list, json!({ "Replace": replace }).to_string()).map_err(failed)?;
            Ok::<_, BuildError>(list)
        };
        joined(tokio::task::spawn_blocking(work).await, "write", &shown)?.map(Some)
    }
}
