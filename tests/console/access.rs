//! Where reads need a token: the console asks for one, holds it in memory, and sends it as a header alone.

use crate::browser::Browser;
use crate::support::{Service, Writer, gateway_audit};
use fantoccini::key::Key;

const READER: &str = "system:serviceaccount:kubernaut-system:gateway-sa";

async fn give(browser: &Browser, token: &str) {
    browser.until("document.querySelector('.trouble input[type=password]')").await;
    browser.click(".trouble input[type=password]").await;
    browser.keys(&format!("{token}{}", char::from(Key::Enter))).await;
}

#[tokio::test]
async fn a_token_is_held_in_memory_and_never_in_an_address() {
    let (service, _database) = Service::start_with(&[("AUTH_READS", "true"), ("READERS", READER)]).await;
    service.post(Writer::Gateway, &gateway_audit("rr-1")).await.audit_id();
    let Some(browser) = Browser::open(&service).await else { return };
    let token = Writer::Gateway.token();
    browser.go("/console/").await;
    browser.until("document.querySelector('.trouble')?.innerText.includes('A token is needed')").await;
    // A token that was cut off in copying is no outage.
    give(&browser, "eyJhbGciO…").await;
    browser.until("document.querySelector('.trouble input:invalid')").await;
    browser.value("document.querySelector('.trouble input[type=password]').value = ''").await;
    give(&browser, "wrong").await;
    browser.until("document.querySelector('.trouble')?.innerText.includes('was refused')").await;
    // Another question of the view is refused as well, and can be helped in the same way.
    browser.turn_to("/console/incidents?status=failed").await;
    browser.until("location.search && document.querySelector('.trouble form')").await;
    browser.turn_to("/console/incidents").await;
    give(&browser, &Writer::Stranger.token()).await;
    browser.until("document.querySelector('.trouble')?.innerText.includes('may not read')").await;
    give(&browser, &token).await;
    browser.until("document.querySelectorAll('tbody tr').length === 1").await;
    // It goes with the reader to the other views.
    browser.until("document.querySelector('.facet')").await;
    browser.turn_to("/console/success").await;
    browser.until("document.querySelector('main .state')?.innerText.includes('No attempt is over')").await;
    let kept = "[location.href, document.cookie, ...Object.values(localStorage), ...Object.values(sessionStorage), document.documentElement.outerHTML].join('')";
    let kept = browser.value(kept).await;
    assert!(!kept.as_str().expect("a text").contains(&token));
    assert!(browser.asked().await.iter().all(|url| !url.contains(&token)));
    // What is copied has the name of a variable in its place.
    browser.turn_to("/console/incidents").await;
    browser.until("document.querySelectorAll('tbody tr').length === 1").await;
    let command = browser.copied().await;
    assert!(command.contains("$DATA_STORAGE_TOKEN") && !command.contains(&token), "{command}");
    assert!(!service.log().iter().any(|line| line.to_string().contains(&token)));

    // A new page knows nothing of it, but where its reader wanted that, and then as long as the tab.
    browser.go("/console/").await;
    browser.until("document.querySelector('.trouble input[type=password]')").await;
    browser.click(".trouble input[type=checkbox]").await;
    give(&browser, &token).await;
    browser.until("document.querySelectorAll('tbody tr').length === 1").await;
    browser.go("/console/").await;
    browser.until("document.querySelectorAll('tbody tr').length === 1").await;
    assert_eq!(browser.value("localStorage.length + document.cookie.length").await, 0);
    // And it can be forgotten.
    browser.click(".settings button").await;
    browser.until("document.querySelector('dialog[open]')").await;
    browser
        .client
        .find(fantoccini::Locator::XPath("//dialog//button[.='Forget it']"))
        .await
        .expect("a button")
        .click()
        .await
        .expect("a click");
    browser.until("document.querySelector('.trouble')?.innerText.includes('A token is needed')").await;
    assert_eq!(browser.value("sessionStorage.length").await, 0);
    browser.assert_calm("tokens").await;
    browser.end().await;
}
