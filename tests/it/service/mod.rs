//! The program itself, as its users run it: real cameras, a real receiver, real signals.

mod commands;
mod crash;
mod tls;
mod trouble;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver as Lines};
use std::thread;
use std::time::Duration;

use plumb::clock::{Clock, SystemClock};

use serde_json::Value;

/// Longer than anything here takes, also on a busy machine; reaching it fails the test.
const DEADLINE: Duration = Duration::from_secs(90);

const SECRET: &str = "whsec_cGx1bWIgdGVzdHMgcGx1bWIgdGVzdHMgcGx1bWI=";

/// Returns a committed clip's path, without its ending.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/video")
        .join(name)
}

pub(crate) fn plumb(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plumb"))
        .args(arguments)
        .output()
        .expect("the program starts")
}

/// A program of ours that runs beside the test, ended with the value.
struct Running {
    child: Child,
    lines: Lines<String>,
}

impl Running {
    fn start(command: &mut Command, from: From) -> Self {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let read: Box<dyn Read + Send> = match from {
            From::Stdout => Box::new(child.stdout.take().expect("it is piped")),
            From::Stderr => Box::new(child.stderr.take().expect("it is piped")),
        };
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(read).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    /// Returns the first line that `wanted` makes something of.
    fn wait_for<T>(&self, what: &str, mut wanted: impl FnMut(&str) -> Option<T>) -> T {
        let clock = SystemClock::new();
        let mut seen = Vec::new();
        while let Ok(line) = self
            .lines
            .recv_timeout(DEADLINE.saturating_sub(clock.monotonic()))
        {
            if let Some(found) = wanted(&line) {
                return found;
            }
            seen.push(line);
        }
        panic!("no {what} came; it said:\n{}", seen.join("\n"));
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        let process = rustix::process::Pid::from_raw(id).expect("a process id");
        rustix::process::kill_process(process, signal).expect("it runs");
    }
}

enum From {
    Stdout,
    Stderr,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The receiver of the demo: a program that checks each signature with code of its own.
pub(crate) struct Receiver {
    running: Running,
    pub(crate) port: u16,
}

impl Receiver {
    pub(crate) fn start(port: u16) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/receive.py");
        let mut command = Command::new("python3");
        command.arg(script).args([
            "--until-stdin-closes",
            "--secret",
            SECRET,
            "--port",
            &port.to_string(),
        ]);
        let running = Running::start(&mut command, From::Stdout);
        let port = running.wait_for("port", |line| line.strip_prefix("listening ")?.parse().ok());
        Self { running, port }
    }

    /// Returns the data of the first webhook of type `kind` that `wanted` says yes to. Every
    /// webhook on the way must be signed rightly.
    pub(crate) fn wait_for(&self, kind: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        self.running.wait_for(kind, |line| {
            let delivery: Value = serde_json::from_str(line).expect("a line of JSON");
            assert_eq!(delivery["valid"], true, "a wrong signature: {delivery}");
            let event = &delivery["event"];
            (event["type"] == kind && wanted(&event["data"])).then(|| event["data"].clone())
        })
    }
}

/// A folder with a configuration.
pub(crate) struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    /// Writes a configuration with the given cameras and one endpoint per receiver's port.
    pub(crate) fn new(cameras: &[String], receivers: &[u16]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("secret"), SECRET).expect("writable");
        let mut text = String::from(
            "data_dir = \"data\"\n[http]\nlisten = \"127.0.0.1:0\"\n[[site]]\nid = \"test\"\n",
        );
        text.extend(cameras.iter().map(String::as_str));
        for (index, port) in receivers.iter().enumerate() {
            text += &format!(
                "[[endpoint]]\nid = \"receiver-{index}\"\nurl = \"http://127.0.0.1:{port}/\"\nsecret_file = \"secret\"\n"
            );
        }
        fs::write(folder.path().join("plumb.toml"), text).expect("writable");
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn config(&self) -> String {
        self.path("plumb.toml").display().to_string()
    }

