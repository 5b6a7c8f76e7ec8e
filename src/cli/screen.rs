//! What a run looks like while it goes on: bars on a terminal, plain lines elsewhere, JSON lines for
//! programs.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::arguments::Global;
use super::print::{Paint, bytes, counted, duration, error_colour, error_line, line};
use crate::execute::RunEvent;
use crate::step::Event;

/// Without a terminal, how often a running instance says how far it is.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// How a run is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Bars and lines.
    Terminal,
    /// Lines.
    Plain,
    /// Problems only.
    Quiet,
    /// An object a line, on standard output.
    Json,
}

impl Mode {
    /// The mode that the options and the terminal ask for.
    pub fn of(global: &Global) -> Self {
        if global.json {
            Self::Json
        } else if global.quiet {
            Self::Quiet
        } else if io::stderr().is_terminal() {
            Self::Terminal
        } else {
            Self::Plain
        }
    }
}

/// The screen of one run.
pub struct Screen {
    mode: Mode,
    bars: MultiProgress,
    running: BTreeMap<String, Line>,
}

/// A running instance.
struct Line {
    bar: ProgressBar,
    reasons: Vec<String>,
    told: Instant,
    /// Whether `bar` has a length yet.
    measured: bool,
}

impl Screen {
    /// An empty screen.
    pub fn new(mode: Mode) -> Self {
        let target = match mode {
            Mode::Terminal => ProgressDrawTarget::stderr_with_hz(10),
            _ => ProgressDrawTarget::hidden(),
        };
        Self {
            mode,
            bars: MultiProgress::with_draw_target(target),
            running: BTreeMap::new(),
        }
    }

    /// Shows what happened.
    pub fn show(&mut self, event: &RunEvent) {
        if self.mode == Mode::Json {
            line(event.to_json().to_string());
            return;
        }
        match event {
            RunEvent::Started {
                run,
                pipeline,
                device,
                threads,
                instances,
            } => {
                let threads = counted(*threads, "thread");
                let instances = counted(*instances, "instance");
                self.say(&format!("run {run} of {pipeline} on {device}, {threads}, {instances}"));
            }
            RunEvent::Cached { instance, .. } => self.result(Paint::Known, "cached", instance, ""),
            RunEvent::Waiting { instance, message } => self.result(Paint::Warn, "waiting", instance, message),
            RunEvent::Running {
                instance,
                attempt,
                reasons,
                ..
            } => self.begin(instance, *attempt, reasons),
            RunEvent::Worker { instance, event } => self.worker(instance, event),
            RunEvent::Executed {
                instance,
                seconds,
                peak_bytes,
                ..
            } => {
                let reasons = self.end(instance);
                let took = Paint::Faint.on(&why(&reasons), error_colour());
                let memory = peak_bytes.map(|peak| format!(", {}", bytes(peak))).unwrap_or_default();
                let text = format!("{}{memory} {took}", duration(*seconds));
                self.result(Paint::Good, "done", instance, &text);
            }
            RunEvent::Failed {
                instance,
                message,
                log,
                log_file,
                peak_bytes: _, // in the message where it matters
            } => self.failed(instance, message, log, log_file.as_deref()),
            RunEvent::Retry {
                instance,
                attempt,
                message,
                left,
            } => {
                self.end(instance);
                let more = match left {
                    0 => "the last try".to_owned(),
                    left => format!("then {left} more"),
                };
                self.result(
                    Paint::Warn,
                    "retry",
                    instance,
                    &format!("attempt {attempt} failed: {message} (trying again; {more})"),
                );
            }
            RunEvent::Blocked { instance, by } => {
                self.result(Paint::Warn, "blocked", instance, &format!("needs {by}"));
            }
            RunEvent::Interrupted { instance } => {
                self.end(instance);
                self.result(Paint::Warn, "stopped", instance, "");
            }
            RunEvent::Warning { instance, message } => {
                let about = instance.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
                self.problem(&format!(
                    "{} {about}{message}",
                    Paint::Warn.on("warning:", error_colour())
                ));
            }
            RunEvent::Stopping { now: false } => {
                self.problem("stopping after the next checkpoint; Ctrl-C again stops now");
            }
            RunEvent::Stopping { now: true } => self.problem("stopping now"),
            RunEvent::Finished { .. } => {
                self.bars.clear().ok();
            }
        }
    }

