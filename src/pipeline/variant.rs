//! A step with its own matrix put in: settings checked against the kind's schema, references found.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::check::{Finding, Mark, Outcome, check};
use super::diagnostic::Diagnostic;
use super::file::{PipelineFile, place, schema_value};
use super::matrix::{Combination, Matrix, labels};
use super::origin::Origins;
use super::policy::REPEAT;
use super::reference::{Reference, references};
use super::resolved::Policy;
use super::source::{Source, Span};
use super::structure;
use super::substitute::{Scope, Substitution};
use super::tree::{Content, Entry, Node};
use crate::seed::Seed;
use crate::step::{Kind, variables};

/// Extensions of what people name where a step belongs.
const FILES: &[&str] = &[
    "jsonl",
    "json",
    "csv",
    "txt",
    "parquet",
    "jinja",
    "yaml",
    "safetensors",
    "gguf",
];

/// A step of the file.
pub(super) struct StepDraft {
    pub name: String,
    /// Where its name stands.
    pub key: Span,
    /// Where its kind stands, for notes.
    pub uses: Span,
    /// Where each axis of its own stands.
    pub axes: Vec<(String, Span)>,
    pub kind: Option<&'static Kind>,
    /// Why it does not take part.
    pub left_out: Option<String>,
    pub variants: Vec<Variant>,
}

/// A step under one combination of its own matrix.
pub(super) struct Variant {
    pub axes: Vec<(String, String)>,
    /// The settings, placeholders replaced.
    pub with: Node,
    /// Where faults of the settings as a whole are shown.
    pub outside: Span,
    pub seed: Seed,
    /// Where that came from; no settings.
    pub seed_origins: Origins,
    pub policy: Policy,
    pub references: Vec<Reference>,
    /// Where paths stand.
    pub paths: Vec<Vec<String>>,
    /// The environment variables that they and secrets name, with where.
    pub variables: Vec<(Vec<String>, String)>,
    /// Whether the settings fit the schema.
    pub sound: bool,
}

/// Reads steps into drafts.
pub(super) struct Drafter<'a> {
    pub source: &'a Arc<Source>,
    pub kinds: &'static [Kind],
    pub file: Option<&'a PipelineFile>,
    pub params: &'a Node,
    pub seed: u64,
    pub problems: &'a mut Vec<Diagnostic>,
    pub used: &'a mut BTreeSet<String>,
}

