//! How fast a model writes: one task, one line of JSON.
//!
//! - `cargo bench --bench decoding -- greedy MODEL TOKENS` writes so many tokens after `<s>`.
//! - `cargo bench --bench decoding -- batch MODEL PROMPTS TOKENS` writes as many after each of so many
//!   prompts of 1 to 64 tokens, all of them in one call.
//! - `cargo bench --bench decoding -- model FOLDER` makes a llama of about 15M parameters with random weights.
//!
//! MODEL is a folder with `config.json` and `model.safetensors`. Prompts are token numbers by a formula
//! that `benches/peers/decoding/peer.py` has too; nothing is encoded, and outputs are token numbers.
//! `--threads N` (all of the machine's otherwise), `--form tensors` (burn's form in place of the one for inference).
//! `benches/peers/decoding/compare.py` runs this in turn with its peers.
#![expect(clippy::unwrap_used, reason = "a benchmark ends at what it did not expect")]

use std::convert::Infallible;
use std::path::Path;
use std::time::Instant;

use fragua::device::DeviceSpec;
use fragua::generate::{Begun, GenerateError, Output, Prompt, Rows, Sampling, Writer, Writing, decode, write_rows};
use fragua::models::{Model, ModelSettings, SpecialIds};
use fragua::seed::Seed;
use serde_json::json;

/// Decoding allocates as the program does.
#[global_allocator]
static ALLOCATOR: fragua::allocator::Allocator = fragua::allocator::Allocator;

/// The tokens of a prompt: 1 to 64 of them, none of the first three, which are special.
fn prompt(number: usize, vocabulary: usize) -> Vec<u32> {
    let length = 1 + (number * 29) % 64;
    (0..length)
        .map(|at| u32::try_from(3 + (number * 7919 + at * 104_729) % (vocabulary - 3)).unwrap())
        .collect()
}

/// The prompts, and their outputs as they are.
struct Prompts {
    vocabulary: usize,
}

impl Rows for Prompts {
    type Kept = ();
    type Done = Vec<u32>;
    type Error = Infallible;

    fn begin(&self, row: usize) -> Result<Begun<Self>, Infallible> {
        let tokens = prompt(row, self.vocabulary);
        let seed = Seed::root(1).child(row);
        Ok(Begun::Write((), Prompt { tokens, seed }))
    }

    fn done(&self, _: usize, (): (), outputs: Result<Vec<Output>, GenerateError>) -> Result<Vec<u32>, Infallible> {
        Ok(outputs.unwrap().remove(0).tokens)
    }

    fn go_on(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

fn main() {
    fragua::allocator::keep_freed_blocks();
    let mut arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let mut option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.remove(at);
        Some(arguments.remove(at))
    };
    let threads = option("--threads").map(|count| count.parse().unwrap());
    let threads = threads.unwrap_or_else(rayon::current_num_threads);
    let tensors = option("--form").is_some_and(|form| form == "tensors");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let device = DeviceSpec::CPU.open().unwrap();
    let load = |folder: &str| {
        let model = Model::load(Path::new(folder), &device).unwrap();
        let parameters = model.parameters();
        let writer = if tensors {
            Writer::of_tensors(model)
        } else {
            Writer::new(model)
        };
        (writer, parameters)
    };
    let sampling = |tokens: &str| Sampling {
        max_new_tokens: tokens.parse().unwrap(),
        ..Sampling::default()
    };
    let line = match arguments.as_slice() {
        ["model", folder] => {
            let settings: ModelSettings = serde_json::from_value(json!({
                "architecture": "llama", "layers": 6, "heads": 6, "width": 288, "mlp_width": 768, "context": 256,
                "tied_embeddings": true,
            }))
            .unwrap();
            let special = SpecialIds {
                bos: Some(1),
                eos: vec![2],
                pad: None,
            };
            let model = Model::init(&settings.config(32_000, special), Seed::root(1), &device);
            std::fs::create_dir_all(folder).unwrap();
            model.save(Path::new(folder)).unwrap();
            json!({"folder": folder, "parameters": model.parameters()})
        }
        ["greedy", folder, tokens] => {
            let (writer, parameters) = load(folder);
            let sampling = sampling(tokens);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let round = || {
                let started = Instant::now();
                let (mut cached, before) = writer.start(&[1], sampling.max_new_tokens).unwrap();
                let output = decode(&mut cached, &before, &sampling, &[], &|_| String::new(), Seed::root(1));
                (started.elapsed().as_secs_f64(), output.unwrap().tokens)
            };
            let (seconds, written) = pool.install(|| {
                round(); // warm
                (0..5).map(|_| round()).min_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
            });
            json!({
                "task": "greedy", "parameters": parameters, "threads": threads,
                "tokens_per_second": written.len() as f64 / seconds, "seconds": seconds, "digest": digest(&[written]),
            })
        }
        ["batch", folder, prompts, tokens] => {
            let (writer, parameters) = load(folder);
            let sampling = sampling(tokens);
            let prompts: usize = prompts.parse().unwrap();
            let rows = Prompts {
                vocabulary: writer.config().vocab_size,
            };
            let writing = Writing {
                writer: &writer,
                sampling: &sampling,
                eos: &[],
                text: &|_| String::new(),
            };
            let round = || {
                let started = Instant::now();
                let outputs = write_rows(&rows, prompts, &writing, threads).unwrap();
                (started.elapsed().as_secs_f64(), outputs)
            };
            let rounds: Vec<_> = (0..3).map(|_| round()).collect();
            let (seconds, outputs) = rounds.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
            json!({
                "task": "batch", "parameters": parameters, "threads": threads,
                "samples_per_second": prompts as f64 / seconds, "seconds": seconds, "digest": digest(&outputs),
                "peak_bytes": peak_bytes(),
            })
        }
        _ => panic!("greedy MODEL TOKENS, batch MODEL PROMPTS TOKENS, or model FOLDER"),
    };
    println!("{line}");
}

/// A number for what was written, by which peers are held together: see `peer.py`.
fn digest(outputs: &[Vec<u32>]) -> u64 {
    let step = |sum: u64, token: &u32| (sum * 31 + u64::from(*token)) % 1_000_000_007;
    outputs.iter().flatten().fold(7, step)
}

/// The most memory that the process held at once (Linux).
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
