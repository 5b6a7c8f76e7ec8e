//! Which runs a damage touches.

use std::collections::BTreeMap;

use rayon::iter::{IntoParallelIterator, ParallelIterator};
use serde::Serialize;

use super::{RecordsError, all};
use crate::step::Digest;
use crate::store::{Damage, Store};

/// The state of a store.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Objects that are whole.
    pub whole: usize,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong with others, in the order of their digests.
    pub damaged: Vec<(Digest, Damage)>,
    /// Results whose object is gone: who asked first, and its digest.
    pub lost: Vec<(String, Digest)>,
    /// The runs that a damaged or lost object is part of.
    pub touched: Vec<Touched>,
}

/// A run's instances that a damaged or lost object belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Touched {
    /// The run.
    pub run: String,
    /// The name that the user gave it.
    pub name: Option<String>,
    /// Its instances, with the object of each.
    pub instances: BTreeMap<String, String>,
}

/// Digests every object again, side by side.
///
/// # Errors
/// When a folder or a run's record cannot be read.
pub fn health(store: &Store) -> Result<Health, RecordsError> {
    let mut health = Health::default();
    let looks: Vec<_> = store
        .objects()?
        .into_par_iter()
        .map(|digest| (store.verify(&digest), digest))
        .collect();
    for (look, digest) in looks {
        match look {
            Ok(object) => {
                health.whole += 1;
                health.bytes += object.manifest.size();
            }
            Err(Damage::Absent(_)) => {} // removed since it was listed
            Err(damage) => health.damaged.push((digest, damage)),
        }
    }
    let objects = store.objects()?;
    let lost = store.actions()?.into_iter();
    health.lost = lost
        .filter(|action| objects.binary_search(&action.output).is_err())
        .map(|action| (action.instance, action.output))
        .collect();
    let wrong = |digest: &str| {
        let damaged = health.damaged.iter().map(|(digest, _)| digest);
        let mut all = damaged.chain(health.lost.iter().map(|(_, digest)| digest));
        all.any(|wrong| wrong.as_str() == digest)
    };
    for run in all(store)? {
        let instances = run.record.instances.iter();
        let instances = instances.filter_map(|one| Some((one.name.clone(), one.digest.clone()?)));
        let instances: BTreeMap<_, _> = instances.filter(|(_, digest)| wrong(digest)).collect();
        if !instances.is_empty() {
            health.touched.push(Touched {
                run: run.record.run,
                name: run.record.name,
                instances,
            });
        }
    }
    Ok(health)
}
