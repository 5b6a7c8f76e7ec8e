//! Stores that cannot be written: a full disk, a read-only one, one of a newer version.

use std::process::{Command, Stdio};

use crate::support::{Outcome, Sandbox};

/// Runs a shell line in a sandbox with the program's path in `$FRAGUA`.
fn shell(sandbox: &Sandbox, line: &str) -> Outcome {
    let output = Command::new("bash")
        .args(["-c", line])
        .env("FRAGUA", env!("CARGO_BIN_EXE_fragua"))
        .current_dir(sandbox.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Outcome {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn without_room_the_run_says_so_and_the_next_one_goes_on() {
    let sandbox = Sandbox::tiny();
    // files may have 40 KB: the weights do not fit, the rest does
    let limit = "trap '' XFSZ; ulimit -f 40; exec \"$FRAGUA\" run pipeline.yaml --json --device cpu";
    let refused = shell(&sandbox, limit);
    assert_eq!(refused.code, Some(1), "{}{}", refused.out, refused.err);
    let failed = refused.out.lines().find(|line| line.contains("\"failed\"")).unwrap();
    assert!(failed.contains("make room") && failed.contains("\"base\""), "{failed}");
    assert_eq!(sandbox.fragua(&["verify"]).code, Some(0));
    let run = sandbox.run(&[]);
    assert!(run["cached"].as_u64().unwrap() >= 3, "what was finished is kept: {run}");
    let whole = Sandbox::tiny();
    assert_eq!(sandbox.digests(&run), whole.digests(&whole.run(&[])));
}

/// A folder on a file system of its own, taken away at the end. Only an administrator may make one.
struct Mount(std::path::PathBuf);

impl Mount {
    fn new(sandbox: &Sandbox, name: &str, options: &str) -> Option<Self> {
        let folder = sandbox.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let mounted = mount(&["-t", "tmpfs", "-o", options, "none"], &folder);
        if !mounted {
            println!("not run: only an administrator may mount a file system");
        }
        mounted.then_some(Self(folder))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

fn mount(arguments: &[&str], folder: &std::path::Path) -> bool {
    let status = Command::new("mount")
        .args(arguments)
        .arg(folder)
        .stderr(Stdio::null())
        .status();
    cfg!(target_os = "linux") && status.is_ok_and(|status| status.success())
}

#[test]
fn a_disk_that_is_really_full() {
    let sandbox = Sandbox::tiny();
    let Some(disk) = Mount::new(&sandbox, "disk", "size=256k") else {
        return;
    };
    let refused = sandbox.try_run(&["--store", "disk/store"]);
    assert_eq!(refused.code, Some(1), "{}{}", refused.out, refused.err);
    let all = format!("{}{}", refused.out, refused.err);
    assert!(all.contains("make room"), "{all}");
    assert!(mount(&["-o", "remount,size=64m", "none"], &disk.0));
    assert_eq!(sandbox.fragua(&["verify", "--store", "disk/store"]).code, Some(0));
    assert_eq!(sandbox.run(&["--store", "disk/store"])["failed"], 0);
}

#[test]
fn a_store_that_only_may_be_read_can_be_looked_at() {
    let sandbox = Sandbox::tiny();
    sandbox.run(&["--until", "tuned"]);
    // an administrator may write everywhere but on a read-only file system
    let (store, _disk) = match Mount::new(&sandbox, "disk", "size=64m") {
        Some(disk) => {
            let copied = shell(&sandbox, "cp -r .fragua disk/store");
            assert_eq!(copied.code, Some(0), "{}", copied.err);
            assert!(mount(&["-o", "remount,ro", "none"], &disk.0));
            ("disk/store", Some(disk))
        }
        None => {
            assert_eq!(shell(&sandbox, "chmod -R a-w .fragua").code, Some(0));
            (".fragua", None)
        }
    };
    let refused = sandbox.try_run(&["--store", store]);
    assert_eq!(refused.code, Some(1), "{}{}", refused.out, refused.err);
    assert!(
        refused.err.contains("one that may be written (`--store DIR`)") && refused.err.contains("`plan`"),
        "{}",
        refused.err
    );
    for command in [
        vec!["plan", "pipeline.yaml", "--device", "cpu", "--store", store],
        vec!["show", "--store", store],
        vec!["validate", "pipeline.yaml", "--store", store],
        vec!["verify", "--store", store],
    ] {
        let outcome = sandbox.fragua(&command);
        assert_eq!(outcome.code, Some(0), "{command:?}: {}", outcome.err);
    }
    let plan = sandbox.plan(&["--store", store]);
    assert_eq!(plan["tuned"], "cached");
    shell(&sandbox, "chmod -R u+w .fragua");
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let sandbox = Sandbox::tiny();
    sandbox.run(&["--until", "rows"]);
    sandbox.write(".fragua/store.json", "{\"layout\": 99}\n");
    for command in ["run", "plan"] {
        let outcome = sandbox.fragua(&[command, "pipeline.yaml", "--device", "cpu"]);
        assert_eq!(outcome.code, Some(1));
        assert!(
            outcome.err.contains("layout 99") && outcome.err.contains("update fragua"),
            "{}",
            outcome.err
        );
    }
}
