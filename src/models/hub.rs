//! Models by name from a Hub: Hugging Face's protocol and the layout of its cache, so that what
//! another program downloaded is found, and what fragua downloads is found by others.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::digest::{Context as Hasher, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use serde_json::Value;
use ureq::http::Response;

use super::Import;

/// A model that cannot be had from a Hub. Names the model or file, the fact and the next move.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The name is not one.
    #[error("`{name}` is no name of a model: write `org/name`, or `org/name@revision`")]
    Name {
        /// The name.
        name: String,
    },
    /// The server could not be asked.
    #[error("cannot reach {url}: {why}; is there a network? HF_ENDPOINT names another server")]
    Network {
        /// What was asked for.
        url: String,
        /// Why.
        why: String,
    },
    /// The server refused.
    #[error("{url}: {why}")]
    Refused {
        /// What was asked for.
        url: String,
        /// The fact and the next move.
        why: String,
    },
    /// What came is not what was announced.
    #[error("{file} of {model}: {why}")]
    Content {
        /// The model.
        model: String,
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// The cache cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Stopped on request.
    #[error("stopped on request")]
    Stopped,
}

impl HubError {
    fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::File {
            path: path.to_owned(),
            source,
        }
    }
}

/// A model's name on a Hub, with the revision that is meant: `google/flan-t5-small@main`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubModel {
    repository: String,
    revision: String,
}

impl HubModel {
    /// Reads `org/name` or `org/name@revision`; without a revision `main` is meant.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, HubError> {
        let (repository, revision) = text.split_once('@').unwrap_or((text, "main"));
        let part = |part: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            !part.is_empty() && !part.starts_with('.') && !part.contains("--") && part.chars().all(plain)
        };
        let depth = repository.split('/').count();
        if depth == 2 && repository.split('/').all(part) && revision.split('/').all(part) {
            Ok(Self {
                repository: repository.to_owned(),
                revision: revision.to_owned(),
            })
        } else {
            Err(HubError::Name { name: text.to_owned() })
        }
    }

    /// `org/name`
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The revision, if it is a commit already.
    pub fn pinned(&self) -> Option<&str> {
        is_commit(&self.revision).then_some(self.revision.as_str())
    }

    /// The folder of the cache that holds it.
    fn folder(&self) -> String {
        format!("models--{}", self.repository.replace('/', "--"))
    }
}

/// A Hub and the cache beside it.
pub struct Hub {
    endpoint: String,
    cache: PathBuf,
    token: Option<String>,
    agent: ureq::Agent,
}

/// Attempts at one file; each goes on where the one before was cut.
const ATTEMPTS: usize = 5;
/// Bytes read at a time.
const PIECE: usize = 1 << 16;
/// Longest answer that is read whole: the list of a repository's files.
const ANSWER: u64 = 16 << 20;

