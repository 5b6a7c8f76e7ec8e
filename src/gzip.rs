//! The gzip form (RFC 1952) around a stream: no name and no time in its header, so that the same
//! bytes give the same bytes.

use std::io::{self, Read, Write};

use miniz_oxide::deflate::core::{CompressorOxide, create_comp_flags_from_zip_params};
use miniz_oxide::deflate::stream::deflate;
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};

/// How much is compressed at a time.
const PIECE: usize = 1 << 16;
/// gzip's own usual level: between fast and small.
const LEVEL: i32 = 6;
/// Two marks, deflate, no flags, no time, no extra, an unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Compresses what is written to it.
pub struct Compressor<W: Write> {
    inner: W,
    state: Box<CompressorOxide>,
    sum: crc32fast::Hasher,
    /// Bytes written, modulo 2³².
    length: u32,
    buffer: Vec<u8>,
}

impl<W: Write> Compressor<W> {
    /// Begins a stream.
    ///
    /// # Errors
    /// When the header cannot be written.
    pub fn new(mut inner: W) -> io::Result<Self> {
        inner.write_all(&HEADER)?;
        let flags = create_comp_flags_from_zip_params(LEVEL, -15, 0); // negative: without zlib's frame
        Ok(Self {
            inner,
            state: Box::new(CompressorOxide::new(flags)),
            sum: crc32fast::Hasher::new(),
            length: 0,
            buffer: vec![0; PIECE],
        })
    }

    /// Ends the stream, and gives back what it was written to.
    ///
    /// # Errors
    /// When the rest cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        loop {
            let step = deflate(&mut self.state, &[], &mut self.buffer, MZFlush::Finish);
            self.inner.write_all(&self.buffer[..step.bytes_written])?;
            match step.status {
                Ok(MZStatus::StreamEnd) => break,
                Ok(_) => {}
                Err(error) => return Err(odd(error)),
            }
        }
        self.inner.write_all(&self.sum.finalize().to_le_bytes())?;
        self.inner.write_all(&self.length.to_le_bytes())?;
        Ok(self.inner)
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(PIECE)];
        let mut left = bytes;
        while !left.is_empty() {
            let step = deflate(&mut self.state, left, &mut self.buffer, MZFlush::None);
            step.status.map_err(odd)?;
            self.inner.write_all(&self.buffer[..step.bytes_written])?;
            left = &left[step.bytes_consumed..];
        }
        self.sum.update(bytes);
        let count = u32::try_from(bytes.len()).expect("a piece is small");
        self.length = self.length.wrapping_add(count);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Reads what was compressed: one stream, or several one after another, which mean what they hold
/// together (as `pigz`, `bgzip` and `cat a.gz b.gz` make them).
pub struct Decompressor<R: Read> {
    inner: R,
    state: Box<InflateState>,
    sum: crc32fast::Hasher,
    length: u32,
    buffer: Vec<u8>,
    /// What of the buffer is not read yet.
    left: std::ops::Range<usize>,
    over: bool,
}

impl<R: Read> Decompressor<R> {
    /// Begins to read.
    ///
    /// # Errors
    /// When it does not begin as gzip does.
    pub fn new(inner: R) -> io::Result<Self> {
        let mut reader = Self {
            inner,
            state: InflateState::new_boxed(DataFormat::Raw),
            sum: crc32fast::Hasher::new(),
            length: 0,
            buffer: vec![0; PIECE],
            left: 0..0,
            over: false,
        };
        reader.header()?;
        Ok(reader)
    }

    /// What stands before a stream.
    fn header(&mut self) -> io::Result<()> {
        let mut header = [0; 10];
        self.exactly(&mut header)?;
        if header[..3] != HEADER[..3] || header[3] & 0xe0 != 0 {
            return Err(wrong("is not in gzip's form"));
        }
        let flags = header[3];
        if flags & 4 != 0 {
            let mut length = [0; 2];
            self.exactly(&mut length)?;
            for _ in 0..u16::from_le_bytes(length) {
                self.byte()?;
            }
        }
        for text in [8, 16] {
            if flags & text != 0 {
                while self.byte()? != 0 {}
            }
        }
        if flags & 2 != 0 {
            self.exactly(&mut [0; 2])?;
        }
        Ok(())
    }

    fn exactly(&mut self, out: &mut [u8]) -> io::Result<()> {
        for byte in out {
            *byte = self.byte()?;
        }
        Ok(())
    }

