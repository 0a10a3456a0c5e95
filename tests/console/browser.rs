//! A Chromium of its own for each test, by WebDriver.

use crate::support::{Service, eventually, has};
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Runs before the scripts of each page: notes when the list stands, what the page's policy forbids, what fails, and what only a text that became a script calls.
const WATCH: &str = "
    window.seen = { violations: [], errors: [], ran: [] };
    document.addEventListener('securitypolicyviolation', (event) => seen.violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`));
    window.addEventListener('error', (event) => seen.errors.push(String(event.message)));
    window.addEventListener('unhandledrejection', (event) => seen.errors.push(String(event.reason)));
    new MutationObserver((_, observer) => {
        if (!document.querySelector('#list tbody tr')) return;
        observer.disconnect();
        requestAnimationFrame(() => (window.listAt = performance.now()));
    }).observe(document, { childList: true, subtree: true });
    console.error = (...what) => seen.errors.push(what.join(' '));
    window.ran = (what) => seen.ran.push(String(what));
    window.alert = window.confirm = window.prompt = window.ran;";

/// What a page has seen in which nothing was forbidden, nothing failed, and no text became a script.
static CALM: LazyLock<Value> = LazyLock::new(|| json!({ "violations": [], "errors": [], "ran": [] }));

/// More browsers at once would only wait for each other.
static TURNS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(2));

pub struct Browser {
    pub client: Client,
    session: String,
    http: reqwest::Client,
    /// Where its addresses begin.
    base: String,
    driver: Driver,
    _turn: SemaphorePermit<'static>,
}

struct Driver {
    child: Child,
    url: String,
}

impl Drop for Driver {
    /// Ends the browser too: where a test fails nobody has closed it, and it would outlive its driver.
    fn drop(&mut self) {
        let (mut ended, parents) = (vec![self.child.id()], parents());
        while let Some((pid, _)) = parents.iter().find(|(pid, parent)| ended.contains(parent) && !ended.contains(pid)) {
            ended.push(*pid);
        }
        for pid in ended.iter().filter_map(|pid| Pid::from_raw(i32::try_from(*pid).ok()?)) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Every process and its parent.
fn parents() -> Vec<(u32, u32)> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parent = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Behind the name, which may have any character: the state and the parent.
        Some((pid, stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?))
    };
    pids.filter_map(parent).collect()
}

impl Driver {
    /// Of drivers that start at the same time one may choose a port that another takes before it: it ends, and the next one is tried.
    fn start() -> Self {
        (0..5).find_map(|_| Self::try_start()).expect("a driver that starts")
    }

    fn try_start() -> Option<Self> {
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let Some(said) = lines.find(|line| line.contains("started successfully on port")) else {
            println!("chromedriver: {}", child.wait().expect("it ends"));
            return None;
        };
        let port: u16 = said.trim_end_matches('.').rsplit(' ').next().and_then(|port| port.parse().ok()).expect(&said);
        // What else it says is not needed, but it must be able to say it.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Driver { child, url: format!("http://127.0.0.1:{port}") })
    }
}

impl Browser {
    /// A browser for this service; `None` where there is no Chromium.
    pub async fn open(service: &Service) -> Option<Self> {
        Self::at(&service.url("")).await
    }

    /// A browser whose addresses begin with `base`.
    pub async fn at(base: &str) -> Option<Self> {
        if !has("chromedriver", "--version") || !has("chromium", "--version") {
            return None;
        }
        let turn = TURNS.acquire().await.expect("never closed");
        let driver = Driver::start();
        let wished = json!({
            "goog:chromeOptions": {
                "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--lang=en-US"],
            },
            "goog:loggingPrefs": { "performance": "ALL" },
        });
        let wished: Map<String, Value> = serde_json::from_value(wished).expect("capabilities");
        let client = ClientBuilder::new(HttpConnector::new()).capabilities(wished).connect(&driver.url).await;
        let client = client.expect("a session");
        let session = client.session_id().await.expect("a session").expect("its id");
        let browser =
            Browser { client, session, http: reqwest::Client::new(), base: base.to_owned(), driver, _turn: turn };
        browser.cdp("Page.addScriptToEvaluateOnNewDocument", json!({ "source": WATCH })).await;
        browser.size(1300, 900).await;
        Some(browser)
    }

    /// What WebDriver itself does not have: a command of DevTools.
    pub async fn cdp(&self, command: &str, parameters: Value) -> Value {
        self.more("goog/cdp/execute", &json!({ "cmd": command, "params": parameters })).await
    }

    async fn more(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}/session/{}/{path}", self.driver.url, self.session);
        let answer = self.http.post(url).body(body.to_string()).send().await.expect("an answer");
        let text = answer.text().await.expect("a body");
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        assert!(answer["value"]["error"].is_null(), "{path} {body}: {text}");
        answer["value"].clone()
    }

    /// The size of what the page sees of the window, in CSS pixels.
    pub async fn size(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.cdp("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Light or dark, as the system of the reader is.
    pub async fn scheme(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.cdp("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// Loads a page. The one before must have been calm: what it saw is gone with it.
    pub async fn go(&self, path: &str) {
        let place = self.value("location.href").await;
        let seen = self.value("window.seen ?? null").await;
        assert!(seen.is_null() || seen == CALM.clone(), "{place}: {seen}");
        self.client.goto(&format!("{}{path}", self.base)).await.expect("the page");
    }

    /// Goes to another view within the page, as "back" does.
    pub async fn turn_to(&self, path: &str) {
        let script = "history.pushState(null, '', arguments[0]); dispatchEvent(new PopStateEvent('popstate'))";
        self.client.execute(script, vec![path.into()]).await.expect("a turn");
    }

    /// The value of an expression in the page.
    pub async fn value(&self, expression: &str) -> Value {
        let value = self.client.execute(&format!("return ({expression})"), Vec::new()).await;
        value.unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// Waits until an expression in the page is something.
    pub async fn until(&self, expression: &str) -> Value {
        let found = async || {
            let value = self.value(expression).await;
            let is_something = !matches!(value, Value::Null | Value::Bool(false)) && value != "" && value != 0;
            is_something.then_some(value)
        };
        eventually(expression, found).await
    }

    /// Waits until the view has drawn all its parts: a part is busy from its question to its answer.
    pub async fn drawn(&self) {
        self.until("document.querySelector('main h1') && !document.querySelector('[aria-busy=true]')").await;
    }

    /// The text of the page as it is read, or of a part of it.
    pub async fn text(&self, selector: &str) -> String {
        let value =
            self.client.execute("return document.querySelector(arguments[0])?.innerText ?? ''", vec![selector.into()]);
        value.await.expect("a text").as_str().expect("a text").to_owned()
    }

    /// Strikes keys, wherever the focus is.
    pub async fn keys(&self, keys: &str) {
        let active = self.client.active_element().await.expect("something has the focus");
        active.send_keys(keys).await.expect("keys");
    }

    pub async fn click(&self, selector: &str) {
        let found = self.client.find(fantoccini::Locator::Css(selector)).await.expect(selector);
        found.click().await.expect(selector);
    }

    /// What "Copy as curl" of the view copies.
    pub async fn copied(&self) -> String {
        let permissions = json!({ "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
        self.cdp("Browser.grantPermissions", permissions).await;
        self.value("document.getElementById('news').textContent = ''").await;
        self.click("main .head .copiers button:first-child").await;
        self.until("document.getElementById('news').textContent === 'Copied'").await;
        let read = "navigator.clipboard.readText().then(arguments[0], (error) => arguments[0](String(error)))";
        let copied = self.client.execute_async(read, Vec::new()).await.expect("the clipboard");
        copied.as_str().expect("a text").to_owned()
    }

    /// The addresses that were asked for since the last call; some were.
    pub async fn asked(&self) -> Vec<String> {
        let entries = self.more("se/log", &json!({ "type": "performance" })).await;
        let entries = entries.as_array().expect("entries").iter();
        let messages = entries.map(|entry| -> Value {
            serde_json::from_str(entry["message"].as_str().expect("a message")).expect("JSON")
        });
        let sent = messages.filter(|entry| entry["message"]["method"] == "Network.requestWillBeSent");
        let urls: Vec<String> = sent
            .map(|entry| entry["message"]["params"]["request"]["url"].as_str().expect("a URL").to_owned())
            .collect();
        assert!(urls.iter().any(|url| url.contains("/api/v1/")), "the log of addresses is there: {urls:?}");
        urls
    }

    /// Nothing was forbidden, nothing failed, and no text became a script.
    pub async fn assert_calm(&self, place: &str) {
        let seen = self.value("window.seen").await;
        assert_eq!(seen, *CALM, "{place}");
    }

    /// The page's faults by axe-core, of WCAG 2.2 A and AA.
    pub async fn faults_of_access(&self) -> Vec<String> {
        let Some(axe) = axe() else { return Vec::new() };
        self.client.execute(&std::fs::read_to_string(axe).expect("axe"), Vec::new()).await.expect("axe is there");
        let script = "const done = arguments[arguments.length - 1];
            const only = { type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] };
            axe.run(document, { runOnly: only }).then(({ violations }) => done(violations.map(({ id, nodes }) =>
                `${id}: ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join(' | ')}`)), (error) => done([String(error)]))";
        let found = self.client.execute_async(script, Vec::new()).await.expect("axe's answer");
        found.as_array().expect("a list").iter().map(Value::to_string).collect()
    }

    /// A picture of what the window shows, where `RECORD=1`.
    pub async fn picture(&self, name: &str) {
        if std::env::var_os("RECORD").is_none() {
            return;
        }
        let png = self.client.screenshot().await.expect("a picture");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/console");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(format!("{name}.png")), png).expect("written");
    }

    pub async fn end(self) {
        self.client.close().await.expect("an end");
    }
}

/// The file of axe-core, where `.ci/run` or `make check-console` put it.
fn axe() -> Option<PathBuf> {
    let cache = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache");
    let places = ["tools", "console"].map(|place| cache.join(place).join("node_modules/axe-core/axe.min.js"));
    let found = places.into_iter().find(|place| place.exists());
    if found.is_none() {
        assert!(std::env::var_os("REQUIRE_TOOLS").is_none(), "axe-core is needed here");
        eprintln!("skipped: there is no axe-core");
    }
    found
}
