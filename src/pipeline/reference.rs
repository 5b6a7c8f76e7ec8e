//! References: `base`, `dialogues.test`, `tuned[lr=0.1]`, `tuned[lr=0.1].tokenizer`.

use super::check::{Finding, Mark};
use super::tree::Node;

/// A value that names an artifact, in a step's settings.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reference {
    /// Where it stands under `with`.
    pub path: Vec<String>,
    /// The artifact types that its field takes.
    pub types: Vec<String>,
    /// Whether it stands for all instances of the step.
    pub gather: bool,
    pub name: Name,
}

/// A reference's text, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Name {
    pub step: String,
    /// The axes that are held to one value.
    pub chosen: Vec<(String, String)>,
    pub part: Option<String>,
}

impl Name {
    /// Takes a reference apart; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let end = text.find(['[', '.']).unwrap_or(text.len());
        let (step, mut rest) = text.split_at(end);
        let mut chosen = Vec::new();
        if let Some(inner) = rest.strip_prefix('[') {
            let (axes, after) = inner.split_once(']')?;
            for pair in axes.split(',') {
                let (axis, value) = pair.split_once('=')?;
                chosen.push((axis.trim().to_owned(), value.trim().to_owned()));
            }
            rest = after;
        }
        let part = match rest.strip_prefix('.') {
            Some(part) => Some(part.to_owned()),
            None if rest.is_empty() => None,
            None => return None,
        };
        let named =
            |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
        let whole = named(step) && part.as_deref().is_none_or(named);
        whole.then(|| Self {
            step: step.to_owned(),
            chosen,
            part,
        })
    }

    /// Whether an instance with these axes is among those meant.
    pub fn chooses(&self, axes: &[(String, String)]) -> bool {
        self.chosen.iter().all(|chosen| axes.contains(chosen))
    }
}

/// The references among a check's findings, and the texts that are none.
pub(super) fn references(with: &Node, findings: &[Finding]) -> (Vec<Reference>, Vec<Finding>) {
    let mut references = Vec::new();
    let mut unreadable = Vec::new();
    for finding in findings {
        let Mark::Artifact { types, gather } = &finding.mark else {
            continue;
        };
        let text = with.locate(&finding.path).node.text().unwrap_or_default();
        match Name::parse(text) {
            Some(name) => references.push(Reference {
                path: finding.path.clone(),
                types: types.clone(),
                gather: *gather,
                name,
            }),
            None => unreadable.push(finding.clone()),
        }
    }
    (references, unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(step: &str, chosen: &[(&str, &str)], part: Option<&str>) -> Option<Name> {
        Some(Name {
            step: step.into(),
            chosen: chosen
                .iter()
                .map(|(axis, value)| ((*axis).into(), (*value).into()))
                .collect(),
            part: part.map(Into::into),
        })
    }

    #[test]
    fn references_are_taken_apart() {
        assert_eq!(Name::parse("base"), name("base", &[], None));
        assert_eq!(Name::parse("dialogues.test"), name("dialogues", &[], Some("test")));
        assert_eq!(
            Name::parse("t[lr=0.1, m=a].tokenizer"),
            name("t", &[("lr", "0.1"), ("m", "a")], Some("tokenizer"))
        );
        for none in [
            "",
            ".",
            "a.",
            "[x=1]",
            "a[x]",
            "a[x=1",
            "a[x=1]b",
            "../data.jsonl",
            "a b",
            "a.b.c",
        ] {
            assert_eq!(Name::parse(none), None, "{none}");
        }
    }
}
