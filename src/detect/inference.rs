//! How inferences are computed: on what, and how many at a time. Words only; `detect::session` acts on
//! them.

use std::fmt;
use std::num::NonZeroUsize;

use serde::Deserialize;

/// What computes the models. ONNX Runtime calls it an execution provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    #[default]
    Cpu,
    OpenVino,
    Cuda,
    TensorRt,
}

impl Provider {
    /// Returns the name that the configuration uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::OpenVino => "openvino",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
        }
    }

    /// Returns where a library with it is found.
    pub(super) fn origin(self) -> &'static str {
        match self {
            Self::Cpu => "any has it",
            Self::OpenVino => "the one in PyPI's onnxruntime-openvino has",
            Self::Cuda | Self::TensorRt => "the one in PyPI's onnxruntime-gpu has",
        }
    }

    /// Returns what it needs besides the library.
    pub(super) fn needs(self) -> &'static str {
        match self {
            Self::Cpu => "nothing more",
            Self::OpenVino => "OpenVINO's libraries",
            Self::Cuda => "NVIDIA's driver, CUDA and cuDNN",
            Self::TensorRt => "NVIDIA's driver, CUDA, cuDNN and TensorRT",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// On what models are computed, and how many inferences at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inference {
    pub provider: Provider,
    /// How many inferences of one model run at a time at most, each on its camera's own thread.
    pub threads: NonZeroUsize,
}

impl Default for Inference {
    /// The processor, with one inference a core.
    fn default() -> Self {
        Self {
            provider: Provider::Cpu,
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        }
    }
}
