//! What of a pipeline the user wants: `--only`, `--from`, `--until`, `--force`.

use std::collections::BTreeSet;

use super::{Plan, State};
use crate::pipeline::{Instance, Pipeline, suggest};

/// The names that the user gave: of steps, of instances (`answers[model=tuned,shots=1]`), or of all
/// instances with some axes (`answers[model=tuned]`). Empty is the whole pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// These and nothing else; what they read must be known.
    pub only: Vec<String>,
    /// These and what depends on them; what they read must be known.
    pub from: Vec<String>,
    /// These and what they depend on.
    pub until: Vec<String>,
    /// Run again, although they are known.
    pub force: Vec<String>,
}

/// A selection, found in a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    parts: Vec<Part>,
    forced: BTreeSet<usize>,
}

/// What an instance is to a selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It is wanted.
    Selected,
    /// It is not, but what is wanted depends on it: it must be known.
    Needed,
    /// It is not looked at.
    Skipped,
}

/// A selection that does not fit the pipeline. Each names the option as the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// A name that nothing has.
    #[error("`--{option} {name}`: {fact}{}", help.as_ref().map(|help| format!("; {help}")).unwrap_or_default())]
    Unknown {
        /// `only`
        option: &'static str,
        /// What was given.
        name: String,
        /// What is wrong.
        fact: String,
        /// The next move.
        help: Option<String>,
    },
    /// Something to be forced that is not selected.
    #[error("`--force {0}` runs again what the other options leave out: name it there as well, or not here")]
    ForcedAndSkipped(String),
    /// Something that is wanted reads what is neither known nor wanted.
    #[error(
        "`{reader}` reads `{input}`{}, which is not known, and the options leave it out: `--until {step}` makes all \
         that `{step}` needs",
        if *more > 0 { format!(" (and {more} more)") } else { String::new() }
    )]
    Missing {
        /// What is wanted.
        reader: String,
        /// Its step.
        step: String,
        /// The first that it lacks.
        input: String,
        /// How many more it lacks.
        more: usize,
    },
    /// `--from` and `--until` without a way from one to the other.
    #[error("nothing is both downstream of `--from {from}` and upstream of `--until {until}`")]
    Nothing {
        /// Where it begins.
        from: String,
        /// Where it ends.
        until: String,
    },
}

impl Selection {
    /// Whether it is the whole pipeline, and nothing is forced.
    pub fn is_empty(&self) -> bool {
        let Self {
            only,
            from,
            until,
            force,
        } = self;
        [only, from, until, force].iter().all(|names| names.is_empty())
    }

    /// Finds the names in a pipeline.
    ///
    /// # Errors
    /// The first name that nothing has, and options that contradict each other.
    pub fn choose(&self, pipeline: &Pipeline) -> Result<Choice, SelectionError> {
        let find = |option, names: &[String]| -> Result<BTreeSet<usize>, SelectionError> {
            let mut found = BTreeSet::new();
            for name in names {
                found.extend(named(pipeline, option, name)?);
            }
            Ok(found)
        };
        let (only, from) = (find("only", &self.only)?, find("from", &self.from)?);
        let (until, forced) = (find("until", &self.until)?, find("force", &self.force)?);
        let mut selected: BTreeSet<usize> = match (only.is_empty(), from.is_empty(), until.is_empty()) {
            (false, ..) => only,
            (_, false, true) => with_descendants(pipeline, from),
            (_, true, false) => with_ancestors(pipeline, until),
            (_, false, false) => {
                let both = &with_descendants(pipeline, from) & &with_ancestors(pipeline, until);
                if both.is_empty() {
                    let (from, until) = (self.from.join(" "), self.until.join(" "));
                    return Err(SelectionError::Nothing { from, until });
                }
                both
            }
            (_, true, true) => (0..pipeline.instances.len()).collect(),
        };
        // what a step had added before it belongs to it: the user never named it
        for index in (0..pipeline.instances.len()).rev() {
            if selected.contains(&index) {
                let inputs = pipeline.instances[index].inputs.iter().map(|(from, _)| *from);
                selected.extend(inputs.filter(|&from| pipeline.instances[from].derived));
            }
        }
        if let Some(&index) = forced.difference(&selected).next() {
            return Err(SelectionError::ForcedAndSkipped(pipeline.instances[index].name.clone()));
        }
        let needed = with_ancestors(pipeline, selected.clone());
        let part = |index| match (selected.contains(&index), needed.contains(&index)) {
            (true, _) => Part::Selected,
            (false, true) => Part::Needed,
            (false, false) => Part::Skipped,
        };
        Ok(Choice {
            parts: (0..pipeline.instances.len()).map(part).collect(),
            forced,
        })
    }
}

