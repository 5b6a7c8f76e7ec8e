//! From a file's bytes to text that may be parsed: what can go wrong before there is any YAML.
//!
//! Two parsers read the same text (one for places, one for types); what only one of them would mind,
//! or would take for something else, is refused here before either begins.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::diagnostic::Position;
use super::suggest::suggest;

/// Larger is not a pipeline file. More is never loaded.
pub(super) const MAXIMUM_BYTES: usize = 1 << 20;

/// Why a file has no text that can be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable {
    pub at: Position,
    pub message: String,
    /// The next move, where it is not to check the path.
    pub help: Option<String>,
}

impl Unreadable {
    fn new(message: impl Into<String>) -> Self {
        Self {
            at: Position { line: 1, column: 1 },
            message: message.into(),
            help: None,
        }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A file's text, without a byte order mark.
pub(super) fn file_text(path: &Path) -> Result<String, Unreadable> {
    let folder = |path: &Path| {
        let inside = ["pipeline.yaml", "pipeline.yml"];
        let found = inside.iter().map(|name| path.join(name)).find(|file| file.is_file());
        let help = found.map_or_else(
            || "name the file in it".to_owned(),
            |file| format!("did you mean `{}`?", file.display()),
        );
        Unreadable::new("it is a folder").help(help)
    };
    // what Windows says of a folder is that access is denied
    if path.is_dir() {
        return Err(folder(path));
    }
    let unreadable = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Unreadable {
            help: near(path),
            ..Unreadable::new("no such file")
        },
        _ => Unreadable::new(error.to_string()),
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    let limit = MAXIMUM_BYTES as u64 + 1;
    (&file).take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > MAXIMUM_BYTES {
        // what is no ordinary file (a device, a pipe) has no length
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        return Err(too_large(
            usize::try_from(length).unwrap_or(usize::MAX).max(bytes.len()),
        ));
    }
    decoded(bytes)
}

/// The text of a file's bytes.
pub(super) fn decoded(bytes: Vec<u8>) -> Result<String, Unreadable> {
    if let Some(encoding) = other_encoding(&bytes) {
        return Err(Unreadable::new(format!("it is {encoding} text")).help("save the file as UTF-8"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let before = String::from_utf8_lossy(&bytes[..valid]);
        let byte = bytes[valid];
        // Latin-1, the usual other encoding of a letter with an accent, is Unicode's first page
        let letter = char::from(byte);
        let help = match letter.is_alphabetic() {
            true => format!("save the file as UTF-8; in Latin-1 the byte is `{letter}`"),
            false => "save the file as UTF-8".to_owned(),
        };
        Unreadable {
            at: end_of(&before),
            ..Unreadable::new(format!("the byte 0x{byte:02X} is not UTF-8 text")).help(help)
        }
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(text) => text.to_owned(),
        None => text,
    })
}

/// Another encoding by its byte order mark, or by the zero bytes that it puts beside ASCII.
fn other_encoding(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => Some("UTF-32"),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Some("UTF-16"),
        [0, 0, 0, 1..=255, ..] | [1..=255, 0, 0, 0, ..] => Some("UTF-32"),
        [0, 1..=255, 0, 1..=255, ..] | [1..=255, 0, 1..=255, 0, ..] => Some("UTF-16"),
        _ => None,
    }
}

/// The place after some text.
fn end_of(text: &str) -> Position {
    let last = text.rsplit('\n').next().unwrap_or_default();
    Position {
        line: text.matches('\n').count() + 1,
        column: last.chars().count() + 1,
    }
}

pub(super) fn too_large(length: usize) -> Unreadable {
    Unreadable::new(format!(
        "it has {length} bytes, and a pipeline file at most {MAXIMUM_BYTES}"
    ))
    .help("name a pipeline file; data belongs into files that a `dataset` step reads")
}

/// The next move where there is no such file: the nearest name in its folder.
fn near(path: &Path) -> Option<String> {
    let (name, folder) = (path.file_name()?.to_str()?, path.parent()?);
    let here = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let mut names: Vec<String> = std::fs::read_dir(here)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".yaml") || name.ends_with(".yml"))
        .take(1000)
        .collect();
    names.sort();
    let near = suggest(name, names.iter().map(String::as_str))?;
    Some(format!("did you mean `{}`?", folder.join(near).display()))
}

