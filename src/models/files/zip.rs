//! The members of a ZIP archive that stores them as they are, as PyTorch writes it (PKWARE's
//! APPNOTE 6.3, with ZIP64). Compressed members are refused: nothing is ever inflated.

use std::collections::BTreeMap;
use std::ops::Range;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;
/// A field of 32 bits whose value is in the ZIP64 extension.
const ELSEWHERE: u32 = u32::MAX;

/// Where each member's bytes lie.
pub(super) fn members(bytes: &[u8]) -> Result<BTreeMap<String, Range<usize>>, String> {
    let (mut at, count) = directory(bytes)?;
    let mut members = BTreeMap::new();
    for _ in 0..count {
        let entry = Entry::read(bytes, at)?;
        at = entry.next;
        let (name, range) = entry.member(bytes)?;
        if members.insert(name.clone(), range).is_some() {
            return Err(format!("member `{name}` is there twice"));
        }
    }
    Ok(members)
}

/// Where the central directory begins, and how many entries it has.
fn directory(bytes: &[u8]) -> Result<(usize, u64), String> {
    const SHORTEST: usize = 22;
    let latest = bytes.len().checked_sub(SHORTEST).ok_or_else(cut)?;
    let earliest = latest.saturating_sub(usize::from(u16::MAX)); // a comment may follow
    let end = (earliest..=latest)
        .rev()
        .find(|at| u32_at(bytes, *at) == Some(END))
        .ok_or("the archive has no end record: it is cut short")?;
    let field = |at: usize| u32_at(bytes, at).ok_or_else(cut);
    let (count, start) = (u16_at(bytes, end + 10).ok_or_else(cut)?, field(end + 16)?);
    if count != u16::MAX && start != ELSEWHERE {
        return Ok((place(u64::from(start))?, u64::from(count)));
    }
    let locator = end.checked_sub(20).ok_or_else(cut)?;
    if u32_at(bytes, locator) != Some(LOCATOR_64) {
        return Err("the archive's ZIP64 locator is missing".into());
    }
    let wide = |at: usize| u64_at(bytes, at).ok_or_else(cut);
    let record = place(wide(locator + 8)?)?;
    if u32_at(bytes, record) != Some(END_64) {
        return Err("the archive's ZIP64 end record is missing".into());
    }
    let after = |offset: usize| record.checked_add(offset).ok_or_else(cut);
    Ok((place(wide(after(48)?)?)?, wide(after(32)?)?))
}

/// One entry of the central directory.
struct Entry {
    name: String,
    flags: u16,
    method: u16,
    checksum: u32,
    stored: u64,
    size: u64,
    local: u64,
    next: usize,
}

impl Entry {
    fn read(bytes: &[u8], at: usize) -> Result<Self, String> {
        if u32_at(bytes, at) != Some(CENTRAL) {
            return Err("the archive's directory is damaged".into());
        }
        let short = |offset: usize| u16_at(bytes, at + offset).ok_or_else(cut);
        let long = |offset: usize| u32_at(bytes, at + offset).ok_or_else(cut);
        let lengths = [short(28)?, short(30)?, short(32)?].map(usize::from);
        let [name_length, extra_length, comment_length] = lengths;
        let name_at = at + 46;
        let name = bytes.get(name_at..name_at + name_length).ok_or_else(cut)?;
        let name = std::str::from_utf8(name).map_err(|_| "a member's name is not UTF-8")?;
        let extra_at = name_at + name_length;
        let extra = bytes.get(extra_at..extra_at + extra_length).ok_or_else(cut)?;
        let mut wide = wide_fields(extra).into_iter();
        let mut value = |field: u32| match field {
            ELSEWHERE => wide
                .next()
                .ok_or_else(|| format!("member `{name}` lacks its ZIP64 sizes")),
            field => Ok(u64::from(field)),
        };
        // in this order in the extension
        let size = value(long(24)?)?;
        let stored = value(long(20)?)?;
        let local = value(long(42)?)?;
        Ok(Self {
            flags: short(8)?,
            method: short(10)?,
            checksum: long(16)?,
            name: name.to_owned(),
            stored,
            size,
            local,
            next: extra_at + extra_length + comment_length,
        })
    }

    fn member(self, bytes: &[u8]) -> Result<(String, Range<usize>), String> {
        let name = self.name;
        if self.flags & 1 != 0 || self.method != 0 || self.stored != self.size {
            return Err(format!(
                "member `{name}` is compressed or encrypted: PyTorch stores tensors as they are"
            ));
        }
        let local = place(self.local)?;
        if u32_at(bytes, local) != Some(LOCAL) {
            return Err(format!("member `{name}` does not begin where the directory says"));
        }
        let length = |offset: usize| u16_at(bytes, local + offset).map(usize::from).ok_or_else(cut);
        let start = local + 30 + length(26)? + length(28)?;
        let end = start.checked_add(place(self.size)?).filter(|end| *end <= bytes.len());
        let range = start..end.ok_or_else(|| format!("member `{name}` goes beyond the end: the file is cut short"))?;
        // the description is checked here; tensors when they are read would cost a pass over all
        if name.ends_with(".pkl") && crc32fast::hash(&bytes[range.clone()]) != self.checksum {
            return Err(format!("member `{name}` is damaged: its checksum is another"));
        }
        Ok((name, range))
    }
}

/// The values of the ZIP64 extension among an entry's extra fields.
fn wide_fields(mut extra: &[u8]) -> Vec<u64> {
    const ZIP64: u16 = 1;
    while let (Some(kind), Some(length)) = (u16_at(extra, 0), u16_at(extra, 2)) {
        let Some(content) = extra.get(4..4 + usize::from(length)) else {
            break;
        };
        if kind == ZIP64 {
            return content
                .as_chunks::<8>()
                .0
                .iter()
                .map(|value| u64::from_le_bytes(*value))
                .collect();
        }
        extra = &extra[4 + usize::from(length)..];
    }
    Vec::new()
}

fn cut() -> String {
    "the archive is cut short".into()
}

/// A position in the file: what does not fit in memory's addresses lies outside it. Halved, so that
/// adding a header's length cannot overflow.
fn place(at: u64) -> Result<usize, String> {
    usize::try_from(at)
        .ok()
        .filter(|at| *at < usize::MAX / 2)
        .ok_or_else(cut)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