impl Choice {
    /// The whole of a pipeline.
    pub fn everything(pipeline: &Pipeline) -> Self {
        Self {
            parts: vec![Part::Selected; pipeline.instances.len()],
            forced: BTreeSet::new(),
        }
    }

    /// What an instance is to it.
    pub fn part(&self, index: usize) -> Part {
        self.parts[index]
    }

    /// Whether everything that is wanted can be made.
    ///
    /// # Errors
    /// The first of what is wanted that reads what is neither known nor wanted.
    pub fn check(&self, pipeline: &Pipeline, plan: &Plan) -> Result<(), SelectionError> {
        let left_out = |index: &usize| plan.instances[*index].state == State::Skipped;
        for (index, instance) in pipeline.instances.iter().enumerate() {
            let reads: BTreeSet<usize> = instance.inputs.iter().map(|(from, _)| *from).collect();
            let lacks: Vec<usize> = reads.into_iter().filter(left_out).collect();
            if let (Part::Selected, [first, rest @ ..]) = (self.part(index), &lacks[..]) {
                let reader = self.named_reader(pipeline, index);
                return Err(SelectionError::Missing {
                    reader: reader.name.clone(),
                    step: reader.step.clone(),
                    input: pipeline.instances[*first].name.clone(),
                    more: rest.len(),
                });
            }
        }
        Ok(())
    }

    /// The step that the user knows: the one that had an instance added before it.
    fn named_reader<'a>(&self, pipeline: &'a Pipeline, index: usize) -> &'a Instance {
        let instance = &pipeline.instances[index];
        let readers = pipeline.instances.iter().enumerate().skip(index);
        let mut of_it = readers.filter(|(_, one)| one.inputs.iter().any(|(from, _)| *from == index));
        match of_it.find(|(reader, _)| instance.derived && self.part(*reader) == Part::Selected) {
            Some((_, reader)) => reader,
            None => instance,
        }
    }

    /// Whether an instance is to run again although it is known.
    pub fn forces(&self, index: usize) -> bool {
        self.forced.contains(&index)
    }
}

// both go once through the pipeline, whose order is topological

fn with_descendants(pipeline: &Pipeline, mut reached: BTreeSet<usize>) -> BTreeSet<usize> {
    for (index, instance) in pipeline.instances.iter().enumerate() {
        if instance.inputs.iter().any(|(from, _)| reached.contains(from)) {
            reached.insert(index);
        }
    }
    reached
}

fn with_ancestors(pipeline: &Pipeline, mut reached: BTreeSet<usize>) -> BTreeSet<usize> {
    for (index, instance) in pipeline.instances.iter().enumerate().rev() {
        if reached.contains(&index) {
            reached.extend(instance.inputs.iter().map(|(from, _)| *from));
        }
    }
    reached
}

/// The instances that a name means: of a step, of an instance, of those with some axes.
///
/// # Errors
/// That nothing has the name, with the nearest one that something has.
pub fn instances_named(pipeline: &Pipeline, name: &str) -> Result<Vec<usize>, String> {
    named(pipeline, "", name).map_err(|error| match error {
        SelectionError::Unknown { name, fact, help, .. } => {
            let help = help.map(|help| format!("; {help}")).unwrap_or_default();
            format!("`{name}`: {fact}{help}")
        }
        other => other.to_string(),
    })
}

