//! What can be said of an artifact before it is made, from settings alone: for `fragua plan --memory`.

use serde::Serialize;
use serde_json::{Map, Value};

use super::Input;

/// What is known of an artifact before it is made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outlook {
    /// How many tokens its tokenizer has.
    pub vocabulary: Option<usize>,
    /// A model's `config.json`.
    pub model: Option<Map<String, Value>>,
    /// The memory that making it takes.
    pub memory: Option<Memory>,
    /// Why the memory is not known, where it could be.
    pub unknown: Option<String>,
}

/// The most memory that a step holds at once, term by term: the terms are what it holds at that moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Memory {
    /// Their sum.
    pub peak_bytes: u64,
    /// When that is: `while the loss is computed`.
    pub moment: String,
    /// Numbers in the model's weights.
    pub parameters: u64,
    /// What it is made of.
    pub terms: Vec<Term>,
}

/// Something that is held.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Term {
    /// `weights`, `gradients`, `optimizer`, `activations`, `workspace`, `cache`, `allocator`, `process`.
    pub name: &'static str,
    /// At the peak.
    pub bytes: u64,
    /// At the moment when it is largest, which may be another one.
    pub largest_bytes: u64,
    /// How it comes about: `10,795,776 parameters of 4 bytes`.
    pub about: String,
    /// What its largest is made of, where there is more to say.
    pub parts: Vec<Part>,
}

/// A part of a term.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Part {
    /// `attention`, `mlp inputs`.
    pub name: String,
    /// All of it.
    pub bytes: u64,
    /// How it comes about.
    pub about: String,
}

/// What a step is told when it is asked for its outlook.
pub struct Prospects<'a> {
    /// What it refers to, each with what is known of it: of what is made, [`Input::path`] is its place.
    pub inputs: Vec<(Input, &'a Outlook)>,
    /// Threads that the step will have.
    pub threads: usize,
}

impl Prospects<'_> {
    /// What is known of a reference, by [`Input::text`], and its folder if it is made.
    pub fn of(&self, text: &str) -> Option<(&Input, &Outlook)> {
        self.inputs
            .iter()
            .find(|(input, _)| input.text == text)
            .map(|(input, outlook)| (input, *outlook))
    }
}
