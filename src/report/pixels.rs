//! Small pictures inside a page: a PNG whose pixels are as opaque as their weights, so that a page's own
//! colours, light or dark, stand behind them.

use miniz_oxide::deflate::compress_to_vec_zlib;

/// The ember of the page's style, which is readable on both of its papers.
const COLOUR: [u8; 3] = [0xd0, 0x64, 0x1e];

/// A picture of weights in 0..=1, `[height, width]` in row-major order, as the address of an image.
pub(super) fn picture(weights: &[f32], width: usize, height: usize) -> String {
    format!("data:image/png;base64,{}", base64(&png(weights, width, height)))
}

/// A PNG (ISO/IEC 15948) of one byte a pixel: an index into 256 steps of opacity.
fn png(weights: &[f32], width: usize, height: usize) -> Vec<u8> {
    let mut bytes = vec![0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'];
    let size = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes();
    let head = [&size(width)[..], &size(height), &[8, 3, 0, 0, 0]].concat();
    chunk(&mut bytes, b"IHDR", &head);
    chunk(&mut bytes, b"PLTE", &COLOUR.repeat(256));
    chunk(&mut bytes, b"tRNS", &(0..=255).collect::<Vec<u8>>());
    let mut rows = Vec::with_capacity((width + 1) * height);
    for row in weights.chunks_exact(width.max(1)) {
        rows.push(0); // no filter
        // the root, so that what is small is seen; at most 255
        rows.extend(
            row.iter()
                .map(|weight| (weight.clamp(0.0, 1.0).sqrt() * 255.0).round() as u8),
        );
    }
    chunk(&mut bytes, b"IDAT", &compress_to_vec_zlib(&rows, 6));
    chunk(&mut bytes, b"IEND", &[]);
    bytes
}

fn chunk(bytes: &mut Vec<u8>, name: &[u8; 4], content: &[u8]) {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    bytes.extend(length.to_be_bytes());
    let start = bytes.len();
    bytes.extend(name);
    bytes.extend(content);
    let sum = crc32fast::hash(&bytes[start..]);
    bytes.extend(sum.to_be_bytes());
}

/// Base64 (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let digit = char::from(DIGITS[(bits >> (18 - 6 * place)) as usize & 63]);
            text.push(if place <= three.len() { digit } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn a_picture_holds_its_weights() {
        let bytes = png(&[0.0, 1.0, 0.25, 0.0, 0.0, 0.5], 3, 2);
        assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.ends_with(b"IEND\xae\x42\x60\x82"));
        let at = bytes.windows(4).position(|name| name == b"IDAT").unwrap();
        let length = u32::from_be_bytes(bytes[at - 4..at].try_into().unwrap()) as usize;
        let rows = miniz_oxide::inflate::decompress_to_vec_zlib(&bytes[at + 4..at + 4 + length]).unwrap();
        assert_eq!(rows, [0, 0, 255, 128, 0, 0, 0, 180]);
    }
}
