//! Real model directories, quantized and loaded again.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors};
use serde_json::Value;

use super::*;
use crate::data::shared_for_tests;
use crate::device::DeviceSpec;
use crate::models::Model;

fn tensors(folder: &Path) -> BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> {
    let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let copy = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        (name, (view.dtype(), view.shape().to_vec(), view.data().to_vec()))
    };
    file.tensors().into_iter().map(copy).collect()
}

fn config(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap()
}

/// The logits of some tokens, `[seq · vocab]`.
fn logits(folder: &Path, device: &Device) -> Vec<f32> {
    let tokens = TensorData::new(vec![42i64, 12, 64, 27, 35, 43, 12, 11], [1, 8]);
    let model = Model::load(folder, device).unwrap();
    let logits = model.logits(Tensor::<2, Int>::from_data(tokens, device), None);
    logits.into_data().convert::<f32>().try_into_vec().unwrap()
}

#[test]
fn models_load_from_every_format_and_compute_nearly_the_same() {
    let device = DeviceSpec::CPU.open().unwrap();
    for name in ["tiny-gpt2", "tiny-llama-gqa", "stories260k"] {
        let Some(source) = shared_for_tests(&format!("fixtures/{name}")) else {
            return;
        };
        let exact = logits(&source, &device);
        let largest = exact.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        for (format, granularity, share, saving) in [
            (Format::Fp16, Granularity::Channel, 0.002, 0.4),
            (Format::Bf16, Granularity::Channel, 0.02, 0.4),
            (Format::Int8, Granularity::Channel, 0.03, 0.6),
            (Format::Int8, Granularity::Tensor, 0.06, 0.6),
        ] {
            let target = tempfile::tempdir().unwrap();
            let result = quantize(&source, target.path(), format, granularity).unwrap();
            let worst = logits(target.path(), &device)
                .iter()
                .zip(&exact)
                .fold(0f32, |worst, (a, b)| worst.max((a - b).abs()));
            assert!(
                worst > 0.0 && worst < largest * share,
                "{name} {format:?} {granularity:?}: {worst} of {largest}"
            );
            assert!(result.saving > saving, "{name} {format:?}: {}", result.saving);
            assert_eq!(
                result.bytes_after,
                std::fs::metadata(target.path().join("model.safetensors"))
                    .unwrap()
                    .len()
            );
            for file in ["tokenizer.json", "tokenizer_config.json", "generation_config.json"] {
                assert_eq!(
                    std::fs::read(source.join(file)).unwrap(),
                    std::fs::read(target.path().join(file)).unwrap()
                );
            }
        }
    }
}

#[test]
fn int8_is_stored_as_integers_and_scales_an_output_channel() {
    let Some(source) = shared_for_tests("fixtures/tiny-gpt2") else {
        return;
    };
    let target = tempfile::tempdir().unwrap();
    let result = quantize(&source, target.path(), Format::Int8, Granularity::Channel).unwrap();
    let (before, after) = (tensors(&source), tensors(target.path()));
    for (name, (_, shape, data)) in &before {
        let (dtype, stored_shape, stored) = &after[name];
        assert_eq!(stored_shape, shape, "{name}");
        if shape.len() == 2 {
            let channels = if name.contains(".c_") { shape[1] } else { shape[0] };
            assert_eq!(*dtype, Dtype::I8);
            assert_eq!(after[&format!("{name}_scale")].1, [channels], "{name}");
            assert!(stored.iter().all(|byte| byte.cast_signed() != -128));
        } else {
            assert_eq!((*dtype, stored), (Dtype::F32, data));
        }
    }
    // GPT-2 stores [in, out]: the scale of the third output is the third column's
    let (_, shape, data) = &before["transformer.h.0.mlp.c_fc.weight"];
    let column = data.as_chunks::<4>().0.iter().skip(2).step_by(shape[1]);
    let largest = column
        .map(|bytes| f32::from_le_bytes(*bytes).abs())
        .fold(0f32, f32::max);
    let scale: [u8; 4] = after["transformer.h.0.mlp.c_fc.weight_scale"].2[8..12]
        .try_into()
        .unwrap();
    assert_eq!(f32::from_le_bytes(scale), largest / 127.0);

    assert_eq!(config(target.path())["quantization_config"]["granularity"], "channel");
    let written: Quantization =
        serde_json::from_slice(&std::fs::read(target.path().join("quantization.json")).unwrap()).unwrap();
    assert_eq!(written, result);
    assert_eq!(written.tensors.len(), before.len());
    let norm = written
        .tensors
        .iter()
        .find(|tensor| tensor.name == "transformer.ln_f.weight")
        .unwrap();
    assert_eq!(
        (norm.error.max_error, norm.error.snr_db, norm.dtype.as_str()),
        (0.0, None, "F32")
    );
    assert!(written.error.snr_db.unwrap() > 35.0, "{:?}", written.error);
}

#[test]
fn the_same_model_gives_the_same_bytes() {
    let Some(source) = shared_for_tests("fixtures/tiny-llama-gqa") else {
        return;
    };
    let bytes = |threads| {
        let target = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| quantize(&source, target.path(), Format::Int8, Granularity::Channel))
            .unwrap();
        ["model.safetensors", "quantization.json", "config.json"]
            .map(|file| std::fs::read(target.path().join(file)).unwrap())
    };
    assert_eq!(bytes(1), bytes(3));
}

#[test]
fn what_cannot_be_quantized_is_an_error() {
    let Some(source) = shared_for_tests("fixtures/tiny-gpt2") else {
        return;
    };
    let once = tempfile::tempdir().unwrap();
    quantize(&source, once.path(), Format::Int8, Granularity::Tensor).unwrap();
    let twice = tempfile::tempdir().unwrap();
    let error = quantize(once.path(), twice.path(), Format::Fp16, Granularity::Tensor).unwrap_err();
    assert!(error.to_string().contains("already int8"), "{error}");

    for (value, format, words) in [
        (f32::NAN, Format::Int8, "infinite or not a number"),
        (70_000.0, Format::Fp16, "beyond what fp16 can hold"),
    ] {
        let broken = tempfile::tempdir().unwrap();
        std::fs::copy(source.join("config.json"), broken.path().join("config.json")).unwrap();
        let mut bytes = std::fs::read(source.join("model.safetensors")).unwrap();
        let last = bytes.len() - 4;
        bytes[last..].copy_from_slice(&value.to_le_bytes());
        std::fs::write(broken.path().join("model.safetensors"), bytes).unwrap();
        let error = quantize(broken.path(), twice.path(), format, Granularity::Channel).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.to_string().contains("transformer."), "{error}");
    }
}
