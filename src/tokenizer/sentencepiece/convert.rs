//! A SentencePiece model as `tokenizer.json`: the same ids for the same text.
//!
//! What differs from SentencePiece is what differs in Hugging Face's library: special tokens that are
//! written out in a text become those tokens.

use std::collections::HashMap;

use prost::Message as _;
use serde_json::{Map, Value, json};

use super::proto::{Model, NormalizerSpec, TrainerSpec, Type};
use super::{Surroundings, charsmap};
use crate::tokenizer::{base64, format};

const SPACE: char = '\u{2581}';

/// The `tokenizer.json` of a model's file, and the roles that the file gives to its pieces, by the names of
/// `tokenizer_config.json`.
///
/// # Errors
/// What is no SentencePiece model, or one that `tokenizer.json` cannot express.
pub(in crate::tokenizer) fn tokenizer_json(
    file: &[u8],
    around: &Surroundings,
) -> Result<(Value, Vec<(&'static str, String)>), String> {
    let model = Model::decode(file).map_err(|error| format!("not a SentencePiece model: {error}"))?;
    let pieces = Pieces::of(&model)?;
    let trainer = model.trainer.clone().unwrap_or_default();
    let normalizer = model.normalizer.clone().unwrap_or_default();
    if trainer.treat_whitespace_as_suffix() {
        return Err("the model puts the mark for a space after words, which is not supported".into());
    }
    let words = normalizer.escape_whitespaces.unwrap_or(true) && pieces.spaces_lead();
    let users = pieces.of_type(Type::UserDefined).map(|(_, text)| text);
    let mut users: Vec<&str> = users.collect();
    users.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b))); // the longest is found first
    let mut cuts = Vec::new();
    if !users.is_empty() {
        let pattern: Vec<String> = users.iter().map(|text| regex::escape(text)).collect();
        cuts.push(format::split(&pattern.join("|")));
    }
    if words && !users.iter().any(|text| text.contains(SPACE)) {
        // no piece reaches over the beginning of a run of spaces, so what is between two stands by itself
        cuts.push(format::runs_of(SPACE));
    }
    let vocabulary = match trainer.model_type.unwrap_or(1) {
        1 => pieces.unigram(&trainer)?,
        2 => pieces.bpe(&trainer, !users.is_empty())?,
        3 => return Err("a SentencePiece model of whole words is not supported: unigram and BPE are".into()),
        4 => {
            return Err(
                "a SentencePiece model of characters is not supported: train one with `algorithm: char`".into(),
            );
        }
        other => return Err(format!("a SentencePiece model of the unknown type {other}")),
    };
    let marks: Vec<(&str, u32)> = pieces
        .of_type(Type::Unknown)
        .chain(pieces.of_type(Type::Control))
        .map(|(id, text)| (text, id))
        .collect();
    let mut json = format::whole(
        &marks,
        &sequence("pretokenizers", cuts),
        &decoder(&trainer, &normalizer),
        &vocabulary,
    );
    json["normalizer"] = self::normalizer(&normalizer)?;
    let added = json["added_tokens"].as_array_mut().expect("made as one");
    added.sort_by_key(|token| token["id"].as_u64());
    let taken = more_tokens(added, &pieces, around)?;
    let roles = pieces.roles(&trainer);
    let role = |name: &str| {
        roles
            .iter()
            .find(|(role, _)| *role == name)
            .map(|(_, text)| text.as_str())
    };
    let begin = role("bos_token").filter(|_| around.begins);
    let end = role("eos_token").filter(|_| around.ends);
    if begin.is_some() || end.is_some() {
        json["post_processor"] = format::around(begin, end, |token| taken.get(token).copied());
    }
    Ok((json, roles))
}

