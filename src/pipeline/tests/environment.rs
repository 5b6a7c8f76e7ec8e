//! `${env.NAME}`: what may take it, and that no file says what it stands for.

use super::*;

// cargo gives these to tests
const FOLDER: &str = "CARGO_MANIFEST_DIR";

fn publish(keys: &str, with: &str) -> String {
    LAB.replace("params: {", "params: {where: a, ").replace(
        "  scores:\n",
        &format!("  hub:\n    uses: publish\n    {keys}\n    with: {{model: base, {with}}}\n  scores:\n"),
    )
}

#[test]
fn paths_and_secrets_are_named_and_not_resolved() {
    let text = publish(
        "",
        "token: '${env.CARGO_PKG_NAME}', folder: '${env.CARGO_MANIFEST_DIR}/$${x}/${params.where}'",
    );
    let pipeline = load(&text).expect("loads");
    let hub = instance(&pipeline, "hub");
    assert_eq!(hub.settings["token"], "${env.CARGO_PKG_NAME}");
    assert_eq!(hub.settings["folder"], "/work/lab/${env.CARGO_MANIFEST_DIR}/$${x}/a");
    let folder = std::env::var(FOLDER).expect("is set");
    for one in &pipeline.instances {
        assert!(
            !format!("{}{}", one.settings, one.shown).contains(&folder),
            "{}",
            one.name
        );
    }
    let told = hub.work.check(&[]);
    assert_eq!(
        told[0].message,
        format!("no folder {folder}/${{x}}/a for fragua"),
        "it is used all the same"
    );
}

#[test]
fn what_a_kind_says_is_cleaned() {
    let text = publish(
        "",
        "token: '${env.CARGO_PKG_NAME}', folder: '${env.CARGO_MANIFEST_DIR}/x', strict: true",
    );
    let told = messages(&text);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("no folder ${env.CARGO_MANIFEST_DIR}/x for ${env.CARGO_PKG_NAME}"),
        "{told:?}"
    );
}

#[test]
fn nothing_else_may_take_from_the_environment() {
    for (keys, with, words) in [
        (
            "",
            "token: '${env.FRAGUA_NO_SUCH}'",
            "the environment variable `FRAGUA_NO_SUCH` is not set",
        ),
        (
            "",
            "token: '${env.CARGO_PKG_NAME}', folder: '${env.FRAGUA_NO_SUCH}'",
            "is not set",
        ),
        (
            "",
            "token: '${env.CARGO_PKG_NAME}', name: '${env.USER}'",
            "is neither a path nor a secret",
        ),
        (
            "",
            "token: '${env.CARGO_PKG_NAME}', private: '${env.USER}'",
            "is neither a path nor a secret",
        ),
        (
            "",
            "token: '${env.CARGO_PKG_NAME}', folder: '${env.1X}'",
            "names no environment variable",
        ),
        (
            "matrix: {t: ['${env.USER}']}",
            "token: '${env.CARGO_PKG_NAME}'",
            "cannot be used in a matrix",
        ),
        (
            "timeout: '${env.USER}'",
            "token: '${env.CARGO_PKG_NAME}'",
            "cannot be used in step `hub`",
        ),
        (
            "when: '${env.USER}'",
            "token: '${env.CARGO_PKG_NAME}'",
            "cannot be used in `when`",
        ),
    ] {
        let told = messages(&publish(keys, with));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(words), "{told:?}");
    }
}

#[test]
fn a_secret_in_a_file_is_not_repeated() {
    for token in [
        "hf_0123456789",
        "12345678",
        "'${params.where}'",
        "'x${env.CARGO_PKG_NAME}'",
        "[hf_0123456789]",
    ] {
        let text = publish("wehn: true", &format!("token: {token}")).replace("where: a", "where: hf_0123456789");
        let Err(problems) = load(&text) else {
            panic!("{token} loads")
        };
        let rendered = format!("{}{}", problems.render(false), problems.to_json());
        assert!(rendered.contains("a secret is never written in a file"), "{rendered}");
        assert!(rendered.contains("did you mean `when`?"), "{rendered}");
        for secret in ["hf_0123456789", "12345678"] {
            assert!(!rendered.contains(secret), "{rendered}");
        }
    }
}

#[test]
fn a_step_that_is_left_out_needs_no_variables() {
    let text = publish(
        "when: false",
        "token: '${env.FRAGUA_NO_SUCH}', folder: '${env.FRAGUA_NO_SUCH}'",
    );
    assert_eq!(load(&text).expect("loads").left_out.len(), 1);
}

#[test]
fn a_parameter_s_path_may_name_a_variable() {
    let text = publish(
        "",
        "token: '${env.CARGO_PKG_NAME}', folder: '${params.where}/b', other: '${params.where}'",
    )
    .replace(
        "where: a",
        "where: {type: path, default: '${env.CARGO_MANIFEST_DIR}/a'}",
    );
    let pipeline = load(&text).expect("loads");
    let settings = &instance(&pipeline, "hub").settings;
    assert_eq!(settings["folder"], "/work/lab/${env.CARGO_MANIFEST_DIR}/a/b");
    assert_eq!(settings["other"], "/work/lab/${env.CARGO_MANIFEST_DIR}/a");
    assert_eq!(pipeline.params["where"], "${env.CARGO_MANIFEST_DIR}/a");
}
