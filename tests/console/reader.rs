//! What a reader relies on: sentences that are true, numbers as they were posted, places that are found again, typing that is not lost.

use crate::browser::Browser;
use crate::support::{Service, Writer, gateway_audit};
use crate::views::with_a_week;
use serde_json::{Value, json};

/// Posts an incident of these states, the oldest first, some minutes apart, and returns its id.
async fn post(service: &Service, request: &str, states: &[Value]) -> u64 {
    for (at, state) in states.iter().enumerate() {
        let mut audit = gateway_audit(request);
        let minutes = i64::try_from(states.len() - at).expect("a number");
        let time = chrono::Utc::now() - chrono::TimeDelta::minutes(minutes);
        audit["createdAt"] = time.to_rfc3339().into();
        audit["alertName"] = format!("Alert of {request}").into();
        audit.as_object_mut().expect("an object").extend(state.as_object().expect("an object").clone());
        service.post(Writer::AiAnalysis, &audit).await.audit_id();
    }
    service.incident_of(request).await["id"].as_u64().expect("an id")
}

#[tokio::test]
async fn the_sentences_about_an_incident_are_true() {
    let (service, _database) = Service::start().await;
    let Some(browser) = Browser::open(&service).await else { return };
    let failed = json!({ "actionType": "restart", "status": "failed" });
    for (request, states, sentences) in [
        ("planned", vec![json!({ "actionType": "scale" })], vec!["scale is planned, and was not tried yet."]),
        ("alone", vec![json!({})], vec!["Nothing was tried yet."]),
        (
            "again",
            vec![failed.clone(), json!({ "actionType": "scale", "status": "executing" })],
            vec!["restart was tried once: it failed.", "scale is being tried now."],
        ),
        (
            "off",
            vec![
                failed.clone(),
                json!({ "actionType": "scale", "status": "executing" }),
                json!({ "actionType": "scale", "status": "cancelled" }),
            ],
            vec!["restart was tried once: it failed.", "scale was called off."],
        ),
        (
            "back",
            vec![json!({ "actionType": "rollout", "status": "rolled_back" })],
            vec!["rollout was tried once: it failed.", "rollout was rolled back."],
        ),
        (
            "held",
            vec![json!({ "actionType": "scale", "status": "completed" })],
            vec!["scale was tried once: it worked, and the alert has not come back so far."],
        ),
        (
            "target",
            vec![json!({ "actionType": "scale", "status": "completed", "targetResource": "deployment/web" })],
            vec!["scale was tried once: it worked, and the alert has not come back for deployment/web so far."],
        ),
    ] {
        let id = post(&service, request, &states).await;
        browser.go(&format!("/console/incidents/{id}")).await;
        browser.until(&format!("document.querySelectorAll('.verdict').length === {}", sentences.len())).await;
        let said = browser.value("[...document.querySelectorAll('.verdict')].map((one) => one.innerText)").await;
        assert_eq!(said, json!(sentences), "{request}");
    }
    // A number of any precision is shown as it was posted.
    let body = r#"{"remediationRequestID":"exact","alertName":"Exact","namespace":"n","cluster":"c","confidence":0.30000000000000004,"big":12345678901234567890,"long":0.12345678901234567890}"#;
    service.post_raw(Writer::Gateway, "/api/v1/audit/remediation", body, &[]).await.audit_id();
    let id = service.incident_of("exact").await["id"].clone();
    browser.go(&format!("/console/incidents/{id}")).await;
    browser.drawn().await;
    assert!(browser.text(".facts").await.contains("0.30000000000000004"), "the facts are there");
    let attributes = browser.value("[...document.querySelectorAll('section pre')].at(-1).textContent").await;
    let attributes = attributes.as_str().expect("a text");
    assert!(
        attributes.contains("12345678901234567890") && attributes.contains("0.1234567890123456789"),
        "{attributes}"
    );
    browser.assert_calm("sentences").await;
    browser.end().await;
}

#[tokio::test]
async fn a_timeline_keeps_its_proportions_and_cuts_a_night_short() {
    let (service, _database) = Service::start().await;
    let Some(browser) = Browser::open(&service).await else { return };
    let step = |name: &str, minutes_ago: i64, seconds: i64| {
        let time = chrono::Utc::now() - chrono::TimeDelta::minutes(minutes_ago);
        json!({ "workflowID": "wf", "stepName": name, "stepStatus": "completed", "durationMs": seconds * 1000,
            "executedAt": time.to_rfc3339(), "remediationRequestID": "night" })
    };
    service.post(Writer::Gateway, &gateway_audit("night")).await.audit_id();
    for (name, minutes_ago, seconds) in [("drain", 601, 30), ("cordon", 600, 60), ("restart", 3, 60), ("verify", 1, 30)]
    {
        service.post_step(&step(name, minutes_ago, seconds)).await.audit_id();
    }
    let id = service.incident_of("night").await["id"].clone();
    browser.go(&format!("/console/incidents/{id}")).await;
    browser.drawn().await;
    let silence = browser.value("document.querySelector('.timeline .gap').textContent").await;
    assert_eq!(silence, "9h 56m of silence");
    let widths = browser
        .value("[...document.querySelectorAll('.timeline .moment rect')].map((rect) => rect.width.baseVal.value)")
        .await;
    let widths: Vec<f64> = serde_json::from_value(widths).expect("numbers");
    assert!(widths[1] > 50.0, "the steps are what is seen: {widths:?}");
    assert!((widths[0] * 2.0 - widths[1]).abs() < 1.0 && (widths[1] - widths[2]).abs() < 1.0, "{widths:?}");
    browser.end().await;
}

