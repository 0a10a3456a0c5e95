//! By keyboard alone, and on a phone: from an alert's name to what worked.

use crate::browser::Browser;
use crate::views::with_a_week;
use fantoccini::key::Key;

const TAB: char = '\u{e004}';

/// Tabs on until the element with the focus fits; fails after as many steps as a patient reader would take.
async fn tab_to(browser: &Browser, fits: &str) {
    for _ in 0..60 {
        browser.keys(&TAB.to_string()).await;
        // Who tabs sees where they are.
        let style = browser.value("document.activeElement === document.body || getComputedStyle(document.activeElement).outlineStyle !== 'none'").await;
        assert_eq!(
            style,
            true,
            "no outline at {}",
            browser.value("document.activeElement.outerHTML.slice(0, 200)").await
        );
        if browser.value(&format!("document.activeElement.matches({fits:?})")).await == true {
            return;
        }
    }
    panic!("no way by tabs to {fits}");
}

#[tokio::test]
async fn from_an_alerts_name_to_what_worked_by_keys() {
    let (service, _database) = with_a_week().await;
    let Some(browser) = Browser::open(&service).await else { return };
    let enter = char::from(Key::Enter);
    // With the console's keys: six strokes beside the name.
    browser.go("/console/").await;
    browser.drawn().await;
    browser.keys("/").await;
    browser.keys(&format!("KubePodCrashLooping{enter}")).await;
    browser.until("location.pathname === '/console/search' && document.querySelector('.answer.good')").await;
    let worked = browser.text(".answer.good").await;
    assert!(worked.contains("increase_memory_limit"), "{worked}");
    assert!(browser.text(".answer.bad").await.contains("restart"));
    // The reader who hears the page is at its heading.
    assert_eq!(browser.value("document.activeElement.id").await, "heading");
    browser.keys("jj").await;
    assert_eq!(
        browser.value("[...document.querySelectorAll('main a.incident')].indexOf(document.activeElement)").await,
        1
    );
    browser.keys(&enter.to_string()).await;
    browser.until("/^.console.incidents.\\d+$/.test(location.pathname) && document.querySelector('.verdict')").await;
    browser.keys("gi").await;
    browser.until("location.pathname === '/console/incidents' && document.querySelector('tbody tr')").await;
    browser.keys("?").await;
    browser.until("document.querySelector('dialog[open] #uses-keys')").await;
    // They can be taken away, as WCAG wants of single characters.
    tab_to(&browser, "#uses-keys").await;
    browser.keys(" ").await;
    browser.keys(&char::from(Key::Escape).to_string()).await;
    browser.until("!document.querySelector('dialog')").await;
    browser.keys("gh").await;
    assert_eq!(browser.value("location.pathname").await, "/console/incidents");

    // With Tab alone, from the list: past the head, to a filter, to an incident.
    browser.go("/console/").await;
    browser.drawn().await;
    browser.until("document.querySelector('#facet-status-failed')").await;
    tab_to(&browser, ".skip").await;
    browser.keys(&enter.to_string()).await;
    assert_eq!(browser.value("document.activeElement.id").await, "main");
    tab_to(&browser, "#facet-status-failed").await;
    browser.keys(" ").await;
    browser.until("location.search === '?status=failed' && document.activeElement.id === 'facet-status-failed'").await;
    browser.until("[...document.querySelectorAll('tbody .badge.is-completed')].length === 0 && document.querySelector('tbody tr')").await;
    tab_to(&browser, "a.incident").await;
    browser.keys(&enter.to_string()).await;
    browser.until("document.querySelector('.verdict')?.innerText.includes('failed')").await;
    browser.end().await;
}

#[tokio::test]
async fn on_a_phone_too() {
    let (service, _database) = with_a_week().await;
    let Some(browser) = Browser::open(&service).await else { return };
    browser.size(360, 740).await;
    browser.go("/console/").await;
    browser.drawn().await;
    browser.click("#head-search").await;
    browser.keys(&format!("KubePodCrashLooping{}", char::from(Key::Enter))).await;
    browser.until("document.querySelector('.answer.good')").await;
    // The answer is on the first screen, or one stroke of the thumb below.
    let top = browser.value("document.querySelector('.answer.good').getBoundingClientRect().top").await;
    assert!(top.as_f64().expect("pixels") < 740.0, "{top}");
    browser.click(".hit a.incident").await;
    browser.until("document.querySelector('.verdict')").await;
    browser.end().await;
}
