//! A browser: a headless Chromium of its own, driven by chromedriver over `WebDriver`, which is HTTP with JSON.

use std::env;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use super::http::Client;
use super::ports::Port;
use super::process::Process;
use super::wait::{SOON, eventually};

/// How `WebDriver` spells a reference to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Which colours a page is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scheme {
    Light,
    Dark,
}

/// A running browser with one page. Its processes are killed when it is dropped.
pub(crate) struct Browser {
    driver: Process,
    dir: TempDir,
    client: Client,
    session: String,
    _port: Port,
}

impl Browser {
    /// Starts one, on an empty page 1200 px wide.
    ///
    /// # Panics
    ///
    /// If there is no chromedriver or no Chromium.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// As [`Self::start`], with more arguments for Chromium.
    pub(crate) async fn with(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let port = Port::reserve();
        let program = env::var("CHROMEDRIVER").unwrap_or_else(|_| "chromedriver".to_owned());
        let found =
            env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|it| it.join(&program).is_file());
        assert!(found, "the tests of the page need chromium and chromedriver: see scripts/need-browser");
        let mut command = Command::new(program);
        command.arg(format!("--port={}", port.number())).env("HOME", dir.path()).env("TMPDIR", dir.path());
        let driver = Process::spawn("chromedriver", &mut command, &dir.path().join("chromedriver.log"));
        let base = format!("http://{}", port.addr());
        let client = Client::new();
        eventually("chromedriver answers", SOON, async || {
            let status = client.get(&format!("{base}/status")).try_send().await;
            status.is_ok_and(|status| status.json()["value"]["ready"] == true)
        })
        .await;
        let mut browser = Self { driver, dir, client, session: base, _port: port };
        let profile = format!("--user-data-dir={}", browser.dir.path().join("profile").display());
        let own = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", &profile];
        let args = [&own[..], args].concat();
        let options = json!({
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "goog:chromeOptions": { "args": args },
        });
        let asked = json!({ "capabilities": { "alwaysMatch": options } });
        let session = browser.ask("POST", "/session", &asked).await;
        let id = session["sessionId"].as_str().expect("a session has an id");
        browser.session = format!("{}/session/{id}", browser.session);
        browser.look(1200, 900, Scheme::Light).await;
        // What the browser's own first page asks for is no part of the test.
        browser.open("about:blank").await;
        browser.requests().await;
        browser
    }

    /// Opens a page and waits until it is there.
    pub(crate) async fn open(&self, url: &str) {
        self.ask("POST", "/url", &json!({ "url": url })).await;
    }

    /// The size of the page in CSS pixels, and its colours.
    pub(crate) async fn look(&self, width: u32, height: u32, scheme: Scheme) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.devtools("Emulation.setDeviceMetricsOverride", &size).await;
        let value = match scheme {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.devtools("Emulation.setEmulatedMedia", &features).await;
    }

    /// What a script gives back; a promise is waited for.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.ask("POST", "/execute/sync", &json!({ "script": script, "args": [] })).await
    }

    /// The text that is seen of what a selector finds first; empty while that is hidden or not there.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let script = format!(
            "const it = document.querySelector({}); return it && it.checkVisibility() ? it.innerText : ''",
            json!(selector)
        );
        self.run(&script).await.as_str().expect("a text").to_owned()
    }

    /// Waits until the text that is seen there contains another.
    pub(crate) async fn says(&self, selector: &str, part: &str) {
        eventually(&format!("`{selector}` says `{part}`"), SOON, async || {
            self.text(selector).await.contains(part)
        })
        .await;
    }

    /// Clicks as a mouse does: what is hidden, or covered by something else, cannot be.
    pub(crate) async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        self.ask("POST", &format!("/element/{element}/click"), &json!({})).await;
    }

    /// Types, after whatever is there.
    pub(crate) async fn keys(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.ask("POST", &format!("/element/{element}/value"), &json!({ "text": text })).await;
    }

    /// Everything the page has written to its console, and what the browser has complained of, since the last call.
    pub(crate) async fn console(&self) -> Vec<String> {
        let entries = self.ask("POST", "/se/log", &json!({ "type": "browser" })).await;
        entries.as_array().expect("a list").iter().map(|entry| entry["message"].to_string()).collect()
    }

    /// The URLs that were asked for since the last call.
    pub(crate) async fn requests(&self) -> Vec<String> {
        let entries = self.ask("POST", "/se/log", &json!({ "type": "performance" })).await;
        let entries = entries.as_array().expect("a list").iter();
        let messages = entries.map(|entry| {
            let text = entry["message"].as_str().expect("an entry holds a message");
            serde_json::from_str::<Value>(text).expect("a message is JSON")["message"].take()
        });
        let sent = messages.filter(|message| message["method"] == "Network.requestWillBeSent");
        sent.map(|message| message["params"]["request"]["url"].as_str().expect("a URL").to_owned()).collect()
    }

    /// Writes all of the page as a PNG to `$COHERD_SCREENSHOTS`, where that is set.
    pub(crate) async fn screenshot(&self, name: &str) {
        let Some(folder) = env::var_os("COHERD_SCREENSHOTS") else { return };
        let size = self.run("return [innerWidth, document.documentElement.scrollHeight]").await;
        let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1 });
        let options = json!({ "captureBeyondViewport": true, "clip": clip });
        let picture = self.devtools("Page.captureScreenshot", &options).await;
        let picture = BASE64.decode(picture["data"].as_str().expect("a picture")).expect("it is base64");
        fs::create_dir_all(&folder).expect("the folder of screenshots can be made");
        fs::write(Path::new(&folder).join(format!("{name}.png")), picture).expect("a picture can be written");
    }

    async fn element(&self, selector: &str) -> String {
        let found =
            self.ask("POST", "/element", &json!({ "using": "css selector", "value": selector })).await;
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    /// A command of Chromium's own protocol.
    async fn devtools(&self, command: &str, params: &Value) -> Value {
        self.ask("POST", "/goog/cdp/execute", &json!({ "cmd": command, "params": params })).await
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let request = self.client.request(method, &format!("{}{path}", self.session));
        let request = request.header("content-type", "application/json").body(body.to_string());
        let answer = request.send().await;
        let value = answer.json()["value"].take();
        assert_eq!(answer.status, 200, "{path} {body}: {}", value["message"]);
        value
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // chromedriver's own end would leave the browser running; some of the browser's processes have left its family.
        let folder = self.dir.path().display().to_string();
        for id in processes().filter(|id| {
            commandline(*id).contains(&folder)
                && Some(id.as_raw_nonzero().get().cast_unsigned()) != self.driver.id()
        }) {
            // One that has ended by itself in the meantime is just as well.
            kill_process(id, Signal::KILL).ok();
        }
    }
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

fn commandline(id: Pid) -> String {
    let bytes = fs::read(format!("/proc/{}/cmdline", id.as_raw_nonzero())).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
