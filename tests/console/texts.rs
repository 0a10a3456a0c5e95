//! What others wrote is shown as they wrote it: 200 texts that try to be script, in every field, in every view.

use crate::browser::Browser;
use crate::support::{Service, Writer, eventually, now};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

/// Ways to become a script, in HTML, SVG, MathML, addresses, styles and templates. `ran` is what the test looks at.
const TRIES: [&str; 40] = [
    "<script>ran(1)</script>",
    "<ScRiPt>ran(1)</sCrIpT>",
    "<script src=//127.0.0.1:1/x.js></script>",
    "<script type=module>import('//127.0.0.1:1/x.js')</script>",
    "<img src=x onerror=ran(1)>",
    "<img src=x onerror='ran(`1`)'>",
    "<image href=x onerror=ran(1)>",
    "<svg onload=ran(1)>",
    "<svg><script>ran(1)</script></svg>",
    "<svg><animate onbegin=ran(1) attributeName=x dur=1s>",
    "<svg><use href='data:image/svg+xml,<svg id=x xmlns=http://www.w3.org/2000/svg onload=ran(1)/>#x'/>",
    "<svg><a xlink:href=javascript:ran(1)><text>x</text></a></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=ran(1)></style>",
    "<iframe src=javascript:ran(1)></iframe>",
    "<iframe srcdoc='<script>parent.ran(1)</script>'></iframe>",
    "<object data=javascript:ran(1)>",
    "<embed src=javascript:ran(1)>",
    "<body onload=ran(1)>",
    "<details open ontoggle=ran(1)>x</details>",
    "<input autofocus onfocus=ran(1)>",
    "<select autofocus onfocus=ran(1)></select>",
    "<video><source onerror=ran(1)></video>",
    "<audio src=x onerror=ran(1)>",
    "<marquee onstart=ran(1)>x</marquee>",
    "<a href=javascript:ran(1)>x</a>",
    "<a href='data:text/html,<script>ran(1)</script>'>x</a>",
    "<form action=javascript:ran(1)><button>x</button></form>",
    "<base href=//127.0.0.1:1/>",
    "<link rel=stylesheet href=//127.0.0.1:1/x.css>",
    "<meta http-equiv=refresh content='0;url=javascript:ran(1)'>",
    "<style>@import '//127.0.0.1:1/x.css'; * { background: url(//127.0.0.1:1/x) }</style>",
    "<template><script>ran(1)</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=ran(1)>'>",
    "<!--><img src=x onerror=ran(1)>-->",
    "<![CDATA[><script>ran(1)</script>]]>",
    "javascript:ran(1)",
    "&lt;script&gt;ran(1)&lt;/script&gt;",
    "{{constructor.constructor('ran(1)')()}} ${ran(1)} #{ran(1)} <%= ran(1) %>",
    "https://phishing.example/login [x](javascript:ran(1)) mailto:a@b.example",
    "\\u003cscript\\u003eran(1)\\u003c/script\\u003e \\x3cimg src=x onerror=ran(1)\\x3e",
];
/// What a text may stand in: a text, an attribute, a string of a script, a comment, an address.
const FRAMES: [(&str, &str); 5] =
    [("", ""), ("\">", "<\""), ("'>", "<'"), ("';", "//</script>"), ("--></textarea></title>", "<!--")];

/// Hidden characters as they are posted, and as they are shown.
const HIDDEN: [(&str, &str); 12] = [
    ("pay\u{202e}lanimret", "payU+202Elanimret"),
    ("a\u{2066}b\u{2069}", "aU+2066bU+2069"),
    ("zero\u{200b}width", "zeroU+200Bwidth"),
    ("bell\u{7}esc\u{1b}[31m", "bellU+0007escU+001B[31m"),
    ("soft\u{ad}hyphen", "softU+00ADhyphen"),
    ("tag\u{e0041}\u{e0042}", "tagU+E0041U+E0042"),
    ("join\u{200d}er", "joinU+200Der"),
    ("a\u{200d}\u{200d}b", "aU+200DU+200Db"),
    ("x\u{fe00}\u{fe01} \u{fe02}", "xU+FE00U+FE01 U+FE02"),
    ("\u{200c}first", "U+200Cfirst"),
    ("blank\u{2800}\u{180b}", "blankU+2800U+180B"),
    // These belong to their scripts.
    ("می\u{200c}خواهم 👩\u{200d}🚒 ❤\u{fe0f}", "می\u{200c}خواهم 👩\u{200d}🚒 ❤\u{fe0f}"),
];