/// Adds T5's sentinels and the other tokens of the surroundings; gives all added tokens and their ids.
fn more_tokens(
    added: &mut Vec<Value>,
    pieces: &Pieces<'_>,
    around: &Surroundings,
) -> Result<HashMap<String, u32>, String> {
    let size = u32::try_from(pieces.0.len()).map_err(|_| "has more pieces than ids")?;
    let mut taken: HashMap<String, u32> = HashMap::new();
    for token in added.iter() {
        let id = token["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        taken.insert(
            token["content"].as_str().unwrap_or_default().to_owned(),
            id.expect("made of one"),
        );
    }
    if !pieces.0.iter().any(|(text, ..)| *text == "<extra_id_0>") {
        // T5 numbers them backwards, so that the first is the last token
        for id in size..size + around.sentinels {
            let content = format!("<extra_id_{}>", around.sentinels - 1 - (id - size));
            added.push(format::added(&content, id, true));
            taken.insert(content, id);
        }
    }
    for one in &around.added {
        let content = one.flags["content"].as_str().unwrap_or_default();
        let piece = usize::try_from(one.id).ok().and_then(|id| pieces.0.get(id));
        let known = taken
            .get(content)
            .copied()
            .or(piece.filter(|piece| piece.0 == content).map(|_| one.id));
        match (known, piece) {
            (Some(id), _) if id == one.id => {
                // the flags of the surroundings stand over the usual ones
                added.retain(|token| token["id"] != one.id);
            }
            (None, None) => {}
            _ => {
                let fact = format!("the added token {content:?} has the number {}", one.id);
                return Err(match (known, piece) {
                    (Some(id), _) => format!("{fact}, and the model has it as number {id}"),
                    (None, Some((text, ..))) => format!("{fact}, which is {text:?} in the model"),
                    (None, None) => fact,
                });
            }
        }
        let mut token = format::added(content, one.id, false);
        for (name, flag) in &one.flags {
            if token.get(name).is_some_and(Value::is_boolean) && flag.is_boolean() {
                token[name] = flag.clone();
            }
        }
        added.push(token);
        taken.insert(content.to_owned(), one.id);
    }
    added.sort_by_key(|token| token["id"].as_u64());
    Ok(taken)
}

fn sequence(name: &str, mut list: Vec<Value>) -> Value {
    match list.len() {
        0 => Value::Null,
        1 => list.remove(0),
        _ => json!({"type": "Sequence", name: list}),
    }
}

fn replace(pattern: &Value, content: &str) -> Value {
    json!({"type": "Replace", "pattern": pattern, "content": content})
}

/// What `Normalizer::Normalize` of SentencePiece does.
fn normalizer(spec: &NormalizerSpec) -> Result<Value, String> {
    let mut list = Vec::new();
    if let Some(map) = spec.precompiled_charsmap.as_deref().filter(|map| !map.is_empty()) {
        if let Some(flaw) = charsmap::flaw(map) {
            return Err(format!("the model's compiled normalization {flaw}"));
        }
        list.push(json!({"type": "Precompiled", "precompiled_charsmap": base64::encode(map)}));
    }
    if spec.remove_extra_whitespaces.unwrap_or(true) {
        list.extend(format::trimmed());
    }
    let [prepend, escape] = format::spaced();
    match (
        spec.add_dummy_prefix.unwrap_or(true),
        spec.escape_whitespaces.unwrap_or(true),
    ) {
        (true, true) => list.extend([prepend, escape]),
        (true, false) => list.push(json!({"type": "Prepend", "prepend": " "})),
        (false, true) => list.push(escape),
        (false, false) => {}
    }
    Ok(sequence("normalizers", list))
}

fn decoder(trainer: &TrainerSpec, normalizer: &NormalizerSpec) -> Value {
    let mut list = Vec::new();
    if normalizer.escape_whitespaces.unwrap_or(true) {
        list.push(replace(&json!({"String": SPACE}), " "));
    }
    if trainer.byte_fallback() {
        list.push(json!({"type": "ByteFallback"}));
    }
    list.push(json!({"type": "Fuse"}));
    if normalizer.add_dummy_prefix.unwrap_or(true) {
        let most = if normalizer.remove_extra_whitespaces.unwrap_or(true) {
            255
        } else {
            1
        };
        list.push(json!({"type": "Strip", "content": " ", "start": most, "stop": 0}));
    }
    sequence("decoders", list)
}

/// The vocabulary: text, score and type, by id.
struct Pieces<'a>(Vec<(&'a str, f32, Type)>);

