//! A data point as one file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use walkdir::WalkDir;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::{DataError, copy::file};

/// Packs the folder `from` into a zip archive, in the form of `PocketBase`'s own backups: what is in `pb_data`, without
/// `pb_data` itself. The archive is a file of `work` without a name: it goes with the last who has it open. Blocks.
pub fn zip(from: &Path, work: &Path) -> Result<fs::File, DataError> {
    let archive = tempfile::tempfile_in(work).map_err(file("create a file in", work))?;
    let mut writer = ZipWriter::new(io::BufWriter::new(archive));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).large_file(true);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: zip::result::ZipError| DataError::File { action: "pack", path, source: error.into() }
    };
    for entry in WalkDir::new(from).min_depth(1).sort_by_file_name() {
        let entry = entry.map_err(|error| {
            let path: PathBuf = error.path().unwrap_or(from).to_owned();
            DataError::File { action: "read", path, source: error.into() }
        })?;
        let path = entry.path();
        let relative = path.strip_prefix(from).unwrap_or(path);
        let Some(name) = relative.to_str() else {
            let source = io::Error::other("its name is not UTF-8");
            return Err(DataError::File { action: "pack", path: path.to_owned(), source });
        };
        if entry.file_type().is_dir() {
            writer.add_directory(name, options).map_err(failed(path))?;
        } else if entry.file_type().is_file() {
            writer.start_file(name, options).map_err(failed(path))?;
            let mut content = fs::File::open(path).map_err(file("read", path))?;
            io::copy(&mut content, &mut writer).map_err(file("pack", path))?;
        }
    }
    let archive = writer.finish().map_err(failed(from))?;
    let mut archive = archive.into_inner().map_err(|error| file("pack", from)(error.into_error()))?;
    io::Seek::rewind(&mut archive).map_err(file("pack", from))?;
    Ok(archive)
}
