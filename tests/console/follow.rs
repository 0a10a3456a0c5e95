//! Following a list: the head is asked for again with its `ETag` while it is seen, and what is new appears.

use crate::browser::Browser;
use crate::support::{Service, Writer, gateway_audit};

/// How often the service was asked for the list.
async fn asked(service: &Service) -> usize {
    let is_list = |line: &&serde_json::Value| line["route"] == "/api/v1/incidents" && line["message"] == "request";
    service.log().iter().filter(is_list).count()
}

fn unchanged(service: &Service) -> usize {
    let is_unchanged = |line: &&serde_json::Value| line["route"] == "/api/v1/incidents" && line["status"] == 304;
    service.log().iter().filter(is_unchanged).count()
}

#[tokio::test]
async fn what_is_new_appears_by_itself() {
    let (service, _database) = Service::start().await;
    let Some(browser) = Browser::open(&service).await else { return };
    service.post(Writer::Gateway, &gateway_audit("rr-1")).await.audit_id();
    browser.go("/console/").await;
    browser.drawn().await;
    browser.click("#follow").await;
    browser.until("location.search === '?follow=1' && document.querySelectorAll('tbody tr').length === 1").await;
    crate::support::eventually("an answer that nothing changed", async || (unchanged(&service) > 1).then_some(()))
        .await;
    // The reader is at the incident that was there, and stays there.
    browser.value("document.querySelector('a.incident').focus()").await;
    let first = browser.value("document.activeElement.id").await;
    service.post(Writer::Gateway, &gateway_audit("rr-2")).await.audit_id();
    browser.until("document.querySelectorAll('tbody tr').length === 2").await;
    assert_eq!(browser.value("document.querySelectorAll('tr.new').length").await, 1);
    assert_eq!(browser.value("document.getElementById('news').textContent").await, "1 new incident");
    assert_eq!(browser.value("document.activeElement.id").await, first);

    // A page that nobody sees asks nothing.
    browser.value("Object.defineProperty(document, 'hidden', { configurable: true, value: true })").await;
    // A question that was on its way may still come; the clock of the page says when three more would have been.
    browser.client.execute_async("setTimeout(arguments[0], 3500)", Vec::new()).await.expect("waited");
    let before = asked(&service).await;
    browser.client.execute_async("setTimeout(arguments[0], 9500)", Vec::new()).await.expect("waited");
    assert_eq!(asked(&service).await, before);
    service.post(Writer::Gateway, &gateway_audit("rr-3")).await.audit_id();
    browser.value("delete document.hidden").await;
    browser.until("document.querySelectorAll('tbody tr').length === 3").await;

    // Another view ends it.
    browser.turn_to("/console/health").await;
    browser.until("document.querySelector('.verdict')").await;
    let before = asked(&service).await;
    browser.client.execute_async("setTimeout(arguments[0], 6500)", Vec::new()).await.expect("waited");
    assert_eq!(asked(&service).await, before);
    browser.assert_calm("following").await;
    browser.end().await;
}
