//! A step's own keys: repetitions, seeds, how it is run.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::*;
use crate::pipeline::{Policy, Resources};

/// LAB with more keys of a step.
fn with_keys(step: &str, keys: &str) -> String {
    let name = format!("  {step}:\n");
    assert!(LAB.contains(&name));
    LAB.replace(&name, &format!("{name}    {keys}\n"))
}

#[test]
fn a_step_repeats_with_seeds_of_its_own() {
    let pipeline = load(&with_keys("base", "repeat: 3")).expect("loads");
    let seed = |name: &str| instance(&pipeline, name).seed;
    assert_eq!(seed("base[repeat=1]"), Seed::root(42), "what ran before is known");
    assert_eq!(
        seed("base[repeat=2]"),
        Seed::root(42).child("repeat").child(2u64),
        "from the step's own seed"
    );
    assert_ne!(seed("base[repeat=2]"), seed("base[repeat=3]"));
    // what reads it repeats with it, with the seed of its own: its input differs
    let answers = instance(&pipeline, "answers[model=base,shots=1,repeat=2]");
    assert_eq!(answers.seed, Seed::root(42));
    assert_eq!(answers.inputs[0].1.instance, "base[repeat=2]");
    instance(&pipeline, "scores[model=tuned,shots=0,rate=0.1,repeat=3]");
    assert_eq!(instance(&pipeline, "report").inputs.len(), 3 * 6);
}

#[test]
fn repetitions_are_the_last_axis_of_a_matrix_and_can_be_used() {
    let text = "pipeline: p\nparams: {n: 2}\nsteps:\n  d:\n    uses: dataset\n    matrix: {k: [a, b]}\n    \
        repeat: '${params.n}'\n    with: {files: '${matrix.k}-${matrix.repeat}'}\n";
    let pipeline = load(text).expect("loads");
    assert_eq!(
        names(&pipeline),
        [
            "d[k=a,repeat=1]",
            "d[k=a,repeat=2]",
            "d[k=b,repeat=1]",
            "d[k=b,repeat=2]"
        ]
    );
    assert_eq!(pipeline.instances[3].shown["files"], "b-2");
    assert!(pipeline.warnings.is_empty());
    for (from, to, words) in [
        ("'${params.n}'", "0", "must be at least 1"),
        ("'${params.n}'", "1001", "must be at most 1000"),
        ("{n: 2}", "{n: 0}", "must be at least 1"),
        ("'${params.n}'", "'${matrix.k}'", "cannot be used in `repeat`"),
        ("{k: [a, b]}", "{k: [a, b], repeat: [1]}", "keep one of the two"),
    ] {
        let told = messages(&text.replace(from, to)).join("\n");
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn an_axis_called_repeat_repeats_nothing() {
    let text = "pipeline: p\nsteps:\n  d:\n    uses: dataset\n    matrix: {repeat: [1, 2]}\n    \
        with: {files: 'n-${matrix.repeat}'}\n";
    let pipeline = load(text).expect("loads");
    assert_eq!(pipeline.instances[1].seed, Seed::root(0));
}

#[test]
fn how_a_step_is_run_is_read_and_derived_instances_inherit_it() {
    let keys = "resources: {cpus: 2, memory: 4GiB, gpus: 1}\n    retries: 3\n    timeout: 2h 30m";
    let pipeline = load(&with_keys("base", keys)).expect("loads");
    let policy = Policy {
        resources: Resources {
            cpus: NonZeroUsize::new(2),
            memory: Some(4 << 30),
            gpus: Some(1),
        },
        retries: 3,
        timeout: Some(Duration::from_secs(9000)),
    };
    assert_eq!(instance(&pipeline, "base").policy, policy);
    assert_eq!(instance(&pipeline, "encode(dialogues, tokenizer)").policy, policy);
    assert_eq!(
        instance(&pipeline, "answers[model=base,shots=0]").policy,
        Policy::default()
    );
}

#[test]
fn how_a_step_is_run_may_come_from_parameters_and_axes() {
    let keys = "timeout: '${params.width}m'\n    retries: '${matrix.shots}'";
    let pipeline = load(&with_keys("answers", keys)).expect("loads");
    let policy = instance(&pipeline, "answers[model=base,shots=1]").policy;
    assert_eq!(
        (policy.retries, policy.timeout),
        (1, Some(Duration::from_secs(128 * 60)))
    );
    for (keys, words) in [
        ("timeout: '${params.width} minutes'", "write `128m`"),
        ("timeout: 10 minutes", "write `10m`"),
        ("timeout: 0s", "must be more than nothing"),
        ("timeout: 90", "write `90s`"),
        ("resources: {memory: 4G}", "write `4GiB`"),
        ("resources: {memory: 99999999TB}", "must be smaller"),
        ("resources: {cpus: 0}", "at least 1"),
        ("resources: {cpu: 1}", "did you mean `cpus`?"),
        ("retries: -1", "at least 0"),
    ] {
        let told = messages(&with_keys("answers", keys));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(words), "{told:?}");
    }
}
