//! The metrics against the reference implementations (`goldens/make.py` says how), and what every
//! member of the registry must hold.

use proptest::prelude::*;
use serde_json::{Value, json};

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

/// A metric's statistics of one sample.
pub(super) fn statistics(metric: &dyn Metric, output: &str, references: &[&str]) -> Vec<f64> {
    let references: Vec<String> = references.iter().map(|text| (*text).to_owned()).collect();
    let mut out = vec![0.0; metric.shape().width()];
    let mut work = Workspace::default();
    work.begin();
    let pair = Pair {
        output,
        references: &references,
    };
    metric.statistics(pair, &mut work, &mut out);
    out
}

/// A metric's score of one sample.
pub(super) fn sentence(metric: &dyn Metric, output: &str, references: &[&str]) -> f64 {
    metric.sentence(&statistics(metric, output, references))
}

fn texts(references: &Value) -> Vec<String> {
    serde_json::from_value(references.clone()).unwrap()
}

fn close(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() <= 1e-9 * theirs.abs().max(1.0)
}

/// The samples of the goldens: output and references.
fn pairs(goldens: &Value) -> Vec<(String, Vec<String>)> {
    let samples = goldens["samples"].as_array().unwrap().iter();
    let pair = |golden: &Value| {
        (
            golden["output"].as_str().unwrap().to_owned(),
            texts(&golden["references"]),
        )
    };
    samples.map(pair).collect()
}

fn numbers(values: &Value) -> Vec<f64> {
    serde_json::from_value(values.clone()).unwrap()
}

fn metric(name: &str, settings: &Settings) -> Arc<dyn Metric> {
    let mut all = all(settings).into_iter();
    all.find(|metric| metric.facts().name == name).unwrap()
}

/// A metric's statistics of one sample, in a workspace that other samples were scored in.
fn in_turn(metric: &dyn Metric, (output, references): &(String, Vec<String>), work: &mut Workspace) -> Vec<f64> {
    let mut out = vec![0.0; metric.shape().width()];
    work.begin();
    metric.statistics(Pair { output, references }, work, &mut out);
    out
}

#[test]
fn rouge_is_that_of_rouge_score() {
    let goldens = goldens();
    for stemmer in ["none", "porter"] {
        let settings: Settings = serde_json::from_value(json!({"rouge": {"stemmer": stemmer}})).unwrap();
        let mut work = Workspace::default();
        for (name, values) in goldens["rouge"][stemmer].as_object().unwrap() {
            let metric = metric(name, &settings);
            for (pair, expected) in pairs(&goldens).iter().zip(values.as_array().unwrap()) {
                let ours = in_turn(metric.as_ref(), pair, &mut work);
                let theirs = numbers(expected);
                assert!(
                    ours.iter().zip(&theirs).all(|(ours, theirs)| close(*ours, *theirs)),
                    "{name} {stemmer}: {ours:?}, not {theirs:?}, for {pair:?}"
                );
            }
        }
    }
}

