//! Workers as processes of this machine.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

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
        let mut child = command.spawn()?;
        let control = child.stdin.take();
        Ok(Box::new(Process { child, control }))
    }
}

struct Process {
    child: Child,
    control: Option<ChildStdin>,
}

impl Job for Process {
    fn poll(&mut self) -> io::Result<Option<Ended>> {
        let status = self.child.try_wait()?;
        Ok(status.map(|status| Ended { how: describe(status) }))
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

fn describe(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        let name = match signal {
            4 => " (illegal instruction)",
            6 => " (abort)",
            7 => " (bus error)",
            8 => " (arithmetic error)",
            9 => " (SIGKILL: by hand, or the system ran out of memory)",
            11 => " (segmentation fault)",
            15 => " (SIGTERM)",
            24 => " (CPU time limit)",
            _ => "",
        };
        return format!("was killed by signal {signal}{name}");
    }
    match status.code() {
        Some(code) => format!("ended with code {code}"),
        None => "ended without a code".into(),
    }
}
