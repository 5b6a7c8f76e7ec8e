//! How fast a training goes: one configuration, one round, one line of JSON.
//!
//! `cargo bench --bench training -- NAME UPDATES [SETTINGS [TIME LINE]]` trains the configuration `NAME` on random
//! tokens through the same loop as a pipeline does and prints tokens a second and the peak of
//! resident memory, beside the peak that `fragua plan --memory` foretells; and the peak of what is
//! allocated, beside the terms of the plan that are: all but `allocator` and `process`. `SETTINGS` is JSON for what
//! a pipeline has under `train:`: `'{"gradient_checkpointing": true}'`; `TIME LINE` is a file for the lines of
//! [`profile`], which slow the training down. `benches/peers/training/compare.py`
//! runs it in turn with PyTorch, `benches/peers/training/precisions.py` in turn in both precisions.
#![expect(clippy::unwrap_used, reason = "a benchmark ends at what it did not expect")]

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use fragua::device::DeviceSpec;
use fragua::models::memory::{Shape, training};
use fragua::models::{Lora, Model, ModelSettings, Role, SpecialIds};
use fragua::profile;
use fragua::seed::Seed;
use fragua::step::{Context, Needs};
use fragua::train::batches::{Batch, Example, Source};
use fragua::train::gradients::Place;
use fragua::train::{Task, TrainSettings, run};
use rand::Rng;
use serde_json::{Value, json};

/// Training allocates as the program does, and is counted.
#[global_allocator]
static ALLOCATOR: Counting = Counting {
    allocator: fragua::allocator::Allocator,
    now: AtomicUsize::new(0),
    most: AtomicUsize::new(0),
};