/// The instances that a name means.
fn named(pipeline: &Pipeline, option: &'static str, name: &str) -> Result<Vec<usize>, SelectionError> {
    let all = || pipeline.instances.iter().enumerate();
    let exactly: Vec<usize> = all()
        .filter(|(_, one)| one.name == name)
        .map(|(index, _)| index)
        .collect();
    if !exactly.is_empty() {
        return Ok(exactly);
    }
    let (step, axes) = axes_of(name);
    let of_step: Vec<(usize, &Instance)> = all().filter(|(_, one)| one.step == step).collect();
    let fits = |one: &Instance| {
        let has = |(axis, value): &(&str, &str)| one.axes.iter().any(|(a, v)| a == axis && v == value);
        axes.iter().all(has)
    };
    let found: Vec<usize> = of_step
        .iter()
        .filter(|(_, one)| fits(one))
        .map(|(index, _)| *index)
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let unknown = |fact: String, help: Option<String>| SelectionError::Unknown {
        option,
        name: name.to_owned(),
        fact,
        help,
    };
    let left_out = pipeline
        .left_out
        .iter()
        .find(|left| left.name == name || left.name == step);
    if let Some(left) = left_out {
        return Err(unknown(format!("it is left out: {}", left.reason), None));
    }
    if !of_step.is_empty() {
        let names = of_step.iter().map(|(_, one)| one.name.as_str());
        let nearest = suggest(name, names.clone()).or(names.clone().next().map(str::to_owned));
        let help = nearest.map(|nearest| format!("did you mean `{nearest}`?"));
        return Err(unknown(format!("no instance of `{step}` is called so"), help));
    }
    let steps: BTreeSet<&str> = all()
        .filter(|(_, one)| !one.derived)
        .map(|(_, one)| one.step.as_str())
        .collect();
    let help = match suggest(step, steps.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the steps are {}", listed(&steps)),
    };
    Err(unknown("no such step".into(), Some(help)))
}

/// `answers[model=tuned,shots=1]` → `answers`, with its axes.
fn axes_of(name: &str) -> (&str, Vec<(&str, &str)>) {
    let Some((step, rest)) = name.split_once('[') else {
        return (name, Vec::new());
    };
    let Some(rest) = rest.strip_suffix(']') else {
        return (name, Vec::new());
    };
    (step, rest.split(',').filter_map(|axis| axis.split_once('=')).collect())
}

