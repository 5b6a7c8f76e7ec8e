//! The form of a packed run: a tar archive (ustar), plain or compressed by gzip or Zstandard. First `fragua.json`,
//! which lists everything else, then the files in the order of their paths, without times or owners:
//! the same run gives the same bytes.
//!
//! What comes from elsewhere is read with care: only plain files that the list names, each of the
//! size and content that it says, and only paths that stay inside.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Component, Path};

use super::RecordsError;
use super::packed::{Packed, PackedFile};
use crate::gzip::{Compressor, Decompressor};

/// The list's name in the archive.
pub(super) const LIST: &str = "fragua.json";
/// No list is larger.
const LIST_LIMIT: u64 = 64 << 20;
/// No archive unpacks to more.
const LIMIT: u64 = 256 << 30;

/// Smaller than gzip's and several times as fast; archives of weights hardly shrink at any level.
const ZSTANDARD_LEVEL: i32 = 9;

/// The forms of archives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Tar,
    Gzip,
    Zstandard,
}

impl Form {
    fn of(path: &Path) -> Result<Self, RecordsError> {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().to_lowercase())
            .unwrap_or_default();
        if name.ends_with(".tar") {
            Ok(Self::Tar)
        } else if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
            Ok(Self::Gzip)
        } else if name.ends_with(".tar.zst") {
            Ok(Self::Zstandard)
        } else {
            Err(RecordsError::Question(format!(
                "{} must end in .tar, .tar.gz or .tar.zst",
                path.display()
            )))
        }
    }
}

/// Writes an archive; `open` gives each file that is in it. The archive appears whole or not at all.
pub(super) fn write(
    path: &Path,
    packed: &Packed,
    mut open: impl FnMut(&PackedFile) -> Result<Box<dyn Read>, RecordsError>,
) -> Result<(), RecordsError> {
    let form = Form::of(path)?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let aside = tempfile::Builder::new()
        .prefix(".fragua-pack-")
        .tempfile_in(folder)
        .map_err(RecordsError::file("write in", folder))?;
    let failed = || RecordsError::file("write", path);
    let mut list = serde_json::to_vec_pretty(packed).expect("a list is plain values");
    list.push(b'\n');
    let mut fill = |out: &mut dyn Write| -> Result<(), RecordsError> {
        let mut archive = tar::Builder::new(out);
        let mut add = |name: &str, size: u64, content: &mut dyn Read| -> Result<(), RecordsError> {
            let mut header = tar::Header::new_ustar();
            header.set_path(name).map_err(failed())?;
            header.set_size(size);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_entry_type(tar::EntryType::Regular);
            header.set_cksum();
            archive.append(&header, content).map_err(failed())
        };
        add(LIST, list.len() as u64, &mut list.as_slice())?;
        for file in &packed.files {
            let Some(size) = file.packed else { continue };
            let mut content = Checked::new(open(file)?.take(size));
            add(&file.path, size, &mut content)?;
            if !content.is(file, size) {
                return Err(changed(&file.path));
            }
        }
        archive.finish().map_err(failed())
    };
    let mut out = BufWriter::new(aside.as_file());
    match form {
        Form::Tar => fill(&mut out)?,
        Form::Gzip => {
            let mut compressor = Compressor::new(&mut out).map_err(failed())?;
            fill(&mut compressor)?;
            compressor.finish().map_err(failed())?;
        }
        Form::Zstandard => {
            let mut compressor = zstd::Encoder::new(&mut out, ZSTANDARD_LEVEL).map_err(failed())?;
            fill(&mut compressor)?;
            compressor.finish().map_err(failed())?;
        }
    }
    out.flush().map_err(failed())?;
    drop(out);
    aside.as_file().sync_all().map_err(failed())?;
    readable(aside.as_file()).map_err(failed())?;
    aside.persist_noclobber(path).map_err(|error| failed()(error.error))?;
    Ok(())
}

/// A temporary file is private to its owner; an archive is readable as any other file.
#[cfg(unix)]
fn readable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable(_: &File) -> io::Result<()> {
    Ok(())
}

pub(super) fn changed(path: &str) -> RecordsError {
    RecordsError::Question(format!(
        "{path} is not what the run read any more: `fragua run` again, and pack that run"
    ))
}

