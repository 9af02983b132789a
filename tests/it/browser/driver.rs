//! A browser for tests: headless Chromium through its driver (WebDriver, W3C), each with cookies of
//! its own. Both are Debian's packages; `make deps` installs them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Longer than anything on a page takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// How WebDriver marks an element in JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The driver's process, ended with the value.
pub(crate) struct Driver {
    process: Child,
    url: String,
    client: Client,
}

impl Driver {
    pub(crate) fn start() -> Self {
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed: make deps");
        let stdout = process.stdout.take().expect("it is piped");
        let port = BufReader::new(stdout)
            .lines()
            .map_while(Result::ok)
            .find_map(|line| {
                let rest = line.split_once("started successfully on port ")?.1;
                Some(rest.trim_end_matches('.').to_owned())
            });
        let port = port.expect("the driver says where it listens");
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().timeout(PATIENCE * 2);
        Self {
            process,
            url: format!("http://127.0.0.1:{port}"),
            client: client.build().expect("a client"),
        }
    }

    /// Opens a browser that nobody has used, in English.
    pub(crate) async fn browser(&self) -> Browser {
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--disable-dev-shm-usage",
            "--lang=en-US",
            "--window-size=1440,900",
        ];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "timeouts": { "script": 120_000, "pageLoad": 120_000 },
            "goog:chromeOptions": {
                "args": arguments,
                "prefs": { "intl.accept_languages": "en-US,en" },
            },
        } } });
        let url = format!("{}/session", self.url);
        let begun = self.client.post(&url).json(&capabilities).send().await;
        let begun: Value = begun
            .expect("the driver answers")
            .json()
            .await
            .expect("JSON");
        let id = begun["value"]["sessionId"].as_str();
        let id = id.unwrap_or_else(|| panic!("no browser: {begun}"));
        let process = begun["value"]["capabilities"]["goog:processID"].as_i64();
        let process = process.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Browser {
            url: format!("{url}/{id}"),
            client: self.client.clone(),
            process: process.expect("the driver says which process it is"),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// One browser.
pub(crate) struct Browser {
    url: String,
    client: Client,
    process: Pid,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Also when a test has failed: the driver leaves its browsers behind.
        kill_process(self.process, Signal::TERM).ok();
    }
}

impl Browser {
    async fn send(&self, command: &str, body: Value) -> Value {
        let request = self
            .client
            .post(format!("{}{command}", self.url))
            .json(&body);
        let answer = request.send().await.expect("the driver answers");
        let status = answer.status();
        let mut answer: Value = answer.json().await.expect("JSON");
        assert!(status.is_success(), "{command} {body}: {answer}");
        answer["value"].take()
    }

    pub(crate) async fn open(&self, url: &str) {
        self.send("/url", json!({ "url": url })).await;
    }

