//! OpenAI's published vocabularies, which tiktoken-rs embeds, and files of tiktoken's format, as byte-level
//! BPE in `tokenizer.json`.
//!
//! tiktoken stores each token's bytes and its rank, and merges whatever pair of neighbours spells the
//! token of the lowest rank. The same follows from one merge a token, in the order of ranks: the pair
//! that is left when only lower ranks have been merged. A token that no pair leads to is still found
//! when it is a whole word (`ignore_merges`), as in tiktoken.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tiktoken_rs::CoreBPE;

use super::cut::Cut;
use super::{SpecialTokens, Tokenizer, TokenizerError, base64, bytes, format};

/// A published vocabulary, by tiktoken's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Vocabulary {
    /// GPT-2: the same as `r50k_base`.
    #[serde(rename = "gpt2")]
    Gpt2,
    /// GPT-2 and GPT-3: 50,257 tokens.
    #[serde(rename = "r50k_base")]
    R50kBase,
    /// GPT-3 from `text-davinci-002` on, with tokens for runs of spaces: 50,281 tokens.
    #[serde(rename = "p50k_base")]
    P50kBase,
    /// GPT-3.5 and GPT-4: 100,277 tokens.
    #[serde(rename = "cl100k_base")]
    Cl100kBase,
    /// GPT-4o: 200,019 tokens.
    #[serde(rename = "o200k_base")]
    O200kBase,
}

/// How cl100k cuts words. (tiktoken's pattern, with `\z` for its end of text so that every engine
/// reads it alike.)
const CL100K: &str =
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+\z|\s*[\r\n]|\s+(?!\S)|\s";

impl Vocabulary {
    /// tiktoken's own encoder for it.
    fn core(self) -> &'static CoreBPE {
        match self {
            Self::Gpt2 | Self::R50kBase => tiktoken_rs::r50k_base_singleton(),
            Self::P50kBase => tiktoken_rs::p50k_base_singleton(),
            Self::Cl100kBase => tiktoken_rs::cl100k_base_singleton(),
            Self::O200kBase => tiktoken_rs::o200k_base_singleton(),
        }
    }

    /// Special tokens by number, in order.
    fn special(self) -> &'static [(&'static str, u32)] {
        match self {
            Self::Gpt2 | Self::R50kBase | Self::P50kBase => &[("<|endoftext|>", 50_256)],
            Self::Cl100kBase => &[
                ("<|endoftext|>", 100_257),
                ("<|fim_prefix|>", 100_258),
                ("<|fim_middle|>", 100_259),
                ("<|fim_suffix|>", 100_260),
                ("<|endofprompt|>", 100_276),
            ],
            Self::O200kBase => &[("<|endoftext|>", 199_999), ("<|endofprompt|>", 200_018)],
        }
    }

    /// One more than the largest token.
    pub fn size(self) -> usize {
        match self {
            Self::Gpt2 | Self::R50kBase => 50_257,
            Self::P50kBase => 50_281,
            Self::Cl100kBase => 100_277,
            Self::O200kBase => 200_019,
        }
    }

    fn pre_tokenizer(self) -> Value {
        let pattern = match self {
            Self::Gpt2 | Self::R50kBase | Self::P50kBase => return format::byte_level(true),
            Self::Cl100kBase => CL100K,
            Self::O200kBase => tiktoken_rs::O200K_BASE_PAT_STR,
        };
        json!({"type": "Sequence", "pretokenizers": [format::split(pattern), format::byte_level(false)]})
    }

    /// The vocabulary that tiktoken calls so.
    pub fn named(name: &str) -> Option<Self> {
        serde_json::from_value(name.into()).ok()
    }

    /// The vocabulary as a tokenizer, whose end token is `<|endoftext|>`.
    ///
    /// # Errors
    /// When tiktoken-rs's data is not what its documentation says (never, short of a broken build).
    pub fn tokenizer(self) -> Result<Tokenizer, TokenizerError> {
        let special = self.special();
        let mut tokens: Vec<(u32, Vec<u8>)> = Vec::new();
        let largest = u32::try_from(self.size()).expect("vocabularies are far below 2^32");
        for id in (0..largest).filter(|id| special.iter().all(|(_, other)| other != id)) {
            if let Ok(token) = self.core().decode_bytes(&[id]) {
                tokens.push((id, token)); // numbers between the special ones are not in use
            }
        }
        let mut config = format::config();
        SpecialTokens::end_of_text().declare(&mut config);
        Tokenizer::assemble(&whole(&tokens, special, self), config)
    }
}

