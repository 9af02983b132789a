//! What decodes: the processor, or a video engine. Words only; `decode::ffmpeg` acts on them.

use std::fmt;

use serde::Deserialize;

/// The engine that decodes. FFmpeg calls it a hardware device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hardware {
    /// The processor.
    #[default]
    None,
    /// Intel's and AMD's, by VAAPI.
    Vaapi,
    /// NVIDIA's (NVDEC).
    Cuda,
}

impl Hardware {
    /// Returns the name that the configuration uses, which is FFmpeg's as well.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Vaapi => "vaapi",
            Self::Cuda => "cuda",
        }
    }

    /// Returns what a machine must have for it.
    pub(super) fn needs(self) -> &'static str {
        match self {
            Self::None => "nothing more",
            Self::Vaapi => {
                "a graphics device /dev/dri/renderD* that the service may open (group render) and its \
                 driver (Debian: intel-media-va-driver or mesa-va-drivers)"
            }
            Self::Cuda => "NVIDIA's driver with libcuda.so.1 and libnvcuvid.so.1",
        }
    }
}

impl fmt::Display for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
