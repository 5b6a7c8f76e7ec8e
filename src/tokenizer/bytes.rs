//! GPT-2's spelling of bytes as printable characters, which byte-level vocabularies are written in.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The character for each byte: itself where that is printable Latin-1, else one from U+0100 on.
pub(super) static CHARACTERS: LazyLock<[char; 256]> = LazyLock::new(|| {
    let mut characters = ['\0'; 256];
    let mut next = 0x100;
    for byte in 0..=255u8 {
        let printable = matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
        characters[usize::from(byte)] = if printable {
            char::from(byte)
        } else {
            next += 1;
            char::from_u32(next - 1).expect("below U+0200")
        };
    }
    characters
});

/// Bytes spelled as characters.
pub(super) fn spell(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| CHARACTERS[usize::from(byte)]).collect()
}

/// The bytes that characters spell; `None` if one of them spells none.
pub(super) fn unspell(text: &str) -> Option<Vec<u8>> {
    static BYTES: LazyLock<BTreeMap<char, u8>> = LazyLock::new(|| CHARACTERS.iter().copied().zip(0..=255).collect());
    text.chars().map(|character| BYTES.get(&character).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_and_line_ends_are_spelled_as_gpt2_does() {
        assert_eq!(spell(b"a \n"), "a\u{120}\u{10a}");
        let distinct: std::collections::BTreeSet<_> = CHARACTERS.iter().collect();
        assert_eq!(distinct.len(), 256);
    }
}
