//! Workers as processes of this machine.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use super::death::{self, Death};
use super::task::{Ended, Job, Launcher};

/// Starts workers as child processes.
pub struct Local {
    program: PathBuf,
    arguments: Vec<String>,
}

impl Local {
    /// Starts `program arguments.. ATTEMPT`.
    pub fn new(program: PathBuf, arguments: Vec<String>) -> Self {
        Self { program, arguments }
    }
}

impl Launcher for Local {
    fn submit(&mut self, attempt: &Path, threads: usize) -> io::Result<Box<dyn Job>> {
        let log = File::create(attempt.join("stderr.log"))?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .arg(attempt)
            // a pipe that the worker watches: "stop" asks it to stop, its end says that we are gone
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            // pools that libraries make for themselves
            .env("RAYON_NUM_THREADS", threads.to_string())
            .env("POLARS_MAX_THREADS", threads.to_string());
        // Ctrl-C reaches the whole group of the terminal; we decide what it means for a worker
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        #[cfg(windows)]
        std::os::windows::process::CommandExt::creation_flags(&mut command, 0x0000_0200); // CREATE_NEW_PROCESS_GROUP
        let memory_kills = death::memory_kills();
        let mut child = command.spawn()?;
        let control = child.stdin.take();
        Ok(Box::new(Process {
            child,
            control,
            memory_kills,
            peak_bytes: None,
            measured: Instant::now(),
        }))
    }
}

struct Process {
    child: Child,
    control: Option<ChildStdin>,
    /// The system's count when it began.
    memory_kills: Option<u64>,
    /// The most memory that it was seen to hold: one that is killed cannot tell any more.
    peak_bytes: Option<u64>,
    measured: Instant,
}

/// How often a worker's memory is looked at.
const MEASURE_EVERY: Duration = Duration::from_millis(100);

impl Job for Process {
    fn poll(&mut self) -> io::Result<Option<Ended>> {
        if let Some(status) = self.child.try_wait()? {
            let death = Death::of(status, self.peak_bytes, self.memory_kills);
            return Ok(Some(Ended::process(death)));
        }
        if self.peak_bytes.is_none() || self.measured.elapsed() >= MEASURE_EVERY {
            let peak = crate::profile::peak_bytes(&self.child.id().to_string());
            self.peak_bytes = self.peak_bytes.max(peak);
            self.measured = Instant::now();
        }
        Ok(None)
    }

    fn stop(&mut self) {
        if let Some(control) = &mut self.control {
            // a worker that has ended in the meantime does not read any more
            control.write_all(b"stop\n").and_then(|()| control.flush()).ok();
        }
    }

    fn kill(&mut self) {
        self.child.kill().ok(); // fails only when it has ended
    }
}

impl Drop for Process {
    /// A worker never outlives the coordinator's interest in it.
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
