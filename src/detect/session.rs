//! Runs models with ONNX Runtime. The only file that names `ort`.
//!
//! A session computes on the thread that calls it, alone and in a fixed order, so that the same
//! input gives the same output on every run, whichever of a model's sessions computes it. It must
//! never choose what a model means: that is written in models.toml (see `detect::models`) and read by
//! the stage that owns the model.
//!
//! Batches over cameras are not made: on a processor one inference keeps a core busy by itself
//! (benches/README.md has the figures), and a batch would wait for its slowest camera.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ndarray::{ArrayD, ArrayView, ArrayViewD, Dimension};
use ort::ep::{self, ExecutionProvider};
use ort::logging::LogLevel;
use ort::session::Session as OrtSession;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{Outlet, TensorElementType, TensorRef, ValueType};

use super::inference::{Inference, Provider};
use super::pool::Pool;

/// ONNX Runtime's library, relative to the program's folder or one above it.
const LIBRARY: &str = "lib/libonnxruntime.so";
/// Names the library's path where it stands elsewhere.
const LIBRARY_VARIABLE: &str = "PLUMB_ONNXRUNTIME";
/// How many folders above the program's own are searched: target/debug/deps needs three.
const FOLDERS_ABOVE: usize = 4;

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error(
        "cannot find ONNX Runtime (looked for {}); run `make runtime`, or name the library in \
         {LIBRARY_VARIABLE}",
        paths(tried)
    )]
    RuntimeMissing { tried: Vec<PathBuf> },
    #[error("cannot use {path} as ONNX Runtime; run `make runtime` to get the right one")]
    RuntimeUnusable { path: PathBuf, source: BoxError },
    #[error(
        "{path} is ONNX Runtime {found}, but 1.{} or newer is needed; run `make runtime`",
        ort::MINOR_VERSION
    )]
    RuntimeVersion { path: PathBuf, found: String },
    #[error(
        "this ONNX Runtime cannot compute on {provider}: it was built without it. Name one that has it \
         in models.runtime ({}), or set inference.provider = \"cpu\"",
        provider.origin()
    )]
    ProviderMissing { provider: Provider },
    #[error(
        "ONNX Runtime has {provider}, but cannot use it here: {} must be installed where the loader \
         finds it; or set inference.provider = \"cpu\"",
        provider.needs()
    )]
    ProviderUnusable {
        provider: Provider,
        source: BoxError,
    },
    #[error(
        "cannot find the models (looked for {}); name their folder in PLUMB_MODELS",
        paths(tried)
    )]
    ModelsMissing { tried: Vec<PathBuf> },
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} line {line}: {message}")]
    Table {
        path: PathBuf,
        line: usize,
        message: String,
    },
    #[error("{path} has no model {name:?}; it has {known}")]
    UnknownModel {
        path: PathBuf,
        name: String,
        known: String,
    },
    #[error(
        "{path} is not the model that models.toml describes: expected sha256 {expected}, found {found}"
    )]
    Hash {
        path: PathBuf,
        expected: String,
        found: String,
    },
    #[error("ONNX Runtime cannot load {path}")]
    Load { path: PathBuf, source: BoxError },
    #[error("{path} has no {port} {name:?}; it has {known}")]
    Port {
        path: PathBuf,
        port: &'static str,
        name: String,
        known: String,
    },
    #[error("{path}: models.toml expects {port} {name:?} to be {expected}, but it is {found}")]
    Shape {
        path: PathBuf,
        port: &'static str,
        name: String,
        expected: String,
        found: String,
    },
    #[error("the model {model} failed")]
    Run { model: Arc<str>, source: BoxError },
}

/// A cause whose type is ONNX Runtime's own.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn paths(tried: &[PathBuf]) -> String {
    let shown: Vec<_> = tried.iter().map(|p| p.display().to_string()).collect();
    shown.join(", ")
}

/// ONNX Runtime, loaded. A process holds it once and keeps it; cloning is free.
#[derive(Clone)]
pub struct Runtime {
    environment: ort::environment::Environment,
    inference: Inference,
}

/// `ort` allows one environment a process and never a second one, so it is kept here for ever.
static ENVIRONMENT: Mutex<Option<ort::environment::Environment>> = Mutex::new(None);

impl Runtime {
    /// Loads ONNX Runtime from `path`; without one from `PLUMB_ONNXRUNTIME`, else from
    /// `lib/libonnxruntime.so` in the program's folder, in one of the four above it, or in the
    /// working directory. A process that has loaded it keeps that one, whatever `path` says later,
    /// but a path with no file fails all the same.
    /// Fails when the library is missing, is none, or is older than needed.
    pub fn load(path: Option<&Path>) -> Result<Self, SessionError> {
        let named = path
            .map(Path::to_path_buf)
            .or_else(|| std::env::var_os(LIBRARY_VARIABLE).map(PathBuf::from));
        let library =
            find(named, LIBRARY).map_err(|tried| SessionError::RuntimeMissing { tried })?;
        // A panic while holding it leaves the old value: it stays usable.
        let mut kept = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_none() {
            *kept = Some(open_environment(&library)?);
        }
        let environment = kept.clone().expect("it was put there just above");
        Ok(Self {
            environment,
            inference: Inference::default(),
        })
    }

