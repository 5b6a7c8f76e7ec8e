//! What a process takes: a time line of what it does, and the most memory that it held.
//!
//! The time line is off unless [`start`] is called, and costs one relaxed load an operation then. Its
//! lines are in Chrome's trace event format ("complete" events), which `chrome://tracing` and
//! <https://ui.perfetto.dev> show; times are microseconds since 1970, so that the time lines of several
//! processes fit together. Nothing of it is part of a result or a key.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// Lines of a time line at most: what a viewer still opens. After them the recording ends.
const MOST: u64 = 400_000;

static ON: AtomicBool = AtomicBool::new(false);
static RECORDER: Mutex<Option<Recorder>> = Mutex::new(None);
static THREADS: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// This thread's number in the time line; 0 until it has one.
    static THREAD: Cell<u64> = const { Cell::new(0) };
}

/// A time line being written, a JSON object a line.
struct Recorder {
    file: BufWriter<File>,
    /// The clock's zero, and how many nanoseconds after 1970 that was.
    zero: Instant,
    epoch: u128,
    lines: u64,
    failed: Option<io::Error>,
}

/// What became of a time line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its lines.
    pub lines: u64,
    /// Whether the work went on after the last line that a time line may have.
    pub cut: bool,
}

/// Begins to record into a file.
///
/// # Errors
/// When it cannot be made.
pub fn start(path: &Path) -> io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let recorder = Recorder {
        file: BufWriter::new(File::create(path)?),
        zero: Instant::now(),
        epoch: now.as_nanos(),
        lines: 0,
        failed: None,
    };
    *lock() = Some(recorder);
    ON.store(true, Ordering::Relaxed);
    Ok(())
}

/// Ends the recording, if there is one.
///
/// # Errors
/// When a line could not be written.
pub fn finish() -> io::Result<Option<Recorded>> {
    ON.store(false, Ordering::Relaxed);
    let Some(mut recorder) = lock().take() else {
        return Ok(None);
    };
    recorder.file.flush()?;
    match recorder.failed {
        Some(error) => Err(error),
        None => Ok(Some(Recorded {
            lines: recorder.lines,
            cut: recorder.lines >= MOST,
        })),
    }
}

/// Whether a time line is recorded.
#[inline]
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

fn lock() -> std::sync::MutexGuard<'static, Option<Recorder>> {
    RECORDER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something that takes time, recorded when it is dropped.
#[must_use = "it ends when it is dropped"]
pub struct Span {
    category: &'static str,
    name: &'static str,
    about: Value,
    start: Instant,
}

/// Begins something: a `phase` of the work, a `kernel`.
#[inline]
pub fn span(category: &'static str, name: &'static str) -> Option<Span> {
    span_about(category, name, || Value::Null)
}

/// The same with an object of facts about it: shapes.
#[inline]
pub fn span_about(category: &'static str, name: &'static str, about: impl FnOnce() -> Value) -> Option<Span> {
    is_on().then(|| Span {
        category,
        name,
        about: about(),
        start: Instant::now(),
    })
}

impl Drop for Span {
    fn drop(&mut self) {
        let end = Instant::now();
        let thread = THREAD.with(|number| {
            if number.get() == 0 {
                number.set(THREADS.fetch_add(1, Ordering::Relaxed));
            }
            number.get()
        });
        if let Some(recorder) = lock().as_mut() {
            recorder.write(self, end, thread);
        }
    }
}

impl Recorder {
    fn write(&mut self, span: &Span, end: Instant, thread: u64) {
        if self.lines >= MOST {
            return;
        }
        self.lines += 1;
        let start = self.epoch + span.start.saturating_duration_since(self.zero).as_nanos();
        let took = end.saturating_duration_since(span.start).as_nanos();
        // microseconds with three decimals, which an f64 could not hold
        let micros = |nanos: u128| format!("{}.{:03}", nanos / 1000, nanos % 1000);
        let about = match &span.about {
            Value::Null => json!({}),
            about => about.clone(),
        };
        let line = format!(
            r#"{{"name":{},"cat":{},"ph":"X","ts":{},"dur":{},"pid":0,"tid":{thread},"args":{about}}}"#,
            json!(span.name),
            json!(span.category),
            micros(start),
            micros(took),
        );
        let written = writeln!(self.file, "{line}");
        self.failed = self.failed.take().or(written.err());
        if self.lines >= MOST {
            ON.store(false, Ordering::Relaxed);
        }
    }
}

/// The most memory that a process has held at once so far, where the system tells (Linux: VmHWM).
/// `process` is its number, or `self`.
pub fn peak_bytes(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    high_water(&status)
}

fn high_water(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_line_has_valid_lines_with_what_was_done() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.jsonl");
        assert!(span("kernel", "before").is_none());
        start(&path).unwrap();
        {
            let _outer = span("phase", "forward");
            let _inner = span_about("kernel", "linear", || json!({"shape": [2, 3]}));
        }
        // other tests of this process may record theirs meanwhile
        assert!(finish().unwrap().unwrap().lines >= 2);
        assert!(span("kernel", "after").is_none() && finish().unwrap().is_none());
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let find = |name: &str| lines.iter().find(|line| line["name"] == name).unwrap();
        let (outer, inner) = (find("forward"), find("linear"));
        assert_eq!((&inner["args"]["shape"], &inner["ph"]), (&json!([2, 3]), &json!("X")));
        assert!(outer["ts"].as_f64() <= inner["ts"].as_f64() && outer["dur"].as_f64() >= inner["dur"].as_f64());
        assert_eq!(outer["tid"], inner["tid"]);
    }

    #[test]
    fn the_high_water_mark_is_read() {
        assert_eq!(
            high_water("Name:\tx\nVmPeak:\t 9 kB\nVmHWM:\t   2048 kB\n"),
            Some(2 << 20)
        );
        assert_eq!(high_water("VmHWM:\t18446744073709551615 kB\n"), None);
        assert_eq!(high_water(""), None);
        if cfg!(target_os = "linux") {
            assert!(peak_bytes("self").unwrap() > 1 << 20);
        }
        assert_eq!(peak_bytes("no such process"), None);
    }
}
