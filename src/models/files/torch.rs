//! `pytorch_model.bin`: a ZIP archive with a description of tensors and their numbers beside it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::tensor::{Dtype, TensorView};

use super::pickle::{self, Described};
use super::zip;

/// A PyTorch file, mapped into memory.
pub(super) struct TorchFile {
    path: PathBuf,
    bytes: Mmap,
    tensors: BTreeMap<String, Placed>,
}

struct Placed {
    dtype: Dtype,
    shape: Vec<usize>,
    content: Content,
}

enum Content {
    /// As it lies in the file.
    InFile(Range<usize>),
    /// Gathered from where a transposed or strided tensor has it.
    Gathered(Vec<u8>),
}

/// The longest description that is read: those of the largest models have a few megabytes.
const LONGEST: usize = 64 << 20;

impl TorchFile {
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub(super) fn open(path: &Path, bytes: Mmap) -> Result<Self, String> {
        let members = zip::members(&bytes)?;
        // `archive/data.pkl`, whatever the archive is called
        let description = members.iter().find_map(|(name, range)| {
            let prefix = name.strip_suffix("data.pkl")?;
            (prefix.is_empty() || prefix.ends_with('/')).then_some((prefix, range))
        });
        let Some((prefix, range)) = description else {
            return Err("the archive has no data.pkl: it is no model saved by PyTorch".into());
        };
        if range.len() > LONGEST {
            return Err(format!("its data.pkl has {} bytes, which no model's has", range.len()));
        }
        if let Some(order) = members.get(&format!("{prefix}byteorder"))
            && &bytes[order.clone()] != b"little"
        {
            return Err("its numbers are big-endian, which fragua does not read".into());
        }
        let mut tensors = BTreeMap::new();
        let mut gathered = 0usize;
        for described in pickle::tensors(&bytes[range.clone()])? {
            let name = described.name.clone();
            let storage = members
                .get(&format!("{prefix}data/{}", described.storage))
                .ok_or_else(|| format!("the numbers of `{name}` (data/{}) are missing", described.storage))?;
            let placed = place(described, &bytes, storage.clone(), &mut gathered)
                .ok_or_else(|| format!("`{name}` reaches beyond its numbers: the file is damaged"))?;
            if tensors.insert(name.clone(), placed).is_some() {
                return Err(format!("tensor `{name}` is there twice"));
            }
        }
        Ok(Self {
            path: path.to_owned(),
            bytes,
            tensors,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn map(&self) -> &Mmap {
        &self.bytes
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub(super) fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        let placed = self.tensors.get(name)?;
        let data = match &placed.content {
            Content::InFile(range) => &self.bytes[range.clone()],
            Content::Gathered(bytes) => bytes,
        };
        TensorView::new(placed.dtype, placed.shape.clone(), data).ok()
    }

    /// Where a tensor lies in the file.
    pub(super) fn range(&self, name: &str) -> Option<Range<usize>> {
        match &self.tensors.get(name)?.content {
            Content::InFile(range) => Some(range.clone()),
            Content::Gathered(_) => None,
        }
    }
}

/// Where a tensor's numbers are; `None` when that is outside of its storage, or when gathering all
/// strided tensors would take more memory than the file has bytes.
fn place(described: Described, bytes: &[u8], storage: Range<usize>, gathered: &mut usize) -> Option<Placed> {
    let size = described.dtype.bitsize() / 8;
    let end = described.last()?.checked_mul(size)?;
    if end > storage.len() {
        return None;
    }
    let length = described.count()?.checked_mul(size)?;
    let content = if described.contiguous() {
        let start = storage.start + described.offset.checked_mul(size)?;
        Content::InFile(start..start.checked_add(length).filter(|end| *end <= storage.end)?)
    } else {
        *gathered = gathered.checked_add(length).filter(|all| *all <= bytes.len())?;
        Content::Gathered(gather(&described, &bytes[storage], size))
    };
    Some(Placed {
        dtype: described.dtype,
        shape: described.shape,
        content,
    })
}

/// A strided tensor's bytes in row-major order.
fn gather(described: &Described, storage: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut index = vec![0usize; described.shape.len()];
    for _ in 0..described.count().unwrap_or(0) {
        let steps = index.iter().zip(&described.strides);
        let at = described.offset + steps.map(|(index, stride)| index * stride).sum::<usize>();
        bytes.extend_from_slice(&storage[at * size..(at + 1) * size]);
        for (place, side) in index.iter_mut().zip(&described.shape).rev() {
            *place += 1;
            if *place < *side {
                break;
            }
            *place = 0;
        }
    }
    bytes
}
