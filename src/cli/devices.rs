//! `fragua devices`.

use serde_json::json;

use super::arguments::Global;
use super::print::{bytes, line};
use crate::device;

/// Lists what can compute, as `--device` spells it.
pub fn run(global: &Global) -> anyhow::Result<u8> {
    let found = device::list();
    if global.json {
        let list: Vec<_> = found
            .iter()
            .map(
                |one| json!({"device": one.spec.to_string(), "name": one.name, "kind": one.kind, "memory": one.memory}),
            )
            .collect();
        line(json!({"devices": list}).to_string());
        return Ok(0);
    }
    for one in &found {
        let memory = one
            .memory
            .map(|memory| format!(", {}", bytes(memory)))
            .unwrap_or_default();
        line(format!(
            "{:<10} {} ({}{memory})",
            one.spec.to_string(),
            one.name,
            one.kind
        ));
    }
    Ok(0)
}
