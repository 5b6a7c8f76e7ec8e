//! How a worker died that left no word: by which signal, and whether memory had run out.
//!
//! What the system tells differs: everything here falls back to saying less.

use std::fs;
use std::process::ExitStatus;
use std::time::Duration;

/// A signal's number is the system's; these are the same on Linux and macOS.
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;

/// How a worker ended, as its parent sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Death {
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// Its exit code.
    pub code: Option<i32>,
    /// The most memory that it was seen to hold, in bytes.
    pub peak_bytes: Option<u64>,
    /// How many processes the system had ended for lack of memory, before it began and after it
    /// ended, where the system counts them.
    pub memory_kills: (Option<u64>, Option<u64>),
}

impl Death {
    /// Splits what the system says of an ended process.
    pub fn of(status: ExitStatus, peak_bytes: Option<u64>, kills_before: Option<u64>) -> Self {
        #[cfg(unix)]
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        #[cfg(not(unix))]
        let signal = None;
        Self {
            signal,
            code: status.code(),
            peak_bytes,
            memory_kills: (kills_before, memory_kills()),
        }
    }

    /// For messages, after "the worker": what ended it, and how much memory it held. `log` is the
    /// end of what it printed.
    pub fn describe(&self, log: &[String]) -> String {
        // one that ended at once was hardly looked at
        let held = self
            .peak_bytes
            .filter(|&bytes| bytes >= 10_000_000)
            .map(|bytes| format!(" (it held at least {})", size(bytes)))
            .unwrap_or_default();
        let refused = log.iter().any(|line| line.contains("memory allocation of "));
        match (self.signal, self.memory_kills) {
            (Some(SIGKILL), (Some(before), Some(after))) if after > before => format!(
                "was ended by the system, which had run out of memory{held}: give it less to hold at once, run fewer \
                 side by side (`resources: {{memory: ..}}`, `--jobs`), or use a machine with more"
            ),
            (Some(SIGABRT), _) if refused => format!(
                "was refused memory by the system and ended itself{held}: give it less to hold at once, or use a \
                 machine with more"
            ),
            (Some(SIGKILL), (Some(_), Some(_))) => format!(
                "was killed by signal 9 (SIGKILL){held}: by hand or by another program, for the system counted no kill \
                 for lack of memory"
            ),
            (Some(SIGKILL), _) => {
                format!("was killed by signal 9 (SIGKILL: by hand, or the system ran out of memory){held}")
            }
            (Some(signal), _) => format!("was killed by signal {signal}{}{held}", name(signal)),
            (None, _) => match self.code {
                Some(code) => format!("ended with code {code}{held}"),
                None => format!("ended without a code{held}"),
            },
        }
    }
}

fn name(signal: i32) -> &'static str {
    match signal {
        4 => " (illegal instruction)",
        SIGABRT => " (abort)",
        7 => " (bus error)",
        8 => " (arithmetic error)",
        11 => " (segmentation fault)",
        15 => " (SIGTERM)",
        24 => " (CPU time limit)",
        25 => " (file size limit)",
        _ => "",
    }
}

/// How many processes were ended for lack of memory, where the system counts them (Linux): in the
/// whole system, and in the control group that we and our workers are in, of the second version and
/// of the first. The sum means nothing; that it grew does.
pub(super) fn memory_kills() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut counters = vec!["/proc/vmstat".to_owned()];
    counters.extend(groups.lines().filter_map(counter_of_group));
    let count = |path: String| counted(&fs::read_to_string(path).ok()?, "oom_kill");
    counters.into_iter().filter_map(count).reduce(u64::wrapping_add)
}

/// The file with the counter of a line of `/proc/self/cgroup`: `0::/user.slice` of the second
/// version, `4:memory:/docker/12ab` of the first.
fn counter_of_group(line: &str) -> Option<String> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?.trim_end_matches('/'));
    match controllers {
        "" => Some(format!("/sys/fs/cgroup{path}/memory.events")),
        "memory" => Some(format!("/sys/fs/cgroup/memory{path}/memory.oom_control")),
        _ => None,
    }
}

/// The number after a word at a line's beginning.
fn counted(text: &str, word: &str) -> Option<u64> {
    let number = text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
    number?.trim().parse().ok()
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
    let count = bytes as f64;
    if count >= 1e9 {
        format!("{:.1} GB", count / 1e9)
    } else {
        format!("{:.0} MB", count / 1e6)
    }
}

/// A duration for people, as short as it can be said.
pub(super) fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match () {
        () if duration.subsec_nanos() > 0 && seconds < 60 => format!("{} s", duration.as_secs_f64()),
        () if seconds >= 3600 && seconds.is_multiple_of(3600) => format!("{} h", seconds / 3600),
        () if seconds >= 60 && seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        () => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn death(signal: Option<i32>, memory_kills: (Option<u64>, Option<u64>)) -> Death {
        Death {
            signal,
            code: signal.is_none().then_some(7),
            peak_bytes: Some(3_210_000_000),
            memory_kills,
        }
    }

    #[test]
    fn a_death_is_named() {
        let none: &[String] = &[];
        let by_memory = death(Some(9), (Some(4), Some(5))).describe(none);
        assert!(
            by_memory.contains("run out of memory (it held at least 3.2 GB)"),
            "{by_memory}"
        );
        let by_hand = death(Some(9), (Some(4), Some(4))).describe(none);
        assert!(
            by_hand.contains("killed by signal 9") && by_hand.contains("by hand or by another"),
            "{by_hand}"
        );
        let unknown = death(Some(9), (None, None)).describe(none);
        assert!(
            unknown.contains("by hand, or the system ran out of memory"),
            "{unknown}"
        );
        let abort = death(Some(6), (Some(0), Some(0))).describe(none);
        assert!(abort.contains("signal 6 (abort)"), "{abort}");
        let refused = death(Some(6), (Some(0), Some(0))).describe(&["memory allocation of 64 bytes failed".into()]);
        assert!(refused.contains("refused memory"), "{refused}");
        assert!(
            death(None, (None, None))
                .describe(none)
                .starts_with("ended with code 7")
        );
    }

    #[test]
    fn counters_of_each_system_are_read() {
        assert_eq!(
            counted("nr_free_pages 3\noom_kill 12\npgpgin 9\n", "oom_kill"),
            Some(12)
        );
        let events = "low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\noom_group_kill 0\n";
        assert_eq!(counted(events, "oom_kill"), Some(2));
        assert_eq!(
            counted("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n", "oom_kill"),
            Some(7)
        );
        assert_eq!(counted("oom_kill_disable 0\n", "oom_kill"), None);
        assert_eq!(counted("oom_kill many\n", "oom_kill"), None);
        let file = |line| counter_of_group(line).unwrap_or_default();
        assert_eq!(file("0::/"), "/sys/fs/cgroup/memory.events");
        assert_eq!(
            file("0::/user.slice/a:b"),
            "/sys/fs/cgroup/user.slice/a:b/memory.events"
        );
        assert_eq!(
            file("4:memory:/docker/1"),
            "/sys/fs/cgroup/memory/docker/1/memory.oom_control"
        );
        assert_eq!(file("3:cpuset:/") + &file("nonsense"), "");
    }

    #[test]
    fn durations_are_short() {
        let said = [1500, 30_000, 90_000, 120_000, 7_200_000].map(|ms| seconds(Duration::from_millis(ms)));
        assert_eq!(said, ["1.5 s", "30 s", "90 s", "2 min", "2 h"]);
    }
}
