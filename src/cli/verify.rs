//! `fragua verify`.

use serde_json::json;

use super::arguments::Global;
use super::print::{bytes, counted, line};
use super::table::cut;
use crate::records::{Touched, health};
use crate::store::Store;

/// How many instances of a run are named; `--json` has all.
const NAMED: usize = 5;

/// Digests every object again. Damage is told, not repaired: the next run makes it again.
pub fn run(global: &Global) -> anyhow::Result<u8> {
    let store = Store::open_read_only(&global.store)?;
    let health = health(&store)?;
    let damaged: Vec<String> = health.damaged.iter().map(|(_, damage)| damage.to_string()).collect();
    let lost = health.lost.iter();
    let lost: Vec<String> = lost
        .map(|(instance, digest)| format!("the object of {instance} ({}) is gone", digest.short()))
        .collect();
    if global.json {
        let all = json!({
            "whole": health.whole,
            "bytes": health.bytes,
            "damaged": damaged,
            "lost": lost,
            "touched": health.touched,
        });
        line(all.to_string());
    } else {
        damaged.iter().chain(&lost).for_each(line);
        health.touched.iter().for_each(|one| line(touched(one)));
        let place = global.store.display();
        line(format!(
            "{place}: {} whole ({}), {} damaged",
            counted(health.whole, "object"),
            bytes(health.bytes),
            damaged.len()
        ));
        if !damaged.is_empty() || !lost.is_empty() {
            line("the next run that needs one makes it again");
        }
    }
    Ok(u8::from(!damaged.is_empty()))
}

fn touched(one: &Touched) -> String {
    let name = one.name.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default();
    let mut names: Vec<String> = one.instances.keys().take(NAMED).map(|name| cut(name, 40)).collect();
    if one.instances.len() > NAMED {
        names.push(format!("{} more", one.instances.len() - NAMED));
    }
    format!("run {}{name} has it in {}", one.run, names.join(", "))
}
