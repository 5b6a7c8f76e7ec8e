//! Models from files: every format, and files that are damaged or hostile.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use proptest::prelude::*;
use safetensors::tensor::Dtype;

use super::{Import, Model, WeightFile, write_weights};
use crate::data::shared_for_tests;
use crate::device::DeviceSpec;

const FIXTURES: [&str; 7] = [
    "tiny-gpt2",
    "tiny-llama-gqa",
    "tiny-falcon-7b",
    "tiny-falcon-40b",
    "tiny-falcon-rw",
    "tiny-t5",
    "tiny-flan-t5",
];

fn fixtures() -> Vec<PathBuf> {
    let find = |name: &&str| shared_for_tests(&format!("fixtures/{name}"));
    FIXTURES.iter().filter_map(find).collect()
}

fn cpu() -> Device {
    DeviceSpec::CPU.open().unwrap()
}

fn values(dir: &Path) -> Vec<(String, Vec<f32>)> {
    let model = Model::load(dir, &cpu()).unwrap();
    let weights = model.weights();
    weights
        .iter()
        .map(|weight| (weight.name().to_owned(), weight.to_vec()))
        .collect()
}

/// A model's tensors as they are stored.
fn stored(dir: &Path) -> Vec<(String, Dtype, Vec<usize>, Vec<u8>)> {
    let file = WeightFile::open(dir).unwrap();
    let tensor = |name: &str| {
        let tensor = file.tensor(name).unwrap();
        (
            name.to_owned(),
            tensor.dtype(),
            tensor.shape().to_vec(),
            tensor.data().to_vec(),
        )
    };
    file.names().map(tensor).collect()
}

/// A folder with a fixture's other files, and weights that `write` puts there.
fn with_weights(fixture: &Path, write: impl FnOnce(&Path)) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer.json"] {
        std::fs::copy(fixture.join(name), dir.path().join(name)).unwrap();
    }
    write(dir.path());
    dir
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let mut files: Vec<_> = entries
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                std::fs::read(entry.path()).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

#[test]
fn importing_exporting_and_importing_again_changes_no_bit() {
    for fixture in fixtures() {
        let [first, exported, second] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        Import::at(&fixture).unwrap().copy(first.path()).unwrap();
        assert_eq!(values(first.path()), values(&fixture), "{fixture:?}");
        Model::load(first.path(), &cpu())
            .unwrap()
            .save(exported.path())
            .unwrap();
        Import::at(exported.path()).unwrap().copy(second.path()).unwrap();
        assert_eq!(files(exported.path()), files(second.path()));
        assert_eq!(stored(second.path()), stored(&fixture), "{fixture:?}");
        let config = |dir: &Path| Model::load(dir, &cpu()).unwrap().config().clone();
        assert_eq!(config(second.path()), config(&fixture));
    }
}

/// f32 bytes in another format.
fn narrowed(bytes: &[u8], dtype: Dtype) -> Vec<u8> {
    let values = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    values
        .flat_map(|value| match dtype {
            Dtype::F16 => half::f16::from_f32(value).to_le_bytes(),
            _ => half::bf16::from_f32(value).to_le_bytes(),
        })
        .collect()
}

#[test]
fn half_precision_loads_as_what_it_says() {
    for fixture in fixtures() {
        for (dtype, error) in [(Dtype::F16, 1e-3), (Dtype::BF16, 8e-3)] {
            let half = with_weights(&fixture, |dir| {
                let narrow = |(name, _, shape, bytes): (String, Dtype, Vec<usize>, Vec<u8>)| {
                    (name, dtype, shape, narrowed(&bytes, dtype))
                };
                let tensors: Vec<_> = stored(&fixture).into_iter().map(narrow).collect();
                write_weights(dir, &tensors).unwrap();
            });
            for ((name, whole), (_, half)) in values(&fixture).iter().zip(values(half.path())) {
                for (whole, half) in whole.iter().zip(half) {
                    assert!(
                        (whole - half).abs() <= error * whole.abs() + 1e-6,
                        "{name}: {half} for {whole}"
                    );
                }
            }
            // kept as they are
            let out = tempfile::tempdir().unwrap();
            Import::at(half.path()).unwrap().copy(out.path()).unwrap();
            assert_eq!(stored(out.path()), stored(half.path()));
        }
    }
}