impl Hub {
    /// The server of `HF_ENDPOINT` (or huggingface.co) and the cache of `HF_HUB_CACHE` or `HF_HOME`
    /// (or `~/.cache/huggingface/hub`). `token` is sent to that server and to no other.
    pub fn from_environment(token: Option<String>) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let home = || {
            let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
            let home = variable("HOME")
                .or_else(|| variable("USERPROFILE"))
                .unwrap_or_else(|| ".".into());
            cache
                .unwrap_or_else(|| Path::new(&home).join(".cache"))
                .join("huggingface")
        };
        let cache = match variable("HF_HUB_CACHE") {
            Some(cache) => cache.into(),
            None => variable("HF_HOME").map_or_else(home, PathBuf::from).join("hub"),
        };
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        Self::at(&endpoint, cache, token)
    }

    /// A server by its address.
    pub fn at(endpoint: &str, cache: PathBuf, token: Option<String>) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(15)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .user_agent(concat!("fragua/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache,
            token,
            agent: agent.into(),
        }
    }

    /// The commit that a revision means: itself; or the one that the cache knows, so that a plan stays
    /// what it was; or what the server says, which the cache then knows.
    ///
    /// # Errors
    /// When it is not in the cache and the server does not say.
    pub fn commit(&self, model: &HubModel) -> Result<String, HubError> {
        if let Some(commit) = model.pinned() {
            return Ok(commit.to_owned());
        }
        let known = self.cache.join(model.folder()).join("refs").join(&model.revision);
        if let Ok(commit) = std::fs::read_to_string(&known)
            && is_commit(commit.trim())
        {
            return Ok(commit.trim().to_owned());
        }
        let (commit, _) = self.list(model, &model.revision)?;
        if let Some(folder) = known.parent() {
            std::fs::create_dir_all(folder).map_err(HubError::file(folder))?;
        }
        std::fs::write(&known, &commit).map_err(HubError::file(&known))?;
        Ok(commit)
    }

    /// The folder of a model's files at a commit; what is not in the cache is downloaded.
    ///
    /// # Errors
    /// When a file cannot be had, or is not what the server announced; [`HubError::Stopped`] when
    /// `progress` (bytes done and in all of a file, and its name) says so.
    pub fn download(
        &self,
        model: &HubModel,
        commit: &str,
        progress: &dyn Fn(u64, u64, &str) -> bool,
    ) -> Result<PathBuf, HubError> {
        let snapshot = self.cache.join(model.folder()).join("snapshots").join(commit);
        let tokenizer = |name: &str| name == "tokenizer.json" || Import::other_tokenizer(name);
        let there = |entry: std::io::Result<std::fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
        let mut names = std::fs::read_dir(&snapshot).into_iter().flatten().filter_map(there);
        if names.any(|name| tokenizer(&name)) && Import::at(&snapshot).is_ok_and(|import| import.whole()) {
            return Ok(snapshot);
        }
        let (_, files) = self.list(model, commit)?;
        for file in wanted(&files) {
            let place = snapshot.join(&file);
            if place.exists() {
                continue;
            }
            let blob = self.blob(model, commit, &file, progress)?;
            std::fs::create_dir_all(&snapshot).map_err(HubError::file(&snapshot))?;
            link(&blob, &place).map_err(HubError::file(&place))?;
        }
        Ok(snapshot)
    }

    /// The commit of a revision and the names of its files.
    fn list(&self, model: &HubModel, revision: &str) -> Result<(String, Vec<String>), HubError> {
        let revision = revision.replace('/', "%2F");
        let url = format!("{}/api/models/{}/revision/{revision}", self.endpoint, model.repository);
        let mut answer = self.get(&url, None)?;
        let text = answer.body_mut().with_config().limit(ANSWER).read_to_string();
        let text = text.map_err(|error| network(&url, &error))?;
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        let commit = value["sha"].as_str().filter(|commit| is_commit(commit));
        let Some(commit) = commit else {
            let why = "the answer names no commit: is this a server with the Hub's protocol?".into();
            return Err(HubError::Refused { url, why });
        };
        let files = value["siblings"].as_array().into_iter().flatten();
        let files = files.filter_map(|file| file["rfilename"].as_str().map(str::to_owned));
        Ok((commit.to_owned(), files.collect()))
    }

    /// A file's content in the cache, by its digest; downloaded if it is not there.
    fn blob(
        &self,
        model: &HubModel,
        commit: &str,
        file: &str,
        progress: &dyn Fn(u64, u64, &str) -> bool,
    ) -> Result<PathBuf, HubError> {
        let url = format!("{}/{}/resolve/{commit}/{file}", self.endpoint, model.repository);
        let wrong = |why: String| HubError::Content {
            model: model.repository.clone(),
            file: file.to_owned(),
            why,
        };
        let (etag, size) = self.announced(&url)?;
        let Some(algorithm) = Algorithm::of(&etag) else {
            return Err(wrong(format!("the server announces no digest (its etag is {etag:?})")));
        };
        let blobs = self.cache.join(model.folder()).join("blobs");
        std::fs::create_dir_all(&blobs).map_err(HubError::file(&blobs))?;
        let blob = blobs.join(&etag);
        // two programs do not write one file; the lock ends with its holder
        let lock = blobs.join(format!("{etag}.lock"));
        let held = File::create(&lock).map_err(HubError::file(&lock))?;
        held.lock().map_err(HubError::file(&lock))?;
        if blob.is_file() {
            return Ok(blob);
        }
        let partial = blobs.join(format!("{etag}.incomplete"));
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match self.fetch(&url, &partial, size, &|done| progress(done, size.unwrap_or(0), file)) {
                Ok(()) => {
                    last = None;
                    break;
                }
                Err(error @ HubError::Network { .. }) => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = last {
            return Err(error);
        }
        let found = algorithm.digest(&partial).map_err(HubError::file(&partial))?;
        if found != etag {
            std::fs::remove_file(&partial).map_err(HubError::file(&partial))?;
            return Err(wrong(format!(
                "it was damaged on its way: its digest is {found}, not {etag}; try again"
            )));
        }
        std::fs::rename(&partial, &blob).map_err(HubError::file(&blob))?;
        Ok(blob)
    }

    /// A file's digest and size, without its content or where it is stored.
    fn announced(&self, url: &str) -> Result<(String, Option<u64>), HubError> {
        let request = self
            .agent
            .head(url)
            .config()
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build();
        let answer = self.authorized(request).call().map_err(|error| network(url, &error))?;
        self.must_be_fine(url, &answer)?;
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let etag = header("x-linked-etag").or_else(|| header("etag")).unwrap_or_default();
        let etag = etag.trim_start_matches("W/").trim_matches('"').to_owned();
        let size = header("x-linked-size").or_else(|| match answer.status().is_success() {
            true => header("content-length"),
            false => None,
        });
        Ok((etag, size.and_then(|size| size.parse().ok())))
    }

    /// Downloads the rest of a file, after what is there of it.
    fn fetch(
        &self,
        url: &str,
        partial: &Path,
        size: Option<u64>,
        progress: &dyn Fn(u64) -> bool,
    ) -> Result<(), HubError> {
        let mut options = File::options();
        let mut file = options
            .create(true)
            .append(true)
            .open(partial)
            .map_err(HubError::file(partial))?;
        let mut done = file.seek(SeekFrom::End(0)).map_err(HubError::file(partial))?;
        if size.is_some_and(|size| done >= size) {
            if size == Some(done) {
                return Ok(());
            }
            done = 0;
        }
        let answer = self.get(url, (done > 0).then_some(done))?;
        if done == 0 || answer.status().as_u16() != 206 {
            file.set_len(0).map_err(HubError::file(partial))?;
            done = 0;
        }
        let mut body = answer.into_body().into_reader();
        let mut piece = vec![0; PIECE];
        loop {
            let count = body.read(&mut piece).map_err(|error| network(url, &error))?;
            if count == 0 {
                break;
            }
            file.write_all(&piece[..count]).map_err(HubError::file(partial))?;
            done += count as u64;
            if !progress(done) {
                return Err(HubError::Stopped);
            }
        }
        match size {
            Some(size) if done < size => {
                let why = format!("the connection ended after {done} of {size} bytes");
                Err(HubError::Network {
                    url: url.to_owned(),
                    why,
                })
            }
            _ => file.sync_all().map_err(HubError::file(partial)),
        }
    }

    fn get(&self, url: &str, from: Option<u64>) -> Result<Response<ureq::Body>, HubError> {
        let mut request = self.authorized(self.agent.get(url));
        if let Some(from) = from {
            request = request.header("range", format!("bytes={from}-"));
        }
        let answer = request.call().map_err(|error| network(url, &error))?;
        if from.is_some() && answer.status().as_u16() == 416 {
            return self.get(url, None); // what is there is not the beginning of this file
        }
        self.must_be_fine(url, &answer)?;
        Ok(answer)
    }

    /// With the token, which ureq does not carry along to where a redirect leads.
    fn authorized<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    fn must_be_fine<B>(&self, url: &str, answer: &Response<B>) -> Result<(), HubError> {
        let status = answer.status();
        let why = match (status.as_u16(), &self.token) {
            _ if status.is_success() || status.is_redirection() => return Ok(()),
            (401 | 403, None) => {
                "the model is not public, or there is none of this name: set `token` to the name of an environment \
                 variable that holds an access token"
                    .to_owned()
            }
            (401 | 403, Some(_)) => "the token does not open this model: ask for access on its page".to_owned(),
            (404, _) => "there is no such model, revision or file".to_owned(),
            (other, _) => format!("the server answered with status {other}"),
        };
        Err(HubError::Refused {
            url: url.to_owned(),
            why,
        })
    }
}

