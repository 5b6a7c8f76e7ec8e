//! What is already made, on disk: objects, actions, attempts, runs.
//!
//! ```text
//! .fragua/
//!   objects/ab/ab12…/           an artifact, as its step wrote it; never changed
//!   objects/ab/ab12….json       its manifest: files, sizes, digests; their digest is the name
//!   actions/KEY.json            a key's result, with everything that went into the key
//!   attempts/KEY/               lock, checkpoints/, and one numbered folder an attempt
//!   runs/ID/                    run.json, resolved.json, files/ and events.jsonl of one invocation
//!   aside/                      what the collector of garbage is about to remove
//!   in-use.lock                 shared by runs; the collector of garbage wants it alone
//! ```
//! Whatever is complete appears by one rename, so a process may end at any instruction and leave
//! the store whole. Locks are the kernel's ([`std::fs::File::lock`]): one dies with its holder.

mod actions;
mod attempts;
mod contents;
mod dependencies;
mod durable;
mod error;
mod in_use;
mod layout;
mod manifest;
mod objects;
mod runs;
mod sweep;

pub use actions::{Action, Environment};
pub use attempts::{Attempt, Claim, Holder};
pub use contents::{Contents, Place};
pub use dependencies::{Dependencies, canonical};
pub use durable::{sync_tree, write_atomic, write_json};
pub use error::{StoreError, advice_on_room};
pub use layout::Store;
pub use manifest::{FileEntry, Manifest};
pub use objects::{Damage, Object};
pub use runs::{RunFolder, check_run_name};
pub use sweep::{Sweep, Work};
