//! Forms of a matrix, and how steps with one read each other.

use super::*;

fn step(matrix: &str) -> String {
    format!(
        "pipeline: p\nparams: {{sizes: {{tiny: {{limit: 5}}}}}}\nsteps:\n  d:\n    uses: dataset\n    matrix: {matrix}\n    \
        with: {{files: '${{matrix.a}}-${{matrix.b}}'}}\n"
    )
}

fn axes(text: &str) -> Vec<String> {
    let pipeline = load(text).unwrap_or_else(|problems| panic!("{problems}"));
    let label = |one: &crate::pipeline::Instance| one.name.trim_start_matches('d').to_owned();
    pipeline.instances.iter().map(label).collect()
}

#[test]
fn combinations_are_removed_and_added() {
    assert_eq!(
        axes(&step(
            "{a: [1, 2], b: [x, y], exclude: [{a: 1, b: y}], include: [{a: 3, b: z}]}"
        )),
        ["[a=1,b=x]", "[a=2,b=x]", "[a=2,b=y]", "[a=3,b=z]"]
    );
    assert_eq!(
        axes(&step(
            "{a: [1, 2, 3], b: [x, y], exclude: [{a: 1}, {a: 2, b: x}, {b: y, a: 3}]}"
        )),
        ["[a=2,b=y]", "[a=3,b=x]"]
    );
    // what was removed may be added again, at the end; without axes, the entries are all there is
    assert_eq!(
        axes(&step("{a: [1, 2], b: [x], exclude: [{a: 1}], include: [{b: x, a: 1}]}")),
        ["[a=2,b=x]", "[a=1,b=x]"]
    );
    assert_eq!(
        axes(&step("{include: [{a: 1, b: x}, {b: y, a: 2}]}")),
        ["[a=1,b=x]", "[a=2,b=y]"]
    );
}

#[test]
fn what_is_wrong_with_them_is_told() {
    for (matrix, words) in [
        ("{a: [1], b: [x], exclude: [{c: 1}]}", "has no axis `c`"),
        (
            "{a: [1], b: [x, yes], exclude: [{b: yess}]}",
            "has no value `yess`; did you mean `yes`?",
        ),
        ("{a: [1, 2], b: [x, y], exclude: [{a: 1}, {a: 1}]}", "stands here twice"),
        ("{a: [1], b: [x], exclude: [{a: 1}]}", "leaves no combination"),
        ("{a: [1], b: [x], exclude: []}", "empty list"),
        ("{a: [1], b: [x], exclude: {a: 1}}", "must be a list"),
        ("{a: [1], b: [x], exclude: [{a: [1]}]}", "must be a plain value"),
        ("{a: [1], b: [x], include: [{a: 2}]}", "this one lacks `b`"),
        ("{a: [1], b: [x], include: [{a: 1, b: x}]}", "is there already"),
        ("{a: [1], b: [x], include: [{a: 2, b: y, c: 1}]}", "has no axis `c`"),
        ("{a: [1], b: [x], include: [{a: [1], b: y}]}", "must be a plain value"),
        (
            "{a: [1], b: {x: 1}, include: [{a: 1, b: y}]}",
            "a new one is written {y: ..}",
        ),
        (
            "{a: [1], b: {x: 1}, include: [{a: 2, b: {x: 2}}]}",
            "has a value labelled `x` already",
        ),
        (
            "{a: [{k: 1}], b: [x]}",
            "name each of them: `a: {small: .., large: ..}`",
        ),
        ("{a: {'x=1': 1}, b: [x]}", "cannot stand in a name"),
        ("{a: {}, b: [x]}", "not an empty mapping"),
    ] {
        let told = messages(&step(matrix));
        assert!(told.iter().any(|one| one.contains(words)), "{matrix}: {told:?}");
        assert!(told.len() <= 2, "{told:?}");
    }
}

