//! Anchors, aliases and merge keys.

use super::*;

fn settings(text: &str) -> serde_json::Value {
    let pipeline = load(text).expect("loads");
    pipeline.instances.iter().map(|one| one.shown.clone()).collect()
}

#[test]
fn merges_nest_and_the_nearer_key_wins() {
    let text = "pipeline: p\nsteps:\n  a: {uses: dataset, with: &base {files: a.jsonl, limit: 1, shuffle: true}}\n  \
        b: {uses: dataset, with: &more {<<: *base, limit: 2}}\n  \
        c: {uses: dataset, with: {limit: 3, <<: *more, files: c.jsonl}}\n";
    assert_eq!(
        settings(text),
        json!([
            {"files": "a.jsonl", "limit": 1, "shuffle": true},
            {"limit": 2, "files": "a.jsonl", "shuffle": true},
            {"limit": 3, "files": "c.jsonl", "shuffle": true},
        ])
    );
}

#[test]
fn of_a_list_of_merges_the_first_wins() {
    let text = "pipeline: p\nsteps:\n  a: {uses: dataset, with: &a {files: a.jsonl, limit: 1}}\n  \
        b: {uses: dataset, with: &b {files: b.jsonl, shuffle: true}}\n  \
        c: {uses: dataset, with: {<<: [*b, *a]}}\n";
    assert_eq!(
        settings(text)[2],
        json!({"files": "b.jsonl", "shuffle": true, "limit": 1})
    );
}

#[test]
fn anchors_reach_from_parameters_to_steps_with_their_placeholders() {
    let text = "pipeline: p\nparams: {limits: &limits [1, 2], name: x}\nsteps:\n  \
        a: &step {uses: dataset, matrix: {limit: *limits}, with: &with {files: '${params.name}-${matrix.limit}', limit: '${matrix.limit}'}}\n  \
        b: {<<: *step, matrix: {limit: [3]}}\n  c: {<<: *step, with: {<<: *with, files: c}}\n";
    let pipeline = load(text).expect("loads");
    assert_eq!(
        names(&pipeline),
        ["a[limit=1]", "a[limit=2]", "b[limit=3]", "c[limit=1]", "c[limit=2]"]
    );
    assert_eq!(pipeline.instances[2].shown, json!({"files": "x-3", "limit": 3}));
    assert_eq!(pipeline.instances[4].shown, json!({"files": "c", "limit": 2}));
}

#[test]
fn a_mistake_in_an_anchor_is_told_once_with_notes_where_it_is_used() {
    let text = "pipeline: p\nsteps:\n  a: {uses: dataset, with: &with {files: a, limit: 0, shufle: true}}\n  \
        b: {uses: dataset, with: *with}\n  c: {uses: dataset, with: {<<: *with, limit: 0}}\n";
    let Err(problems) = load(text) else { panic!("it loads") };
    let told: Vec<&str> = problems.0.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(
        told,
        [
            "`limit` of step `a` must be at least 1; it is 0",
            "step `a` has no setting `shufle`",
            "`limit` of step `c` must be at least 1; it is 0"
        ]
    );
    let notes = |index: usize| problems.0[index].render(false).matches("used here too").count();
    assert_eq!((notes(0), notes(1), notes(2)), (1, 2, 0));
}
