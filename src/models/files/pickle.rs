//! The description of tensors in a PyTorch file, which is a Python pickle: read by an interpreter of
//! our own that knows a state dictionary's opcodes and a list of names, builds plain values from
//! them, and executes nothing. What is not on its lists is an error.
//!
//! Values are nodes of one list that refer to each other by number: a pickle that repeats or contains
//! itself costs no more than its own length.

use std::collections::HashMap;

use safetensors::tensor::Dtype;

/// A tensor as a state dictionary describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    /// The member of the archive that holds the numbers.
    pub(super) storage: String,
    /// In elements.
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    /// In elements.
    pub(super) strides: Vec<usize>,
}

/// The tensors of a state dictionary.
pub(super) fn tensors(pickle: &[u8]) -> Result<Vec<Described>, String> {
    let mut machine = Machine {
        input: pickle,
        at: 0,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    let root = machine.run()?;
    machine.state_dictionary(root)
}

/// A node's number.
type Id = usize;

#[derive(Clone, Debug)]
enum Node {
    None,
    Bool,
    Integer(i64),
    /// A float or whatever else is carried along and never looked at.
    Opaque,
    Text(String),
    Tuple(Vec<Id>),
    List,
    Dictionary(Vec<(Id, Id)>),
    Global(Global),
    Storage {
        dtype: Option<Dtype>,
        key: String,
        count: usize,
    },
    Tensor(Box<View>),
}

#[derive(Clone, Debug)]
struct View {
    storage: Id,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

/// The names that a pickle may ask for.
#[derive(Clone, Copy, Debug)]
enum Global {
    OrderedDictionary,
    RebuildTensor,
    RebuildParameter,
    /// A storage's type; `None` for one whose numbers fragua does not read.
    Storage(Option<Dtype>),
}

fn global(module: &str, name: &str) -> Result<Global, String> {
    Ok(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDictionary,
        ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensor,
        ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
        ("torch", "FloatStorage") => Global::Storage(Some(Dtype::F32)),
        ("torch", "HalfStorage") => Global::Storage(Some(Dtype::F16)),
        ("torch", "BFloat16Storage") => Global::Storage(Some(Dtype::BF16)),
        (
            "torch",
            "DoubleStorage" | "LongStorage" | "IntStorage" | "ShortStorage" | "CharStorage" | "ByteStorage"
            | "BoolStorage",
        ) => Global::Storage(None),
        _ => {
            return Err(format!(
                "it asks for `{module}.{name}`, which a state dictionary does not need: fragua executes nothing from a \
                 pickle; save the model's state_dict() alone, or as safetensors"
            ));
        }
    })
}

struct Machine<'a> {
    input: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    /// Heights of the stack at each open mark.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

const DAMAGED: &str = "the description of the tensors (data.pkl) is damaged";

fn damaged<T>() -> Result<T, String> {
    Err(DAMAGED.into())
}

impl Machine<'_> {
    /// Interprets to the end and gives the one value that is left.
    fn run(&mut self) -> Result<Id, String> {
        loop {
            let [opcode] = self.bytes::<1>()?;
            match opcode {
                0x80 => self.skip(1)?, // PROTO
                0x95 => self.skip(8)?, // FRAME
                b'.' => return self.pop(),
                b'(' => self.marks.push(self.stack.len()),
                b'N' => self.push(Node::None),
                0x88 | 0x89 => self.push(Node::Bool),
                b'K' => {
                    let [value] = self.bytes()?;
                    self.push(Node::Integer(i64::from(value)));
                }
                b'M' => {
                    let value = u16::from_le_bytes(self.bytes()?);
                    self.push(Node::Integer(i64::from(value)));
                }
                b'J' => {
                    let value = i32::from_le_bytes(self.bytes()?);
                    self.push(Node::Integer(i64::from(value)));
                }
                0x8a => self.long()?,
                b'G' => {
                    self.skip(8)?;
                    self.push(Node::Opaque);
                }
                b'X' => {
                    let length = u32::from_le_bytes(self.bytes()?);
                    self.text(length as usize)?; // at least 32-bit addresses
                }
                0x8c | b'U' => {
                    let [length] = self.bytes()?;
                    self.text(usize::from(length))?;
                }
                b'}' => self.push(Node::Dictionary(Vec::new())),
                b']' => self.push(Node::List),
                b')' => self.push(Node::Tuple(Vec::new())),
                b't' => {
                    let items = self.since_mark()?;
                    self.push(Node::Tuple(items));
                }
                0x85..=0x87 => {
                    let length = usize::from(opcode - 0x84);
                    let start = self.stack.len().checked_sub(length).ok_or(DAMAGED)?;
                    let items = self.stack.split_off(start);
                    self.push(Node::Tuple(items));
                }
                b'q' => {
                    let [key] = self.bytes()?;
                    self.remember(u32::from(key))?;
                }
                b'r' => {
                    let key = u32::from_le_bytes(self.bytes()?);
                    self.remember(key)?;
                }
                0x94 => {
                    let key = u32::try_from(self.memo.len()).map_err(|_| DAMAGED)?;
                    self.remember(key)?;
                }
                b'h' => {
                    let [key] = self.bytes()?;
                    self.recall(u32::from(key))?;
                }
                b'j' => {
                    let key = u32::from_le_bytes(self.bytes()?);
                    self.recall(key)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    let global = global(&module, &name)?;
                    self.push(Node::Global(global));
                }
                0x93 => {
                    let (name, module) = (self.pop_text()?, self.pop_text()?);
                    let global = global(&module, &name)?;
                    self.push(Node::Global(global));
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set(vec![key, value])?;
                }
                b'u' => {
                    let items = self.since_mark()?;
                    self.set(items)?;
                }
                b'a' => {
                    self.pop()?;
                    self.must_be_list()?;
                }
                b'e' => {
                    self.since_mark()?;
                    self.must_be_list()?;
                }
                b'b' => {
                    // attributes of a dictionary (`_metadata`) and nothing else
                    self.pop()?;
                    match self.top()? {
                        Node::Dictionary(_) => {}
                        _ => return damaged(),
                    }
                }
                b'Q' => self.storage()?,
                b'R' => self.reduce()?,
                other => {
                    return Err(format!(
                        "{DAMAGED}, or no state dictionary: opcode 0x{other:02x} is not one of those that describe tensors"
                    ));
                }
            }
        }
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let bytes = self.input.get(self.at..).and_then(<[u8]>::first_chunk).ok_or(DAMAGED)?;
        self.at += N;
        Ok(*bytes)
    }

    fn skip(&mut self, count: usize) -> Result<(), String> {
        self.take(count).map(|_| ())
    }

    fn take(&mut self, count: usize) -> Result<&[u8], String> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let taken = rest.get(..count).ok_or(DAMAGED)?;
        self.at += count;
        Ok(taken)
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == b'\n').ok_or(DAMAGED)?;
        let line = std::str::from_utf8(&rest[..length]).map_err(|_| DAMAGED)?.to_owned();
        self.at += length + 1;
        Ok(line)
    }

    fn text(&mut self, length: usize) -> Result<(), String> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| DAMAGED)?.to_owned();
        self.push(Node::Text(text));
        Ok(())
    }

    /// A whole number of any length; those of tensors fit in 64 bits.
    fn long(&mut self) -> Result<(), String> {
        let [length] = self.bytes()?;
        let digits = self.take(usize::from(length))?;
        if digits.len() > 8 {
            self.push(Node::Opaque);
            return Ok(());
        }
        let negative = digits.last().is_some_and(|byte| *byte >= 0x80);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..digits.len()].copy_from_slice(digits);
        self.push(Node::Integer(i64::from_le_bytes(wide)));
        Ok(())
    }

    fn push(&mut self, node: Node) {
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
    }

    fn pop(&mut self) -> Result<Id, String> {
        if self.marks.last().is_some_and(|mark| self.stack.len() <= *mark) {
            return damaged();
        }
        self.stack.pop().ok_or_else(|| DAMAGED.into())
    }

    fn pop_text(&mut self) -> Result<String, String> {
        let id = self.pop()?;
        match &self.nodes[id] {
            Node::Text(text) => Ok(text.clone()),
            _ => damaged(),
        }
    }

    fn top(&mut self) -> Result<&mut Node, String> {
        let id = *self.stack.last().ok_or(DAMAGED)?;
        Ok(&mut self.nodes[id])
    }

    fn must_be_list(&mut self) -> Result<(), String> {
        match self.top()? {
            Node::List => Ok(()),
            _ => damaged(),
        }
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or(DAMAGED)?;
        if mark > self.stack.len() {
            return damaged();
        }
        Ok(self.stack.split_off(mark))
    }

    fn remember(&mut self, key: u32) -> Result<(), String> {
        let id = *self.stack.last().ok_or(DAMAGED)?;
        self.memo.insert(key, id);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), String> {
        let id = *self.memo.get(&key).ok_or(DAMAGED)?;
        self.stack.push(id);
        Ok(())
    }

    /// Keys and values, one after the other, into the dictionary on top.
    fn set(&mut self, items: Vec<Id>) -> Result<(), String> {
        let Node::Dictionary(entries) = self.top()? else {
            return damaged();
        };
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return damaged();
        }
        entries.extend(pairs.iter().map(|[key, value]| (*key, *value)));
        Ok(())
    }

    /// `('storage', type, key, location, count)` → a storage.
    fn storage(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let parts = self.tuple(id)?;
        let [_, kind, key, _, count] = *parts.as_slice() else {
            return damaged();
        };
        let (Node::Global(Global::Storage(dtype)), Node::Text(key)) = (&self.nodes[kind], &self.nodes[key]) else {
            return damaged();
        };
        let storage = Node::Storage {
            dtype: *dtype,
            key: key.clone(),
            count: self.count(count)?,
        };
        self.push(storage);
        Ok(())
    }

    /// A call, of one of three functions whose meaning is known.
    fn reduce(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let arguments = self.tuple(arguments)?;
        let Node::Global(function) = self.nodes[function] else {
            return damaged();
        };
        match (function, arguments.as_slice()) {
            (Global::OrderedDictionary, []) => self.push(Node::Dictionary(Vec::new())),
            (Global::RebuildTensor, [storage, offset, shape, strides, ..]) => {
                if !matches!(self.nodes[*storage], Node::Storage { .. }) {
                    return damaged();
                }
                let view = View {
                    storage: *storage,
                    offset: self.count(*offset)?,
                    shape: self.counts(*shape)?,
                    strides: self.counts(*strides)?,
                };
                self.push(Node::Tensor(Box::new(view)));
            }
            (Global::RebuildParameter, [tensor, ..]) if matches!(self.nodes[*tensor], Node::Tensor(_)) => {
                self.stack.push(*tensor);
            }
            _ => return damaged(),
        }
        Ok(())
    }

    fn tuple(&self, id: Id) -> Result<Vec<Id>, String> {
        match &self.nodes[id] {
            Node::Tuple(items) => Ok(items.clone()),
            _ => damaged(),
        }
    }

    fn count(&self, id: Id) -> Result<usize, String> {
        match self.nodes[id] {
            Node::Integer(number) => usize::try_from(number).map_err(|_| DAMAGED.into()),
            _ => damaged(),
        }
    }

    fn counts(&self, id: Id) -> Result<Vec<usize>, String> {
        const MOST: usize = 8; // dimensions of a tensor
        let items = self.tuple(id)?;
        if items.len() > MOST {
            return damaged();
        }
        items.into_iter().map(|item| self.count(item)).collect()
    }

    /// The tensors of the dictionary at the root.
    fn state_dictionary(&self, root: Id) -> Result<Vec<Described>, String> {
        let Node::Dictionary(entries) = &self.nodes[root] else {
            return Err("it holds no dictionary of tensors: save the model's state_dict() alone".into());
        };
        let mut tensors = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let Node::Text(name) = &self.nodes[*key] else {
                return Err("its dictionary has a key that is no text: save the model's state_dict() alone".into());
            };
            let Node::Tensor(view) = &self.nodes[*value] else {
                return Err(format!("`{name}` is no tensor: save the model's state_dict() alone"));
            };
            let Node::Storage { dtype, key, count } = &self.nodes[view.storage] else {
                return damaged();
            };
            // masks in other formats are no weights
            let Some(dtype) = *dtype else { continue };
            let described = Described {
                name: name.clone(),
                dtype,
                storage: key.clone(),
                offset: view.offset,
                shape: view.shape.clone(),
                strides: view.strides.clone(),
            };
            if described.last().is_none_or(|last| last > *count) || view.shape.len() != view.strides.len() {
                return Err(format!("`{name}` reaches beyond its storage of {count} numbers"));
            }
            tensors.push(described);
        }
        Ok(tensors)
    }
}

impl Described {
    /// Its number of elements, if that is one.
    pub(super) fn count(&self) -> Option<usize> {
        self.shape
            .iter()
            .try_fold(1usize, |count, side| count.checked_mul(*side))
    }

    /// One more than the place in the storage of its last element.
    pub(super) fn last(&self) -> Option<usize> {
        if self.count()? == 0 {
            return Some(self.offset);
        }
        let steps = self.shape.iter().zip(&self.strides);
        let mut last = steps.map(|(side, stride)| (side - 1).checked_mul(*stride));
        let last = last.try_fold(self.offset, |sum, step| sum.checked_add(step?))?;
        last.checked_add(1)
    }

    /// Whether its elements follow each other.
    pub(super) fn contiguous(&self) -> bool {
        let mut expected = 1usize;
        for (side, stride) in self.shape.iter().zip(&self.strides).rev() {
            if *side != 1 && *stride != expected {
                return false;
            }
            expected = expected.saturating_mul(*side);
        }
        true
    }
}