/// Reads an archive's list, and the files that it names into a folder that exists and is empty.
pub(super) fn read(path: &Path, into: &Path) -> Result<Packed, RecordsError> {
    let file = File::open(path).map_err(RecordsError::file("read", path))?;
    let file = BufReader::new(file);
    match Form::of(path)? {
        Form::Tar => unpack(path, file, into),
        Form::Gzip => unpack(
            path,
            Decompressor::new(file).map_err(RecordsError::file("read", path))?,
            into,
        ),
        Form::Zstandard => unpack(
            path,
            zstd::Decoder::with_buffer(file).map_err(RecordsError::file("read", path))?,
            into,
        ),
    }
}

fn unpack(path: &Path, from: impl Read, into: &Path) -> Result<Packed, RecordsError> {
    let failed = || RecordsError::file("read", path);
    let wrong = |fact: String| RecordsError::Question(format!("{}: {fact}", path.display()));
    let mut archive = tar::Archive::new(from);
    // raw: names of other forms than ours are no files, and nothing is read into memory for them
    let mut entries = archive.entries().map_err(failed())?.raw(true);
    let mut first = entries
        .next()
        .ok_or_else(|| wrong("is empty".into()))?
        .map_err(failed())?;
    if first.path_bytes() != LIST.as_bytes() || first.header().size().map_err(failed())? > LIST_LIMIT {
        return Err(wrong(format!(
            "does not begin with {LIST}: `fragua pack` did not write it"
        )));
    }
    let mut text = Vec::new();
    first
        .by_ref()
        .take(LIST_LIMIT)
        .read_to_end(&mut text)
        .map_err(failed())?;
    let packed: Packed = serde_json::from_slice(&text)
        .map_err(|error| wrong(format!("its {LIST} is not what this fragua reads: {error}")))?;
    let mut expected: BTreeMap<&str, &PackedFile> = BTreeMap::new();
    for file in &packed.files {
        if file.packed.is_some() {
            check_inside(&file.path).map_err(|fact| wrong(format!("{}: {fact}", file.path)))?;
            expected.insert(&file.path, file);
        }
    }
    let total = expected
        .values()
        .filter_map(|file| file.packed)
        .fold(0, u64::saturating_add);
    if total > LIMIT {
        return Err(wrong(format!("unpacks to {total} bytes, more than {LIMIT}")));
    }
    check_inside(&packed.file).map_err(|fact| wrong(format!("{}: {fact}", packed.file)))?;
    for entry in entries {
        let mut entry = entry.map_err(failed())?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let size = entry.header().size().map_err(failed())?;
        let listed = expected.remove(name.as_str()).filter(|file| file.packed == Some(size));
        let Some(file) = listed.filter(|_| entry.header().entry_type() == tar::EntryType::Regular) else {
            return Err(wrong(format!("holds {name:?}, which is not so in its list")));
        };
        let to = into.join(&name);
        let folder = to.parent().unwrap_or(into);
        fs::create_dir_all(folder).map_err(RecordsError::file("make", folder))?;
        let mut target = File::create_new(&to).map_err(RecordsError::file("write", &to))?;
        let mut content = Checked::new(entry.by_ref());
        io::copy(&mut content, &mut target).map_err(RecordsError::file("write", &to))?;
        if !content.is(file, size) {
            return Err(wrong(format!("{name} is damaged: its digest is another")));
        }
    }
    match expected.keys().next() {
        Some(name) => Err(wrong(format!("lacks {name}"))),
        None => Ok(packed),
    }
}

/// Whether a path stays below where it is unpacked.
pub(super) fn check_inside(path: &str) -> Result<(), &'static str> {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    if path.is_empty() || !Path::new(path).components().all(plain) || path.contains('\\') {
        return Err("a path that leaves the archive's folder");
    }
    Ok(())
}

/// A reader that digests what passes.
struct Checked<R> {
    inner: R,
    hasher: blake3::Hasher,
    count: u64,
}

impl<R: Read> Checked<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            hasher: blake3::Hasher::new(),
            count: 0,
        }
    }

    fn is(&self, file: &PackedFile, size: u64) -> bool {
        self.count == size && self.hasher.finalize().to_hex().as_str() == file.digest.as_str()
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.count += count as u64;
        Ok(count)
    }
}
