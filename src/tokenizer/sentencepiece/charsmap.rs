//! The compiled normalization of a SentencePiece model, checked before the library walks through it.

/// What is wrong with a `precompiled_charsmap`, if anything: the library that applies it (and every other
/// one) follows its offsets without looking, so a damaged one must not get there.
///
/// Its format: the length in bytes of a double-array trie (a little-endian u32), the trie (u32 units), then
/// the replacements, UTF-8 texts that each end in a zero byte.
pub(in crate::tokenizer) fn flaw(map: &[u8]) -> Option<&'static str> {
    let Some((length, rest)) = map.split_first_chunk::<4>() else {
        return Some("is cut off");
    };
    let length = u32::from_le_bytes(*length) as usize;
    if length == 0 || !length.is_multiple_of(4) || length > rest.len() {
        return Some("has a trie of an impossible length");
    }
    let (trie, texts) = rest.split_at(length);
    let Ok(texts) = std::str::from_utf8(texts) else {
        return Some("has replacements that are not UTF-8");
    };
    let (units, _) = trie.as_chunks::<4>();
    let units: Vec<u32> = units.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
    let children = |unit: u32| ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize;
    // each reachable node once: a trie that bites its own tail ends here as well
    let mut seen = vec![false; units.len()];
    let mut open = vec![0usize];
    while let Some(node) = open.pop() {
        if std::mem::replace(&mut seen[node], true) {
            continue;
        }
        let base = node ^ children(units[node]);
        // a step reads the unit at `base ^ byte` whatever the byte is, and all of them share their higher bits
        if base | 0xff >= units.len() {
            return Some("has a trie that leads out of itself");
        }
        if (units[node] >> 8) & 1 == 1 {
            let text = (units[base] & ((1 << 31) - 1)) as usize;
            if !texts.is_char_boundary(text) {
                return Some("has a replacement outside of its texts");
            }
        }
        for byte in 1..=0xffusize {
            let label = units[base ^ byte] & ((1 << 31) | 0xff);
            if label as usize == byte {
                open.push(base ^ byte);
            }
        }
    }
    None
}

/// Whether a sound map makes a space of each of the white spaces of ASCII that a text is cut at, and leaves
/// everything else that begins with an ASCII character as it is.
pub(in crate::tokenizer) fn only_spaces(map: &[u8]) -> bool {
    let Some((length, rest)) = map.split_first_chunk::<4>() else {
        return false;
    };
    let Some((trie, texts)) = rest.split_at_checked(u32::from_le_bytes(*length) as usize) else {
        return false;
    };
    let unit = |at: usize| {
        trie.as_chunks::<4>()
            .0
            .get(at)
            .map_or(0, |unit| u32::from_le_bytes(*unit))
    };
    let base = |at: usize| at ^ ((unit(at) >> 10) << ((unit(at) & (1 << 9)) >> 6)) as usize;
    let child = |at: usize, byte: u8| {
        let next = base(at) ^ usize::from(byte);
        (unit(next) & ((1 << 31) | 0xff) == u32::from(byte)).then_some(next)
    };
    let replaced = |at: usize| {
        let leaf = (unit(at) >> 8) & 1 == 1;
        let text = (unit(base(at)) & ((1 << 31) - 1)) as usize;
        leaf.then(|| texts.get(text..).and_then(|rest| rest.split(|&byte| byte == 0).next()))
    };
    let spaces = [b'\t', b'\n', b'\r'];
    let one_space = |&byte: &u8| child(0, byte).and_then(replaced) == Some(Some(&b" "[..]));
    // what is longer: letters with accents are, but then the accent is no ASCII and goes with the letter's word
    let plain = |byte: u8| {
        child(0, byte).is_none_or(|node| replaced(node).is_none() && (1..0x80).all(|next| child(node, next).is_none()))
    };
    spaces.iter().all(one_space) && (b' '..0x7f).all(plain) && child(0, b' ').is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_maps_are_found() {
        assert_eq!(flaw(b""), Some("is cut off"));
        assert_eq!(flaw(&[9, 0, 0, 0, 1]), Some("has a trie of an impossible length"));
        let map = |units: &[u32], texts: &[u8]| {
            let mut map = u32::try_from(units.len() * 4).unwrap().to_le_bytes().to_vec();
            map.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
            map.extend(texts);
            flaw(&map)
        };
        let mut units = vec![0; 512];
        units[0] = 256 << 10; // the children of the root are at 256
        assert_eq!(map(&units, b""), None);
        assert_eq!(map(&units, b"\xff"), Some("has replacements that are not UTF-8"));
        assert_eq!(map(&units[..300], b""), Some("has a trie that leads out of itself"));
        // `a` leads to a leaf
        units[256 ^ 97] = 97 | (1 << 8) | (97 << 10);
        assert_eq!(map(&units, b""), None);
        units[256] = 7;
        assert_eq!(map(&units, b""), Some("has a replacement outside of its texts"));
        assert_eq!(map(&units, b"1234567\0"), None);
    }
}
