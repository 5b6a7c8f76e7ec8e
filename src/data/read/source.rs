//! A file's text, checked.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use crate::data::DataError;
use crate::gzip::Decompressor;

/// The name of a file without the `.gz` of one that is compressed.
pub(super) fn uncompressed_name(path: &Path) -> Option<&OsStr> {
    let compressed = |extension: &OsStr| extension.eq_ignore_ascii_case("gz");
    path.extension().filter(|extension| compressed(extension))?;
    path.file_stem()
}

/// A file's bytes; those that it holds if its name ends in `.gz`.
fn bytes(path: &Path) -> Result<Vec<u8>, DataError> {
    if uncompressed_name(path).is_none() {
        return std::fs::read(path).map_err(DataError::io(path));
    }
    let file = File::open(path).map_err(DataError::io(path))?;
    let mut bytes = Vec::new();
    Decompressor::new(BufReader::new(file))
        .and_then(|mut compressed| compressed.read_to_end(&mut bytes))
        .map_err(DataError::io(path))?;
    Ok(bytes)
}

/// A file as text, without its byte order mark.
pub(super) fn text(path: &Path) -> Result<String, DataError> {
    let bytes = bytes(path)?;
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|&&byte| byte == b'\n').count() as u64 + 1;
        DataError::row(
            path,
            line,
            "not UTF-8; convert the file, for instance with `iconv -t UTF-8`",
        )
    })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}
