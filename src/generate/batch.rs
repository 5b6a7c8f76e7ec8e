//! Many rows written side by side, so that each weight of the model is read once for several tokens.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand_chacha::ChaCha8Rng;

use super::decode::{Output, ended, sequence_seed};
use super::probabilities::log_probability;
use super::writer::known;
use super::{Candidates, GenerateError, History, Sampling, Writer, each, outputs};
use crate::models::Inference;
use crate::models::inference::{Feed, PIECE, SIDE_BY_SIDE, Sequence, Workspace, room_for_sequences};
use crate::seed::Seed;

/// The rows that are to be written, and what becomes of their outputs.
pub trait Rows: Sync {
    /// What the caller knows of a row while it is written.
    type Kept: Send;
    /// What becomes of a row.
    type Done: Send;
    /// What ends the writing.
    type Error: Send;

    /// Makes a row's prompt.
    ///
    /// # Errors
    /// When it has none; what was begun before is still finished.
    fn begin(&self, row: usize) -> Result<Begun<Self>, Self::Error>;

    /// Takes a row's outputs.
    ///
    /// # Errors
    /// When there are none, or they cannot be kept.
    fn done(
        &self,
        row: usize,
        kept: Self::Kept,
        outputs: Result<Vec<Output>, GenerateError>,
    ) -> Result<Self::Done, Self::Error>;

    /// Asked before every token.
    ///
    /// # Errors
    /// To stop at once.
    fn go_on(&self) -> Result<(), Self::Error>;
}

/// A row that was begun.
pub enum Begun<R: Rows + ?Sized> {
    /// It was done before.
    Done(R::Done),
    /// It is to be written.
    Write(R::Kept, Prompt),
}

/// What an output follows.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// Its tokens: those that an encoder reads, where the model has one.
    pub tokens: Vec<u32>,
    /// What its draws come from.
    pub seed: Seed,
}

/// How outputs are written.
#[derive(Clone, Copy)]
pub struct Writing<'a> {
    /// The model.
    pub writer: &'a Writer,
    /// How tokens are chosen.
    pub sampling: &'a Sampling,
    /// The tokens that end an output.
    pub eos: &'a [u32],
    /// The text of some tokens.
    pub text: &'a (dyn Fn(&[u32]) -> String + Sync),
}

/// The least that are worth a worker of their own where the weights are larger than a cache.
const FEW: usize = 16;
/// Weights of fewer bytes than this lie in a core's cache.
const SMALL: usize = 8 << 20;
/// Sequences have room for a multiple of so many tokens, so that the memory of one that is over fits the next.
const ROOM: usize = 64;
/// Sequences beside a small model that lie in a core's cache with it, in bytes.
const CACHE: usize = 1 << 20;

/// Writes what follows the prompts of `count` rows on up to `threads` threads; gives what became of
/// them, in their order.
///
/// # Errors
/// The error of the earliest row that failed; later rows are not begun. Which one that is does not
/// depend on timing, as rows are begun in order.
pub fn write_rows<R: Rows>(
    rows: &R,
    count: usize,
    writing: &Writing<'_>,
    threads: usize,
) -> Result<Vec<R::Done>, R::Error> {
    match writing.writer.compiled() {
        Some(inference) if writing.sampling.num_beams == 1 => side_by_side(rows, count, writing, inference, threads),
        _ => one_by_one(rows, count, writing, threads),
    }
}

/// Beam searches, whose beams are side by side already, and models of tensors.
fn one_by_one<R: Rows>(
    rows: &R,
    count: usize,
    writing: &Writing<'_>,
    threads: usize,
) -> Result<Vec<R::Done>, R::Error> {
    let Writing {
        writer,
        sampling,
        eos,
        text,
    } = *writing;
    let threads = if writer.shared() { threads } else { 1 };
    let numbers: Vec<usize> = (0..count).collect();
    each(&numbers, threads, |&row| {
        rows.go_on()?;
        match rows.begin(row)? {
            Begun::Done(done) => Ok(done),
            Begun::Write(kept, prompt) => {
                let written = writer
                    .start(&prompt.tokens, sampling.max_new_tokens)
                    .and_then(|(cached, before)| outputs(cached, &before, sampling, eos, &text, prompt.seed));
                rows.done(row, kept, written)
            }
        }
    })
}

