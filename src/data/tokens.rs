//! Encoded rows of one split: one flat little-endian file of tokens and an index beside it.
//!
//! `tokens.bin` holds unsigned 16-bit numbers, or 32-bit ones for a vocabulary of more than 65,536.
//! `index.json` is `{"version": 1, "dtype": "u16", "tokens": N, "vocab_size": V, "documents": [end
//! offset of each], "loss": [[start, end], ..] or null}`; loss spans are the positions of tokens that
//! are targets, half-open and in order.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use super::DataError;

const TOKENS: &str = "tokens.bin";
const INDEX: &str = "index.json";
const VERSION: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Dtype {
    U16,
    U32,
}

impl Dtype {
    fn for_vocabulary(size: usize) -> Self {
        if size <= 1 << 16 { Self::U16 } else { Self::U32 }
    }

    fn bytes(self) -> usize {
        match self {
            Self::U16 => 2,
            Self::U32 => 4,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Index {
    version: u32,
    dtype: Dtype,
    tokens: usize,
    vocab_size: usize,
    documents: Vec<usize>,
    loss: Option<Vec<(usize, usize)>>,
}

impl Index {
    /// What does not hold together, if anything.
    fn flaw(&self) -> Option<String> {
        if self.version != VERSION {
            return Some(format!(
                "is version {}; this program reads version {VERSION}",
                self.version
            ));
        }
        if !self.documents.is_sorted() || self.documents.last().copied().unwrap_or(0) != self.tokens {
            return Some(format!(
                "the documents do not end at the last of {} tokens",
                self.tokens
            ));
        }
        let mut last = 0;
        for &(start, end) in self.loss.iter().flatten() {
            if start < last || end < start || end > self.tokens {
                return Some(format!("loss span {start}..{end} is out of order or of range"));
            }
            last = end;
        }
        None
    }
}

/// The tokens of a split, memory-mapped: opening a large file costs nothing, and what is read stays
/// in the page cache.
pub struct TokenFile {
    map: Option<Mmap>, // an empty file cannot be mapped
    index: Index,
}

impl TokenFile {
    /// Opens a split's folder.
    ///
    /// # Errors
    /// A file that is missing, or an index that does not fit the tokens.
    pub fn open(split: &Path) -> Result<Self, DataError> {
        let path = split.join(INDEX);
        let text = std::fs::read(&path).map_err(DataError::io(&path))?;
        let index: Index = serde_json::from_slice(&text).map_err(|error| DataError::file(&path, error.to_string()))?;
        if let Some(flaw) = index.flaw() {
            return Err(DataError::file(&path, flaw));
        }
        let path = split.join(TOKENS);
        let file = File::open(&path).map_err(DataError::io(&path))?;
        let bytes = file.metadata().map_err(DataError::io(&path))?.len();
        let expected = index.tokens.saturating_mul(index.dtype.bytes()) as u64;
        if bytes != expected {
            return Err(DataError::file(
                &path,
                format!("has {bytes} bytes where its index means {expected}"),
            ));
        }
        let map = if bytes == 0 {
            None
        } else {
            // SAFETY: artifacts are immutable once published; nobody shortens the file under us.
            Some(unsafe { Mmap::map(&file) }.map_err(DataError::io(&path))?)
        };
        Ok(Self { map, index })
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.index.tokens
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.index.tokens == 0
    }

    /// The token at a position below [`Self::len`].
    pub fn get(&self, position: usize) -> u32 {
        let width = self.index.dtype.bytes();
        self.decode(self.bytes(position..position + 1), width)
            .next()
            .expect("one position, one token")
    }

    /// The tokens of a range that ends at most at [`Self::len`].
    pub fn slice(&self, range: Range<usize>) -> Vec<u32> {
        let width = self.index.dtype.bytes();
        self.decode(self.bytes(range), width).collect()
    }

    fn bytes(&self, range: Range<usize>) -> &[u8] {
        let width = self.index.dtype.bytes();
        let all = self.map.as_deref().unwrap_or_default();
        &all[range.start * width..range.end * width]
    }

    fn decode<'a>(&self, bytes: &'a [u8], width: usize) -> impl Iterator<Item = u32> + use<'a> {
        let dtype = self.index.dtype;
        bytes.chunks_exact(width).map(move |token| match dtype {
            Dtype::U16 => u32::from(u16::from_le_bytes([token[0], token[1]])),
            Dtype::U32 => u32::from_le_bytes([token[0], token[1], token[2], token[3]]),
        })
    }

    /// The position after the last token of each document, in order.
    pub fn documents(&self) -> &[usize] {
        &self.index.documents
    }

    /// The positions of one document's tokens, by its number below `documents().len()`.
    pub fn document(&self, number: usize) -> Range<usize> {
        let start = number
            .checked_sub(1)
            .map_or(0, |previous| self.index.documents[previous]);
        start..self.index.documents[number]
    }

    /// The positions of the tokens that are targets, as half-open spans in order; `None` when all are.
    pub fn loss_spans(&self) -> Option<&[(usize, usize)]> {
        self.index.loss.as_deref()
    }

    /// The size of the vocabulary that the tokens come from: all of them are below it.
    pub fn vocab_size(&self) -> usize {
        self.index.vocab_size
    }
}

/// Writes a split's folder, document by document.
pub struct TokenWriter {
    folder: PathBuf,
    file: BufWriter<File>,
    index: Index,
}

impl TokenWriter {
    /// Starts a split's folder (made if it is not there) for tokens below `vocab_size`; `spans` says
    /// whether documents come with the positions that are targets.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(split: &Path, vocab_size: usize, spans: bool) -> Result<Self, DataError> {
        std::fs::create_dir_all(split).map_err(DataError::io(split))?;
        let path = split.join(TOKENS);
        Ok(Self {
            folder: split.to_owned(),
            file: BufWriter::new(File::create(&path).map_err(DataError::io(&path))?),
            index: Index {
                version: VERSION,
                dtype: Dtype::for_vocabulary(vocab_size),
                tokens: 0,
                vocab_size,
                documents: Vec::new(),
                loss: spans.then(Vec::new),
            },
        })
    }

