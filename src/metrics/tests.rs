//! The metrics against the reference implementations (`goldens/make.py` says how), and what every
//! member of the registry must hold.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::seed::Seed;

fn goldens() -> Value {
    serde_json::from_str(include_str!("goldens/goldens.json")).unwrap()
}

fn sample(id: usize, output: &str, references: Vec<String>) -> Sample {
    Sample {
        id: id.to_string(),
        prompt: String::new(),
        output: output.to_owned(),
        references,
        finish: "eos".to_owned(),
        prompt_tokens: 0,
        output_tokens: 0,
    }
}

fn texts(references: &Value) -> Vec<String> {
    serde_json::from_value(references.clone()).unwrap()
}

fn close(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() <= 1e-9 * theirs.abs().max(1.0)
}

#[test]
fn each_sample_scores_as_in_the_reference_implementations() {
    for golden in goldens()["samples"].as_array().unwrap() {
        let (output, references) = (golden["output"].as_str().unwrap(), texts(&golden["references"]));
        for (name, value) in golden["scores"].as_object().unwrap() {
            let all = all(RougeWords::Ascii);
            let metric = all.iter().find(|metric| metric.facts().name == name).unwrap();
            let ours = metric.sentence(&metric.statistics(output, &references));
            assert!(close(ours, value.as_f64().unwrap()), "{name}: {ours} for {golden:#}");
        }
    }
}

#[test]
fn a_corpus_scores_and_signs_as_in_the_reference_implementations() {
    let goldens = goldens();
    for (corpus, most) in [("corpus", usize::MAX), ("corpus_of_first_references", 1)] {
        let each = goldens["samples"].as_array().unwrap().iter().enumerate();
        let samples = each.map(|(id, golden)| {
            let references = texts(&golden["references"]).into_iter().take(most).collect();
            sample(id, golden["output"].as_str().unwrap(), references)
        });
        let scores = score(samples.collect(), &all(RougeWords::Ascii), Seed::root(1))
            .unwrap()
            .scores;
        for (name, golden) in goldens[corpus].as_object().unwrap() {
            let ours = scores.iter().find(|score| score.metric == *name).unwrap();
            assert!(
                close(ours.value, golden["value"].as_f64().unwrap()),
                "{ours:?} {golden}"
            );
            assert_eq!(ours.signature, golden["signature"].as_str().unwrap());
        }
    }
}

#[test]
fn nothing_to_score_is_an_error() {
    let all = all(RougeWords::Ascii);
    assert!(matches!(
        score(Vec::new(), &all, Seed::root(1)),
        Err(MetricsError::Empty)
    ));
    let lone = vec![sample(7, "text", Vec::new())];
    let error = score(lone, &all, Seed::root(1)).unwrap_err().to_string();
    assert!(error.contains("sample 7"), "{error}");
}

#[test]
fn perplexity_is_the_exponential_of_the_mean() {
    let nats = 100.0 * 8f64.ln();
    let score = perplexity(nats, 100, "context:8").unwrap();
    assert!((score.value - 8.0).abs() < 1e-12);
    assert_eq!(score.n, 100);
    assert!(perplexity(1.0, 0, "").is_err());
    assert!(perplexity(f64::NAN, 3, "").is_err());
}

#[test]
fn names_are_unique_and_groups_name_members() {
    let names: Vec<_> = all(RougeWords::Ascii)
        .iter()
        .map(|metric| metric.facts().name)
        .collect();
    let unique: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(unique.len(), names.len());
    assert!(
        GROUPS
            .iter()
            .flat_map(|(_, members)| *members)
            .all(|member| names.contains(member))
    );
    assert_eq!(facts("perplexity"), Some(PERPLEXITY));
}

#[test]
fn threads_do_not_change_scores() {
    let samples: Vec<_> = (0..30)
        .map(|i| sample(i, &format!("the cat {i}"), vec!["the cat 7 sat".into()]))
        .collect();
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| score(samples.clone(), &all(RougeWords::Ascii), Seed::root(5)).unwrap())
    };
    assert_eq!(with(1), with(4));
}

proptest! {
    /// The contract of every member: bounds on any text, and the maximum on identity.
    #[test]
    fn every_metric_is_bounded_and_highest_on_identity(
        output in "\\PC{0,40}", reference in "\\PC{0,40}", same in "[a-zñé]{1,9}( [a-zñé]{1,9}){5,9}"
    ) {
        for metric in all(RougeWords::Unicode) {
            let top = if metric.facts().range == Range::Fraction { 1.0 } else { 100.0 };
            let of = |output: &str, reference: &str| metric.sentence(&metric.statistics(output, &[reference.to_owned()]));
            let value = of(&output, &reference);
            prop_assert!((0.0..=top + 1e-9).contains(&value), "{} {value}", metric.facts().name);
            prop_assert!((of(&same, &same) - top).abs() < 1e-9, "{}", metric.facts().name);
        }
    }
}
