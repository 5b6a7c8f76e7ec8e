//! The worker processes of a sandbox, to be killed.

use crate::support::Sandbox;

/// Process ids of the workers in a sandbox, by their command line.
pub fn workers(sandbox: &Sandbox) -> Vec<u32> {
    let here = sandbox.path().canonicalize().unwrap();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(process) = entry.file_name().to_string_lossy().parse() else {
            continue;
        };
        let command = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        let at = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        if command.contains("\0worker\0") && (at.starts_with(&here) || command.contains(here.to_str().unwrap())) {
            found.push(process);
        }
    }
    found
}

/// Ends a process as a power cut would.
pub fn kill(process: u32) {
    signal(process, "KILL");
}

/// Sends a signal. That the process has ended meanwhile is no error.
pub fn signal(process: u32, name: &str) {
    std::process::Command::new("kill")
        .args(["-s", name, &process.to_string()])
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
}
