//! `include` and `exclude` of a matrix: combinations that are added and removed one by one.

use std::collections::hash_map::Entry as Place;
use std::collections::{HashMap, HashSet};

use super::matrix::{Axis, Combination, EXCLUDE, INCLUDE, Matrix, Point};
use super::source::Span;
use super::suggest::{did_you_mean, listed};
use super::tree::{Content, Entry, Node};

/// Combinations by some of their labels: those of `axes`, in that order.
struct Rules {
    axes: Vec<usize>,
    /// The number of the entry, by the labels that it names.
    by_labels: HashMap<Vec<String>, usize>,
}

impl Matrix<'_> {
    /// Removes what entries of `exclude` match; each names some axes, and must match something.
    pub fn exclude(&mut self, exclude: &Entry, axes: &[Axis], all: &mut Vec<Combination>) {
        let mut groups: Vec<Rules> = Vec::new();
        let mut places: Vec<Option<Span>> = Vec::new();
        for entry in items(exclude) {
            let number = places.len();
            places.push(None);
            let Some(mut picks) = self.picks(entry, axes) else {
                continue;
            };
            picks.sort();
            let (named, labels): (Vec<usize>, Vec<String>) = picks.into_iter().unzip();
            if !groups.iter().any(|group| group.axes == named) {
                groups.push(Rules {
                    axes: named.clone(),
                    by_labels: HashMap::new(),
                });
            }
            let group = groups.iter_mut().find(|group| group.axes == named);
            let earlier = group.and_then(|group| match group.by_labels.entry(labels) {
                Place::Occupied(earlier) => Some(*earlier.get()),
                Place::Vacant(place) => {
                    place.insert(number);
                    None
                }
            });
            match earlier {
                Some(earlier) => {
                    let problem = self
                        .source
                        .error(entry.span, format!("this {EXCLUDE} stands here twice"));
                    let first = items(exclude).get(earlier).map(|first| first.span);
                    let problem = first
                        .into_iter()
                        .fold(problem, |problem, span| problem.label(span, "first here"));
                    self.problems.push(problem.help("remove one of the two"));
                }
                None => places[number] = Some(entry.span),
            }
        }
        let mut matched = vec![false; places.len()];
        all.retain(|combination| {
            let mut keep = true;
            for group in &groups {
                let labels: Vec<String> = group.axes.iter().map(|axis| combination[*axis].label.clone()).collect();
                if let Some(number) = group.by_labels.get(&labels) {
                    matched[*number] = true;
                    keep = false;
                }
            }
            keep
        });
        for (place, _) in places.iter().zip(&matched).filter(|(_, matched)| !**matched) {
            if let Some(span) = place {
                let message = format!("this {EXCLUDE} of step `{}` matches no combination", self.step);
                self.problems.push(self.source.error(*span, message).help("remove it"));
            }
        }
        if all.is_empty() {
            let message = format!("`{EXCLUDE}` of step `{}` leaves no combination", self.step);
            self.problems.push(self.source.error(exclude.key_span, message));
        }
    }

    /// The axes and labels that an entry of `exclude` names; `None` when something of it is wrong.
    fn picks(&mut self, entry: &Node, axes: &[Axis]) -> Option<Vec<(usize, String)>> {
        let mut picks = Vec::new();
        let mut sound = true;
        for pick in entry.entries() {
            let Some(index) = self.axis_of(pick, axes) else {
                sound = false;
                continue;
            };
            let label = pick.value.scalar_text();
            let known = |label: &String| axes[index].values.iter().any(|(known, _)| known == label);
            match label {
                Some(label) if known(&label) => picks.push((index, label)),
                // an axis that is wrong as a whole is told
                _ if matches!(axes[index].values[0].1.content, Content::Unknown) => sound = false,
                _ if matches!(pick.value.content, Content::Unknown) => sound = false,
                // that it is no plain value is told by the structure check
                None if pick.value.used.is_none() => sound = false,
                _ => {
                    sound = false;
                    self.no_value(pick, &axes[index]);
                }
            }
        }
        sound.then_some(picks)
    }

    fn axis_of(&mut self, pick: &Entry, axes: &[Axis]) -> Option<usize> {
        let found = axes.iter().position(|axis| axis.name == pick.key);
        if found.is_none() {
            let names = axes.iter().map(|axis| axis.name.as_str());
            let help = did_you_mean(&pick.key, names, "its axes");
            let message = format!("the matrix of step `{}` has no axis `{}`", self.step, pick.key);
            self.problems
                .push(self.source.error(pick.key_span, message).maybe_help(help));
        }
        found
    }

    fn no_value(&mut self, pick: &Entry, axis: &Axis) {
        let labels = axis.values.iter().map(|(label, _)| label.as_str());
        let text = pick.value.scalar_text();
        let help = did_you_mean(text.as_deref().unwrap_or_default(), labels, "its values");
        let what = text.map_or_else(|| pick.value.describe(), |text| format!("`{text}`"));
        let message = format!("axis `{}` of step `{}` has no value {what}", axis.name, self.step);
        self.problems
            .push(pick.value.error(self.source, message).maybe_help(help));
    }

    /// Adds the combinations of `include`: each names every axis. Without axes of its own the matrix has
    /// those of the first entry.
    pub fn include(&mut self, include: &Entry, mut axes: Vec<Axis>, all: &mut Vec<Combination>) {
        if axes.is_empty() {
            let first = items(include).first().map(Node::entries).unwrap_or_default();
            axes = first
                .iter()
                .map(|entry| Axis {
                    name: entry.key.clone(),
                    values: Vec::new(),
                    labelled: false,
                })
                .collect();
        }
        let labels =
            |combination: &Combination| combination.iter().map(|point| point.label.clone()).collect::<Vec<_>>();
        let mut there: HashSet<Vec<String>> = all.iter().map(labels).collect();
        for entry in items(include) {
            let Some(combination) = self.included(entry, &mut axes) else {
                continue;
            };
            if there.insert(labels(&combination)) {
                all.push(combination);
            } else {
                let message = format!("this combination of step `{}` is there already", self.step);
                self.problems
                    .push(self.source.error(entry.span, message).help("remove it"));
            }
        }
    }

    fn included(&mut self, entry: &Node, axes: &mut [Axis]) -> Option<Combination> {
        let mut sound = true;
        for pick in entry.entries() {
            sound &= self.axis_of(pick, axes).is_some();
        }
        let missing: Vec<&str> = axes
            .iter()
            .map(|axis| axis.name.as_str())
            .filter(|name| entry.get(name).is_none())
            .collect();
        if !missing.is_empty() {
            let message = format!(
                "an entry of `{INCLUDE}` names every axis; this one lacks {}",
                listed(missing)
            );
            self.problems.push(self.source.error(entry.span, message));
            return None;
        }
        let mut combination = Combination::new();
        for axis in axes {
            match entry.get(&axis.name).map(|value| self.point(value, axis)) {
                Some(Some(point)) => combination.push(point),
                _ => sound = false,
            }
        }
        sound.then_some(combination)
    }

    /// A value of an axis, or with `{label: value}` a new one.
    fn point(&mut self, value: &Node, axis: &mut Axis) -> Option<Point> {
        let point = |label: String, value: Node| Point {
            axis: axis.name.clone(),
            label,
            value,
        };
        let known = |label: &str| {
            axis.values
                .iter()
                .find(|(known, _)| known == label)
                .map(|(_, value)| value.clone())
        };
        match (&value.content, value.scalar_text()) {
            (Content::Unknown, _) => None,
            (_, Some(label)) => match known(&label) {
                Some(value) => Some(point(label, value)),
                None if !axis.labelled => Some(point(label, value.clone())),
                None => {
                    let labels = axis.values.iter().map(|(label, _)| label.as_str());
                    let help = did_you_mean(&label, labels, "its labels");
                    let message = format!(
                        "axis `{}` of step `{}` has no value labelled `{label}`",
                        axis.name, self.step
                    );
                    let help = help.unwrap_or_default() + &format!("; a new one is written {{{label}: ..}}");
                    self.problems
                        .push(value.error(self.source, message).help(help.trim_start_matches("; ")));
                    None
                }
            },
            (Content::Map(entries), None) if entries.len() == 1 => {
                let entry = &entries[0];
                if known(&entry.key).is_some() {
                    let message = format!(
                        "axis `{}` of step `{}` has a value labelled `{}` already",
                        axis.name, self.step, entry.key
                    );
                    let problem = self.source.error(entry.key_span, message);
                    self.problems.push(problem.help(format!(
                        "write `{}` alone, or give the new one another label",
                        entry.key
                    )));
                    return None;
                }
                if !self.is_label(&entry.key, entry.key_span, &axis.name) {
                    return None;
                }
                let point = point(entry.key.clone(), entry.value.clone());
                axis.labelled = true;
                axis.values.push((entry.key.clone(), entry.value.clone()));
                Some(point)
            }
            // that it is no plain value is told by the structure check
            _ if value.used.is_none() => None,
            _ => {
                let message = format!(
                    "axis `{}` of step `{}` takes one value here, not {}",
                    axis.name,
                    self.step,
                    value.describe()
                );
                let help = "write a value, or a new label with its value: {huge: {width: 512}}";
                self.problems.push(value.error(self.source, message).help(help));
                None
            }
        }
    }
}

/// The entries; that they are no list is told by the structure check.
fn items(entry: &Entry) -> &[Node] {
    match &entry.value.content {
        Content::List(items) => items,
        _ => &[],
    }
}
