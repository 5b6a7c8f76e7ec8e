//! Encodes files with fragua's tokenizers, for `benches/peers/tokenizers/compare.py`, which starts this program and
//! its peers in turn. By hand: `cargo bench --bench encoding -- gpt2 FILE..`.
//!
//! Prints a JSON object a file: seconds of each repetition, the number of tokens, and a digest of them by which
//! the peers' can be compared. `save NAME|FOLDER TO` writes a tokenizer's files instead; `train ALGORITHM SIZE FILE TO`
//! trains one.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench ends at what it did not expect"
)]

use std::path::Path;
use std::time::Instant;

use fragua::tokenizer::{Algorithm, Tokenizer, Vocabulary};

fn load(name: &str) -> Tokenizer {
    match Vocabulary::named(name) {
        Some(vocabulary) => vocabulary.tokenizer().unwrap(),
        None => Tokenizer::load(Path::new(name)).unwrap(),
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["save", name, to] => load(name).save(Path::new(to)).unwrap(),
        ["train", algorithm, size, file, to] => {
            let algorithm: Algorithm = serde_json::from_value(algorithm.into()).unwrap();
            let text = std::fs::read_to_string(file).unwrap();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            let start = Instant::now();
            let tokenizer = algorithm
                .train(size.parse().ok(), &algorithm.default_special(), &lines)
                .unwrap();
            println!("{}", serde_json::json!({"seconds": start.elapsed().as_secs_f64()}));
            std::fs::create_dir_all(to).unwrap();
            tokenizer.save(Path::new(to)).unwrap();
        }
        ["encode", name, way, repetitions, file] => {
            let tokenizer = load(name);
            let text = std::fs::read_to_string(file).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            let mut seconds = Vec::new();
            let mut tokens = Vec::new();
            for _ in 0..repetitions.parse().unwrap() {
                let start = Instant::now();
                tokens = match way {
                    "whole" => tokenizer.encode(&text).unwrap(),
                    _ => tokenizer.encode_batch(&lines).unwrap().concat(),
                };
                seconds.push(start.elapsed().as_secs_f64());
            }
            let sum = tokens
                .iter()
                .fold(0u64, |sum, &token| sum.wrapping_mul(31).wrapping_add(u64::from(token)));
            println!(
                "{}",
                serde_json::json!({"seconds": seconds, "tokens": tokens.len(), "sum": sum})
            );
        }
        _ => {
            panic!("encode NAME|FOLDER whole|lines REPETITIONS FILE, save NAME|FOLDER TO, train ALGORITHM SIZE FILE TO")
        }
    }
}