    /// Returns what a script returns.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.send("/execute/sync", json!({ "script": script, "args": [] }))
            .await
    }

    /// Waits until the expression is true on the page; a page that is left meanwhile is asked anew.
    pub(crate) async fn wait_for(&self, condition: &str) {
        let script = format!(
            "const done = arguments[0]; const until = Date.now() + 100000; \
             const look = () => {{ try {{ if ({condition}) return done(true); }} catch {{}} \
             if (Date.now() > until) done(false); else setTimeout(look, 50); }}; look();"
        );
        let body = json!({ "script": script, "args": [] });
        for _ in 0..20 {
            let url = format!("{}/execute/async", self.url);
            let answer = self.client.post(url).json(&body).send().await;
            let answer: Value = answer
                .expect("the driver answers")
                .json()
                .await
                .expect("JSON");
            match answer["value"].as_bool() {
                Some(true) => return,
                Some(false) => break,
                None => {}
            }
        }
        let page = self.run("return document.body.innerText").await;
        panic!("{condition} never came true; the page says: {page}");
    }

    async fn find(&self, css: &str) -> String {
        self.wait_for(&format!("document.querySelector({})", json!(css)))
            .await;
        let body = json!({ "using": "css selector", "value": css });
        let found = self.send("/element", body).await;
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    pub(crate) async fn click(&self, css: &str) {
        let element = self.find(css).await;
        self.send(&format!("/element/{element}/click"), json!({}))
            .await;
    }

    /// Types into a field.
    pub(crate) async fn fill(&self, css: &str, text: &str) {
        let element = self.find(css).await;
        self.send(
            &format!("/element/{element}/value"),
            json!({ "text": text }),
        )
        .await;
    }

    /// Presses a key while nothing but the page has the focus.
    pub(crate) async fn press(&self, key: &str) {
        let actions = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": [
            { "type": "keyDown", "value": key }, { "type": "keyUp", "value": key },
        ] }] });
        self.send("/actions", actions).await;
    }

    /// Presses the mouse at the first of these places of an element, which are relative to its size,
    /// moves it over the others, and lets go.
    pub(crate) async fn drag(&self, css: &str, places: &[(f64, f64)]) {
        self.find(css).await;
        let quoted = json!(css);
        let script = format!(
            "const it = document.querySelector({quoted}); it.scrollIntoView({{ block: 'center' }}); \
             const area = it.getBoundingClientRect(); \
             return [area.left, area.top, area.width, area.height]"
        );
        let area = self.run(&script).await;
        let side = |index: usize| area[index].as_f64().expect("a number");
        let to = |(x, y): (f64, f64)| {
            let (x, y) = (side(0) + x * side(2), side(1) + y * side(3));
            json!({ "type": "pointerMove", "duration": 20, "x": x.round(), "y": y.round() })
        };
        let mut actions = vec![to(places[0]), json!({ "type": "pointerDown", "button": 0 })];
        actions.extend(places[1..].iter().map(|place| to(*place)));
        actions.push(json!({ "type": "pointerUp", "button": 0 }));
        let mouse = json!({ "type": "pointer", "id": "mouse", "actions": actions });
        self.send("/actions", json!({ "actions": [mouse] })).await;
    }

    pub(crate) async fn text(&self, css: &str) -> String {
        let quoted = json!(css);
        let script = format!("return document.querySelector({quoted})?.innerText ?? ''");
        let text = self.run(&script).await;
        text.as_str().expect("text").to_owned()
    }

    /// Makes the window so wide, and as a phone's where it is narrow.
    pub(crate) async fn resize(&self, width_px: u32) {
        let params = json!({
            "width": width_px, "height": 900, "deviceScaleFactor": 1, "mobile": width_px < 600,
        });
        let cmd = "Emulation.setDeviceMetricsOverride";
        self.send("/goog/cdp/execute", json!({ "cmd": cmd, "params": params }))
            .await;
    }

    /// Writes the page as it is printed on A4 into the folder of screenshots, and returns the PDF.
    pub(crate) async fn print(&self, name: &str) -> Vec<u8> {
        let page = json!({ "page": { "width": 21.0, "height": 29.7 } });
        let printed = self.send("/print", page).await;
        let printed = printed.as_str().expect("base64");
        let pdf = base64::engine::general_purpose::STANDARD.decode(printed);
        let pdf = pdf.expect("base64");
        let folder = screenshots();
        fs::create_dir_all(&folder).expect("writable");
        fs::write(folder.join(format!("{name}.pdf")), &pdf).expect("writable");
        pdf
    }

    /// Returns the PNG of what the page shows, as a camera before the screen would see it.
    pub(crate) async fn seen(&self) -> Vec<u8> {
        let params = json!({ "format": "png", "captureBeyondViewport": true });
        let body = json!({ "cmd": "Page.captureScreenshot", "params": params });
        let shot = self.send("/goog/cdp/execute", body).await;
        let data = shot["data"].as_str().expect("base64");
        let bytes = base64::engine::general_purpose::STANDARD.decode(data);
        bytes.expect("base64")
    }

    /// Writes the whole page as a picture into the folder of screenshots.
    pub(crate) async fn shoot(&self, name: &str) {
        let bytes = self.seen().await;
        let folder = screenshots();
        fs::create_dir_all(&folder).expect("writable");
        fs::write(folder.join(format!("{name}.png")), bytes).expect("writable");
    }
}

fn screenshots() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("screenshots")
}