/// How the words are cut of a `tokenizer.json` without a normalizer, if it is in one of the published ways.
pub(super) fn cut_of(pre_tokenizer: &Value) -> Option<Cut> {
    if *pre_tokenizer == format::byte_level(true) {
        return Some(Cut::Gpt2);
    }
    let ways = [(CL100K, Cut::Cl100k), (tiktoken_rs::O200K_BASE_PAT_STR, Cut::O200k)];
    let written = |pattern: &str| {
        *pre_tokenizer
            == json!({"type": "Sequence", "pretokenizers": [format::split(pattern), format::byte_level(false)]})
    };
    ways.into_iter()
        .find(|(pattern, _)| written(pattern))
        .map(|(_, cut)| cut)
}

/// Whether a file's first line is one of tiktoken's: a token in base64, a space, its rank.
pub(super) fn looks_like_one(file: &[u8]) -> bool {
    let line = file.split(|&byte| byte == b'\n').next().unwrap_or_default();
    std::str::from_utf8(line).is_ok_and(|line| entry(line).is_some())
}

fn entry(line: &str) -> Option<(u32, Vec<u8>)> {
    let (token, rank) = line.trim_end_matches('\r').split_once(' ')?;
    Some((rank.parse().ok()?, base64::decode(token)?))
}

/// The `tokenizer.json` of a file in tiktoken's format, whose words are cut as those of `pattern`, and the
/// roles of its tokens. The file has no special tokens: those of the published vocabulary are added if it is
/// `published`, else the declared ones, numbered from the last rank on.
pub(super) fn of_file(
    file: &[u8],
    pattern: Vocabulary,
    published: bool,
    special: &SpecialTokens,
) -> Result<(Value, Vec<(&'static str, String)>), String> {
    let text = std::str::from_utf8(file).map_err(|_| "not a tiktoken vocabulary: it is not UTF-8")?;
    let mut tokens = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty()) {
        tokens.push(entry(line).ok_or_else(|| format!("line {number} is not a token in base64 and its rank"))?);
    }
    tokens.sort();
    let mut spelled = HashMap::new();
    for (id, token) in &tokens {
        if spelled.insert(token.as_slice(), id).is_some() || token.is_empty() {
            return Err(format!("the token of rank {id} is empty or there twice"));
        }
    }
    if let Some(pair) = tokens.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(format!("the rank {} is there twice", pair[0].0));
    }
    if let Some(byte) = (0..=255u8).find(|byte| !spelled.contains_key(&[*byte][..])) {
        return Err(format!(
            "the byte {byte:#04x} is no token, so that some texts could not be encoded"
        ));
    }
    let next = tokens.last().map_or(0, |(id, _)| id.saturating_add(1));
    let (special, roles): (Vec<(&str, u32)>, _) = if published {
        let end = SpecialTokens::end_of_text();
        let roles = end
            .roles()
            .into_iter()
            .map(|(role, token)| (role, token.to_owned()))
            .collect();
        (pattern.special().to_vec(), roles)
    } else {
        (special.tokens().into_iter().zip(next..).collect(), Vec::new())
    };
    Ok((whole(&tokens, &special, pattern), roles))
}

/// The `tokenizer.json` of tokens in the order of their ranks.
fn whole(tokens: &[(u32, Vec<u8>)], special: &[(&str, u32)], pattern: Vocabulary) -> Value {
    let ranks: HashMap<&[u8], u32> = tokens.iter().map(|(id, token)| (token.as_slice(), *id)).collect();
    let mut vocabulary = Map::new();
    let mut merges = Vec::new();
    for (id, token) in tokens {
        vocabulary.insert(bytes::spell(token), json!(id));
        if let Some((left, right)) = last_merge(&ranks, token, *id) {
            merges.push(json!([bytes::spell(left), bytes::spell(right)]));
        }
    }
    // in the model as well as added, because numbers need not follow on the last word's
    for (token, id) in special {
        vocabulary.insert((*token).to_owned(), json!(id));
    }
    let model = format::bpe(vocabulary, merges, true);
    format::whole(special, &pattern.pre_tokenizer(), &format::byte_decoder(), &model)
}

/// The pair whose merge makes a token: what is left of it when every pair of a lower rank has been
/// merged, lowest first. `None` for a single byte, and for a token that merges do not reach.
fn last_merge<'a>(ranks: &HashMap<&[u8], u32>, token: &'a [u8], rank: u32) -> Option<(&'a [u8], &'a [u8])> {
    let mut borders: Vec<usize> = (0..=token.len()).collect();
    while borders.len() > 3 {
        let pairs = borders.windows(3).enumerate();
        let lowest = pairs
            .filter_map(|(at, part)| ranks.get(&token[part[0]..part[2]]).map(|&rank| (rank, at)))
            .min()
            .filter(|(lowest, _)| *lowest < rank)?;
        borders.remove(lowest.1 + 1);
    }
    match borders[..] {
        [_, middle, _] => Some(token.split_at(middle)),
        _ => None,
    }
}
