//! Steps that are left out.

use super::*;

/// LAB with a quantized model that is asked for, compared and reported.
fn lab(when: &str) -> String {
    LAB.replace("params: {", "params: {quantize: false, method: full, ")
        .replace(
            "  answers:\n",
            &format!(
                "  int8:\n    uses: quantize\n    when: {when}\n    with: {{model: base, format: int8}}\n  answers:\n"
            ),
        )
        .replace("model: [base, tuned]", "model: [base, int8]")
}

fn left_out(pipeline: &Pipeline) -> Vec<(&str, &str)> {
    pipeline
        .left_out
        .iter()
        .map(|one| (one.name.as_str(), one.reason.as_str()))
        .collect()
}

#[test]
fn what_reads_a_step_that_is_left_out_goes_with_it() {
    let pipeline = load(&lab("'${params.quantize}'")).expect("loads");
    assert_eq!(
        left_out(&pipeline),
        [
            ("int8", "when: params.quantize is false"),
            ("answers[model=int8,shots=0]", "reads `int8`, which is left out"),
            ("answers[model=int8,shots=1]", "reads `int8`, which is left out"),
            (
                "scores[model=int8,shots=0]",
                "reads `answers[model=int8,shots=0]`, which is left out"
            ),
            (
                "scores[model=int8,shots=1]",
                "reads `answers[model=int8,shots=1]`, which is left out"
            ),
        ]
    );
    // the report gathers what remains
    let report = instance(&pipeline, "report");
    assert_eq!(
        report.settings["scores"],
        json!(["scores[model=base,shots=0]", "scores[model=base,shots=1]"])
    );
    for one in &pipeline.instances {
        for (index, input) in &one.inputs {
            assert_eq!(pipeline.instances[*index].name, input.instance);
        }
    }
    let with = load_with(&lab("'${params.quantize}'"), &[("quantize", "true")]).expect("loads");
    assert!(with.left_out.is_empty());
    assert_eq!(instance(&with, "report").inputs.len(), 4);
}

#[test]
fn a_step_whose_every_input_is_left_out_is_named_once() {
    let text = lab("false")
        .replace("model: [base, int8]", "model: [int8]")
        .replace("baseline: {model: base, shots: 0}", "baseline: {}");
    let pipeline = load(&text).expect("loads");
    assert_eq!(
        left_out(&pipeline),
        [
            (
                "report",
                "reads `scores[model=int8,shots=0]` and 1 more, which are left out"
            ),
            ("int8", "when: false"),
            ("answers", "reads `int8`, which is left out"),
            ("scores", "reads `answers[model=int8,shots=0]`, which is left out"),
        ]
    );
    assert!(pipeline.instances.iter().all(|one| one.step != "report"));
}

#[test]
fn several_parameters_must_all_have_their_values() {
    for (when, reason) in [
        ("{quantize: true}", Some("when: params.quantize is false")),
        ("{quantize: [true, false]}", None),
        ("{quantize: false, method: lora}", Some("when: params.method is full")),
        ("{method: [lora, full], width: 128.0}", None),
        ("{train.updates: [1, 2]}", Some("when: params.train.updates is 100")),
        ("true", None),
    ] {
        let pipeline = load(&lab(when)).expect("loads");
        let first = pipeline.left_out.first().map(|one| one.reason.as_str());
        assert_eq!(first, reason, "{when}");
    }
}

#[test]
fn mistakes_in_a_step_that_is_left_out_are_told() {
    let text = lab("false")
        .replace("format: int8", "format: int9")
        .replace("{model: base, f", "{model: bse, f");
    let told = messages(&text).join("\n");
    assert!(
        told.contains("did you mean `base`?") && told.contains("did you mean `int8`?"),
        "{told}"
    );
    // what the file system says of it is not asked
    for (when, words) in [
        ("'${params.quantise}'", "did you mean `quantize`?"),
        ("'${params.width}'", "must be true or false, not 128"),
        ("'${matrix.model}'", "cannot be used in `when`"),
        ("{quantise: true}", "did you mean `quantize`?"),
        ("{quantize: {a: 1}}", "must be a plain value or a list"),
        ("sometimes", "must be true or false"),
        ("[]", "must be"),
        ("{}", "at least 1 entry"),
    ] {
        let told = messages(&lab(when)).join("\n");
        assert!(told.contains(words), "{when}: {told}");
    }
}
