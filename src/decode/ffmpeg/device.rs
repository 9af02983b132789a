//! A video engine that decodes, opened once and shared by all decoders. Its pictures are copied to the
//! processor's memory, for everything behind looks at their bytes; what the engine has no decoder for is
//! decoded by the processor, as libavcodec does by itself.

use std::ptr;

use ffmpeg_next as ff;

use crate::decode::hardware::Hardware;
use crate::source::file::quiet_libav;

/// Why an engine cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error(
        "this FFmpeg cannot decode on {hardware}: it was built without it. Install one that has it, or \
         set decode.hardware = \"none\""
    )]
    Missing { hardware: Hardware },
    #[error(
        "FFmpeg knows {hardware}, but cannot use it here: it needs {}; or set decode.hardware = \"none\"",
        hardware.needs()
    )]
    Unusable {
        hardware: Hardware,
        source: ff::Error,
    },
}

/// An open engine; clones share it.
#[derive(Debug)]
pub struct Device {
    hardware: Hardware,
    /// Owned; never null.
    context: *mut ff::ffi::AVBufferRef,
}

// SAFETY: a device context is counted atomically and locks itself: FFmpeg's own programs share one
// between the threads of all their decoders. ffmpeg-next has no type for it that could say so.
#[expect(unsafe_code, reason = "all cameras' threads decode on one engine")]
unsafe impl Send for Device {}
// SAFETY: as above; nothing here writes to it.
#[expect(unsafe_code, reason = "all cameras' threads decode on one engine")]
unsafe impl Sync for Device {}

impl Device {
    /// Opens the engine; none for the processor. Fails when FFmpeg or the machine does not have it.
    #[expect(unsafe_code, reason = "ffmpeg-next has no call for hardware devices")]
    pub fn open(hardware: Hardware) -> Result<Option<Self>, DeviceError> {
        if hardware == Hardware::None {
            return Ok(None);
        }
        quiet_libav();
        let kind = kind_of(hardware).ok_or(DeviceError::Missing { hardware })?;
        let mut context = ptr::null_mut();
        // SAFETY: `context` is where the new reference goes; no device is named and no options are
        // given, which FFmpeg allows.
        let opened = unsafe {
            ff::ffi::av_hwdevice_ctx_create(&raw mut context, kind, ptr::null(), ptr::null_mut(), 0)
        };
        if opened < 0 {
            let source = ff::Error::from(opened);
            return Err(DeviceError::Unusable { hardware, source });
        }
        Ok(Some(Self { hardware, context }))
    }

    /// Returns what it is.
    pub fn hardware(&self) -> Hardware {
        self.hardware
    }

    /// Makes a decoder that is not open yet decode on it: libavcodec then chooses the engine's pictures
    /// where it has a decoder for the stream.
    #[expect(unsafe_code, reason = "ffmpeg-next has no setter for it")]
    pub(super) fn lend_to(&self, decoder: &mut ff::codec::Context) {
        // SAFETY: both are valid; the decoder owns the new reference and gives it back when it is freed.
        unsafe {
            (*decoder.as_mut_ptr()).hw_device_ctx = ff::ffi::av_buffer_ref(self.context);
        }
    }
}

impl Clone for Device {
    #[expect(unsafe_code, reason = "ffmpeg-next has no type for it")]
    fn clone(&self) -> Self {
        // SAFETY: `context` is a valid reference. Out of memory is not survived anywhere else either.
        let context = unsafe { ff::ffi::av_buffer_ref(self.context) };
        assert!(!context.is_null(), "no memory for a reference");
        Self {
            hardware: self.hardware,
            context,
        }
    }
}

impl Drop for Device {
    #[expect(unsafe_code, reason = "ffmpeg-next has no type for it")]
    fn drop(&mut self) {
        // SAFETY: this reference is owned and not used again.
        unsafe { ff::ffi::av_buffer_unref(&raw mut self.context) };
    }
}

/// Returns FFmpeg's number of the engine's kind; none where FFmpeg was built without it.
#[expect(unsafe_code, reason = "ffmpeg-next has no call for hardware devices")]
fn kind_of(hardware: Hardware) -> Option<ff::ffi::AVHWDeviceType> {
    use ff::ffi::AVHWDeviceType::{
        AV_HWDEVICE_TYPE_CUDA, AV_HWDEVICE_TYPE_NONE, AV_HWDEVICE_TYPE_VAAPI,
    };
    let wanted = match hardware {
        Hardware::None => return None,
        Hardware::Vaapi => AV_HWDEVICE_TYPE_VAAPI,
        Hardware::Cuda => AV_HWDEVICE_TYPE_CUDA,
    };
    let mut kind = AV_HWDEVICE_TYPE_NONE;
    // FFmpeg has some ten kinds; its list ends with none.
    loop {
        // SAFETY: it reads a table of FFmpeg's own.
        kind = unsafe { ff::ffi::av_hwdevice_iterate_types(kind) };
        if kind == wanted || kind == AV_HWDEVICE_TYPE_NONE {
            return (kind == wanted).then_some(kind);
        }
    }
}

/// Returns the picture in the processor's memory, the same one where it is there already; none where the
/// engine does not give it.
#[expect(unsafe_code, reason = "ffmpeg-next has no call for it")]
pub(super) fn fetched(picture: ff::frame::Video) -> Option<ff::frame::Video> {
    // SAFETY: `picture` owns a valid AVFrame.
    let is_near = unsafe { (*picture.as_ptr()).hw_frames_ctx.is_null() };
    if is_near {
        return Some(picture);
    }
    let mut near = ff::frame::Video::empty();
    // SAFETY: both own valid AVFrames; an empty one gets buffers of the engine's first format.
    let copied =
        unsafe { ff::ffi::av_hwframe_transfer_data(near.as_mut_ptr(), picture.as_ptr(), 0) };
    (copied >= 0).then_some(near)
}