    fn begin(&mut self, instance: &str, attempt: u32, reasons: &[String]) {
        let bar = self.bars.add(ProgressBar::new_spinner());
        bar.set_style(style("{spinner} {prefix}  {msg}"));
        bar.set_prefix(instance.to_owned());
        bar.set_message(if attempt > 1 {
            format!("attempt {attempt}")
        } else {
            String::new()
        });
        if self.mode == Mode::Terminal {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        if self.mode == Mode::Plain {
            self.result(Paint::Plain, "running", instance, &why(reasons));
        }
        let line = Line {
            bar,
            reasons: reasons.to_vec(),
            told: Instant::now(),
            measured: false,
        };
        self.running.insert(instance.to_owned(), line);
    }

    /// Takes a running instance off the screen; why it ran.
    fn end(&mut self, instance: &str) -> Vec<String> {
        let Some(line) = self.running.remove(instance) else {
            return Vec::new();
        };
        line.bar.finish_and_clear();
        self.bars.remove(&line.bar);
        line.reasons
    }

    fn worker(&mut self, instance: &str, event: &Event) {
        match event {
            Event::Progress {
                done,
                total,
                unit,
                message,
            } => self.progress(instance, *done, *total, unit, message),
            Event::Info { message } => self.say(&format!("{:>9}  {instance}: {message}", "")),
            Event::Warning { message } => {
                let word = Paint::Warn.on("warning:", error_colour());
                self.problem(&format!("{word} {instance}: {message}"));
            }
            Event::Metric { .. } => {} // on the bar's message; whole in the run's events
        }
    }

    fn progress(&mut self, instance: &str, done: u64, total: u64, unit: &str, message: &str) {
        let Some(line) = self.running.get_mut(instance) else {
            return;
        };
        if !line.measured && total > 0 {
            line.measured = true;
            let unit = unit.replace('{', "{{").replace('}', "}}");
            line.bar.set_length(total);
            line.bar.set_style(style(&format!(
                "{{spinner}} {{prefix}}  {{bar:24}} {{pos}}/{{len}} {unit}  {{msg}}  {{eta}} left"
            )));
            line.bar.set_position(done);
            line.bar.reset_eta(); // what an earlier attempt did is not this one's speed
        }
        line.bar.set_position(done);
        line.bar.set_message(message.to_owned());
        if self.mode == Mode::Plain && line.told.elapsed() >= PLAIN_EVERY {
            line.told = Instant::now();
            let of = if total > 0 {
                format!(" of {total}")
            } else {
                String::new()
            };
            self.say(&format!("{:>9}  {instance}: {done}{of} {unit}  {message}", ""));
        }
    }

    fn failed(&mut self, instance: &str, message: &str, log: &[String], log_file: Option<&str>) {
        self.end(instance);
        let word = Paint::Bad.on(&format!("{:>9}", "failed"), error_colour());
        let mut text = format!("{word}  {instance}: {message}");
        // the worker's own last line repeats the message
        let more: Vec<_> = log.iter().filter(|line| !line.ends_with(message)).collect();
        for line in &more {
            text.push_str(&format!("\n{:>9}  | {line}", ""));
        }
        if let (false, Some(file)) = (more.is_empty(), log_file) {
            text.push_str(&format!("\n{:>9}  its whole output: {file}", ""));
        }
        self.problem(&text);
    }

    /// A line about an instance.
    fn result(&self, paint: Paint, word: &str, instance: &str, text: &str) {
        let word = paint.on(&format!("{word:>9}"), error_colour());
        self.say(format!("{word}  {instance}  {text}").trim_end());
    }

    /// A line, unless only problems are wanted.
    fn say(&self, text: &str) {
        if self.mode != Mode::Quiet {
            self.problem(text);
        }
    }

    /// A line above the bars.
    fn problem(&self, text: &str) {
        if self.mode == Mode::Terminal {
            self.bars.suspend(|| error_line(text));
        } else {
            error_line(text);
        }
    }
}

/// Why something ran, in brackets; nothing for the first time, which needs no reason.
fn why(reasons: &[String]) -> String {
    let told: Vec<_> = reasons
        .iter()
        .filter(|reason| *reason != "never run")
        .map(String::as_str)
        .collect();
    match told.len() {
        0 => String::new(),
        1..=3 => format!("({})", told.join("; ")),
        more => format!("({}; and {} more)", told[..3].join("; "), more - 3),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_few_and_a_first_run_needs_none() {
        let list = |reasons: &[&str]| reasons.iter().map(|&reason| reason.to_owned()).collect::<Vec<_>>();
        assert_eq!(why(&list(&["never run"])), "");
        assert_eq!(why(&list(&["a", "b"])), "(a; b)");
        assert_eq!(why(&list(&["a", "b", "c", "d", "e"])), "(a; b; c; and 2 more)");
    }

    #[test]
    fn every_event_is_shown_without_a_terminal() {
        let mut screen = Screen::new(Mode::Quiet);
        let name = || "base".to_owned();
        screen.show(&RunEvent::Running {
            instance: name(),
            kind: "pretrain",
            attempt: 2,
            threads: 1,
            reasons: vec![],
        });
        let progress = Event::Progress {
            done: 5,
            total: 10,
            unit: "{updates}".into(),
            message: "loss".into(),
        };
        screen.show(&RunEvent::Worker {
            instance: name(),
            event: progress,
        });
        let line = &screen.running["base"];
        assert_eq!((line.bar.position(), line.bar.length()), (5, Some(10)));
        screen.show(&RunEvent::Interrupted { instance: name() });
        assert!(screen.running.is_empty());
    }
}