#[test]
fn values_with_parts_have_labels() {
    let text = "pipeline: p\nparams: {sizes: {tiny: {limit: 5}, none: {limit: 1}}}\nsteps:\n  d:\n    uses: dataset\n    \
        matrix:\n      size: {small: {limit: 64, name: s}, large: {limit: 128, name: l}}\n      \
        how: {whole: {files: a.jsonl, shuffle: true}}\n      \
        include: [{size: {huge: {limit: 512, name: h}}, how: whole}, {size: huge, how: {part: {files: b.jsonl}}}]\n    \
        with: {files: '${matrix.size.name}.jsonl', limit: '${matrix.size.limit}'}\n  \
        e:\n    uses: dataset\n    matrix: {how: {whole: {files: a.jsonl, shuffle: true}}, size: '${params.sizes}'}\n    \
        with: '${matrix.how}'\n";
    let Err(problems) = load(text) else {
        panic!("`with` is a mapping")
    };
    assert!(problems.to_string().contains("must be a mapping"), "{problems}");
    let pipeline = load(&text.replace(
        "with: '${matrix.how}'",
        "with: {files: x, limit: '${matrix.size.limit}'}",
    ))
    .expect("loads");
    assert_eq!(
        names(&pipeline),
        [
            "d[size=small,how=whole]",
            "d[size=large,how=whole]",
            "d[size=huge,how=whole]",
            "d[size=huge,how=part]",
            "e[how=whole,size=tiny]",
            "e[how=whole,size=none]",
        ]
    );
    assert_eq!(
        instance(&pipeline, "d[size=huge,how=part]").shown,
        json!({"files": "h.jsonl", "limit": 512})
    );
    for (from, to, words) in [
        (
            "size.limit}'}\n  e",
            "size.limits}'}\n  e",
            "`matrix.size` has no `limits`; did you mean `limit`?",
        ),
        (
            "'${matrix.size.name}.jsonl'",
            "'${matrix.size}.jsonl'",
            "stands for a mapping",
        ),
        (
            "'${matrix.size.name}.jsonl'",
            "'${matrix.sise.name}.jsonl'",
            "has no axis `sise`; did you mean `size`?",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        let told = messages(&text.replace(from, to)).join("\n");
        assert!(told.contains(words), "{told}");
    }
}

/// Models over `seed` and `size`, data over `lang`, answers of each, and what compares them.
const THREE: &str = "pipeline: p\nsteps:\n  \
    text: {uses: dataset, matrix: {lang: [en, es]}, with: {files: '${matrix.lang}.jsonl', split: {test: 1}}}\n  \
    words: {uses: tokenize, with: {data: text, algorithm: byte}}\n  \
    base:\n    uses: pretrain\n    repeat: 2\n    with: {data: text, tokenizer: words, model: {architecture: gpt2, layers: 1, width: 8}, train: {updates: 1, learning_rate: 1}}\n  \
    int8: {uses: quantize, matrix: {format: [fp16, int8]}, with: {model: base, format: '${matrix.format}'}}\n  \
    answers:\n    uses: generate\n    matrix: {shots: [0, 1]}\n    \
    with: {model: int8, data: text.test, prompt: {template: t.jinja, shots: '${matrix.shots}', examples: text.test}}\n  \
    scores: {uses: evaluate, with: {generations: answers, metrics: [bleu]}}\n  \
    report: {uses: report, with: {scores: 'scores[format=int8]'}}\n";

#[test]
fn same_axes_join_and_others_multiply_over_several_steps() {
    let pipeline = load(THREE).unwrap_or_else(|problems| panic!("{problems}"));
    let count = |step: &str| pipeline.instances.iter().filter(|one| one.step == step).count();
    // lang joins everywhere; repeat, format and shots multiply
    assert_eq!(
        ["text", "words", "base", "int8", "answers", "scores", "report"].map(count),
        [2, 2, 4, 8, 16, 16, 1]
    );
    let one = instance(&pipeline, "answers[shots=1,format=int8,repeat=2,lang=es]");
    let read: Vec<_> = one.inputs.iter().map(|(_, input)| input.text.as_str()).collect();
    assert_eq!(read, ["int8[format=int8,repeat=2,lang=es]", "text[lang=es].test"]);
    assert_eq!(instance(&pipeline, "report").inputs.len(), 8);
}

#[test]
fn repetitions_of_two_steps_join() {
    let text = THREE.replace(
        "    matrix: {shots: [0, 1]}\n",
        "    matrix: {shots: [0, 1]}\n    repeat: 2\n",
    );
    let pipeline = load(&text).unwrap_or_else(|problems| panic!("{problems}"));
    let answers: Vec<_> = pipeline.instances.iter().filter(|one| one.step == "answers").collect();
    // the second repetition of `answers` is of the second of `base`
    assert_eq!(answers.len(), 16);
    for one in answers {
        let of = |axes: &[(String, String)]| axes.iter().find(|(axis, _)| axis == "repeat").cloned();
        assert_eq!(of(&one.axes), of(&one.inputs[0].1.axes), "{}", one.name);
    }
}