    /// Returns the same runtime, which opens its models as `inference` says.
    /// Fails when the library was built without the provider.
    pub fn with(self, inference: Inference) -> Result<Self, SessionError> {
        check_provider(inference.provider)?;
        Ok(Self { inference, ..self })
    }

    /// Opens the model in `bytes` and checks its ports against `spec`.
    /// Fails when it is not a model, takes or gives something else, or the provider cannot be used.
    pub(super) fn session(
        &self,
        bytes: Vec<u8>,
        spec: SessionSpec<'_>,
    ) -> Result<Session, SessionError> {
        let session = self.open(&bytes, spec.path)?;
        check_port(spec.path, "input", session.inputs(), spec.input)?;
        check_port(spec.path, "output", session.outputs(), spec.output)?;
        Ok(Session {
            model: spec.model.into(),
            sha256: spec.sha256.into(),
            input: spec.input.name.into(),
            output: spec.output.name.into(),
            inner: Arc::new(Inner {
                runtime: self.clone(),
                path: spec.path.to_path_buf(),
                bytes,
                sessions: Pool::new(session, self.inference.threads),
            }),
        })
    }

    fn open(&self, bytes: &[u8], path: &Path) -> Result<OrtSession, SessionError> {
        let load = |source: ort::Error| SessionError::Load {
            path: path.to_path_buf(),
            source: source.into(),
        };
        let builder = builder(&self.environment).map_err(load)?;
        let mut builder = registered(builder, self.inference.provider)?;
        builder.commit_from_memory(bytes).map_err(load)
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Runtime")
    }
}

/// What a session must be, as models.toml says.
#[derive(Clone, Copy)]
pub(super) struct SessionSpec<'a> {
    pub(super) model: &'a str,
    pub(super) path: &'a Path,
    pub(super) sha256: &'a str,
    pub(super) input: PortSpec<'a>,
    pub(super) output: PortSpec<'a>,
}

/// One input or output: its name and shape, -1 where any length is meant.
#[derive(Clone, Copy)]
pub(super) struct PortSpec<'a> {
    pub(super) name: &'a str,
    pub(super) shape: &'a [i64],
}

/// One opened model, one float32 tensor in and one out. Cloning shares it.
///
/// As many inferences run at a time as [`Inference::threads`] says; who comes later waits, the longest
/// waiting first. Each model has its own turns: the verifier never waits for an elevator's look.
#[derive(Clone)]
pub struct Session {
    model: Arc<str>,
    sha256: Arc<str>,
    input: Arc<str>,
    output: Arc<str>,
    inner: Arc<Inner>,
}

struct Inner {
    runtime: Runtime,
    path: PathBuf,
    /// To open further sessions of: the file may have been exchanged since it was checked.
    bytes: Vec<u8>,
    sessions: Pool<OrtSession>,
}

impl Inner {
    /// Returns one more session; none, and a word in the log, where it cannot be opened: what worked once
    /// lacks memory now, and those there are go on.
    fn another(&self) -> Option<OrtSession> {
        let opened = self.runtime.open(&self.bytes, &self.path);
        if let Err(error) = &opened {
            let error = error as &dyn std::error::Error;
            tracing::warn!(
                error,
                "no further session of a model can be opened; cameras share those there are"
            );
        }
        opened.ok()
    }
}