impl Drafter<'_> {
    pub fn draft(&mut self, entry: &Entry) -> StepDraft {
        let name = entry.key.clone();
        let uses = match self.file.and_then(|file| file.steps.get(&name)) {
            Some(step) => Some(step.uses.as_str()),
            None => entry.value.get("uses").and_then(Node::text),
        };
        let kind = uses.and_then(|uses| self.kinds.iter().find(|kind| kind.name == uses));
        let schema = kind.map(schema_value);
        let place = format!("step `{name}`");
        let left_out = self.left_out(entry);
        let matrix = entry.value.get("matrix").map(|matrix| {
            let scope = Scope {
                params: Some(self.params),
                matrix: None,
                env: false,
                place: "a matrix",
            };
            self.substitution().apply(matrix, &scope)
        });
        let combinations = Matrix {
            source: self.source,
            step: &name,
            problems: self.problems,
        }
        .combinations(matrix.as_ref());
        let combinations = self.repeated(entry, combinations);
        let source = self.source.clone();
        let variants = combinations
            .iter()
            .take_while(|_| !source.is_spent())
            .map(|combination| self.variant(entry, kind.zip(schema.as_deref()), &place, combination))
            .collect();
        let axes = entry.value.get("matrix").map(Node::entries).unwrap_or_default();
        let axes = axes.iter().chain(entry.value.entry(REPEAT));
        StepDraft {
            name,
            key: entry.key_span,
            uses: entry.value.get("uses").map_or(entry.key_span, |uses| uses.span),
            axes: axes.map(|axis| (axis.key.clone(), axis.key_span)).collect(),
            kind,
            left_out,
            variants,
        }
    }

    pub fn substitution(&mut self) -> Substitution<'_> {
        Substitution {
            source: self.source,
            problems: self.problems,
            used: self.used,
        }
    }

    fn variant(
        &mut self,
        entry: &Entry,
        kind: Option<(&'static Kind, &Value)>,
        step: &str,
        combination: &Combination,
    ) -> Variant {
        let scope = Scope {
            params: Some(self.params),
            matrix: Some(combination),
            env: true,
            place: step,
        };
        let (with, outside) = match entry.value.entry("with") {
            Some(with) => (self.substitution().apply(&with.value, &scope), with.key_span),
            None => (Node::new(entry.key_span, Content::Map(Vec::new())), entry.key_span),
        };
        // an axis of the matrix with that name is no repetition
        let repetition = match combination.last() {
            Some(last) if last.axis == REPEAT && entry.value.get(REPEAT).is_some() => last.value.number(),
            _ => None,
        };
        let own = Scope { env: false, ..scope };
        let (seed, seed_origins) = self.seed(entry, &own, repetition.unwrap_or(1));
        let policy = self.policy(entry, &own);
        let mut variant = Variant {
            axes: labels(combination),
            with,
            outside,
            seed,
            seed_origins,
            policy,
            references: Vec::new(),
            paths: Vec::new(),
            variables: Vec::new(),
            sound: false,
        };
        // that `with` is no mapping is told by the structure check
        if let (Some((kind, schema)), Content::Map(_)) = (kind, &variant.with.content)
            && !self.source.is_spent()
        {
            let namer = |path: &[String]| match path {
                [] => step.to_owned(),
                path => format!("`{}` of {step}", path.join(".")),
            };
            let outcome = check(schema, &variant.with, &namer);
            variant.sound = outcome.faults.is_empty() && !variant.with.has_unknown();
            let misplaced = self.misplaced(&variant.with, &outcome, step);
            variant.sound &= misplaced.is_empty();
            for mut fault in outcome.faults {
                if misplaced.contains(&fault.path) {
                    continue;
                }
                if let ([key], true) = (fault.path.as_slice(), fault.at_key)
                    && structure::OWN_KEYS.contains(&key.as_str())
                {
                    fault.help = Some(format!("`{key}` is the step's: write it beside `with:`"));
                }
                let problem = place(self.source, &variant.with, outside, fault);
                self.problems.push(problem.about(Some(kind)));
            }
            variant.variables = named(&variant.with, &outcome.findings);
            let (references, unreadable) = references(&variant.with, &outcome.findings);
            for finding in unreadable {
                self.not_a_reference(&variant.with, &finding, step, kind);
                variant.sound = false;
            }
            variant.references = references;
            variant.paths = paths(&outcome.findings);
        }
        variant
    }

    /// Tells where `${env.NAME}` stands and neither a path nor a secret is wanted.
    fn misplaced(&mut self, with: &Node, outcome: &Outcome, step: &str) -> Vec<Vec<String>> {
        let mut misplaced = with.env_paths();
        misplaced.retain(|path| {
            let marked = |finding: &Finding| matches!(finding.mark, Mark::Path | Mark::Secret);
            let wanted = outcome.findings.iter().any(|one| marked(one) && one.path == *path);
            !wanted && !outcome.faults.iter().any(|fault| fault.secret && fault.path == *path)
        });
        for path in &misplaced {
            let node = with.locate(path).node;
            let variable = variables(node.text().unwrap_or_default()).join("`, `");
            let message = format!(
                "`{}` of {step} is neither a path nor a secret and cannot take `{variable}` from the environment",
                path.join(".")
            );
            let help = "give the file a parameter, and --set it: what a result depends on is written down";
            self.problems.push(node.error(self.source, message).help(help));
        }
        misplaced
    }

    fn not_a_reference(&mut self, with: &Node, finding: &Finding, step: &str, kind: &Kind) {
        let node = with.locate(&finding.path).node;
        let text = node.text().unwrap_or_default();
        let field = finding.path.join(".");
        let message = format!("{step} reads `{field}` from {text:?}, which cannot be a step's name");
        let extension = Path::new(text).extension().and_then(|extension| extension.to_str());
        let file = text.contains(['/', '\\']) || extension.is_some_and(|extension| FILES.contains(&extension));
        let help = if file {
            "name a step here; a `dataset` step reads files"
        } else {
            "write a step's name: `base`, `dialogues.test`, `tuned[rate=0.1]`"
        };
        let problem = node.error(self.source, message).help(help);
        self.problems.push(problem.about(Some(kind)));
    }
}

/// The environment variables that paths and secrets name.
fn named(with: &Node, findings: &[Finding]) -> Vec<(Vec<String>, String)> {
    let mut named = Vec::new();
    for finding in findings {
        let node = with.locate(&finding.path).node;
        let text = node.text().filter(|_| match finding.mark {
            Mark::Path => node.env,
            Mark::Secret => true,
            Mark::Artifact { .. } => false,
        });
        for name in text.map(variables).unwrap_or_default() {
            named.push((finding.path.clone(), name.to_owned()));
        }
    }
    named
}

fn paths(findings: &[Finding]) -> Vec<Vec<String>> {
    findings
        .iter()
        .filter(|finding| finding.mark == Mark::Path)
        .map(|finding| finding.path.clone())
        .collect()
}