fn side_by_side<R: Rows>(
    rows: &R,
    count: usize,
    writing: &Writing<'_>,
    inference: &Inference,
    threads: usize,
) -> Result<Vec<R::Done>, R::Error> {
    let weights = inference.weight_bytes();
    if writing.sampling.takes_likeliest() {
        inference.expect_likeliest(count.saturating_mul(writing.sampling.max_new_tokens));
    }
    // rows of their own for each thread, or where they are few one batch whose products are shared
    let most = if weights < SMALL { count } else { count.div_ceil(FEW) };
    let workers = threads.clamp(1, most.max(1));
    // a small model's weights are near whatever is done; its sequences should be as well
    let near = match weights < SMALL {
        true => CACHE / inference.bytes(inference.config().context.min(128)).max(1),
        false => SIDE_BY_SIDE,
    };
    let line = Line {
        rows,
        count,
        writing,
        inference,
        next: AtomicUsize::new(0),
        failed: AtomicUsize::new(usize::MAX),
        results: Mutex::new((0..count).map(|_| None).collect()),
        width: near.clamp(8, SIDE_BY_SIDE).min(count.div_ceil(workers).max(1)),
        memory: room_for_sequences(weights) / workers,
    };
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let threads = threads / workers + usize::from(worker < threads % workers);
            let line = &line;
            scope.spawn(move || {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                pool.expect("the system grants a thread")
                    .install(|| Worker::new(line).run());
            });
        }
    });
    let results = line.results.into_inner().expect("no thread panicked");
    // rows not begun come after the one that failed
    results.into_iter().flatten().collect()
}

/// The rows that workers take from, and what they have done.
struct Line<'a, R: Rows> {
    rows: &'a R,
    count: usize,
    writing: &'a Writing<'a>,
    inference: &'a Inference,
    next: AtomicUsize,
    /// The earliest row that failed: later ones are given up.
    failed: AtomicUsize,
    results: Mutex<Vec<Option<Result<R::Done, R::Error>>>>,
    /// Rows that a worker writes side by side.
    width: usize,
    /// Bytes that its sequences may hold.
    memory: usize,
}

impl<R: Rows> Line<'_, R> {
    fn take(&self) -> Option<usize> {
        if self.failed.load(Ordering::Relaxed) < usize::MAX {
            return None;
        }
        let row = self.next.fetch_add(1, Ordering::Relaxed);
        (row < self.count).then_some(row)
    }

    fn put(&self, row: usize, result: Result<R::Done, R::Error>) {
        if result.is_err() {
            self.failed.fetch_min(row, Ordering::Relaxed);
        }
        self.results
            .lock()
            .expect("no thread panics while it holds the results")[row] = Some(result);
    }
}

/// A row that is being written.
struct Job<K> {
    row: usize,
    kept: K,
    /// Its outputs so far, by number.
    outputs: Vec<Option<Output>>,
    /// Outputs that are still to come.
    left: usize,
}

/// One output that is being written.
struct Track {
    row: usize,
    number: usize,
    random: ChaCha8Rng,
    /// What an encoder reads, where there is one.
    source: Vec<u32>,
    /// What the output follows.
    prompt: Vec<u32>,
    /// Made when there is room for it.
    sequence: Option<Sequence>,
    tokens: Vec<u32>,
    logprobs: Vec<f32>,
    bytes: usize,
    /// Whether this pass gives its logits.
    wanted: bool,
    over: bool,
}

struct Worker<'a, R: Rows> {
    line: &'a Line<'a, R>,
    jobs: Vec<Job<R::Kept>>,
    tracks: Vec<Track>,
    /// Outputs that wait for room.
    waiting: VecDeque<Track>,
    work: Workspace,
    /// Kept for their memory alone: sequences that are over, and a list between passes.
    spare: Vec<Sequence>,
    feeds: Vec<Feed<'static>>,
    scratch: Scratch,
}

/// Memory for choosing tokens.
#[derive(Default)]
struct Scratch {
    /// The logits as the model gave them.
    raw: Vec<f32>,
    candidates: Candidates,
}

