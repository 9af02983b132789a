//! Real cameras for tests: GStreamer's RTSP server over clips, as its own process, and the clips.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A server of cameras, ended with the value or when the tests die.
pub(crate) struct Cameras {
    server: Child,
    pub(crate) port: u16,
}

impl Cameras {
    /// Serves `NAME=PATH` cameras on a free port of the loopback.
    pub(crate) fn serve(cameras: &[String], options: &[&str]) -> Self {
        Self::serve_on(0, cameras, options)
    }

    /// Serves on `port`.
    pub(crate) fn serve_on(port: u16, cameras: &[String], options: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/rtsp/serve.py");
        // Debian's own Python has GStreamer's bindings; another one in PATH may not.
        let mut server = Command::new("/usr/bin/python3")
            .arg(script)
            .args(["--until-stdin-closes", "--port", &port.to_string()])
            .args(options)
            .args(cameras)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Debian's python3 is installed");
        let mut line = String::new();
        let stdout = server.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("listening ");
        let port = port.unwrap_or_else(|| panic!("the camera server said {line:?}"));
        let port = port.parse().unwrap();
        Self { server, port }
    }

    /// Stops the server where it is: its connections stay open and nothing comes any more.
    pub(crate) fn freeze(&self) {
        let id = i32::try_from(self.server.id()).unwrap();
        let process = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::STOP).unwrap();
    }

    /// Returns the URL of camera `name`, with `login` ("user:password@") in it.
    pub(crate) fn url(&self, login: &str, name: &str) -> String {
        format!("rtsp://{login}127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for Cameras {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

/// Makes a clip of a moving test picture with the `ffmpeg` command, `arguments` after the input.
pub(crate) fn clip(
    folder: &Path,
    name: &str,
    size: &str,
    seconds: f64,
    encode: &[&str],
) -> PathBuf {
    let path = folder.join(name);
    let source = format!("testsrc2=size={size}:rate=25:duration={seconds}");
    let made = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-y", "-f", "lavfi", "-i", &source])
        .args(encode)
        .arg(&path)
        .status()
        .expect("the ffmpeg command is installed");
    assert!(made.success(), "ffmpeg could not make {name}");
    path
}

/// H.264 with a key picture every ten.
pub(crate) const H264: &[&str] = &[
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-pix_fmt",
    "yuv420p",
    "-g",
    "10",
];

/// H.265 with a key picture every ten, without reordering.
pub(crate) const H265: &[&str] = &[
    "-c:v",
    "libx265",
    "-preset",
    "ultrafast",
    "-pix_fmt",
    "yuv420p",
    "-x265-params",
    "keyint=10:min-keyint=10:bframes=0:log-level=none",
];
