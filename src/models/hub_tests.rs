//! Downloads from a small server that speaks the Hub's protocol, cuts connections and lies.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

use super::hub::{Hub, HubModel};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What a test server has and does.
#[derive(Default)]
struct Shelf {
    files: BTreeMap<String, Vec<u8>>,
    /// Files whose first answer ends after half of what was asked for.
    cut: Mutex<Vec<String>>,
    /// A file that is announced with another digest.
    lie: Option<String>,
    /// The token that is asked for.
    token: Option<String>,
    /// Requests so far: method, path, range, authorization.
    seen: Mutex<Vec<[String; 4]>>,
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hexadecimal(digest(&SHA256, bytes).as_ref())
}

fn git(bytes: &[u8]) -> String {
    let whole = [format!("blob {}\0", bytes.len()).as_bytes(), bytes].concat();
    hexadecimal(digest(&SHA1_FOR_LEGACY_USE_ONLY, &whole).as_ref())
}

/// Serves a shelf until the test ends; gives the address.
fn serve(shelf: &Arc<Shelf>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    // large files lie at another address, as on the Hub
    let store = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = format!("http://{}", store.local_addr().unwrap());
    for (listener, elsewhere) in [(listener, Some(elsewhere)), (store, None)] {
        let shelf = shelf.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(&stream, &shelf, elsewhere.as_deref());
            }
        });
    }
    address
}