impl<'a, R: Rows> Worker<'a, R> {
    fn new(line: &'a Line<'a, R>) -> Self {
        Self {
            line,
            jobs: Vec::new(),
            tracks: Vec::new(),
            waiting: VecDeque::new(),
            work: Workspace::new(),
            spare: Vec::new(),
            feeds: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    fn run(&mut self) {
        loop {
            if let Err(error) = self.line.rows.go_on() {
                // said of the earliest row that is lost
                let held = self.jobs.iter().map(|job| job.row).min();
                if let Some(row) = held.or_else(|| self.line.take()) {
                    self.line.put(row, Err(error));
                }
                return;
            }
            let failed = self.line.failed.load(Ordering::Relaxed);
            if failed < usize::MAX {
                self.jobs.retain(|job| job.row < failed);
                self.tracks.retain(|track| track.row < failed);
                self.waiting.retain(|track| track.row < failed);
            }
            self.fill();
            if self.tracks.is_empty() {
                return;
            }
            self.pass();
        }
    }

    /// Takes rows until there is no room for more.
    fn fill(&mut self) {
        while self.tracks.len() < self.line.width {
            let Some(mut track) = self.waiting.pop_front() else {
                match self.line.take() {
                    Some(row) => self.begin(row),
                    None => return,
                }
                continue;
            };
            let held: usize = self.tracks.iter().map(|track| track.bytes).sum();
            if held > 0 && held + track.bytes > self.line.memory {
                self.waiting.push_front(track);
                return;
            }
            let capacity = self.capacity(&track.prompt);
            // memory of a sequence that is over, if it is about as large; else there must be room for both
            let fits = |spare: &Sequence| (capacity..=2 * capacity).contains(&spare.capacity());
            let spare = self.spare.iter().position(fits).map(|at| self.spare.swap_remove(at));
            let inference = self.line.inference;
            let crowded = |spare: &[Sequence]| {
                let bytes = |spare: &Sequence| inference.bytes(spare.capacity());
                let held = held + track.bytes + spare.iter().map(bytes).sum::<usize>();
                held > self.line.memory || self.tracks.len() + spare.len() >= self.line.width
            };
            while crowded(&self.spare) && self.spare.pop().is_some() {}
            track.sequence = Some(match spare {
                Some(mut sequence) => {
                    self.line
                        .inference
                        .restart(&mut sequence, &track.source, &mut self.work);
                    sequence
                }
                None => self.line.inference.sequence(capacity, &track.source, &mut self.work),
            });
            self.tracks.push(track);
        }
    }

    /// The tokens that a sequence has room for: at least those of its prompt and its output.
    fn capacity(&self, prompt: &[u32]) -> usize {
        let least = prompt.len() + self.line.writing.sampling.max_new_tokens;
        let context = self.line.inference.config().context;
        least.next_multiple_of(ROOM).min(context).max(least)
    }

    fn begin(&mut self, row: usize) {
        let (kept, prompt) = match self.line.rows.begin(row) {
            Err(error) => return self.line.put(row, Err(error)),
            Ok(Begun::Done(done)) => return self.line.put(row, Ok(done)),
            Ok(Begun::Write(kept, prompt)) => (kept, prompt),
        };
        let Writing { writer, sampling, .. } = *self.line.writing;
        let problem = match prompt.tokens.is_empty() {
            true => Err(GenerateError::EmptyPrompt),
            false => known(&prompt.tokens, writer.config().vocab_size),
        };
        if let Err(error) = problem {
            return self.line.put(row, self.line.rows.done(row, kept, Err(error)));
        }
        let count = sampling.num_return_sequences;
        self.jobs.push(Job {
            row,
            kept,
            outputs: (0..count).map(|_| None).collect(),
            left: count,
        });
        let (source, prompt, seed) = match writer.config().decoder_start() {
            Some(start) => (prompt.tokens, vec![start], prompt.seed),
            None => (Vec::new(), prompt.tokens, prompt.seed),
        };
        let bytes = self.line.inference.bytes(self.capacity(&prompt));
        self.waiting.extend((0..count).map(|number| Track {
            row,
            number,
            random: sequence_seed(seed, number).rng(),
            source: source.clone(),
            prompt: prompt.clone(),
            sequence: None,
            tokens: Vec::with_capacity(sampling.max_new_tokens.min(4096)),
            logprobs: Vec::new(),
            bytes,
            wanted: false,
            over: false,
        }));
    }

    /// One token of each output that is being written, and a piece of the prompts that are being read.
    fn pass(&mut self) {
        // those that write go on whatever is read beside them
        let going = self.tracks.iter().filter(|track| !track.tokens.is_empty()).count();
        let mut room = SIDE_BY_SIDE + PIECE - going;
        let mut feeds: Vec<Feed<'_>> = recycled(std::mem::take(&mut self.feeds));
        for track in &mut self.tracks {
            let Track {
                sequence,
                prompt,
                tokens,
                wanted,
                ..
            } = track;
            let sequence = sequence.as_mut().expect("a track that is followed has its sequence");
            let unread = match prompt.get(sequence.length()..) {
                Some(unread) if !unread.is_empty() => {
                    let piece = &unread[..unread.len().min(room)];
                    room -= piece.len();
                    *wanted = piece.len() == unread.len();
                    piece
                }
                _ => {
                    *wanted = true;
                    &tokens[tokens.len() - 1..]
                }
            };
            if !unread.is_empty() {
                feeds.push(Feed {
                    sequence,
                    tokens: unread,
                    wanted: *wanted,
                });
            }
        }
        let inference = self.line.inference;
        let (tokens, logits) = match self.line.writing.sampling.takes_likeliest() {
            true => inference.extend_to_likeliest(&mut feeds, &mut self.work),
            false => (&[][..], inference.extend(&mut feeds, &mut self.work)),
        };
        self.feeds = recycled(feeds);
        let mut logits = logits.chunks_exact_mut(inference.config().vocab_size);
        let mut tokens = tokens.iter();
        for track in self.tracks.iter_mut().filter(|track| track.wanted) {
            let result = match tokens.next() {
                Some(Some(token)) => Ok(written(track, *token, self.line.writing)),
                Some(None) | None => {
                    let logits = logits.next().expect("logits for each that has no token");
                    choose(track, logits, self.line.writing, &mut self.scratch)
                }
            };
            if let Some(result) = result.transpose() {
                track.over = true;
                let at = self.jobs.iter().position(|job| job.row == track.row);
                let Some(at) = at else { continue }; // another output of its row failed
                let over = match result {
                    Ok(output) => {
                        let job = &mut self.jobs[at];
                        job.outputs[track.number] = Some(output);
                        job.left -= 1;
                        if job.left > 0 {
                            continue;
                        }
                        let job = self.jobs.swap_remove(at);
                        let outputs = job.outputs.into_iter().flatten().collect();
                        self.line.rows.done(job.row, job.kept, Ok(outputs))
                    }
                    Err(error) => {
                        let job = self.jobs.swap_remove(at);
                        self.line.rows.done(job.row, job.kept, Err(error))
                    }
                };
                self.line.put(track.row, over);
            }
        }
        for track in &mut self.tracks {
            if track.over {
                self.spare.extend(track.sequence.take());
            }
        }
        self.tracks.retain(|track| !track.over);
    }
}

/// Chooses a track's next token; its output, if that was the last.
fn choose(
    track: &mut Track,
    logits: &mut [f32],
    writing: &Writing<'_>,
    scratch: &mut Scratch,
) -> Result<Option<Output>, GenerateError> {
    let Writing { sampling, eos, .. } = *writing;
    if sampling.logprobs {
        scratch.raw.clear();
        scratch.raw.extend_from_slice(logits);
    }
    let history = History {
        prompt: &track.prompt,
        output: &track.tokens,
        eos,
    };
    let token = sampling.choose(logits, &history, &mut track.random, &mut scratch.candidates)?;
    if sampling.logprobs {
        track.logprobs.push(log_probability(&scratch.raw, token));
    }
    Ok(written(track, token, writing))
}

/// Takes in a track's next token; its output, if that was the last.
fn written(track: &mut Track, token: u32, writing: &Writing<'_>) -> Option<Output> {
    let Writing {
        sampling, eos, text, ..
    } = *writing;
    track.tokens.push(token);
    ended(&track.tokens, sampling, eos, text).map(|(finish, text)| Output {
        text,
        finish,
        tokens: std::mem::take(&mut track.tokens),
        logprobs: std::mem::take(&mut track.logprobs),
        score: None,
    })
}

/// An empty list in the memory of another whose borrows are over.
fn recycled<'b>(mut feeds: Vec<Feed<'_>>) -> Vec<Feed<'b>> {
    feeds.clear();
    feeds.into_iter().map(|_| unreachable!("the list is empty")).collect()
}