/// An allocator that counts the bytes that are allocated.
struct Counting {
    allocator: fragua::allocator::Allocator,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Counting {
    fn count(&self, size: usize) {
        let now = self.now.fetch_add(size, Ordering::Relaxed) + size;
        self.most.fetch_max(now, Ordering::Relaxed);
    }
}

// SAFETY: what is asked of it the other allocator does.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count(layout.size());
        // SAFETY: by the caller's promise, here and below.
        unsafe { self.allocator.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.count(layout.size());
        // SAFETY: as above.
        unsafe { self.allocator.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.count(size);
        self.now.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { self.allocator.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.now.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { self.allocator.dealloc(block, layout) }
    }
}

/// Updates before the clock starts.
const WARM: u64 = 5;

/// What is trained on what.
struct Configuration {
    model: Value,
    vocabulary: usize,
    /// Of a micro-batch.
    sequences: usize,
    /// Of a sequence; of an encoder's, 0 without one.
    tokens: usize,
    source: usize,
}

fn configuration(name: &str) -> Configuration {
    let model = |architecture: &str, [layers, heads, width, context]: [usize; 4]| {
        let mut settings = json!({"layers": layers, "heads": heads, "width": width, "context": context});
        settings["architecture"] = architecture.into();
        settings
    };
    let recurrent =
        |cell: &str| json!({"architecture": "rnn", "cell": cell, "layers": 2, "width": 224, "context": 128});
    let (model, vocabulary, [sequences, tokens, source]) = match name {
        "nanogpt-cpu" => (model("gpt2", [4, 4, 128, 64]), 65, [12, 64, 0]),
        "nanogpt-10m" => (model("gpt2", [6, 6, 384, 256]), 65, [8, 256, 0]),
        "vocab-4096" => (model("gpt2", [4, 4, 128, 128]), 4096, [16, 128, 0]),
        "llama-15m" | "llama-15m-lora" => (model("llama", [6, 6, 288, 256]), 32_000, [4, 256, 0]),
        "t5" => (model("t5", [4, 4, 256, 128]), 4096, [16, 32, 128]),
        // the recurrent model of pipelines/rnn-vs-transformer.yaml
        "lstm" | "gru" => (recurrent(name), 65, [16, 128, 0]),
        _ => panic!(
            "no configuration {name}: nanogpt-cpu, nanogpt-10m, vocab-4096, llama-15m, llama-15m-lora, t5, lstm, gru"
        ),
    };
    Configuration {
        model,
        vocabulary,
        sequences,
        tokens,
        source,
    }
}

/// The floating-point operations of an update, as products count them (Kaplan et al. 2020): six for each
/// token and weight of a product that is learned, four for each of one that is held fast, and the products of
/// attention (all scores, hidden ones too).
fn operations(name: &str, model: &Model) -> f64 {
    let Configuration {
        sequences,
        tokens,
        source,
        ..
    } = configuration(name);
    let config = model.config();
    let pairs = model.learned_parameters() < model.parameters();
    let each = if pairs { 4.0 } else { 6.0 };
    // the pairs themselves, in which a row is multiplied twice going backward
    let beside = if pairs { model.learned_parameters() } else { 0 };
    let mut total = 4.0 * (sequences * tokens * beside) as f64;
    for weight in model.weights() {
        let size: usize = weight.shape().iter().product();
        let read = weight.name().starts_with("encoder") || weight.name().contains("EncDecAttention.k");
        let read = read || weight.name().contains("EncDecAttention.v");
        let rows = sequences * if read { source } else { tokens };
        match weight.role() {
            Role::Matrix(_) => total += each * (rows * size) as f64,
            Role::Embedding | Role::Vector => (),
        }
    }
    // the output layer
    total += each * (sequences * tokens * config.vocab_size * config.width) as f64;
    let attends = !matches!(name, "lstm" | "gru");
    let inside = if attends { config.heads * config.head_width } else { 0 } as f64;
    let scores = |queries: usize, keys: usize| 3.0 * 4.0 * inside * (sequences * queries * keys) as f64;
    let layers = config.layers as f64;
    total
        + match source {
            0 => layers * scores(tokens, tokens),
            _ => {
                let decoder = config.decoder_layers() as f64;
                layers * scores(source, source) + decoder * (scores(tokens, tokens) + scores(tokens, source))
            }
        }
}

/// The most GFLOP/s that products reach here: the best of so many of two 2,048-square matrices, by the
/// `gemm` crate on all threads.
fn ceiling(times: u64) -> f64 {
    const N: usize = 2048;
    let (a, b, mut c) = (vec![0.5f32; N * N], vec![0.25f32; N * N], vec![0.0f32; N * N]);
    let once = |_| {
        let start = Instant::now();
        let threads = gemm::Parallelism::Rayon(rayon::current_num_threads());
        let (row, out) = (isize::try_from(N).unwrap(), c.as_mut_ptr());
        // SAFETY: three matrices of N rows of N values.
        unsafe {
            let (a, b) = (a.as_ptr(), b.as_ptr());
            gemm::gemm(
                N, N, N, out, 1, row, false, a, 1, row, b, 1, row, 0.0, 1.0, false, false, false, threads,
            );
        }
        start.elapsed().as_secs_f64()
    };
    let best = (0..times).map(once).fold(f64::INFINITY, f64::min);
    2e-9 * (N * N * N) as f64 / best
}

/// The same random tokens for every update, and the time of each call.
struct Tokens {
    batch: Batch,
    times: Vec<Instant>,
}

impl Source for &mut Tokens {
    fn updates_an_epoch(&self) -> f64 {
        1e9
    }

    fn update(&mut self, _: u64) -> Vec<Batch> {
        self.times.push(Instant::now());
        vec![self.batch.clone()]
    }
}

fn main() {
    fragua::allocator::keep_freed_blocks();
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let (name, updates, more, time_line) = match arguments.as_slice() {
        [name, updates] => (name, updates, json!({}), None),
        [name, updates, more] => (name, updates, serde_json::from_str(more).unwrap(), None),
        [name, updates, more, path] => (name, updates, serde_json::from_str(more).unwrap(), Some(path)),
        _ => panic!("NAME UPDATES [SETTINGS [TIME LINE]]"),
    };
    let updates: u64 = updates.parse().unwrap();
    if name == "ceiling" {
        println!("{}", json!({"name": name, "gflops": ceiling(updates)}));
        return;
    }
    let Configuration {
        model: settings,
        vocabulary,
        sequences,
        tokens: width,
        source,
    } = configuration(name);
    let settings: ModelSettings = serde_json::from_value(settings).unwrap();
    let spec = DeviceSpec::CPU;
    let device = spec.open().unwrap().autodiff();
    let mut model = Model::init(
        &settings.config(vocabulary, SpecialIds::default()),
        Seed::root(1),
        &device,
    );
    if name.ends_with("-lora") {
        model.adapt(&Lora::default(), Seed::root(4)).unwrap(); // rank 8, alpha 16, beside all matrices of blocks
    }
    let (parameters, learned) = (model.parameters(), model.learned_parameters());
    let operations = operations(name, &model);

    let mut numbers = Seed::root(2).rng();
    let rows: Vec<_> = (0..sequences)
        .map(|_| {
            let mut random = |count: usize| -> Vec<i32> {
                (0..count)
                    .map(|_| numbers.random_range(0..i32::try_from(vocabulary).unwrap()))
                    .collect()
            };
            let row = random(width + 1);
            Example {
                source: random(source),
                inputs: row[..width].to_vec(),
                targets: row[1..].to_vec(),
            }
        })
        .collect();
    let mut tokens = Tokens {
        batch: Batch::of_examples(&rows),
        times: Vec::new(),
    };
    let folder = tempfile::tempdir().unwrap();
    let context = Context {
        out: folder.path().join("out"),
        checkpoints: folder.path().join("checkpoints"),
        threads: rayon::current_num_threads(),
        inputs: [].into(),
        lineage: Vec::new(),
        pipeline: (String::new(), String::new()),
        needs: Needs {
            seed: true,
            device: true,
            lineage: false,
        },
        seed: Seed::root(3),
        device: spec,
        sink: Box::new(|_| ()),
        stop: Box::leak(Box::new(AtomicBool::new(false))),
    };
    let mut settings = json!({
        "updates": WARM + updates, "batch_size": sequences, "warmup": 0, "checkpoint_every": 1_000_000_000,
    });
    settings
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let settings: TrainSettings = serde_json::from_value(settings).unwrap();
    let shape = Shape {
        sequences: sequences as u64,
        length: width as u64,
        source: source as u64,
        accumulates: false,
        validates: None,
        precision: settings.precision.of_products(),
        recomputes: settings.gradient_checkpointing,
        pairs: name.ends_with("-lora").then_some(learned as u64),
        threads: rayon::current_num_threads() as u64,
    };
    let foretold = training(model.config(), &shape);
    let terms = foretold
        .terms
        .iter()
        .map(|term| (term.name.to_owned(), json!(term.bytes)));
    let terms: serde_json::Map<_, _> = terms.collect();
    let of_system = ["allocator", "process"];
    let held = foretold.terms.iter().filter(|term| !of_system.contains(&term.name));
    let allocated: u64 = held.map(|term| term.bytes).sum();
    let task = Task {
        place: Place::of(model.device()),
        model,
        settings: &settings,
        learning_rate: 1e-3,
        source: Box::new(&mut tokens),
        validation: None,
        context: &context,
    };
    if let Some(path) = time_line {
        profile::start(path.as_ref()).unwrap();
    }
    let outcome = run(task).unwrap();
    let end = Instant::now();
    profile::finish().unwrap();
    let seconds = (end - tokens.times[usize::try_from(WARM).unwrap()]).as_secs_f64();
    let counted = sequences * (width + source) * usize::try_from(updates).unwrap();
    println!(
        "{}",
        json!({
            "name": name, "parameters": parameters, "learned": learned, "tokens_per_second": counted as f64 / seconds,
            "milliseconds": 1e3 * seconds / updates as f64, "loss": outcome.summary.train_loss,
            "peak_bytes": profile::peak_bytes("self"), "foretold_bytes": foretold.peak_bytes,
            "allocated_bytes": ALLOCATOR.most.load(Ordering::Relaxed), "foretold_allocated_bytes": allocated,
            "moment": foretold.moment, "terms": terms, "gflops": 1e-9 * operations * updates as f64 / seconds,
        })
    );
}