fn network(url: &str, error: &dyn std::fmt::Display) -> HubError {
    HubError::Network {
        url: url.to_owned(),
        why: error.to_string(),
    }
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.chars().all(|c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase())
}

/// The files of a repository that belong to a model, its weights as safetensors if it has those.
fn wanted(files: &[String]) -> Vec<String> {
    // files of folders belong to other frameworks; a name is never a path
    let here = files
        .iter()
        .filter(|file| Path::new(file).file_name().is_some_and(|name| name == file.as_str()));
    let here: Vec<&String> = here.collect();
    let format = |extension: &str| here.iter().any(|file| is_weights(file, extension));
    let extension = if format("safetensors") { "safetensors" } else { "bin" };
    let other = !here.iter().any(|file| *file == "tokenizer.json");
    let tokenizer = |file: &str| other && Import::other_tokenizer(file);
    here.into_iter()
        .filter(|file| Import::beside(file) || tokenizer(file) || is_weights(file, extension))
        .cloned()
        .collect()
}

/// `model.safetensors`, `model-00001-of-00002.safetensors`, `model.safetensors.index.json`, and the
/// same with `pytorch_model` and `bin`.
fn is_weights(file: &str, extension: &str) -> bool {
    let stem = if extension == "bin" { "pytorch_model" } else { "model" };
    let Some(rest) = file.strip_prefix(stem) else {
        return false;
    };
    let index = format!(".{extension}.index.json");
    let whole = format!(".{extension}");
    rest == whole || rest == index || (rest.starts_with('-') && rest.contains("-of-") && rest.ends_with(&whole))
}