    /// Adds a document; `targets` are positions within it (ignored without spans).
    ///
    /// # Errors
    /// A token that is not below the vocabulary's size; when the file cannot be written.
    pub fn push(&mut self, document: &[u32], targets: Range<usize>) -> Result<(), DataError> {
        let path = self.folder.join(TOKENS);
        for &token in document {
            if token as usize >= self.index.vocab_size {
                let size = self.index.vocab_size;
                return Err(DataError::file(
                    &path,
                    format!("token {token} is not below the vocabulary's {size}"),
                ));
            }
            let bytes = token.to_le_bytes();
            self.file
                .write_all(&bytes[..self.index.dtype.bytes()])
                .map_err(DataError::io(&path))?;
        }
        if let Some(spans) = &mut self.index.loss {
            let start = self.index.tokens;
            spans.push((start + targets.start, start + targets.end));
        }
        self.index.tokens += document.len();
        self.index.documents.push(self.index.tokens);
        Ok(())
    }

    /// Ends the folder; gives the numbers of documents and tokens.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn finish(mut self) -> Result<(usize, usize), DataError> {
        let path = self.folder.join(TOKENS);
        self.file.flush().map_err(DataError::io(&path))?;
        let path = self.folder.join(INDEX);
        let text = serde_json::to_string(&self.index).expect("an index can be written") + "\n";
        std::fs::write(&path, text).map_err(DataError::io(&path))?;
        Ok((self.index.documents.len(), self.index.tokens))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn documents_round_trip(
            documents in prop::collection::vec(prop::collection::vec(0u32..70_000, 0..30), 0..10),
            wide in any::<bool>(),
        ) {
            let size = if wide { 70_000 } else { 65_536 };
            let documents: Vec<Vec<u32>> = documents
                .into_iter()
                .map(|tokens| tokens.into_iter().map(|token| token.min(size - 1)).collect())
                .collect();
            let folder = tempfile::tempdir().unwrap();
            let mut writer = TokenWriter::create(folder.path(), size as usize, true).unwrap();
            for tokens in &documents {
                writer.push(tokens, tokens.len() / 2..tokens.len()).unwrap();
            }
            writer.finish().unwrap();
            let file = TokenFile::open(folder.path()).unwrap();
            let bytes = std::fs::metadata(folder.path().join(TOKENS)).unwrap().len();
            prop_assert_eq!(bytes, file.len() as u64 * if wide { 4 } else { 2 });
            prop_assert_eq!(file.slice(0..file.len()), documents.concat());
            for (number, tokens) in documents.iter().enumerate() {
                let range = file.document(number);
                prop_assert_eq!(&file.slice(range.clone()), tokens);
                let (start, end) = file.loss_spans().unwrap()[number];
                prop_assert_eq!((start, end), (range.start + tokens.len() / 2, range.end));
                for position in range {
                    prop_assert_eq!(file.get(position), file.slice(position..position + 1)[0]);
                }
            }
        }
    }

    #[test]
    fn damage_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = TokenWriter::create(folder.path(), 10, false).unwrap();
        assert!(writer.push(&[10], 0..1).is_err());
        let mut writer = TokenWriter::create(folder.path(), 10, false).unwrap();
        writer.push(&[1, 2, 3], 0..3).unwrap();
        writer.finish().unwrap();
        assert_eq!(TokenFile::open(folder.path()).unwrap().loss_spans(), None);
        std::fs::write(folder.path().join(TOKENS), [1, 0, 2, 0]).unwrap();
        assert!(TokenFile::open(folder.path()).is_err());
        std::fs::write(
            folder.path().join(INDEX),
            r#"{"version":1,"dtype":"u16","tokens":2,"vocab_size":10,"documents":[1],"loss":null}"#,
        )
        .unwrap();
        assert!(TokenFile::open(folder.path()).is_err());
    }
}
