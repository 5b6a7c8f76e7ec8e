//! Paths and globs into files.

use std::path::{Path, PathBuf};

use super::DataError;

/// The files that a path or glob names: the file itself if there is one of exactly that name, else
/// all files that the pattern (`*`, `?`, `[..]`, `**`) matches, sorted by name so that the order is
/// the same on every system.
///
/// # Errors
/// A folder, a pattern that cannot be read, or one that matches nothing.
pub fn expand(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    if path.is_dir() {
        return Err(DataError::file(
            path,
            "is a folder; name its files, for instance with a pattern such as `folder/*.jsonl`",
        ));
    }
    let Some(pattern) = path.to_str() else {
        return Err(DataError::file(
            path,
            "no such file (and not UTF-8, so it is not read as a pattern)",
        ));
    };
    if !pattern.contains(['*', '?', '[']) {
        return Err(DataError::file(path, "no such file"));
    }
    let matches = glob::glob(pattern).map_err(|error| {
        DataError::file(
            path,
            format!("not a pattern: {} (at character {})", error.msg, error.pos + 1),
        )
    })?;
    let mut files = Vec::new();
    for found in matches {
        let found = found.map_err(|error| DataError::Io {
            path: error.path().to_owned(),
            source: std::io::Error::new(error.error().kind(), error.error().to_string()),
        })?;
        if found.is_file() {
            files.push(found);
        }
    }
    if files.is_empty() {
        return Err(DataError::file(path, "no file matches this pattern"));
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_give_sorted_files_and_names_win_over_patterns() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.txt", "a.txt", "c.csv", "[x].txt"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        let names = |pattern: &str| -> Vec<String> {
            let files = expand(&folder.path().join(pattern)).unwrap();
            files
                .iter()
                .map(|file| file.file_name().unwrap().to_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(names("*.txt"), ["[x].txt", "a.txt", "b.txt"]);
        assert_eq!(names("[x].txt"), ["[x].txt"]);
        assert!(
            expand(&folder.path().join("*.json"))
                .unwrap_err()
                .to_string()
                .contains("no file matches")
        );
        assert!(
            expand(&folder.path().join("d.txt"))
                .unwrap_err()
                .to_string()
                .contains("no such file")
        );
        assert!(expand(folder.path()).unwrap_err().to_string().contains("is a folder"));
    }
}