fn texts() -> Vec<String> {
    let framed = |try_: &&str| FRAMES.map(|(before, after)| format!("{before}{try_}{after}"));
    TRIES.iter().flat_map(framed).collect()
}

/// An audit of which each field is this text; its name is made different by a number where the service would take it for another's.
fn audit(text: &str, at: usize) -> Value {
    json!({
        "remediationRequestID": format!("{at} {text}"), "alertName": text, "namespace": text, "cluster": text, "severity": "high",
        "actionType": text, "targetResource": text, "modelUsed": text, "alertFingerprint": text, "environment": text,
        "reasoning": text, "errorMessage": text, "status": "failed", "durationMs": 1000, "executedAt": now(), "confidence": 0.5,
        "more": { text: [text] },
    })
}

async fn post(service: &Service, texts: &[String]) -> Vec<u64> {
    let mut ids = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        service.post(Writer::AiAnalysis, &audit(text, at)).await.audit_id();
        let step = json!({
            "workflowID": format!("{at} {text}"), "stepName": text, "stepStatus": "failed", "errorMessage": text,
            "executedAt": now(), "remediationRequestID": format!("{at} {text}"), text: text,
        });
        service.post_step(&step).await.audit_id();
        let url = format!("/api/v1/incidents?remediation_request_id={}", encoded(&format!("{at} {text}")));
        ids.push(service.read(&url).await["data"][0]["id"].as_u64().expect("an id"));
    }
    eventually("all is searchable", async || {
        let health = service.read("/health").await;
        (health["parts"]["outbox"]["rows"] == 0).then_some(())
    })
    .await;
    ids
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Whether a text that somebody wrote stands in the page, as a whole and as it is.
async fn is_shown(browser: &Browser, text: &str) -> bool {
    let found = "[...document.querySelectorAll('main bdi')].some((said) => said.textContent === arguments[0])";
    let found = browser.client.execute(&format!("return {found}"), vec![text.into()]).await.expect("an answer");
    found == true
}

/// Nothing in the page was made of a text: no element that the console does not make, no link out of it.
async fn assert_plain(browser: &Browser, place: &str) {
    let foreign = browser
        .value(
            "[...document.querySelectorAll('script:not([src=\"/console/main.js\"]), img, image, iframe, object, embed, style, video, audio, \
             base, meta[http-equiv], template, math, use, animate, marquee, link:not([href^=\"/console/\"])'), \
             ...[...document.querySelectorAll('a')].filter((link) => link.origin !== location.origin || link.protocol !== location.protocol), \
             ...[...document.querySelectorAll('*')].filter((one) => [...one.attributes].some(({ name }) => /^on|^style$|^srcdoc$/.test(name)))]\
             .map((one) => one.outerHTML.slice(0, 200))",
        )
        .await;
    assert_eq!(foreign, json!([]), "{place}");
    browser.assert_calm(place).await;
}