    /// Returns a token of an operator, made as people do before the first start. Where the data
    /// directory takes nothing there is none, and only the probes can be asked.
    fn token(&self) -> String {
        let known = self.path("token");
        if let Ok(token) = fs::read_to_string(&known) {
            return token;
        }
        let config = self.config();
        let made = plumb(&[
            "token", "add", "tests", "--role", "operator", "--config", &config,
        ]);
        let token = String::from_utf8_lossy(&made.stdout).trim().to_owned();
        fs::write(known, &token).expect("writable");
        token
    }

    /// Starts the service and waits until it runs.
    pub(crate) fn run(&self) -> Service {
        self.run_as(Command::new(env!("CARGO_BIN_EXE_plumb")))
    }

    /// Starts it where no file may grow more than so many bytes beyond the database: a full disk as a
    /// program without rights over disks can have it. Writing more is an error, as there, and not the
    /// signal that it else is.
    fn run_within(&self, more_bytes: u64) -> Service {
        self.token();
        let database = fs::metadata(self.path("data/plumb.sqlite")).expect("it is made");
        let file_bytes = database.len() + more_bytes;
        let mut command = Command::new("sh");
        let limited = format!(
            "trap '' XFSZ; exec prlimit --fsize={file_bytes} {} \"$@\"",
            env!("CARGO_BIN_EXE_plumb")
        );
        command.args(["-c", &limited, "sh"]);
        self.run_as(command)
    }

    fn run_as(&self, mut command: Command) -> Service {
        let token = self.token();
        command
            .args(["run", "--config", &self.config()])
            .env_remove("PLUMB_LOG");
        let running = Running::start(&mut command, From::Stderr);
        let address = running.wait_for("address", |line| {
            let (_, rest) = line.split_once("http.address=")?;
            Some(rest.split_whitespace().next()?.to_owned())
        });
        Service {
            running,
            address,
            token,
        }
    }
}

/// `plumb run`.
pub(crate) struct Service {
    running: Running,
    pub(crate) address: String,
    token: String,
}

impl Service {
    fn get(&self, path: &str) -> Value {
        // The answer is read with the test's own few lines: no client library between.
        let mut stream = std::net::TcpStream::connect(&self.address).expect("it listens");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a timeout can be set");
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\
             authorization: Bearer {}\r\n\r\n",
            self.address, self.token
        );
        std::io::Write::write_all(&mut stream, request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {answer}"))
    }

    /// Polls `path` until `wanted` makes something of it.
    fn wait_until<T>(&self, path: &str, mut wanted: impl FnMut(&Value) -> Option<T>) -> T {
        let clock = SystemClock::new();
        loop {
            let answer = self.get(path);
            if let Some(found) = wanted(&answer) {
                return found;
            }
            assert!(
                clock.monotonic() < DEADLINE,
                "{path} never showed it: {answer}"
            );
            thread::yield_now();
        }
    }

    fn alarm_ids(&self) -> BTreeSet<String> {
        let answer = self.get("/api/v1/alarms?limit=200");
        let items = answer["alarms"].as_array().expect("a list").iter();
        items
            .map(|alarm| alarm["id"].as_str().expect("an id").to_owned())
            .collect()
    }

    /// Asks it to stop and returns its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.running.signal(rustix::process::Signal::TERM);
        self.running.child.wait().expect("it ends").code()
    }
}

pub(crate) fn rtsp_camera(id: &str, kind: &str, url: &str, scene: &Path) -> String {
    format!(
        "[[camera]]\nid = \"{id}\"\nsite = \"test\"\nkind = \"{kind}\"\nurl = \"{url}\"\nscene = {:?}\n\
         connect_timeout_s = 5.0\nstall_timeout_s = 2.0\n",
        scene.display().to_string()
    )
}

pub(crate) fn file_camera(id: &str, name: &str) -> String {
    format!(
        "[[camera]]\nid = \"{id}\"\nsite = \"test\"\nkind = \"facade\"\nurl = \"file:{}\"\nscene = {:?}\n",
        fixture(name).with_extension("mp4").display(),
        fixture(name)
            .with_extension("scene.toml")
            .display()
            .to_string()
    )
}
