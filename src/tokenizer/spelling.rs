//! What a token stands for in a text, and how to show it.

use serde_json::Value;

use super::bytes;

/// How a vocabulary is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// GPT-2's characters for bytes.
    Bytes,
    /// U+2581 for spaces; `<0x0A>` for a byte.
    Spaces,
    /// As it is.
    Plain,
}

impl Spelling {
    /// That of a `tokenizer.json`, which its decoder undoes.
    pub(super) fn of(json: &Value) -> Self {
        let decoder = json["decoder"].to_string();
        if decoder.contains(r#""ByteLevel""#) {
            Self::Bytes
        } else if decoder.contains(r#""Metaspace""#) || decoder.contains('\u{2581}') {
            Self::Spaces
        } else {
            Self::Plain
        }
    }

    /// The bytes of a token that is written so.
    pub(super) fn undo(self, token: &str) -> Vec<u8> {
        match self {
            Self::Bytes => bytes::unspell(token).unwrap_or_else(|| token.as_bytes().to_vec()),
            Self::Spaces => {
                let byte = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
                let byte = byte.filter(|digits| digits.len() == 2);
                match byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                    Some(byte) => vec![byte],
                    None => token.replace('\u{2581}', " ").into_bytes(),
                }
            }
            Self::Plain => token.as_bytes().to_vec(),
        }
    }
}

/// Bytes as people read them: `·` for a space, `⏎`, `⇥`, and other characters without a shape, and bytes that
/// are no whole character, by their numbers.
pub fn visible(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for part in bytes.utf8_chunks() {
        for character in part.valid().chars() {
            match character {
                ' ' => shown.push('·'),
                '\n' => shown.push('⏎'),
                '\r' => shown.push('␍'),
                '\t' => shown.push('⇥'),
                _ if character.is_control()
                    || (character.is_whitespace() && character != ' ')
                    || is_hidden(character) =>
                {
                    shown += &format!("⟨U+{:04X}⟩", u32::from(character));
                }
                _ => shown.push(character),
            }
        }
        for byte in part.invalid() {
            shown += &format!("⟨{byte:02X}⟩");
        }
    }
    shown
}

/// Marks without a width, and those that turn the direction of what follows.
fn is_hidden(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_invisible() {
        assert_eq!(visible(b" a\n\r\tb"), "·a⏎␍⇥b");
        assert_eq!(
            visible("\u{a0}\u{200b}\u{7}ñ😀".as_bytes()),
            "⟨U+00A0⟩⟨U+200B⟩⟨U+0007⟩ñ😀"
        );
        assert_eq!(visible(&"é".as_bytes()[..1]), "⟨C3⟩");
    }

    #[test]
    fn spellings_are_undone() {
        assert_eq!(Spelling::Bytes.undo("\u{120}a\u{10a}"), b" a\n");
        assert_eq!(Spelling::Bytes.undo("<|end of text|>"), b"<|end of text|>");
        assert_eq!(Spelling::Spaces.undo("\u{2581}a"), b" a");
        assert_eq!(Spelling::Spaces.undo("<0x0A>"), b"\n");
        assert_eq!(Spelling::Spaces.undo("<0xZZ>"), b"<0xZZ>");
        assert_eq!(Spelling::Plain.undo("##a"), b"##a");
    }
}