/// A character that YAML does not take, or that not every parser takes for the same: its place in
/// bytes, and what it is.
pub(super) fn foreign(text: &str) -> Option<(usize, String)> {
    text.char_indices().find_map(|(at, character)| {
        let code = u32::from(character);
        let what = match character {
            '\t' | '\n' | '\r' => return None,
            '\0' => "a NUL character".to_owned(),
            // line breaks of YAML 1.1 that are none of YAML 1.2
            '\u{85}' | '\u{2028}' | '\u{2029}' => format!("the line separator U+{code:04X}"),
            '\u{feff}' => "a byte order mark within the text".to_owned(),
            '\u{fffe}' | '\u{ffff}' => format!("U+{code:04X}, which is no character"),
            _ if character.is_control() => format!("the control character U+{code:04X}"),
            _ => return None,
        };
        Some((at, what))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> Unreadable {
        decoded(bytes.to_vec()).expect_err("is refused")
    }

    #[test]
    fn other_encodings_are_named() {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        assert!(refused(&utf16("\u{feff}pipeline: a\n")).message.contains("UTF-16"));
        assert!(refused(&utf16("pipeline: a\n")).message.contains("UTF-16"));
        assert!(refused(b"\xFE\xFF\0p\0i").message.contains("UTF-16"));
        assert!(refused(b"\xFF\xFE\0\0p\0\0\0").message.contains("UTF-32"));
        assert!(refused(b"p\0\0\0i\0\0\0").message.contains("UTF-32"));
    }

    #[test]
    fn what_is_not_utf8_has_a_place() {
        let problem = refused(b"pipeline: a\nabout: a\xC3\xB1o, a\xF1o\n");
        assert_eq!(problem.at, Position { line: 2, column: 14 });
        assert!(
            problem.message.contains("0xF1") && problem.help.as_deref().is_some_and(|help| help.contains('ñ')),
            "{problem:?}"
        );
        assert_eq!(refused(b"\x80").at, Position { line: 1, column: 1 });
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        assert_eq!(decoded(b"\xEF\xBB\xBFa: 1".to_vec()).as_deref(), Ok("a: 1"));
        assert_eq!(decoded(Vec::new()).as_deref(), Ok(""));
    }

    #[test]
    fn foreign_characters_are_found() {
        for (text, at, word) in [
            ("a\0b", 1, "NUL"),
            ("ñ: \u{7}", 4, "U+0007"),
            ("\u{2028}", 0, "separator"),
            ("a\u{feff}", 1, "order mark"),
            ("a\u{9f}", 1, "U+009F"),
        ] {
            let (found, what) = foreign(text).expect(text);
            assert!(found == at && what.contains(word), "{text:?}: {found} {what}");
        }
        assert_eq!(foreign("a:\tñ «é» 漢 🦀\r\n"), None);
    }

    #[test]
    fn files_that_are_none_are_told_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        assert_eq!(
            file_text(folder.path()).expect_err("a folder").message,
            "it is a folder"
        );
        std::fs::write(path("pipeline.yaml"), "pipeline: a\n").expect("written");
        let help = file_text(folder.path()).expect_err("a folder").help;
        assert!(help.is_some_and(|help| help.contains("pipeline.yaml")));
        let missing = file_text(&path("pipelin.yaml")).expect_err("is not there");
        assert!(
            missing
                .help
                .as_deref()
                .is_some_and(|help| help.contains("did you mean")),
            "{missing:?}"
        );
        std::fs::write(path("large.yaml"), vec![b' '; MAXIMUM_BYTES + 1]).expect("written");
        assert!(
            file_text(&path("large.yaml"))
                .expect_err("large")
                .message
                .contains("1048577 bytes")
        );
        std::fs::write(path("just.yaml"), vec![b' '; MAXIMUM_BYTES]).expect("written");
        assert!(file_text(&path("just.yaml")).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn a_device_without_end_is_not_read_to_it() {
        assert!(
            file_text(Path::new("/dev/zero"))
                .expect_err("no end")
                .message
                .contains("bytes")
        );
    }
}