impl Session {
    /// Returns the model's name in models.toml.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Returns the SHA-256 of the model's file, in lower-case hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Runs the model on `input` and returns its output, copied.
    /// Fails when the input is not of the model's shape or not contiguous.
    pub fn run<D>(&self, input: ArrayView<'_, f32, D>) -> Result<ArrayD<f32>, SessionError>
    where
        D: Dimension + 'static,
    {
        self.run_with(input, |output| output.to_owned())
    }

    /// Runs the model on `input` and lets `read` look at its output where it lies.
    /// Fails when the input is not of the model's shape or not contiguous.
    pub fn run_with<D, T>(
        &self,
        input: ArrayView<'_, f32, D>,
        read: impl FnOnce(ArrayViewD<'_, f32>) -> T,
    ) -> Result<T, SessionError>
    where
        D: Dimension + 'static,
    {
        let failed = |source: ort::Error| SessionError::Run {
            model: Arc::clone(&self.model),
            source: source.into(),
        };
        let input = TensorRef::from_array_view(input).map_err(failed)?;
        // A panic inside `read` leaves nothing half done in the session: it stays usable.
        let mut session = self.inner.sessions.borrow(|| self.inner.another());
        let outputs = session
            .run(ort::inputs![&*self.input => input])
            .map_err(failed)?;
        let output = outputs
            .get(&*self.output)
            .expect("the output's name was checked when the model was opened");
        Ok(read(output.try_extract_array::<f32>().map_err(failed)?))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({})", self.model)
    }
}

/// Returns `named` where there is one and it exists; else the first `relative` that exists in the
/// program's folder, the four above it or the working directory; else everything looked at.
pub(super) fn find(named: Option<PathBuf>, relative: &str) -> Result<PathBuf, Vec<PathBuf>> {
    let candidates = match named {
        Some(path) => vec![path],
        None => std::env::current_exe()
            .unwrap_or_default()
            .ancestors()
            .skip(1)
            .take(FOLDERS_ABOVE + 1)
            .chain([Path::new("")])
            .map(|folder| folder.join(relative))
            .collect(),
    };
    match candidates.iter().find(|path| path.exists()) {
        // ort takes a relative path as relative to the program.
        Some(path) => Ok(std::path::absolute(path).unwrap_or_else(|_| path.clone())),
        None => Err(candidates),
    }
}

fn open_environment(library: &Path) -> Result<ort::environment::Environment, SessionError> {
    let path = library.to_path_buf();
    let builder = ort::init_from(library).map_err(|error| match error {
        ort::LoadDynamicError::BadVersion { version_str, path } => SessionError::RuntimeVersion {
            path,
            found: version_str,
        },
        other => SessionError::RuntimeUnusable {
            path: path.clone(),
            source: other.into(),
        },
    })?;
    let environment = builder
        .with_name("plumb")
        .with_telemetry(false)
        .with_logger(Arc::new(log))
        .build()
        .map_err(|source| SessionError::RuntimeUnusable {
            path,
            source: source.into(),
        })?;
    environment.set_log_level(LogLevel::Warning);
    Ok(environment)
}

fn log(level: LogLevel, category: &str, _id: &str, location: &str, message: &str) {
    match level {
        LogLevel::Verbose | LogLevel::Info => {
            tracing::debug!(
                ort.category = category,
                ort.location = location,
                "{message}"
            );
        }
        LogLevel::Warning => {
            tracing::warn!(
                ort.category = category,
                ort.location = location,
                "{message}"
            );
        }
        LogLevel::Error | LogLevel::Fatal => {
            tracing::error!(
                ort.category = category,
                ort.location = location,
                "{message}"
            );
        }
    }
}

fn builder(environment: &ort::environment::Environment) -> ort::Result<SessionBuilder> {
    Ok(OrtSession::builder(environment)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_parallel_execution(false)?
        .with_deterministic_compute(true)?
        .with_optimization_level(GraphOptimizationLevel::All)?)
}

/// Fails when the loaded library was built without the provider.
fn check_provider(provider: Provider) -> Result<(), SessionError> {
    let is_there = match provider {
        Provider::Cpu => Ok(true),
        Provider::OpenVino => ep::OpenVINO::is_available(),
        Provider::Cuda => ep::CUDA::is_available(),
        Provider::TensorRt => ep::TensorRT::is_available(),
    };
    match is_there {
        Ok(true) => Ok(()),
        Ok(false) => Err(SessionError::ProviderMissing { provider }),
        Err(source) => Err(SessionError::ProviderUnusable {
            provider,
            source: source.into(),
        }),
    }
}

/// Makes a session use the provider. ort would log a failure and compute on the processor all the same:
/// here it is an error, because whoever asks for a GPU counts on it.
fn registered(builder: SessionBuilder, provider: Provider) -> Result<SessionBuilder, SessionError> {
    let openvino = || ep::OpenVINO::default().build().error_on_failure();
    let cuda = || ep::CUDA::default().build().error_on_failure();
    let tensorrt = || ep::TensorRT::default().build().error_on_failure();
    let registered = match provider {
        Provider::Cpu => return Ok(builder),
        Provider::OpenVino => builder.with_execution_providers([openvino()]),
        Provider::Cuda => builder.with_execution_providers([cuda()]),
        // What TensorRT has no kernel for is CUDA's.
        Provider::TensorRt => builder.with_execution_providers([tensorrt(), cuda()]),
    };
    registered.map_err(|source| SessionError::ProviderUnusable {
        provider,
        source: ort::Error::<()>::from(source).into(),
    })
}

fn check_port(
    path: &Path,
    port: &'static str,
    outlets: &[Outlet],
    spec: PortSpec<'_>,
) -> Result<(), SessionError> {
    let Some(outlet) = outlets.iter().find(|outlet| outlet.name() == spec.name) else {
        let names: Vec<_> = outlets.iter().map(|o| format!("{:?}", o.name())).collect();
        return Err(SessionError::Port {
            path: path.to_path_buf(),
            port,
            name: spec.name.to_owned(),
            known: names.join(", "),
        });
    };
    let fits = match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => {
            // -1 is an axis of any length, on either side.
            let fits = |(found, expected): (&i64, &i64)| {
                *found == *expected || *found == -1 || *expected == -1
            };
            *ty == TensorElementType::Float32
                && shape.len() == spec.shape.len()
                && shape.iter().zip(spec.shape).all(fits)
        }
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(SessionError::Shape {
        path: path.to_path_buf(),
        port,
        name: spec.name.to_owned(),
        expected: format!("f32 {:?}", spec.shape),
        found: described(outlet.dtype()),
    })
}

fn described(dtype: &ValueType) -> String {
    match dtype {
        ValueType::Tensor { ty, shape, .. } => format!("{ty} {:?}", &**shape),
        other => other.to_string(),
    }
}
