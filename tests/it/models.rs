//! Loading models: the runtime, the table, the hash and the shapes, against the shipped model.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;

use plumb::detect::{Inference, Models, Provider, Runtime, SessionError};
use tempfile::TempDir;

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models")
}

fn runtime() -> Runtime {
    Runtime::load(None).expect("ONNX Runtime; run `make runtime`")
}

/// Copies the shipped table and e-bike model into a folder, after `edit` has changed the table.
fn edited(edit: impl FnOnce(String) -> String) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let table = std::fs::read_to_string(shipped().join("models.toml")).expect("the table");
    std::fs::write(folder.path().join("models.toml"), edit(table)).expect("written");
    std::fs::copy(
        shipped().join("ebike.onnx"),
        folder.path().join("ebike.onnx"),
    )
    .expect("copied");
    folder
}

fn refusal(folder: &TempDir) -> SessionError {
    Models::open(&runtime(), Some(folder.path()))
        .and_then(|models| models.session("ebike"))
        .expect_err("it must be refused")
}

/// Returns the error and its causes as a person reads them.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[test]
fn the_shipped_models_open_and_are_the_ones_described() {
    let models = Models::open(&runtime(), None).expect("the shipped table");
    let names: Vec<_> = models.digests().map(|(name, _)| name.to_owned()).collect();
    assert!(names.contains(&"ebike".to_owned()), "{names:?}");
    for (name, digest) in models.digests() {
        let session = models.session(name).expect(name);
        assert_eq!(session.sha256(), digest);
    }
}

#[test]
fn loading_twice_gives_the_same_runtime() {
    let (first, second) = (runtime(), runtime());
    for runtime in [first, second] {
        let models = Models::open(&runtime, Some(&shipped())).expect("the shipped table");
        models.session("ebike").expect("the shipped model");
    }
}

#[test]
fn the_same_input_gives_the_same_output() {
    let models = Models::open(&runtime(), Some(&shipped())).expect("the shipped table");
    let session = models.session("ebike").expect("the shipped model");
    let input = ndarray::Array4::from_shape_fn((1, 3, 256, 384), |(_, c, y, x)| {
        let value = (c * 7 + y * 3 + x * 5) % 255;
        f32::from(u8::try_from(value).expect("under 255")) / 100.0 - 1.0
    });
    let first = session.run(input.view()).expect("an output");
    let again = session.run(input.view()).expect("an output");
    assert_eq!(first, again);
    assert_eq!(
        first.shape(),
        models
            .shapes("ebike")
            .expect("known")
            .1
            .iter()
            .map(|&n| usize::try_from(n).expect("fixed"))
            .collect::<Vec<_>>()
    );
}

#[test]
fn an_input_of_another_shape_is_an_error_not_a_crash() {
    let models = Models::open(&runtime(), Some(&shipped())).expect("the shipped table");
    let session = models.session("ebike").expect("the shipped model");
    let input = ndarray::Array3::<f32>::zeros((3, 256, 384));
    let error = session.run(input.view()).expect_err("three axes, not four");
    assert!(matches!(error, SessionError::Run { .. }), "{error}");
}

#[test]
fn a_model_with_another_hash_is_refused_with_both_digests() {
    let folder = edited(|table| table);
    let path = folder.path().join("ebike.onnx");
    let mut bytes = std::fs::read(&path).expect("the model");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    let error = refusal(&folder);
    let SessionError::Hash {
        expected, found, ..
    } = &error
    else {
        panic!("{error}")
    };
    assert_ne!(expected, found);
    assert_eq!(found.len(), 64);
    let text = told(&error);
    assert!(text.contains(expected) && text.contains(found) && text.contains("ebike.onnx"));
}

#[test]
fn a_missing_model_is_named() {
    let folder = edited(|table| table);
    std::fs::remove_file(folder.path().join("ebike.onnx")).expect("removed");
    let text = told(&refusal(&folder));
    assert!(
        text.contains("cannot read") && text.contains("ebike.onnx"),
        "{text}"
    );
}

#[test]
fn a_truncated_model_is_an_error_even_when_its_hash_is_right() {
    use sha2::{Digest, Sha256};
    let bytes = std::fs::read(shipped().join("ebike.onnx")).expect("the model");
    let half = &bytes[..bytes.len() / 2];
    let digest: String = Sha256::digest(half)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let folder = edited(|table| replace_value(&table, "sha256", &format!("\"{digest}\"")));
    std::fs::write(folder.path().join("ebike.onnx"), half).expect("written");
    let error = refusal(&folder);
    assert!(
        matches!(error, SessionError::Load { .. }),
        "{}",
        told(&error)
    );
}

#[test]
fn a_model_of_another_shape_is_refused_with_both_shapes() {
    let folder =
        edited(|table| table.replace("shape = [1, 3, 256, 384]", "shape = [1, 1, 256, 384]"));
    let text = told(&refusal(&folder));
    assert!(
        text.contains("[1, 1, 256, 384]") && text.contains("[1, 3, "),
        "{text}"
    );
}

