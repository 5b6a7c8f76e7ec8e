//! The reader of pipeline files under mutated files: no panic, no hang, bounded memory.
//!
//! Mutants of the shipped pipelines, of the golden bad files and of the examples in the docs: flipped
//! bytes, lines deleted, doubled and moved, files spliced, words exchanged, deep nesting, aliases,
//! numbers out of range. A normal run takes a few seconds; `FRAGUA_FUZZ_SECONDS=600` tries longer and
//! `FRAGUA_FUZZ_SEED=7` others. What is found is kept as a file and becomes
//! a case in `bombs.rs`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fragua::pipeline::{Diagnostics, LoadOptions, load};
use fragua::steps::KINDS;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::keys::{bases, document, folder};
use crate::memory::peak;

/// What one input may take, unoptimized and on a busy machine; optimized, the slowest of 94,000 took 0.3 s.
pub const TIME: Duration = Duration::from_secs(20);
/// What one input may hold: some hundred times the largest file.
pub const MEMORY: usize = 256 << 20;

/// Loads a file as the program does and looks at all that it says.
pub fn load_and_look(path: &Path) {
    let outcome = load(path, &LoadOptions::default(), KINDS);
    let problems = match outcome {
        Ok(pipeline) => Diagnostics(pipeline.warnings),
        Err(problems) => {
            assert!(!problems.0.is_empty(), "an error without a problem");
            problems
        }
    };
    look(&problems);
}

/// Looks at problems in every way.
pub fn look(problems: &Diagnostics) {
    let places: Vec<_> = problems.0.iter().map(|one| (one.file.clone(), one.at)).collect();
    assert!(
        places
            .windows(2)
            .all(|pair| pair[0].0 != pair[1].0 || pair[0].1 <= pair[1].1),
        "{places:?}"
    );
    let shown = problems.render(false);
    assert!(shown.len() < 1 << 20, "{} bytes of messages", shown.len());
    problems.render(true);
    problems.to_json();
}

/// Loads a file within its bounds.
pub fn bounded(path: &Path) {
    let started = Instant::now();
    let ((), bytes) = peak(|| load_and_look(path));
    let time = started.elapsed();
    assert!(time < TIME, "{time:?} for {}", path.display());
    assert!(bytes < MEMORY, "{bytes} bytes for {}", path.display());
}

/// Everything that is YAML of ours, right and wrong.
fn corpus() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = Vec::new();
    for folder in ["pipelines", "tests/diagnostics", "src/cli/init"] {
        for path in files(&root.join(folder), "yaml") {
            texts.push(std::fs::read_to_string(path).unwrap());
        }
    }
    for path in files(&root.join("docs"), "md")
        .into_iter()
        .chain([root.join("README.md")])
    {
        let page = std::fs::read_to_string(path).unwrap();
        let mut blocks = page.split("```yaml\n").skip(1);
        texts.extend(
            blocks
                .by_ref()
                .filter_map(|block| Some(block.split("```").next()?.to_owned())),
        );
    }
    for kind in KINDS {
        texts.push(format!(
            "pipeline: a\nsteps:\n  it:\n    {}",
            kind.example.replace('\n', "\n    ")
        ));
    }
    assert!(texts.len() > 50, "{}", texts.len());
    // as many that are right, small, and find their files beside them
    for kind in KINDS.iter().cycle().take(60) {
        let document = document(kind.name, &bases(kind.name)[0]);
        texts.push(serde_yaml::to_string(&document).unwrap());
    }
    let data = root.join("datasets").display().to_string();
    texts
        .into_iter()
        .map(|text| text.replace("../datasets", &data).into_bytes())
        .collect()
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|other| other == extension))
        .collect();
    found.sort();
    found
}

/// Pieces that mean something in YAML or to fragua.
const WORDS: &[&str] = &[
    "&a ",
    "*a",
    "<<: *a\n",
    "<<: [*a, *a]\n",
    "!!str ",
    "!!binary ",
    "!!set ",
    "? ",
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "|\n",
    ">-\n",
    "'",
    "\"",
    "#",
    "%YAML 1.1\n",
    "---\n",
    "...\n",
    "~",
    "null",
    "true",
    "no",
    ".nan",
    "-.inf",
    "1e999",
    "0x1F",
    "1_000",
    "9223372036854775808",
    "-1",
    "${params.a}",
    "${matrix.a}",
    "$${",
    "${",
    "}",
    "\t",
    "\r",
    "\r\n",
    "\0",
    "\u{feff}",
    "\u{2028}",
    "\u{85}",
    "ñ",
    "🦀",
    "\\",
    "\"\\u0000\"",
    "steps:\n",
    "params: {a: 1}\n",
    "    matrix: {a: [1, 2]}\n",
    "    with: {}\n",
    "    uses: dataset\n",
    "    seed: 1\n",
    "base",
    "rows.train",
    "a[b=c].d",
];

pub struct Mutator {
    random: ChaCha8Rng,
    corpus: Vec<Vec<u8>>,
}

