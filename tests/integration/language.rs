//! Every example of docs/language.md, as a user would have it: those that are right load, and those that
//! are wrong give the error that the page shows.
//!
//! A block of ` ```yaml ` is a pipeline file; ` ```yaml steps ` more steps of the page's first one; `file=NAME` a
//! file that others include; `wrong` a file whose error the next ` ```text ` shows.

use std::path::Path;

use crate::support::{Outcome, Sandbox};

/// A block of code: what stands behind its fence, and its text.
struct Block {
    info: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(info), None) => {
                open = Some(Block {
                    info: info.trim().to_owned(),
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.text.push_str(&format!("{line}\n")),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

fn validate(sandbox: &Sandbox, text: &str) -> Outcome {
    sandbox.write("lab.yaml", text);
    let output = sandbox
        .command(&["validate", "lab.yaml"])
        .env("DATA", sandbox.path())
        .output()
        .unwrap();
    Outcome {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn every_example_of_the_page_is_as_it_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/language.md");
    let blocks = blocks(&std::fs::read_to_string(page).unwrap());
    let sandbox = Sandbox::tiny();
    let rows = std::fs::read_to_string(sandbox.path().join("rows.jsonl")).unwrap();
    sandbox.write("more.jsonl", &rows);
    let prompt = std::fs::read_to_string(sandbox.path().join("prompt.jinja")).unwrap();
    sandbox.write("summarize.jinja", &prompt);
    let base = &blocks.iter().find(|block| block.info == "yaml").unwrap().text;
    let (mut right, mut wrong) = (0, 0);
    for (index, block) in blocks.iter().enumerate() {
        let Some(kind) = block.info.strip_prefix("yaml") else {
            continue;
        };
        match kind.trim() {
            "wrong" => {
                let shown = &blocks[index + 1];
                assert_eq!(shown.info, "text", "an error follows:\n{}", block.text);
                let outcome = validate(&sandbox, &block.text);
                assert_eq!(outcome.code, Some(2), "{}", block.text);
                assert!(
                    outcome.err.contains(shown.text.trim_end()),
                    "{}\nis not\n{}",
                    outcome.err,
                    shown.text
                );
                wrong += 1;
                continue;
            }
            "" => check(&validate(&sandbox, &block.text), &block.text),
            "steps" => {
                let whole = format!("{base}\n{}", block.text);
                check(&validate(&sandbox, &whole), &block.text);
            }
            kind => sandbox.write(kind.strip_prefix("file=").unwrap(), &block.text),
        }
        right += 1;
    }
    assert!(right >= 14 && wrong >= 3, "{right} right, {wrong} wrong");
}

fn check(outcome: &Outcome, text: &str) {
    assert_eq!(outcome.code, Some(0), "{text}\n{}", outcome.err);
    assert!(!outcome.err.contains("warning"), "{text}\n{}", outcome.err);
}
