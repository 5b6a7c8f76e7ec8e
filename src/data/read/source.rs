//! A file's text, checked.

use std::path::Path;

use crate::data::DataError;

/// A file as text, without its byte order mark.
pub(super) fn text(path: &Path) -> Result<String, DataError> {
    let bytes = std::fs::read(path).map_err(DataError::io(path))?;
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
