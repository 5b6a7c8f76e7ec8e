//! Chat templates against transformers: `goldens.json` is made by `make.py`.

use super::*;
use serde_json::json;

#[test]
fn templates_render_as_in_transformers() {
    let goldens: serde_json::Value = serde_json::from_str(include_str!("goldens.json")).unwrap();
    let special = goldens["special"].as_object().unwrap();
    let cases = goldens["cases"].as_array().unwrap();
    assert!(cases.len() >= 20);
    for case in cases {
        let name = case["template"].as_str().unwrap();
        let text = goldens["templates"][name].as_str().unwrap();
        let template = ChatTemplate::parse(name, text, special.clone()).unwrap();
        let (messages, prompt) = (case["messages"].as_array().unwrap(), case["prompt"].as_bool().unwrap());
        let rendered = template.render_with(messages, prompt, case["variables"].as_object().unwrap().clone());
        match case["text"].as_str() {
            Some(expected) => assert_eq!(rendered.unwrap(), expected, "{name}"),
            None => {
                let error = rendered.unwrap_err().to_string();
                assert!(error.contains(case["error"].as_str().unwrap()), "{name}: {error}");
            }
        }
    }
}

#[test]
fn a_folder_may_hold_one_template_several_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let hello = [Message::new("user", "hello")];
    assert!(ChatTemplate::from_directory(path).unwrap().is_none());

    let configure = |template: serde_json::Value| {
        let eos = json!({"content": "</s>", "lstrip": false});
        let config = json!({"bos_token": "<s>", "eos_token": eos, "chat_template": template});
        std::fs::write(path.join("tokenizer_config.json"), config.to_string()).unwrap();
    };
    configure(json!("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}\n"));
    let template = ChatTemplate::from_directory(path).unwrap().unwrap();
    assert_eq!(template.render(&hello, true).unwrap(), "<s>hello</s>");

    configure(json!([{"name": "default", "template": "a"}, {"name": "rag", "template": "{{ documents[0].text }}"}]));
    let template = ChatTemplate::from_directory(path).unwrap().unwrap();
    assert_eq!(template.render(&hello, true).unwrap(), "a");
    let documents = json!({"documents": [{"text": "b"}]}).as_object().unwrap().clone();
    let rag = ChatTemplate::named(path, "rag").unwrap();
    assert_eq!(rag.render_with(&hello, true, documents).unwrap(), "b");
    let error = ChatTemplate::named(path, "tools").unwrap_err().to_string();
    assert!(error.contains("it has `default`, `rag`"), "{error}");

    configure(json!([{"name": "rag", "template": "b"}]));
    let error = ChatTemplate::from_directory(path).unwrap_err().to_string();
    assert!(
        error.contains("none of the chat templates `rag` is the default"),
        "{error}"
    );

    std::fs::write(path.join("chat_template.jinja"), "{{ eos_token }}!").unwrap();
    std::fs::create_dir(path.join("additional_chat_templates")).unwrap();
    std::fs::write(path.join("additional_chat_templates/short.jinja"), "s").unwrap();
    let template = ChatTemplate::from_directory(path).unwrap().unwrap();
    assert_eq!(template.render(&hello, true).unwrap(), "</s>!");
    assert_eq!(
        ChatTemplate::named(path, "short")
            .unwrap()
            .render(&hello, true)
            .unwrap(),
        "s"
    );
}

#[test]
fn what_a_template_cannot_do_is_said_with_its_place() {
    let error = |text: &str| match ChatTemplate::parse("t", text, Object::new()) {
        Ok(template) => template
            .render(&[Message::new("user", "x")], false)
            .unwrap_err()
            .to_string(),
        Err(error) => error.to_string(),
    };
    assert!(error("a\n{% if %}").starts_with("t:2: syntax error"));
    assert_eq!(
        error("\n{{ raise_exception('no system role') }}"),
        "t:2: the chat template refuses these messages: no system role"
    );
    assert!(error("{{ strftime_now('%Q') }}").contains("strftime_now"));
    assert!(error("{{ messages[0].content.nothing() }}").contains("nothing"));
}
