//! The messages of `sentencepiece_model.proto`, as far as encoding needs them.

use prost::Message;

/// What a piece is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Type {
    /// An ordinary piece.
    Normal = 1,
    /// What stands for unknown text.
    Unknown = 2,
    /// A mark that no text encodes to: `<s>`.
    Control = 3,
    /// Always one token wherever it stands in a text.
    UserDefined = 4,
    /// Not produced by encoding.
    Unused = 5,
    /// A byte, for byte fallback: `<0x0A>`.
    Byte = 6,
}

/// One entry of the vocabulary.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Piece {
    /// Its text, with U+2581 for spaces.
    #[prost(string, optional, tag = "1")]
    pub piece: Option<String>,
    /// Its log-probability (unigram) or minus its rank (BPE).
    #[prost(float, optional, tag = "2")]
    pub score: Option<f32>,
    /// What it is for.
    #[prost(enumeration = "Type", optional, tag = "3", default = "Normal")]
    pub kind: Option<i32>,
}

/// How the model was trained: the part of it that encoding depends on.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TrainerSpec {
    /// 1 unigram, 2 BPE, 3 words, 4 characters.
    #[prost(int32, optional, tag = "3", default = "1")]
    pub model_type: Option<i32>,
    /// Whether the mark for a space follows a word.
    #[prost(bool, optional, tag = "24", default = "false")]
    pub treat_whitespace_as_suffix: Option<bool>,
    /// Whether unknown characters are encoded as bytes.
    #[prost(bool, optional, tag = "35", default = "false")]
    pub byte_fallback: Option<bool>,
    /// The unknown piece; negative ids mean that there is none.
    #[prost(int32, optional, tag = "40", default = "0")]
    pub unk_id: Option<i32>,
    /// The piece that begins a sequence.
    #[prost(int32, optional, tag = "41", default = "1")]
    pub bos_id: Option<i32>,
    /// The piece that ends a sequence.
    #[prost(int32, optional, tag = "42", default = "2")]
    pub eos_id: Option<i32>,
    /// The piece that fills shorter sequences.
    #[prost(int32, optional, tag = "43", default = "-1")]
    pub pad_id: Option<i32>,
}

/// How a text is changed before it is encoded.
#[derive(Clone, PartialEq, Message)]
pub(super) struct NormalizerSpec {
    /// A trie of replacements; empty for none.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub precompiled_charsmap: Option<Vec<u8>>,
    /// Whether a space is put before a text.
    #[prost(bool, optional, tag = "3", default = "true")]
    pub add_dummy_prefix: Option<bool>,
    /// Whether spaces around a text are dropped, and runs of them become one.
    #[prost(bool, optional, tag = "4", default = "true")]
    pub remove_extra_whitespaces: Option<bool>,
    /// Whether spaces become U+2581.
    #[prost(bool, optional, tag = "5", default = "true")]
    pub escape_whitespaces: Option<bool>,
}

/// The whole file.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Model {
    /// The vocabulary; a piece's place is its id.
    #[prost(message, repeated, tag = "1")]
    pub pieces: Vec<Piece>,
    /// How it was trained.
    #[prost(message, optional, tag = "2")]
    pub trainer: Option<TrainerSpec>,
    /// How text is normalized.
    #[prost(message, optional, tag = "3")]
    pub normalizer: Option<NormalizerSpec>,
}
