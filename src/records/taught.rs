//! A model that is meant, and what it was taught to read: the prompt template of its tuning, and the rows
//! that examples for it can be drawn from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{PastRun, RecordsError, find, wanted};
use crate::execute::{Resolved, ResolvedInstance};
use crate::step::ArtifactType;
use crate::store::Store;

/// The part of a dataset that models learn from.
const TRAIN: &str = "train";

/// A model, and how it came to be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Its folder.
    pub folder: PathBuf,
    /// The instance in its run; `None` of a folder.
    pub instance: Option<String>,
    /// The prompt template that it was taught with, or was prompted with in its run.
    pub template: Option<PathBuf>,
    /// The split's folder that it was taught with, or that its prompts drew examples from.
    pub examples: Option<PathBuf>,
}

/// The model that a text means: a folder, or `RUN:STEP`.
///
/// # Errors
/// When it is neither, or what it means is no model.
pub fn made(root: &Path, text: &str) -> Result<Made, RecordsError> {
    let path = Path::new(text);
    if path.is_dir() {
        return Ok(Made {
            folder: path.to_owned(),
            ..Made::default()
        });
    }
    let question = |fact: String| Err(RecordsError::Question(fact));
    let Some((run, name)) = text.split_once(':') else {
        return question(format!(
            "`{text}` is no model: write the folder of one, or RUN:STEP (`last:tuned`)"
        ));
    };
    let store = Store::open_read_only(root)?;
    let run = find(&store, run)?;
    let found = wanted(&store, &run, name)?;
    let resolved = run.resolved()?;
    let known = |resolved: &Resolved| {
        let instances = resolved.instances.iter();
        instances
            .filter(|one| one.name == found.instance)
            .map(|one| one.artifact)
            .next()
    };
    if resolved
        .as_ref()
        .and_then(known)
        .is_some_and(|artifact| artifact != ArtifactType::Model)
    {
        return question(format!(
            "{} of run {} is no model but {}",
            found.instance, run.record.run, found.kind
        ));
    }
    let mut made = Made {
        folder: found.place(&store),
        instance: Some(found.instance.clone()),
        ..Made::default()
    };
    if let Some(resolved) = resolved {
        let taught = Taught {
            store: &store,
            run: &run,
            resolved: &resolved,
        };
        taught.fill(&found.instance, &mut made);
    }
    Ok(made)
}

struct Taught<'a> {
    store: &'a Store,
    run: &'a PastRun,
    resolved: &'a Resolved,
}

impl Taught<'_> {
    /// Looks at what made the model, then at what made that which it was made from, then at what asked it.
    fn fill(&self, instance: &str, made: &mut Made) {
        let mut seen = BTreeSet::new();
        let mut next = Some(instance.to_owned());
        while let Some(name) = next.take().filter(|name| seen.insert(name.clone())) {
            let Some(one) = self.resolved.instances.iter().find(|one| one.name == name) else {
                break;
            };
            if let Some(template) = one.files.get("template") {
                made.template = self.file(template);
                made.examples = text(one, &["data"]).and_then(|data| self.split(data));
                return;
            }
            next = text(one, &["model"]).map(str::to_owned);
        }
        let asked = |one: &&ResolvedInstance| {
            one.kind == "generate" && text(one, &["model"]).is_some_and(|model| seen.contains(model))
        };
        let Some(one) = self.resolved.instances.iter().find(asked) else {
            return;
        };
        made.template = one.files.get("prompt.template").and_then(|path| self.file(path));
        made.examples = text(one, &["prompt", "examples"]).and_then(|data| self.split(data));
    }

    /// A file that the pipeline names, if it is still there.
    fn file(&self, written: &str) -> Option<PathBuf> {
        let home = Path::new(&self.run.record.file).parent().unwrap_or(Path::new(""));
        let path = home.join(written);
        path.is_file().then_some(path)
    }

    /// The folder of a dataset's rows: of a part, or of the part that models learn from.
    fn split(&self, reference: &str) -> Option<PathBuf> {
        let place = |name: &str| {
            let folder = wanted(self.store, self.run, name).ok()?.place(self.store);
            let whole = folder.join("all");
            let folder = if whole.is_dir() { whole } else { folder };
            folder.join("data.jsonl").is_file().then_some(folder)
        };
        place(&format!("{reference}.{TRAIN}")).or_else(|| place(reference))
    }
}

/// A setting that is text.
fn text<'a>(one: &'a ResolvedInstance, path: &[&str]) -> Option<&'a str> {
    let mut value = &one.settings;
    for part in path {
        value = value.get(part)?;
    }
    value.as_str()
}