#[test]
fn shards_are_one_model() {
    for fixture in fixtures() {
        let sharded = with_weights(&fixture, |dir| {
            let tensors = stored(&fixture);
            let mut map = serde_json::Map::new();
            for (number, part) in tensors.chunks(tensors.len().div_ceil(3)).enumerate() {
                let name = format!("model-{:05}-of-00003.safetensors", number + 1);
                map.extend(part.iter().map(|(tensor, ..)| (tensor.clone(), name.clone().into())));
                write_weights(dir, part).unwrap();
                std::fs::rename(dir.join("model.safetensors"), dir.join(name)).unwrap();
            }
            let index = serde_json::json!({"metadata": {"total_size": 1}, "weight_map": map});
            std::fs::write(dir.join("model.safetensors.index.json"), index.to_string()).unwrap();
        });
        assert_eq!(values(sharded.path()), values(&fixture));
        let out = tempfile::tempdir().unwrap();
        Import::at(sharded.path()).unwrap().copy(out.path()).unwrap();
        assert_eq!(values(out.path()), values(&fixture));

        std::fs::remove_file(sharded.path().join("model-00002-of-00003.safetensors")).unwrap();
        let error = Import::at(sharded.path()).unwrap().copy(out.path()).unwrap_err();
        assert!(
            error.to_string().contains("model-00002-of-00003.safetensors"),
            "{error}"
        );
    }
}

/// A ZIP archive that stores its members.
fn zip(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let start = u32::try_from(bytes.len()).unwrap();
        let size = u32::try_from(content.len()).unwrap().to_le_bytes();
        let mut common = vec![10, 0, 0, 0, 0, 0, 0, 0, 0, 0]; // version, flags, method, time, date
        common.extend(crc32fast::hash(content).to_le_bytes());
        common.extend([size, size].concat());
        common.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        common.extend([0, 0]); // no extra field
        bytes.extend([b"PK\x03\x04".as_slice(), &common, name.as_bytes(), content].concat());
        directory.extend(
            [
                b"PK\x01\x02\x0a\x00".as_slice(),
                &common,
                &[0; 10],
                &start.to_le_bytes(),
            ]
            .concat(),
        );
        directory.extend(name.as_bytes());
    }
    let count = u16::try_from(members.len()).unwrap().to_le_bytes();
    let at = u32::try_from(bytes.len()).unwrap().to_le_bytes();
    let size = u32::try_from(directory.len()).unwrap().to_le_bytes();
    bytes.extend(directory);
    bytes.extend(
        [
            b"PK\x05\x06\x00\x00\x00\x00".as_slice(),
            &count,
            &count,
            &size,
            &at,
            &[0, 0],
        ]
        .concat(),
    );
    bytes
}

fn text(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap().to_le_bytes();
    [b"X".as_slice(), &length, text.as_bytes()].concat()
}

fn integer(number: usize) -> Vec<u8> {
    [b"J".as_slice(), &i32::try_from(number).unwrap().to_le_bytes()].concat()
}

fn tuple(items: &[usize]) -> Vec<u8> {
    let items: Vec<u8> = items.iter().flat_map(|item| integer(*item)).collect();
    [b"(".as_slice(), &items, b"t"].concat()
}

/// What `torch.save` writes of one tensor: its name and the call that rebuilds it.
fn rebuilt(name: &str, key: &str, count: usize, offset: usize, shape: &[usize], strides: &[usize]) -> Vec<u8> {
    [
        text(name),
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        b"ctorch\nFloatStorage\n".to_vec(),
        text(key),
        text("cpu"),
        integer(count),
        b"tQ".to_vec(),
        integer(offset),
        tuple(shape),
        tuple(strides),
        b"\x89ccollections\nOrderedDict\n)RtR".to_vec(),
    ]
    .concat()
}

/// A state dictionary of calls as one pickle.
fn state(tensors: &[Vec<u8>]) -> Vec<u8> {
    [
        b"\x80\x02ccollections\nOrderedDict\n)Rq\x00(".as_slice(),
        &tensors.concat(),
        b"u}X\x09\x00\x00\x00_metadatah\x00sb.",
    ]
    .concat()
}