impl Mutator {
    pub fn new(seed: u64) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            corpus: corpus(),
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.random.random_range(0..limit.max(1))
    }

    fn any(&mut self) -> Vec<u8> {
        let index = self.below(self.corpus.len());
        self.corpus[index].clone()
    }

    /// The next input: mostly one, at most four changes to a file of the corpus.
    pub fn next(&mut self) -> Vec<u8> {
        let mut text = self.any();
        for _ in 0..=self.below(4) * self.below(2) {
            text = self.change(text);
        }
        text
    }

    fn change(&mut self, mut text: Vec<u8>) -> Vec<u8> {
        let mut lines: Vec<Vec<u8>> = text
            .split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        let (line, other) = (self.below(lines.len()), self.below(lines.len()));
        let place = self.below(text.len() + 1);
        match self.below(16) {
            0 if !text.is_empty() => {
                let bit = self.below(8);
                let place = place.min(text.len() - 1);
                text[place] ^= 1 << bit;
            }
            1 if !text.is_empty() => {
                let place = place.min(text.len() - 1);
                text[place] = self.random.random();
            }
            2 if !lines.is_empty() => {
                lines.remove(line);
                text = lines.concat();
            }
            3 if !lines.is_empty() => {
                let copy = lines[line].clone();
                lines.insert(other, copy);
                text = lines.concat();
            }
            4 if !lines.is_empty() => {
                lines.swap(line, other);
                text = lines.concat();
            }
            5 => {
                // the beginning of one file and the end of another
                let end = self.any();
                let from = self.below(end.len() + 1);
                text.truncate(place);
                text.extend_from_slice(&end[from..]);
            }
            6 => text.truncate(place),
            7 | 8 => {
                let word = WORDS[self.below(WORDS.len())];
                text.splice(place..place, word.bytes());
            }
            9 => {
                let word = WORDS[self.below(WORDS.len())];
                let end = (place + self.below(12)).min(text.len());
                text.splice(place..end, word.bytes());
            }
            10 => {
                // a word of another file in the place of one here
                let words = self.any();
                let words: Vec<&[u8]> = words.split(|byte| b" ,:{}[]\n".contains(byte)).collect();
                let word = words[self.below(words.len())].to_vec();
                let end = text[place..]
                    .iter()
                    .position(|byte| b" ,:{}[]\n".contains(byte))
                    .map_or(text.len(), |end| place + end);
                text.splice(place..end, word);
            }
            11 => {
                let nest = ["[", "{a: ", "- ", "? ", "&a [", "\n  - ", "\"", "("][self.below(8)];
                let depth = 1 << self.below(12);
                text.splice(place..place, nest.repeat(depth).into_bytes());
            }
            12 => {
                let levels = 1 + self.below(12);
                let width = 1 + self.below(12);
                let mut bomb = String::from("a0: &a0 [x, y]\n");
                for level in 1..levels {
                    let inner = vec![format!("*a{}", level - 1); width].join(", ");
                    bomb.push_str(&format!("a{level}: &a{level} [{inner}]\n"));
                }
                // where it is a parameter, a mapping of its own, or nonsense
                let indent = " ".repeat(self.below(3) * 2);
                let bomb: String = bomb.lines().map(|line| format!("{indent}{line}\n")).collect();
                let at = lines[..line].iter().map(Vec::len).sum::<usize>();
                text.splice(at..at, bomb.into_bytes());
            }
            13 if !lines.is_empty() => {
                // one line very often, keys numbered
                let times = 1 << self.below(11);
                let copy = String::from_utf8_lossy(&lines[line]).into_owned();
                let many: String = (0..times)
                    .map(|number| copy.replacen(':', &format!("{number}:"), 1))
                    .collect();
                lines.insert(other, many.into_bytes());
                text = lines.concat();
            }
            14 if !lines.is_empty() => {
                let indent = " ".repeat(self.below(9));
                let rest = lines[line].trim_ascii_start().to_vec();
                lines[line] = [
                    indent.as_bytes(),
                    &rest,
                    if rest.ends_with(b"\n") { b"" } else { b"\n" },
                ]
                .concat();
                text = lines.concat();
            }
            _ => {
                let number = [
                    "0",
                    "-1",
                    "1e308",
                    "18446744073709551615",
                    "18446744073709551616",
                    "0.1",
                    "1e-400",
                    "00",
                ][self.below(8)];
                if let Some(start) = text[place..].iter().position(u8::is_ascii_digit) {
                    let start = place + start;
                    let end = text[start..]
                        .iter()
                        .position(|byte| !byte.is_ascii_digit())
                        .map_or(text.len(), |end| start + end);
                    text.splice(start..end, number.bytes());
                }
            }
        }
        text
    }
}

#[test]
fn no_mutant_panics_hangs_or_takes_much_memory() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let seconds = number("FRAGUA_FUZZ_SECONDS");
    let seed = number("FRAGUA_FUZZ_SEED").unwrap_or(1);
    let mut mutator = Mutator::new(seed);
    let folder = folder();
    let path = folder.path().join("fuzz.yaml");
    let started = Instant::now();
    let (mut tried, mut loaded, mut slowest, mut largest) = (0u64, 0u64, Duration::ZERO, 0);
    loop {
        let input = mutator.next();
        std::fs::write(&path, &input).unwrap();
        let before = Instant::now();
        let (outcome, bytes) = peak(|| std::panic::catch_unwind(|| load_and_look(&path)));
        let time = before.elapsed();
        if outcome.is_err() || time > TIME || bytes > MEMORY {
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{seed}-{tried}.yaml"));
            std::fs::write(&kept, &input).unwrap();
            panic!("{time:?}, {bytes} bytes: {}", kept.display());
        }
        tried += 1;
        loaded += u64::from(load(&path, &LoadOptions::default(), KINDS).is_ok() && seconds.is_none());
        (slowest, largest) = (slowest.max(time), largest.max(bytes));
        let enough = match seconds {
            Some(seconds) => started.elapsed() > Duration::from_secs(seconds),
            None => tried == 600,
        };
        if enough {
            break;
        }
    }
    println!(
        "{tried} inputs in {:?}; slowest {slowest:?}, largest {largest} bytes",
        started.elapsed()
    );
    assert!(
        seconds.is_some() || loaded > 5,
        "{loaded} of {tried} are pipelines: the mutants are too far from them"
    );
}