#[tokio::test]
async fn no_text_is_ever_a_script() {
    let (service, _database) = Service::start().await;
    let Some(browser) = Browser::open(&service).await else { return };
    let texts = texts();
    assert_eq!(texts.len(), 200);
    let ids = post(&service, &texts).await;

    browser.go("/console/incidents?limit=500").await;
    browser.drawn().await;
    browser.until("document.querySelectorAll('tbody tr').length === 200").await;
    for text in &texts {
        assert!(is_shown(&browser, text).await, "{text}");
    }
    assert_plain(&browser, "the list").await;
    for path in [
        "success",
        "success?group_by=namespace,cluster,action_type",
        "search?q=script+img+ran&limit=100",
        "search?q=script&collapse=alert",
    ] {
        browser.turn_to(&format!("/console/{path}")).await;
        browser.drawn().await;
        assert!(browser.value("document.querySelectorAll('main bdi').length").await.as_u64() > Some(10), "{path}");
        assert_plain(&browser, path).await;
    }
    for (at, (text, id)) in texts.iter().zip(&ids).enumerate() {
        browser.turn_to(&format!("/console/incidents/{id}")).await;
        browser.until(&format!("document.querySelector('.facts bdi') && document.querySelector('.timeline') && location.pathname.endsWith('/{id}')")).await;
        let said =
            "[...document.querySelectorAll('.facts bdi')].filter((said) => said.textContent === arguments[0]).length";
        let said =
            browser.client.execute(&format!("return {said}"), vec![text.as_str().into()]).await.expect("a number");
        // Alert, action, target, namespace, cluster, environment, model and fingerprint.
        assert_eq!(said, 8, "{text}");
        let name = format!("{at} {text}");
        assert!(is_shown(&browser, &name).await, "{name}");
        // Filters, searches and comparisons come by an address, which somebody may have sent.
        if at % 5 == 0 {
            for path in [
                format!("incidents?alert_name={}", encoded(text)),
                format!("search?q={}&namespace={}", encoded(text), encoded(text)),
                format!("success?alert_name={}&group_by={}", encoded(text), encoded(text)),
                format!("compare?ids={id},{}", ids[0]),
                format!("compare?ids={}", encoded(text)),
                format!("incidents/{}", encoded(text)),
            ] {
                browser.turn_to(&format!("/console/{path}")).await;
                browser.drawn().await;
                assert_plain(&browser, &path).await;
            }
        }
    }
    assert_plain(&browser, "the end").await;
    let own = service.url("/");
    assert!(browser.asked().await.iter().all(|url| url.starts_with(&own)));
    browser.end().await;
}

#[tokio::test]
async fn what_is_hidden_is_shown() {
    let (service, _database) = Service::start().await;
    let Some(browser) = Browser::open(&service).await else { return };
    let ids = post(&service, &HIDDEN.map(|(posted, _)| posted.to_owned())).await;
    browser.go("/console/").await;
    browser.drawn().await;
    for (_, shown) in HIDDEN {
        assert!(is_shown(&browser, shown).await, "{shown}");
    }
    let marks = browser
        .value("[...document.querySelectorAll('.incident .mark')].map((mark) => mark.textContent).sort().join(' ')")
        .await;
    assert_eq!(
        marks,
        "U+0007 U+001B U+00AD U+180B U+200B U+200C U+200D U+200D U+200D U+202E U+2066 U+2069 U+2800 U+E0041 U+E0042 U+FE00 U+FE01 U+FE02"
    );
    // Where only text can stand they are written out: titles, labels.
    browser.go(&format!("/console/incidents/{}", ids[0])).await;
    browser.drawn().await;
    let place = "document.title + [...document.querySelectorAll('[aria-label], [title]')].map((one) => one.title + one.ariaLabel).join()";
    assert_eq!(browser.value(&format!("/[\\u202a-\\u202e]/.test({place})")).await, false);
    // In JSON as well: what was posted is to be read there too.
    browser.value("document.querySelectorAll('details').forEach((one) => (one.open = true))").await;
    assert!(browser.text("main pre").await.contains("U+202E"));
    browser.end().await;
}

#[tokio::test]
async fn what_is_copied_asks_the_same_of_a_shell() {
    let (service, _database) = Service::start().await;
    let Some(browser) = Browser::open(&service).await else { return };
    let text = "it's $(touch x) `id` \"q\" \\ \u{202e}é ;&|> !x";
    post(&service, &[text.to_owned()]).await;
    for (path, fact) in [
        (format!("/console/incidents?alert_name={}", encoded(text)), "/pagination/total"),
        (format!("/console/search?q={}", encoded(text)), "/coverage/searched"),
        (format!("/console/success?group_by=alert_name&namespace={}", encoded(text)), "/data/0/n"),
    ] {
        browser.go(&path).await;
        browser.drawn().await;
        let command = browser.copied().await;
        assert!(command.is_ascii(), "{command}");
        let folder = tempfile::tempdir().expect("a folder");
        let ran = tokio::process::Command::new("sh")
            .args(["-c", command.as_str()])
            .current_dir(&folder)
            .output()
            .await
            .expect("sh");
        let answer: Value =
            serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error} {command} {ran:?}"));
        assert_eq!(answer.pointer(fact), Some(&json!(1)), "{command} {answer}");
        assert!(!folder.path().join("x").exists(), "{command}");
    }
    browser.end().await;
}