/// `pytorch_model.bin` of f32 tensors; those of two dimensions are stored transposed when asked for.
fn torch_file(tensors: &[(String, Dtype, Vec<usize>, Vec<u8>)], transposed: bool) -> Vec<u8> {
    let (mut calls, mut members) = (Vec::new(), Vec::new());
    for (number, (name, _, shape, bytes)) in tensors.iter().enumerate() {
        let (count, key) = (bytes.len() / 4, number.to_string());
        let (strides, bytes) = match *shape.as_slice() {
            [rows, columns] if transposed => {
                let values = bytes.as_chunks::<4>().0;
                let turned =
                    (0..columns).flat_map(|column| (0..rows).flat_map(move |row| values[row * columns + column]));
                (vec![1, rows], turned.collect())
            }
            [_, columns] => (vec![columns, 1], bytes.clone()),
            _ => (vec![1], bytes.clone()),
        };
        calls.push(rebuilt(name, &key, count, 0, shape, &strides));
        members.push((format!("archive/data/{key}"), bytes));
    }
    members.insert(0, ("archive/data.pkl".into(), state(&calls)));
    members.push(("archive/byteorder".into(), b"little".to_vec()));
    zip(&members)
}

#[test]
fn pytorchs_own_format_loads_without_pickle() {
    for fixture in fixtures() {
        for transposed in [false, true] {
            let bin = with_weights(&fixture, |dir| {
                let bytes = torch_file(&stored(&fixture), transposed);
                std::fs::write(dir.join("pytorch_model.bin"), bytes).unwrap();
            });
            assert_eq!(values(bin.path()), values(&fixture));
            let (out, of_file) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            Import::at(bin.path()).unwrap().copy(out.path()).unwrap();
            assert_eq!(stored(out.path()), stored(&fixture));
            // the file instead of the folder
            Import::at(&bin.path().join("pytorch_model.bin"))
                .unwrap()
                .copy(of_file.path())
                .unwrap();
            assert_eq!(files(out.path()), files(of_file.path()));
        }
    }
}

/// What reading an archive with this description says, its one storage having eight bytes.
fn refusal(pickle: &[u8]) -> String {
    let members = [
        ("m/data.pkl".to_owned(), pickle.to_vec()),
        ("m/data/0".to_owned(), vec![0; 8]),
    ];
    refused(&zip(&members))
}

