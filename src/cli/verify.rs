//! `fragua verify`.

use serde_json::json;

use super::arguments::Global;
use super::print::{bytes, counted, line};
use crate::store::{Damage, Store};

/// Digests every object again. Damage is told, not repaired: the next run makes it again.
pub fn run(global: &Global) -> anyhow::Result<u8> {
    let store = Store::open_read_only(&global.store)?;
    let (mut whole, mut size) = (0, 0);
    let mut damaged = Vec::new();
    for digest in store.objects()? {
        match store.verify(&digest) {
            Ok(object) => {
                whole += 1;
                size += object.manifest.size();
            }
            Err(Damage::Absent(_)) => {} // removed since it was listed
            Err(damage) => damaged.push(damage.to_string()),
        }
    }
    let objects = store.objects()?;
    let lost: Vec<_> = store
        .actions()?
        .into_iter()
        .filter(|action| objects.binary_search(&action.output).is_err())
        .map(|action| format!("the object of {} ({}) is gone", action.instance, action.output.short()))
        .collect();
    if global.json {
        line(json!({"whole": whole, "bytes": size, "damaged": damaged, "lost": lost}).to_string());
    } else {
        damaged.iter().chain(&lost).for_each(line);
        let place = global.store.display();
        line(format!(
            "{place}: {} whole ({}), {} damaged",
            counted(whole, "object"),
            bytes(size),
            damaged.len()
        ));
        if !damaged.is_empty() || !lost.is_empty() {
            line("the next run that needs one makes it again");
        }
    }
    Ok(u8::from(!damaged.is_empty()))
}