fn answer(stream: &TcpStream, shelf: &Shelf, elsewhere: Option<&str>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap()?;
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else {
            break;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let request = [
        method.to_owned(),
        path.to_owned(),
        header("range"),
        header("authorization"),
    ];
    shelf.seen.lock().unwrap().push(request);
    let reply = |status: &str, headers: &str, body: &[u8], length: usize| {
        let mut out = stream;
        write!(
            out,
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
        )?;
        if method == "GET" {
            out.write_all(body)?;
        }
        out.flush()
    };
    if let Some(token) = &shelf.token
        && elsewhere.is_some()
        && header("authorization") != format!("Bearer {token}")
    {
        return reply("401 Unauthorized", "", b"", 0);
    }
    if path.starts_with("/api/models/org/tiny/revision/") {
        let siblings: Vec<_> = shelf
            .files
            .keys()
            .map(|name| serde_json::json!({"rfilename": name}))
            .collect();
        let body = serde_json::json!({"sha": COMMIT, "siblings": siblings}).to_string();
        return reply("200 OK", "", body.as_bytes(), body.len());
    }
    let name = path
        .strip_prefix(&format!("/org/tiny/resolve/{COMMIT}/"))
        .unwrap_or_default();
    let Some(content) = shelf.files.get(name) else {
        return reply("404 Not Found", "", b"", 0);
    };
    let large = name.ends_with(".safetensors");
    let mut etag = if large { sha256(content) } else { git(content) };
    if shelf.lie.as_deref() == Some(name) {
        etag = etag.chars().rev().collect();
    }
    if let (true, Some(elsewhere)) = (large, elsewhere) {
        let headers = format!(
            "location: {elsewhere}{path}\r\nx-linked-etag: \"{etag}\"\r\nx-linked-size: {}\r\n",
            content.len()
        );
        return reply("302 Found", &headers, b"", 0);
    }
    let from: usize = match header("range").strip_prefix("bytes=") {
        Some(range) => range.trim_end_matches('-').parse().unwrap(),
        None => 0,
    };
    let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
    let rest = &content[from..];
    let mut cut = shelf.cut.lock().unwrap();
    let sent = match cut.iter().position(|cut| cut == name) {
        Some(at) if method == "GET" => {
            cut.remove(at);
            &rest[..rest.len() / 2]
        }
        _ => rest,
    };
    reply(status, &format!("etag: \"{etag}\"\r\n"), sent, rest.len())
}

fn shelf() -> Shelf {
    let weights: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    let file = |name: &str, content: &[u8]| (name.to_owned(), content.to_vec());
    Shelf {
        files: [
            file("config.json", b"{}"),
            file("tokenizer.json", b"{\"a\": 1}"),
            file("model.safetensors", &weights),
            file("pytorch_model.bin", b"another format"),
            file("README.md", b"# tiny"),
            file("onnx/model.onnx", b"another framework"),
        ]
        .into(),
        ..Shelf::default()
    }
}

fn requests(shelf: &Shelf, method: &str, name: &str) -> Vec<[String; 4]> {
    let seen = shelf.seen.lock().unwrap();
    let of = |request: &&[String; 4]| request[0] == method && request[1].ends_with(name);
    seen.iter().filter(of).cloned().collect()
}

fn fetch(hub: &Hub, name: &str) -> Result<std::path::PathBuf, super::hub::HubError> {
    let model = HubModel::parse(name).unwrap();
    let commit = hub.commit(&model)?;
    assert_eq!(commit, COMMIT);
    hub.download(&model, &commit, &|_, _, _| true)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_model_comes_once_goes_on_where_it_was_cut_and_is_what_was_announced() {
    let shelf = Arc::new(Shelf {
        cut: Mutex::new(vec!["model.safetensors".into(), "model.safetensors".into()]),
        token: Some("secret".into()),
        ..shelf()
    });
    let address = serve(&shelf);
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::at(&address, cache.path().to_owned(), Some("secret".into()));
    let snapshot = fetch(&hub, "org/tiny").unwrap();
    assert_eq!(names(&snapshot), ["config.json", "model.safetensors", "tokenizer.json"]);
    for name in names(&snapshot) {
        assert_eq!(std::fs::read(snapshot.join(&name)).unwrap(), shelf.files[&name]);
    }
    let ranges: Vec<_> = requests(&shelf, "GET", "model.safetensors")
        .into_iter()
        .map(|request| request[2].clone())
        .collect();
    // each attempt asks at the Hub and is sent on to the store
    assert_eq!(
        ranges,
        [
            "",
            "",
            "bytes=600000-",
            "bytes=600000-",
            "bytes=900000-",
            "bytes=900000-"
        ]
    );
    let tokens: Vec<_> = requests(&shelf, "GET", "model.safetensors")
        .into_iter()
        .map(|request| request[3].clone())
        .collect();
    assert_eq!(tokens, ["Bearer secret", "", "Bearer secret", "", "Bearer secret", ""]);
    // the layout that other programs know
    let folder = cache.path().join("models--org--tiny");
    assert_eq!(std::fs::read_to_string(folder.join("refs/main")).unwrap(), COMMIT);
    let blob = folder.join("blobs").join(sha256(&shelf.files["model.safetensors"]));
    assert_eq!(std::fs::read(blob).unwrap(), shelf.files["model.safetensors"]);
    assert_eq!(snapshot, folder.join("snapshots").join(COMMIT));

    let before = shelf.seen.lock().unwrap().len();
    assert_eq!(fetch(&hub, "org/tiny").unwrap(), snapshot);
    assert_eq!(
        hub.commit(&HubModel::parse(&format!("org/tiny@{COMMIT}")).unwrap())
            .unwrap(),
        COMMIT
    );
    assert_eq!(shelf.seen.lock().unwrap().len(), before, "nothing is asked twice");
}

#[test]
fn what_was_damaged_on_its_way_is_refused() {
    let shelf = Arc::new(Shelf {
        lie: Some("tokenizer.json".into()),
        ..shelf()
    });
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::at(&serve(&shelf), cache.path().to_owned(), None);
    let error = fetch(&hub, "org/tiny@main").unwrap_err().to_string();
    assert!(
        error.contains("tokenizer.json of org/tiny") && error.contains("damaged"),
        "{error}"
    );
    assert!(
        !cache
            .path()
            .join("models--org--tiny/snapshots")
            .join(COMMIT)
            .join("tokenizer.json")
            .exists()
    );
}

#[test]
fn refusals_say_what_to_do() {
    let shelf = Arc::new(Shelf {
        token: Some("secret".into()),
        ..shelf()
    });
    let address = serve(&shelf);
    let cache = tempfile::tempdir().unwrap();
    let error = |token: Option<&str>, name: &str| {
        let hub = Hub::at(&address, cache.path().to_owned(), token.map(str::to_owned));
        fetch(&hub, name).unwrap_err().to_string()
    };
    assert!(error(None, "org/tiny").contains("set `token`"));
    assert!(error(Some("other"), "org/tiny").contains("does not open"));
    assert!(error(Some("secret"), "org/other").contains("no such model"));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hub = Hub::at(&format!("http://{nobody}"), cache.path().to_owned(), None);
    assert!(
        fetch(&hub, "org/tiny")
            .unwrap_err()
            .to_string()
            .contains("cannot reach")
    );
}

#[test]
fn names_are_names() {
    for good in ["org/name", "org/na.me-1_2@refs/pr/7", "org/name@v1.0"] {
        assert!(HubModel::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "gpt2",
        "/",
        "a/b/c",
        "../b",
        "a/..",
        "a/b@",
        "a/b@../x",
        "a/b@x/../y",
        "a b",
        "a/b?c",
        "a--b/c",
        "https://a/b",
    ] {
        assert!(HubModel::parse(bad).is_err(), "{bad}");
    }
}