fn refused(bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pytorch_model.bin");
    std::fs::write(&path, bytes).unwrap();
    match WeightFile::open(dir.path()) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn hostile_pickles_are_refused_by_what_they_ask_for() {
    let good = rebuilt("w", "0", 2, 0, &[2], &[1]);
    assert_eq!(refusal(&state(std::slice::from_ref(&good))), "");
    let cases: [(&[u8], &str); 10] = [
        (b"\x80\x02cos\nsystem\nX\x06\x00\x00\x00rm -rf\x85R.", "os.system"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "builtins.eval"),
        (b"\x80\x02cbuiltins\ngetattr\n.", "builtins.getattr"),
        (b"\x80\x02}\x81.", "opcode 0x81"),                               // NEWOBJ
        (b"\x80\x02}i.", "opcode 0x69"),                                  // INST
        (b"\x80\x02]q\x00h\x00a.", "no dictionary"),                      // a list that holds itself
        (b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.", "`a` is no tensor"), // a dictionary that does
        (b"\x80\x02X\xff\xff\xff\xffa.", "damaged"),                      // a text of four gigabytes
        (b"\x80\x02h\x07.", "damaged"),                                   // a memo that is not there
        (b"\x80\x02(((.", "damaged"),
    ];
    for (pickle, expected) in cases {
        let error = refusal(pickle);
        assert!(error.contains(expected), "{expected} is not in: {error}");
    }
    // doubling: each tuple holds the one before twice; nothing is ever copied
    let mut bomb = b"\x80\x02)".to_vec();
    for _ in 0..100_000 {
        bomb.extend(b"q\x00h\x00\x86");
    }
    bomb.push(b'.');
    assert!(refusal(&bomb).contains("no dictionary"));

    let huge = i32::MAX as usize;
    for call in [
        rebuilt("w", "0", 2, 1, &[2], &[1]),
        rebuilt("w", "0", huge, 0, &[huge], &[1]),
        rebuilt("w", "0", huge, 0, &[huge, huge, huge, huge], &[0, 0, 0, 0]),
        rebuilt("w", "0", huge, 0, &[huge, huge], &[huge, huge]),
        rebuilt("w", "0", huge, huge, &[0], &[1]),
    ] {
        assert!(refusal(&state(&[call])).contains("beyond"));
    }
    assert!(refusal(&state(&[rebuilt("w", "1", 2, 0, &[2], &[1])])).contains("data/1"));
    // a thousand views of one number would take more memory than the file has
    let views: Vec<_> = (0..1000)
        .map(|i| rebuilt(&format!("w{i}"), "0", 2, 0, &[100_000, 2], &[0, 0]))
        .collect();
    assert!(refusal(&state(&views)).contains("beyond"));
    assert!(refused(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.").contains("before version 1.6"));
}

#[test]
fn damaged_archives_and_headers_are_clear_errors() {
    let members = [
        ("m/data.pkl".to_owned(), state(&[rebuilt("w", "0", 2, 0, &[2], &[1])])),
        ("m/data/0".to_owned(), vec![1; 8]),
    ];
    let whole = zip(&members);
    assert_eq!(refused(&whole), "");
    for length in 2..whole.len() {
        assert_ne!(refused(&whole[..length]), "", "cut after {length} bytes");
    }
    let mut compressed = whole.clone();
    let at = compressed.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    compressed[at + 10] = 8;
    assert!(refused(&compressed).contains("compressed"));
    let mut changed = whole;
    changed[45] ^= 1;
    assert!(refused(&changed).contains("checksum"));

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let headers: [&[u8]; 5] = [
        b"",
        b"\x08\x00",
        b"\xff\xff\xff\xff\xff\xff\xff\xff{}",
        b"\x02\x00\x00\x00\x00\x00\x00\x00[]",
        br#"AAAAAAAA{"w":{"dtype":"F32","shape":[9223372036854775807,9],"data_offsets":[0,4]}}"#,
    ];
    for header in headers {
        std::fs::write(&path, header).unwrap();
        let error = WeightFile::open(dir.path()).err().unwrap().to_string();
        assert!(error.contains("model.safetensors"), "{error}");
    }
}

#[test]
fn configurations_that_lie_cost_nothing() {
    let Some(fixture) = shared_for_tests("fixtures/tiny-llama-gqa") else {
        return;
    };
    let text = std::fs::read_to_string(fixture.join("config.json")).unwrap();
    for (field, value) in [
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 2000000000"),
        ("\"vocab_size\": 101", "\"vocab_size\": 2000000000"),
        ("\"hidden_size\": 32", "\"hidden_size\": 99999999999999"),
        ("\"num_attention_heads\": 4", "\"num_attention_heads\": 0"),
        ("\"model_type\": \"llama\"", "\"model_type\": \"bloom\""),
    ] {
        let dir = with_weights(&fixture, |dir| {
            std::fs::copy(fixture.join("model.safetensors"), dir.join("model.safetensors")).unwrap();
            assert!(text.contains(field));
            std::fs::write(dir.join("config.json"), text.replace(field, value)).unwrap();
        });
        assert!(Model::load(dir.path(), &cpu()).is_err(), "{value}");
        let out = tempfile::tempdir().unwrap();
        assert!(Import::at(dir.path()).unwrap().copy(out.path()).is_err(), "{value}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_damage_to_an_archive_panics(changes in prop::collection::vec((0usize..2000, any::<u8>()), 1..6)) {
        let members = [
            ("m/data.pkl".to_owned(), state(&[rebuilt("w", "0", 2, 0, &[2], &[1]), rebuilt("v", "0", 2, 1, &[1, 1], &[1, 1])])),
            ("m/data/0".to_owned(), vec![1; 8]),
        ];
        let mut pickle = members[0].1.clone();
        let mut bytes = zip(&members);
        for (at, value) in changes {
            let (archive, length) = (at % bytes.len(), pickle.len());
            bytes[archive] = value;
            pickle[at % length] = value;
        }
        refused(&bytes);
        refusal(&pickle); // with the right checksum
    }
}