impl<'a> Pieces<'a> {
    fn of(model: &'a Model) -> Result<Self, String> {
        if model.pieces.is_empty() {
            return Err("not a SentencePiece model: it has no pieces".into());
        }
        let mut pieces = Vec::with_capacity(model.pieces.len());
        let mut seen = HashMap::new();
        for (id, piece) in model.pieces.iter().enumerate() {
            let (text, score) = (piece.piece.as_deref().unwrap_or_default(), piece.score.unwrap_or(0.0));
            let kind = Type::try_from(piece.kind.unwrap_or(1));
            let wrong = |what: &str| Err(format!("the piece {id} of the model, {text:?}, {what}"));
            if text.is_empty() {
                return wrong("is empty");
            } else if !score.is_finite() {
                return wrong("has a score that is no number");
            } else if seen.insert(text, id).is_some() {
                return wrong("is there twice");
            }
            match kind {
                Ok(Type::Unused) => return wrong("is marked as unused, which tokenizer.json cannot say"),
                Ok(kind) => pieces.push((text, score, kind)),
                Err(_) => return wrong("is of an unknown type"),
            }
        }
        Ok(Self(pieces))
    }

    fn of_type(&self, kind: Type) -> impl Iterator<Item = (u32, &'a str)> {
        let all = (0..).zip(&self.0);
        all.filter(move |(_, (.., own))| *own == kind)
            .map(|(id, (text, ..))| (id, *text))
    }

    /// Whether spaces stand only at the beginning of pieces, and one by itself is a piece.
    fn spaces_lead(&self) -> bool {
        let mut alone = false;
        for (_, text) in self.of_type(Type::Normal).chain(self.of_type(Type::UserDefined)) {
            if text.trim_start_matches(SPACE).contains(SPACE) {
                return false;
            }
            alone |= text.chars().eq([SPACE]);
        }
        alone
    }

    fn unknown(&self) -> Result<(u32, &'a str), String> {
        let mut unknown = self.of_type(Type::Unknown);
        match (unknown.next(), unknown.next()) {
            (Some(one), None) => Ok(one),
            _ => Err("the model has not exactly one unknown piece".into()),
        }
    }

    fn unigram(&self, trainer: &TrainerSpec) -> Result<Value, String> {
        let vocabulary: Vec<Value> = self
            .0
            .iter()
            .map(|(text, score, _)| json!([text, f64::from(*score)]))
            .collect();
        Ok(json!({
            "type": "Unigram", "unk_id": self.unknown()?.0, "vocab": vocabulary, "byte_fallback": trainer.byte_fallback(),
        }))
    }

    /// A BPE model: SentencePiece merges the neighbours that together are the piece of the highest score,
    /// so each way to halve a piece is a merge, in the order of the scores.
    fn bpe(&self, trainer: &TrainerSpec, whole_words_first: bool) -> Result<Value, String> {
        let ids: HashMap<&str, u32> = self.of_type(Type::Normal).map(|(id, text)| (text, id)).collect();
        let mut merges: Vec<(f32, u32, u32, &str, &str)> = Vec::new();
        for (text, score, kind) in &self.0 {
            if *kind != Type::Normal {
                continue;
            }
            for (at, _) in text.char_indices().skip(1) {
                let (left, right) = text.split_at(at);
                if let (Some(&a), Some(&b)) = (ids.get(left), ids.get(right)) {
                    merges.push((*score, a, b, left, right));
                }
            }
        }
        merges.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let merges = merges
            .into_iter()
            .map(|(.., left, right)| json!([left, right]))
            .collect();
        let vocabulary: Map<String, Value> = (0..)
            .zip(&self.0)
            .map(|(id, (text, ..))| ((*text).to_owned(), json!(id as u32)))
            .collect();
        let mut model = format::bpe(vocabulary, merges, whole_words_first);
        model["unk_token"] = self.unknown()?.1.into();
        model["fuse_unk"] = true.into(); // SentencePiece joins unknown neighbours
        model["byte_fallback"] = trainer.byte_fallback().into();
        Ok(model)
    }

    /// The roles that the file gives to its control pieces.
    fn roles(&self, trainer: &TrainerSpec) -> Vec<(&'static str, String)> {
        let ids = [
            ("bos_token", trainer.bos_id.unwrap_or(1)),
            ("eos_token", trainer.eos_id.unwrap_or(2)),
            ("unk_token", trainer.unk_id.unwrap_or(0)),
            ("pad_token", trainer.pad_id.unwrap_or(-1)),
        ];
        let piece = |id: i32| self.0.get(usize::try_from(id).ok()?);
        let marks = ids.into_iter().filter_map(|(role, id)| Some((role, piece(id)?)));
        let marks = marks.filter(|(_, (.., kind))| matches!(kind, Type::Control | Type::Unknown));
        marks.map(|(role, (text, ..))| (role, (*text).to_owned())).collect()
    }
}
