//! Where a run happened.

use std::path::Path;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::store::Environment;

/// The machine and the program of a run, for its record and the exported report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// fragua's version.
    pub fragua: String,
    /// The commit of the repository that the pipeline's folder is in.
    pub commit: Option<String>,
    /// Whether that repository had changes that were not committed.
    pub dirty: Option<bool>,
    /// Operating system and version.
    pub os: String,
    /// Instruction set architecture.
    pub arch: String,
    /// The processor's name.
    pub cpu: String,
    /// Its widest vector instructions.
    pub simd: String,
    /// Logical processors that the process may use.
    pub cores: usize,
    /// Bytes of main memory.
    pub memory: u64,
    /// The device, as it is called.
    pub device: String,
}

impl Facts {
    /// Looks at the machine, and at the repository of the pipeline's folder.
    pub fn gather(folder: &Path, device: String) -> Self {
        use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};
        let refresh = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(refresh);
        let cpu = system.cpus().first().map(|cpu| cpu.brand().trim().to_owned());
        let commit = git(folder, &["rev-parse", "HEAD"]);
        let dirty = commit
            .as_ref()
            .and_then(|_| git(folder, &["status", "--porcelain"]))
            .map(|status| !status.is_empty());
        let here = here();
        Self {
            fragua: here.fragua,
            commit,
            dirty,
            os: System::long_os_version().unwrap_or(here.os),
            arch: here.arch,
            cpu: cpu.filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".into()),
            simd: here.simd,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory: system.total_memory(),
            device,
        }
    }
}

/// What may make the last bits of a number differ.
pub(super) fn here() -> Environment {
    Environment {
        fragua: env!("CARGO_PKG_VERSION").into(),
        os: std::env::consts::OS.into(),
        arch: std::env::consts::ARCH.into(),
        simd: simd().into(),
    }
}

#[cfg(target_arch = "x86_64")]
fn simd() -> &'static str {
    if is_x86_feature_detected!("avx512f") {
        "avx512f"
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        "avx2+fma"
    } else {
        "sse2"
    }
}

#[cfg(target_arch = "aarch64")]
fn simd() -> &'static str {
    "neon"
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn simd() -> &'static str {
    "none"
}

/// One line of git about a folder; `None` without git or outside a repository.
fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