/// ROUGE-1.5.5 prints five decimals, and rounds what it adds up: 2e-5 is its precision. Where rouge-score
/// differs from it, ours is that of rouge-score: it lower-cases before it drops what is not ASCII (the
/// Kelvin sign becomes a k), and NLTK's Porter stemmer has a rule more (`geology` as `geological`).
#[test]
fn rouge_is_that_of_the_original_perl() {
    let original: Value = serde_json::from_str(include_str!("goldens/rouge155.json")).unwrap();
    let differs = |stemmer: &str, output: &str| {
        output.contains('Ο') || (stemmer == "porter" && output.contains("ministers of geology"))
    };
    let goldens = goldens();
    let mut compared = 0;
    for stemmer in ["none", "porter"] {
        let settings: Settings = serde_json::from_value(json!({"rouge": {"stemmer": stemmer}})).unwrap();
        for (name, values) in original[stemmer].as_object().unwrap() {
            let metric = metric(name, &settings);
            for ((output, references), expected) in pairs(&goldens).iter().zip(values.as_array().unwrap()) {
                if differs(stemmer, output) {
                    continue;
                }
                let ours = statistics(metric.as_ref(), output, &[&references[0]]);
                for (ours, theirs) in ours.iter().zip(numbers(expected)) {
                    assert!(
                        (ours - theirs).abs() <= 2e-5,
                        "{name} {stemmer}: {ours}, not {theirs}, for {output:?}"
                    );
                }
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 2 * 5 * 75 - 5 * 3);
}

#[test]
fn bleu_chrf_and_ter_are_those_of_sacrebleu() {
    let goldens = goldens();
    for variant in goldens["variants"].as_array().unwrap() {
        let name = variant["metric"].as_str().unwrap();
        let group = name.trim_end_matches('+');
        let settings: Settings = serde_json::from_value(json!({group: variant["settings"]})).unwrap();
        let metric = metric(name, &settings);
        let mut work = Workspace::default();
        for (pair, theirs) in pairs(&goldens).iter().zip(numbers(&variant["sentences"])) {
            let ours = metric.sentence(&in_turn(metric.as_ref(), pair, &mut work));
            assert!(
                close(ours, theirs),
                "{name} {}: {ours}, not {theirs}, for {pair:?}",
                variant["settings"]
            );
        }
        for (corpus, most) in [("corpus", usize::MAX), ("corpus_of_first_references", 1)] {
            let samples = pairs(&goldens)
                .into_iter()
                .enumerate()
                .map(|(id, (output, references))| sample(id, &output, references.into_iter().take(most).collect()));
            let score = &score(samples.collect(), &[Arc::clone(&metric)], Seed::root(1))
                .unwrap()
                .scores[0];
            let golden = &variant[corpus];
            assert!(
                close(score.value, golden["value"].as_f64().unwrap()),
                "{score:?} {golden}"
            );
            let theirs = golden["signature"]
                .as_str()
                .unwrap()
                .replace("version:2.6.0", &format!("version:{VERSION}"));
            assert_eq!(score.signature, theirs);
        }
    }
}

#[test]
fn answers_are_compared_as_squad_does() {
    let goldens = goldens();
    let settings: Settings = serde_json::from_value(json!({"exact_match": {"normalize": "squad"}})).unwrap();
    for (name, values) in goldens["squad"].as_object().unwrap() {
        let metric = metric(name, &settings);
        for (pair, theirs) in pairs(&goldens).iter().zip(numbers(values)) {
            let ours = metric.sentence(&in_turn(metric.as_ref(), pair, &mut Workspace::default()));
            assert!(close(ours, theirs), "{name}: {ours}, not {theirs}, for {pair:?}");
        }
    }
}

#[test]
fn words_have_the_stems_of_nltk() {
    for (word, stem) in goldens()["stems"].as_object().unwrap() {
        assert_eq!(text::stem(word), stem.as_str().unwrap(), "{word}");
    }
}

#[test]
fn classes_are_averaged_as_in_scikit_learn() {
    let golden = &goldens()["classes"];
    let (right, answered) = (texts(&golden["right"]), texts(&golden["answered"]));
    let averages = golden["averages"].as_object().unwrap();
    let names: Vec<String> = averages.keys().cloned().collect();
    let mut scorer = Scorer::new(&names, &Settings::default());
    let samples = answered.iter().zip(&right).enumerate();
    // case and a full stop do not make another label
    let samples = samples
        .map(|(id, (answered, right))| sample(id, &format!("{}.", answered.to_uppercase()), vec![right.clone()]));
    scorer.add(samples.collect(), &[]).unwrap();
    let evaluated = scorer.finish(Seed::root(1)).unwrap();
    assert_eq!(evaluated.scores.len(), 9);
    for score in &evaluated.scores {
        assert!(
            close(score.value, averages[&score.metric].as_f64().unwrap()),
            "{score:?}"
        );
        assert!(score.low.unwrap() <= score.value && score.value <= score.high.unwrap());
    }
    let confusion = evaluated.confusion.unwrap();
    for class in &confusion.classes {
        let theirs = numbers(&golden["each"][&class.label]);
        let ours = [class.precision, class.recall, class.f1, class.support as f64];
        assert!(
            ours.iter().zip(theirs).all(|(ours, theirs)| close(*ours, theirs)),
            "{class:?}"
        );
    }
    assert_eq!(confusion.matrix.iter().flatten().sum::<u64>(), 120);
    assert!(
        confusion.matrix.iter().any(|row| row[4] > 0),
        "no answer is outside the labels"
    );
}

/// The random draws are not sacreBLEU's, so that p-values agree to the precision of 10,000 trials.
#[test]
fn paired_tests_agree_with_sacrebleu() {
    let golden = &goldens()["paired"];
    let references = texts(&golden["references"]);
    let names: Vec<String> = ["bleu", "chrf", "ter"].map(str::to_owned).to_vec();
    let evaluated = |outputs: &Value| {
        let mut scorer = Scorer::new(&names, &Settings::default());
        let samples = texts(outputs).into_iter().zip(&references).enumerate();
        scorer
            .add(
                samples
                    .map(|(id, (output, reference))| sample(id, &output, vec![reference.clone()]))
                    .collect(),
                &[],
            )
            .unwrap();
        scorer.finish(Seed::root(1)).unwrap()
    };
    let (one, two) = (evaluated(&golden["systems"][0]), evaluated(&golden["systems"][1]));
    for (test, key) in [(Test::Bootstrap, "bs"), (Test::Randomization, "ar")] {
        for compared in paired(&one, &two, test, 2000, Seed::root(9)).unwrap() {
            let theirs = golden["tests"][key][compared.metric]["p"].as_f64().unwrap();
            assert!((compared.p - theirs).abs() < 0.03, "{key} {compared:?} {theirs}");
        }
    }
    let theirs = &golden["tests"]["bs"]["bleu"];
    let ours = two.resampled(1000, Seed::root(9))[0].unwrap();
    assert!(
        (ours.mean - theirs["mean"].as_f64().unwrap()).abs() < 0.2,
        "{ours:?} {theirs}"
    );
    assert!(
        (ours.half - theirs["ci"].as_f64().unwrap()).abs() < 0.2,
        "{ours:?} {theirs}"
    );
    let same = paired(&one, &one, Test::Randomization, 100, Seed::root(9)).unwrap();
    assert!(
        same.iter()
            .all(|compared| compared.difference == 0.0 && compared.p == 1.0)
    );
}

#[test]
fn nothing_to_score_is_an_error() {
    let all = all(&Settings::default());
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
    let names: Vec<_> = every().iter().map(|facts| facts.name).collect();
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
        pool.install(|| score(samples.clone(), &all(&Settings::default()), Seed::root(5)).unwrap())
    };
    assert_eq!(with(1), with(4));
}

/// Where a metric is best, and whether nothing is better.
fn best(range: Range) -> f64 {
    match range {
        Range::Fraction | Range::Ratio => 1.0,
        Range::Percent => 100.0,
        Range::Perplexity | Range::ErrorRate | Range::Waste | Range::Bits => 0.0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// The contract of every member: bounds on any text, and the best value on identity.
    #[test]
    fn every_metric_is_bounded_and_best_on_identity(
        output in "\\PC{0,40}", reference in "\\PC{0,40}", same in "[a-zñé]{1,9}( [a-zñé]{1,9}){9,12}"
    ) {
        for settings in [json!({}), json!({"rouge": {"words": "unicode", "stemmer": "porter", "references": "average"},
            "bleu": {"tokenize": "intl", "smooth": "floor"}, "chrf": {"eps_smoothing": true, "whitespace": true},
            "ter": {"normalized": true}, "exact_match": {"normalize": "squad"}, "token_f1": {"words": "unicode"}})] {
            let ascii = settings.as_object().unwrap().is_empty();
            let same = if ascii { same.replace(['ñ', 'é'], "n") } else { same.clone() };
            let settings: Settings = serde_json::from_value(settings).unwrap();
            for metric in all(&settings) {
                let name = metric.facts().name;
                let value = sentence(metric.as_ref(), &output, &[&reference]);
                let top = match metric.facts().range {
                    Range::Fraction | Range::Waste => 1.0,
                    Range::Percent => 100.0,
                    _ => f64::MAX,
                };
                prop_assert!((0.0..=top + 1e-9).contains(&value), "{name} {value}");
                let value = sentence(metric.as_ref(), &same, &[&same]);
                // words may come twice in a text, and different words are what these two count
                if !name.starts_with("distinct") && name != "repetition" {
                    prop_assert!((value - best(metric.facts().range)).abs() < 1e-9, "{name} {value} {same:?}");
                }
            }
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// The order of samples changes no score.
    #[test]
    fn permutations_change_nothing(texts in prop::collection::vec(("[a-c ]{0,20}", "[a-c ]{0,20}"), 1..20)) {
        let samples = |texts: &[(String, String)]| -> Vec<Sample> {
            let numbered = texts.iter().enumerate();
            numbered.map(|(id, (output, reference))| sample(id, output, vec![reference.clone()])).collect()
        };
        let all = all(&Settings::default());
        let one = score(samples(&texts), &all, Seed::root(1)).unwrap().scores;
        let mut turned = texts.clone();
        turned.reverse();
        let other = score(samples(&turned), &all, Seed::root(1)).unwrap().scores;
        for (one, other) in one.iter().zip(&other) {
            prop_assert!(close(one.value, other.value), "{one:?} {other:?}");
            let finite = |value: Option<f64>| value.is_none_or(f64::is_finite);
            prop_assert!(one.value.is_finite() && finite(one.low) && finite(one.high), "{one:?}");
        }
    }
}

#[test]
fn slices_are_scored_apart_with_their_number() {
    let names: Vec<String> = ["exact_match", "distinct1"].map(str::to_owned).to_vec();
    let mut scorer = Scorer::new(&names, &Settings::default()).sliced(&["topic".to_owned()]);
    let samples = [("a", "a"), ("b", "a"), ("a a", "c")].iter().enumerate();
    let samples = samples
        .map(|(id, (output, reference))| sample(id, output, vec![(*reference).to_owned()]))
        .collect();
    let row = |topic: Value| json!({"topic": topic}).as_object().unwrap().clone();
    let scored = scorer
        .add(samples, &[row(json!("x")), row(json!(7)), row(json!("x"))])
        .unwrap();
    assert_eq!(scored[1].slices["topic"], "7");
    let slices = scorer.finish(Seed::root(1)).unwrap().slices;
    let found: Vec<_> = slices
        .iter()
        .map(|slice| (slice.value.as_str(), slice.n, slice.scores[0].value))
        .collect();
    assert_eq!(found, [("7", 1, 0.0), ("x", 2, 0.5)]);
    assert_eq!(slices[1].scores[1].value, 1.0 / 3.0);

    let mut scorer = Scorer::new(&names, &Settings::default()).sliced(&["language".to_owned()]);
    let error = scorer
        .add(vec![sample(5, "a", vec!["a".to_owned()])], &[row(json!("x"))])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("sample 5 has no field `language`") && error.contains("`topic`"),
        "{error}"
    );
}

#[test]
fn statistics_are_read_again_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = ["rougeL", "bleu", "chrf", "ter", "token_f1"]
        .map(str::to_owned)
        .to_vec();
    let settings: Settings = serde_json::from_value(json!({"chrf": {"char_order": 3}})).unwrap();
    let mut scorer = Scorer::new(&names, &settings);
    let mut file = ScoresFile::create(folder.path()).unwrap();
    let samples = pairs(&goldens()).into_iter().enumerate();
    let samples = samples
        .map(|(id, (output, references))| sample(id, &output, references))
        .collect();
    file.push(&scorer.add(samples, &[]).unwrap()).unwrap();
    let evaluated = scorer.finish(Seed::root(1)).unwrap();
    file.finish(&evaluated, &settings).unwrap();
    let again = read_statistics(folder.path()).unwrap();
    assert_eq!(again.scores, evaluated.scores);
    let compared = paired(&evaluated, &again, Test::Bootstrap, 16, Seed::root(2)).unwrap();
    assert_eq!(compared.len(), 5);
    assert!(
        compared
            .iter()
            .all(|compared| compared.difference == 0.0 && compared.value > 0.0)
    );
}