fn listed(names: &BTreeSet<&str>) -> String {
    const MANY: usize = 12;
    let some: Vec<&str> = names.iter().take(MANY).copied().collect();
    let more = names.len().saturating_sub(MANY);
    let tail = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{tail}", some.join(", "))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::device::DeviceSpec;
    use crate::pipeline::{LoadOptions, load};
    use crate::plan::Planner;
    use crate::steps::KINDS;
    use crate::store::Store;

    const FILE: &str = "pipeline: p
steps:
  rows: {uses: dataset, with: {files: rows.jsonl, split: {train: 0.5, test: 0.5}}}
  words: {uses: tokenize, with: {data: rows.train, algorithm: char}}
  base:
    uses: pretrain
    matrix: {width: [16, 32]}
    with:
      data: rows.train
      tokenizer: words
      model: {architecture: llama, layers: 1, heads: 2, width: \"${matrix.width}\", context: 16}
      train: {updates: 1, batch_size: 1}
  loss: {uses: evaluate, with: {model: base, data: rows.test}}
";

    fn pipeline(folder: &Path) -> Pipeline {
        std::fs::write(folder.join("rows.jsonl"), "{\"a\": \"b\"}\n{\"a\": \"c\"}\n").unwrap();
        let file = folder.join("p.yaml");
        std::fs::write(&file, FILE).unwrap();
        load(&file, &LoadOptions::default(), KINDS).unwrap()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    /// The selected and the needed, by name.
    fn chosen(pipeline: &Pipeline, selection: &Selection) -> (Vec<String>, Vec<String>) {
        let choice = selection.choose(pipeline).unwrap();
        let of = |part| {
            let all = pipeline.instances.iter().enumerate();
            all.filter(|(index, _)| choice.part(*index) == part)
                .map(|(_, one)| one.name.clone())
                .collect()
        };
        (of(Part::Selected), of(Part::Needed))
    }

    #[test]
    fn each_option_selects_its_part() {
        let folder = tempfile::tempdir().unwrap();
        let pipeline = pipeline(folder.path());
        let everything = Selection::default();
        assert!(everything.is_empty());
        assert_eq!(chosen(&pipeline, &everything).0.len(), pipeline.instances.len());

        let only = Selection {
            only: names(&["base[width=16]"]),
            ..Selection::default()
        };
        let (selected, needed) = chosen(&pipeline, &only);
        // the encoding is the step's own
        assert_eq!(selected, ["encode(rows.train, words)", "base[width=16]"]);
        assert_eq!(needed, ["rows", "words"]);

        let from = Selection {
            from: names(&["base[width=32]"]),
            ..Selection::default()
        };
        let (selected, _) = chosen(&pipeline, &from);
        assert!(selected.contains(&"loss[width=32]".to_owned()) && !selected.contains(&"loss[width=16]".to_owned()));
        assert!(!selected.contains(&"words".to_owned()), "{selected:?}");

        let until = Selection {
            until: names(&["words"]),
            ..Selection::default()
        };
        assert_eq!(chosen(&pipeline, &until), (names(&["rows", "words"]), vec![]));

        let between = Selection {
            from: names(&["words"]),
            until: names(&["base"]),
            ..Selection::default()
        };
        let (selected, needed) = chosen(&pipeline, &between);
        assert_eq!(
            selected,
            ["words", "encode(rows.train, words)", "base[width=16]", "base[width=32]"]
        );
        assert_eq!(needed, ["rows"]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let pipeline = pipeline(folder.path());
        let error = |selection: &Selection| selection.choose(&pipeline).unwrap_err().to_string();
        let only = |name: &str| Selection {
            only: names(&[name]),
            ..Selection::default()
        };
        assert_eq!(
            error(&only("bsae")),
            "`--only bsae`: no such step; did you mean `base`?"
        );
        let listed = error(&only("zzz"));
        assert!(listed.ends_with("the steps are base, loss, rows, words"), "{listed}");
        let instance = error(&only("base[width=61]"));
        assert!(instance.contains("no instance of `base`") && instance.contains("did you mean `base[width=16]`"));
        let forced = Selection {
            force: names(&["rows"]),
            ..only("words")
        };
        assert!(error(&forced).contains("`--force rows`"));
        let apart = Selection {
            from: names(&["loss"]),
            until: names(&["words"]),
            ..Selection::default()
        };
        assert!(error(&apart).contains("nothing is both downstream of `--from loss`"));
    }

    #[test]
    fn what_is_needed_must_be_known() {
        let folder = tempfile::tempdir().unwrap();
        let pipeline = pipeline(folder.path());
        let store = Store::open_read_only(&folder.path().join("none")).unwrap();
        let only = Selection {
            only: names(&["loss"]),
            ..Selection::default()
        };
        let choice = only.choose(&pipeline).unwrap();
        let planner = Planner::new(&pipeline, &store, &DeviceSpec::CPU).choosing(choice.clone());
        let plan = planner.plan();
        assert_eq!(plan.count(State::Cached), 0);
        let error = choice.check(&pipeline, &plan).unwrap_err().to_string();
        assert!(error.contains("reads `") && error.contains("`--until "), "{error}");
        let whole = Planner::new(&pipeline, &store, &DeviceSpec::CPU).plan();
        assert!(Choice::everything(&pipeline).check(&pipeline, &whole).is_ok());
    }
}