#[tokio::test]
async fn places_are_found_again_and_nothing_typed_is_lost() {
    let (service, _database) = with_a_week().await;
    let Some(browser) = Browser::open(&service).await else { return };
    browser.go("/console/").await;
    browser.drawn().await;
    // Back from an incident: where the reader was, at the link that was followed.
    browser.value("document.querySelectorAll('a.incident')[30].scrollIntoView({ block: 'center' })").await;
    let (place, id) =
        (browser.value("scrollY").await, browser.value("document.querySelectorAll('a.incident')[30].id").await);
    let id = id.as_str().expect("an id").to_owned();
    assert!(place.as_f64() > Some(200.0), "{place}");
    browser.value(&format!("document.getElementById('{id}').focus()")).await;
    browser.click(&format!("#{id}")).await;
    browser.until("document.querySelector('.verdict')").await;
    browser.client.back().await.expect("back");
    browser.until(&format!("document.activeElement.id === '{id}'")).await;
    assert_eq!(browser.value("scrollY").await, place);
    // A dialog belongs to its view.
    browser.turn_to("/console/health").await;
    browser.until("document.querySelector('.verdict')").await;
    browser.click(".settings button").await;
    browser.until("document.querySelector('dialog[open]')").await;
    browser.client.back().await.expect("back");
    browser.until("!document.querySelector('dialog') && location.pathname === '/console/'").await;

    // What is typed and not sent yet outlives a filter that is ticked.
    browser.go("/console/search").await;
    browser.until("document.querySelector('.facet')").await;
    browser.click("#query").await;
    browser.keys("crash loop").await;
    browser.click("summary").await;
    browser.click("#facet-severity-critical").await;
    browser.until("location.search.includes('severity=critical')").await;
    assert_eq!(browser.value("document.getElementById('query').value").await, "crash loop");
    // A search takes all values of a filter.
    let two =
        "/console/search?q=KubePodCrashLooping&target_resource=deployment%2Fweb&target_resource=deployment%2Fmailer";
    browser.go(two).await;
    browser.drawn().await;
    let targets = "[...new Set([...document.querySelectorAll('.hit p:first-of-type')].map((hit) => hit.innerText.match(/deployment.\\w+/)?.[0]))].sort()";
    assert_eq!(browser.value(targets).await, json!(["deployment/mailer", "deployment/web"]));
    // The focus goes on from a filter that is taken away.
    browser.click(".chips button").await;
    browser.until("document.querySelectorAll('.chips li').length === 2").await;
    assert_ne!(browser.value("document.activeElement.tagName").await, "BODY");

    // Two that are chosen are compared; a third takes the place of the first.
    browser.go("/console/").await;
    browser.drawn().await;
    for at in 0..3 {
        browser.value(&format!("document.querySelectorAll('tbody input')[{at}].click()")).await;
    }
    assert_eq!(browser.value("document.querySelectorAll('tbody input:checked').length").await, 2);
    browser.click("#compare").await;
    browser.until("document.querySelectorAll('.timeline').length === 2").await;

    // By the hour of a week, with its nights: a place in the drawing is a time.
    browser.go("/console/success?interval=hour").await;
    browser.drawn().await;
    let bars = browser.value("document.querySelectorAll('.plot')[0].querySelectorAll('g').length").await;
    assert!(bars.as_u64() > Some(24 * 6), "{bars}");
    // On paper it is dark on light, whatever the screen is, the head is not there, and times are absolute.
    browser.go("/console/").await;
    browser.drawn().await;
    assert!(browser.text("td time").await.contains("ago"));
    browser.value("dispatchEvent(new Event('beforeprint'))").await;
    assert!(browser.text("td time").await.starts_with("20"));
    browser.value("document.documentElement.dataset.theme = 'dark'").await;
    browser.cdp("Emulation.setEmulatedMedia", json!({ "media": "print" })).await;
    assert_eq!(browser.value("getComputedStyle(document.documentElement).colorScheme").await, "light");
    assert_eq!(browser.value("getComputedStyle(document.querySelector('header')).display").await, "none");
    // A reader's choice lasts.
    browser.cdp("Emulation.setEmulatedMedia", json!({ "media": "screen" })).await;
    browser.value("(times.value = 'utc', times.dispatchEvent(new Event('change')))").await;
    browser.go("/console/").await;
    browser.drawn().await;
    assert!(browser.text("td time").await.ends_with(" UTC"));
    browser.assert_calm("places").await;
    browser.end().await;
}