    fn byte(&mut self) -> io::Result<u8> {
        if self.left.is_empty() {
            self.fill()?;
        }
        let byte = *self.buffer[self.left.clone()]
            .first()
            .ok_or_else(|| wrong("ends early"))?;
        self.left.start += 1;
        Ok(byte)
    }

    /// The check sum and the length at the end of a stream, and the beginning of the next if there is one.
    fn end(&mut self) -> io::Result<()> {
        let mut trailer = [0; 8];
        self.exactly(&mut trailer)?;
        let expected = [self.sum.clone().finalize().to_le_bytes(), self.length.to_le_bytes()];
        if trailer != *expected.as_flattened() {
            return Err(wrong("is damaged: its check sum is another"));
        }
        if self.left.is_empty() {
            self.fill()?;
        }
        if self.left.is_empty() {
            self.over = true;
            return Ok(());
        }
        self.header()?;
        self.state.reset(DataFormat::Raw);
        self.sum = crc32fast::Hasher::new();
        self.length = 0;
        Ok(())
    }

    fn fill(&mut self) -> io::Result<()> {
        let count = self.inner.read(&mut self.buffer)?;
        self.left = 0..count;
        Ok(())
    }
}

impl<R: Read> Read for Decompressor<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        while !self.over {
            if self.left.is_empty() {
                self.fill()?;
            }
            let ended = self.left.is_empty();
            let step = inflate(&mut self.state, &self.buffer[self.left.clone()], out, MZFlush::None);
            self.left.start += step.bytes_consumed;
            self.sum.update(&out[..step.bytes_written]);
            let count = u32::try_from(step.bytes_written).map_err(|_| wrong("is read in too large pieces"))?;
            self.length = self.length.wrapping_add(count);
            match step.status {
                Ok(MZStatus::StreamEnd) => self.end()?,
                Ok(_) | Err(MZError::Buf) if !ended || count > 0 => {}
                Ok(_) | Err(MZError::Buf) => return Err(wrong("ends early")),
                Err(_) => return Err(wrong("is damaged")),
            }
            if count > 0 {
                return Ok(step.bytes_written);
            }
        }
        Ok(0)
    }
}

fn odd(error: MZError) -> io::Error {
    io::Error::other(format!("cannot compress: {error:?}"))
}

fn wrong(fact: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, fact)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut compressor = Compressor::new(Vec::new()).unwrap();
        compressor.write_all(bytes).unwrap();
        compressor.finish().unwrap()
    }

    fn unpacked(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Decompressor::new(bytes)?.read_to_end(&mut out)?;
        Ok(out)
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]
        #[test]
        fn what_goes_in_comes_out(seed in 0u32..1000, length in 0usize..150_000) {
            let noise = (0..length).map(|at| (at as u32).wrapping_mul(seed | 1).to_le_bytes()[usize::from(at % 3 == 0)]);
            let bytes: Vec<u8> = noise.collect();
            proptest::prop_assert_eq!(unpacked(&packed(&bytes)).unwrap(), bytes);
        }
    }

    #[test]
    fn cut_off_or_changed_streams_are_errors() {
        let bytes = packed(&b"some words, and some words again".repeat(50));
        for length in 0..bytes.len() {
            assert!(unpacked(&bytes[..length]).is_err(), "{length}");
        }
        for at in [0, 12, bytes.len() - 1, bytes.len() - 6] {
            let mut wrong = bytes.clone();
            wrong[at] ^= 1;
            assert!(unpacked(&wrong).is_err(), "{at}");
        }
    }

    #[test]
    fn streams_one_after_another_are_read_as_one() {
        let mut bytes = packed(b"one, ");
        bytes.extend(packed(b""));
        bytes.extend(packed(b"two"));
        assert_eq!(unpacked(&bytes).unwrap(), b"one, two");
        bytes.extend(b"\0rest");
        assert!(unpacked(&bytes).is_err(), "what follows is not passed over");
    }

    #[test]
    fn a_stream_of_gzip_itself_is_read() {
        // printf hello | gzip, with a name in its header
        let mut bytes = vec![0x1f, 0x8b, 8, 8, 1, 2, 3, 4, 0, 3];
        bytes.extend(b"name\0");
        bytes.extend(&packed(b"hello")[10..]);
        assert_eq!(unpacked(&bytes).unwrap(), b"hello");
    }
}
