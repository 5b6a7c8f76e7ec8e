use super::*;
use crate::device::DeviceSpec;
use crate::models::ModelSettings;
use crate::models::SpecialIds;

fn model(settings: serde_json::Value) -> Model {
    let settings: ModelSettings = serde_json::from_value(settings).unwrap();
    let special = SpecialIds {
        bos: None,
        eos: vec![1],
        pad: Some(0),
    };
    let device = DeviceSpec::CPU.open().unwrap();
    Model::init(&settings.config(24, special), Seed::root(3), &device)
}

/// The logits of a pass and what was attended to.
fn watched(model: &Model, read: &[i64], decoder: &[i64]) -> (Vec<f32>, Vec<f32>, Vec<AttentionMap>) {
    let device = model.device().clone();
    let ids =
        |tokens: &[i64]| Tensor::<2, Int>::from_data(TensorData::new(tokens.to_vec(), [1, tokens.len()]), &device);
    let encodes = model.config().decoder_start().is_some();
    let inputs = || Inputs {
        sources: encodes.then(|| Sources::of(&[read.to_vec()], &device)),
        tokens: ids(if encodes { decoder } else { read }),
    };
    let plain = model.logits(inputs(), None).into_data().try_into_vec().unwrap();
    let (logits, maps) = model.watched_logits(inputs());
    (plain, logits.into_data().try_into_vec().unwrap(), maps)
}

#[test]
fn every_architecture_shows_what_it_attends_to() {
    let architectures = [
        serde_json::json!({"architecture": "gpt2"}),
        serde_json::json!({"architecture": "llama", "heads": 4, "kv_heads": 2}),
        serde_json::json!({"architecture": "falcon"}),
        serde_json::json!({"architecture": "falcon", "positions": "alibi"}),
        serde_json::json!({"architecture": "palm"}),
        serde_json::json!({"architecture": "t5", "decoder_layers": 3}),
        serde_json::json!({"architecture": "transformer"}),
        serde_json::json!({"architecture": "rnn"}),
    ];
    for mut settings in architectures {
        settings["layers"] = 2.into();
        settings["width"] = 16.into();
        if settings.get("heads").is_none() {
            settings["heads"] = 2.into();
        }
        let model = model(settings.clone());
        let (read, decoder) = ([3, 4, 5, 6, 7], [0, 8, 9]);
        let (plain, logits, maps) = watched(&model, &read, &decoder);
        let far = plain
            .iter()
            .zip(&logits)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(far < 1e-4, "{settings}: looking changes nothing, {far}");
        let expected = match model.config().architecture().name() {
            "rnn" => 0,
            "t5" => 2 + 2 * 3,
            "transformer" => 2 + 2 * 2,
            _ => 2,
        };
        assert_eq!(maps.len(), expected, "{settings}");
        let shown = |count: usize| -> Vec<Shown> {
            let tokens = (0..count).map(|id| Shown {
                text: id.to_string(),
                id: id as u32,
            });
            tokens.collect()
        };
        let encodes = model.config().decoder_start().is_some();
        let written = if encodes { shown(3) } else { shown(5) };
        for maps in arranged(&maps, &model, &shown(5), &written) {
            let (queries, keys) = (maps.queries.len(), maps.keys.len());
            for layer in &maps.layers {
                assert_eq!(layer.len(), model.config().heads, "{settings} {}", maps.kind);
                for head in layer {
                    assert_eq!(head.len(), queries * keys);
                    for (query, row) in head.chunks_exact(keys).enumerate() {
                        assert!(
                            (row.iter().sum::<f32>() - 1.0).abs() < 1e-4,
                            "{settings}: a query's weights are 1"
                        );
                        let causal = matches!(maps.kind, "self" | "decoder");
                        assert!(!causal || row[query + 1..].iter().all(|weight| *weight == 0.0));
                    }
                }
            }
        }
    }
}

#[test]
fn nobody_looks_afterwards() {
    let model = model(serde_json::json!({"architecture": "llama", "layers": 1, "heads": 2, "width": 16}));
    let (.., first) = watched(&model, &[3, 4], &[]);
    let (.., second) = watched(&model, &[3, 4], &[]);
    assert_eq!(first.len(), 1, "a pass without a watcher leaves nothing for the next");
    assert_eq!(first, second);
}

#[test]
fn temperatures_sharpen_and_flatten() {
    let next = next(&[0.0, 2.0, 1.0], &[0.5, 1.0, 2.0], &|token| token.to_string());
    assert_eq!(
        next.iter().map(|one| one.token.as_str()).collect::<Vec<_>>(),
        ["1", "2", "0"]
    );
    let first = &next[0].probabilities;
    assert!(first[0] > first[1] && first[1] > first[2], "{first:?}");
    let e = std::f64::consts::E;
    assert!((first[1] - e * e / (e * e + e + 1.0)).abs() < 1e-9);
    for at in 0..3 {
        let sum: f64 = next.iter().map(|one| one.probabilities[at]).sum();
        assert!((sum - 1.0).abs() < 1e-9);
    }
}