/// How a file's digest in its etag is made.
#[derive(Clone, Copy, Debug)]
enum Algorithm {
    /// Of a large file: SHA-256 of its content.
    Sha256,
    /// Of a small one: Git's, SHA-1 of a header and the content.
    Git,
}

impl Algorithm {
    fn of(etag: &str) -> Option<Self> {
        let hexadecimal = etag.chars().all(|c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase());
        match etag.len() {
            64 if hexadecimal => Some(Self::Sha256),
            40 if hexadecimal => Some(Self::Git),
            _ => None,
        }
    }

    fn digest(self, path: &Path) -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let mut hasher = match self {
            Self::Sha256 => Hasher::new(&SHA256),
            Self::Git => {
                let mut hasher = Hasher::new(&SHA1_FOR_LEGACY_USE_ONLY);
                hasher.update(format!("blob {}\0", file.metadata()?.len()).as_bytes());
                hasher
            }
        };
        let mut piece = vec![0; PIECE];
        loop {
            match file.read(&mut piece)? {
                0 => break,
                count => hasher.update(&piece[..count]),
            }
        }
        Ok(hasher
            .finish()
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect())
    }
}

/// A name in a snapshot for a blob: a link where the system has them, else a copy.
#[cfg(unix)]
fn link(blob: &Path, place: &Path) -> std::io::Result<()> {
    let name = blob.file_name().unwrap_or_default();
    std::os::unix::fs::symlink(Path::new("../../blobs").join(name), place)
}

#[cfg(not(unix))]
fn link(blob: &Path, place: &Path) -> std::io::Result<()> {
    std::fs::copy(blob, place).map(|_| ())
}