#[test]
fn a_port_that_the_model_lacks_is_named_with_those_it_has() {
    let folder = edited(|table| table.replace("name = \"data\"", "name = \"picture\""));
    let text = told(&refusal(&folder));
    assert!(
        text.contains("\"picture\"") && text.contains("\"data\""),
        "{text}"
    );
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let folder = edited(|table| format!("[ebike2]\nfiel = 1\n{table}"));
    let error = Models::open(&runtime(), Some(folder.path())).expect_err("an unknown key");
    let text = told(&error);
    assert!(
        text.contains("models.toml line 2") && text.contains("fiel"),
        "{text}"
    );
}

#[test]
fn an_unknown_model_is_answered_with_the_known_ones() {
    let models = Models::open(&runtime(), Some(&shipped())).expect("the shipped table");
    let text = told(&models.session("ebkie").expect_err("no such model"));
    assert!(
        text.contains("\"ebkie\"") && text.contains("\"ebike\""),
        "{text}"
    );
}

#[test]
fn one_model_alone_is_measured_and_named_by_its_digest() {
    let models = Models::open(&runtime(), None).expect("the shipped table");
    let (_, digest) = models
        .digests()
        .find(|(name, _)| *name == "verifier")
        .expect("it ships");
    let output = Command::new(env!("CARGO_BIN_EXE_plumb"))
        .args(["bench", "--model", "verifier", "--json"])
        .output()
        .expect("plumb runs");
    let figures: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("one object of JSON");
    assert_eq!(figures["sha256"], digest);
    assert!(figures["ms_p50"].as_f64() > Some(0.0), "{figures}");
    assert!(figures["ms_p95"].as_f64() >= figures["ms_p50"].as_f64());
}

#[test]
fn a_missing_runtime_says_what_to_do() {
    let nowhere = Path::new("/nowhere/libonnxruntime.so");
    let error = Runtime::load(Some(nowhere)).expect_err("there is none");
    let text = told(&error);
    assert!(
        text.contains("make runtime") && text.contains("/nowhere/"),
        "{text}"
    );
}

#[test]
fn a_missing_table_says_where_it_was_sought() {
    let folder = TempDir::new().expect("a folder");
    let text = told(&Models::open(&runtime(), Some(folder.path())).expect_err("empty"));
    assert!(
        text.contains("PLUMB_MODELS") && text.contains("models.toml"),
        "{text}"
    );
}

/// Replaces the first `key = …` of the table.
fn replace_value(table: &str, key: &str, value: &str) -> String {
    let start = table.find(&format!("\n{key} = ")).expect("the key") + 1;
    let end = start + table[start..].find('\n').expect("the line's end");
    format!("{}{key} = {value}{}", &table[..start], &table[end..])
}

#[test]
fn several_cameras_at_once_get_what_one_alone_gets() {
    let at_most = |threads| Inference {
        threads: NonZeroUsize::new(threads).expect("one or more"),
        ..Inference::default()
    };
    let input = |camera: u32| {
        ndarray::Array4::from_shape_fn((1, 3, 256, 384), move |(_, c, y, x)| {
            let value = (c * 7 + y * 3 + x * 5 + camera as usize * 11) % 256;
            f32::from(u8::try_from(value).expect("under 256"))
        })
    };
    let alone = Models::open(&runtime(), Some(&shipped())).expect("the shipped table");
    let alone = alone.session("ebike").expect("the shipped model");
    for threads in [1, 3] {
        let shared = runtime().with(at_most(threads)).expect("a processor");
        let shared = Models::open(&shared, Some(&shipped())).expect("the shipped table");
        let shared = shared.session("ebike").expect("the shipped model");
        std::thread::scope(|scope| {
            for camera in 0..4 {
                let (shared, alone) = (shared.clone(), &alone);
                scope.spawn(move || {
                    let input = input(camera);
                    let expected = alone.run(input.view()).expect("an output");
                    for _ in 0..3 {
                        let found = shared.run(input.view()).expect("an output");
                        assert_eq!(found, expected, "camera {camera}, {threads} at a time");
                    }
                });
            }
        });
    }
}

#[test]
fn a_provider_that_the_library_lacks_is_refused_with_what_to_do() {
    for (provider, expected) in [
        (Provider::OpenVino, "onnxruntime-openvino"),
        (Provider::Cuda, "onnxruntime-gpu"),
        (Provider::TensorRt, "onnxruntime-gpu"),
    ] {
        let inference = Inference {
            provider,
            ..Inference::default()
        };
        let error = runtime()
            .with(inference)
            .expect_err("the library of `make runtime` computes on the processor alone");
        let text = told(&error);
        for part in [
            provider.as_str(),
            expected,
            "models.runtime",
            "inference.provider = \"cpu\"",
        ] {
            assert!(text.contains(part), "{part} is missing in: {text}");
        }
    }
}
