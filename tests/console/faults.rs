//! An API that answers 503, slowly, not at all, or is another one in mid-view: the console says so, keeps what it shows, and comes back.

use crate::browser::Browser;
use crate::support::proxy::{Proxy, Way};
use crate::support::{Service, Writer, gateway_audit, server};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What stands behind an address: a service, or something else that answers.
#[derive(Clone, Copy)]
enum Behind {
    Service(SocketAddr),
    /// Takes connections, and answers nothing.
    Silence,
    /// Answers each question with this.
    Other(&'static str),
}

/// An address behind which another service can be put, as behind a balancer.
struct Front {
    address: SocketAddr,
    behind: watch::Sender<Behind>,
}

impl Front {
    async fn start(service: &Service) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (behind, watched) = watch::channel(Behind::Service(service.address));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, watched.clone()));
            }
        });
        Front { address, behind }
    }

    fn put(&self, behind: Behind) {
        self.behind.send_replace(behind);
    }
}

/// Serves one connection until something else is put behind.
async fn pass(mut client: TcpStream, mut watched: watch::Receiver<Behind>) {
    let behind = *watched.borrow_and_update();
    let served = async {
        match behind {
            Behind::Service(address) => {
                if let Ok(mut service) = TcpStream::connect(address).await {
                    let _ = copy_bidirectional(&mut client, &mut service).await;
                }
            }
            Behind::Silence => std::future::pending().await,
            Behind::Other(answer) => {
                let mut head = [0; 8192];
                while client.read(&mut head).await.is_ok_and(|read| read > 0) {
                    let _ = client.write_all(answer.as_bytes()).await;
                }
            }
        }
    };
    tokio::select! {
        () = served => {}
        _ = watched.changed() => {}
    }
}

/// An answer of something else.
fn answer(kind: &str, body: &str) -> &'static str {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}").leak()
}

#[tokio::test]
async fn a_database_that_is_away_or_slow() {
    let database = server().database().await;
    let proxy = Proxy::start().await;
    let service = Service::on(&proxy.url(&database.name), &[]).await;
    service.logged("ready").await;
    service.post(Writer::Gateway, &gateway_audit("rr-1")).await.audit_id();
    let Some(browser) = Browser::open(&service).await else { return };
    browser.go("/console/").await;
    browser.until("document.querySelectorAll('tbody tr').length === 1").await;
    proxy.set(Way::Cut);
    browser.go("/console/").await;
    browser.until("document.querySelector('.trouble')?.innerText.includes('cannot answer now')").await;
    assert!(browser.text(".trouble").await.contains("req-"), "the id of the request is told");
    // What is there without a database goes on.
    browser.turn_to("/console/health").await;
    browser
        .until("document.querySelector('.verdict.bad') && document.querySelector('main').innerText.includes('down')")
        .await;
    proxy.set(Way::Open);
    // Requests that failed count for a minute, unless one succeeds.
    crate::support::eventually("a list", async || (service.get("/api/v1/incidents").await.status == 200).then_some(()))
        .await;
    browser.until("document.querySelector('.verdict.good')").await;
    // "Try again" is what brings the list back.
    proxy.set(Way::Cut);
    browser.turn_to("/console/incidents").await;
    browser.until("document.querySelector('.trouble button')").await;
    proxy.set(Way::Open);
    crate::support::eventually("a list again", async || {
        browser
            .client
            .execute("document.querySelector('.trouble button')?.click()", Vec::new())
            .await
            .expect("a click");
        (browser.value("document.querySelectorAll('tbody tr').length").await == 1).then_some(())
    })
    .await;
    // Who tries again and again asks once at a time.
    browser.go("/console/incidents?follow=1").await;
    proxy.set(Way::Cut);
    browser.turn_to("/console/health").await;
    browser.turn_to("/console/incidents?follow=1").await;
    browser.until("document.querySelector('.trouble button')").await;
    proxy.set(Way::Delay(Duration::from_millis(700)));
    for _ in 0..4 {
        browser
            .client
            .execute("document.querySelector('.trouble button')?.click()", Vec::new())
            .await
            .expect("a click");
    }
    proxy.set(Way::Open);
    browser.until("document.querySelectorAll('tbody tr').length === 1").await;
    browser.asked().await;
    browser.client.execute_async("setTimeout(arguments[0], 9500)", Vec::new()).await.expect("waited");
    let heads = browser.asked().await.iter().filter(|url| url.contains("/api/v1/incidents?")).count();
    assert!((1..=4).contains(&heads), "{heads} questions in the time of three");
    // Slow: it says that it waits, and a reader who goes elsewhere is not brought back by the late answer.
    proxy.set(Way::Delay(Duration::from_millis(1500)));
    browser.go("/console/").await;
    browser.until("document.querySelector('#list')?.innerText.includes('Loading')").await;
    browser.turn_to("/console/search").await;
    browser.until("document.activeElement?.id === 'query'").await;
    browser.client.execute_async("setTimeout(arguments[0], 4000)", Vec::new()).await.expect("waited");
    assert_eq!(
        browser.value("[location.pathname, document.querySelectorAll('tbody tr').length].join()").await,
        "/console/search,0"
    );
    browser.assert_calm("a database away").await;
    browser.end().await;
}

#[tokio::test]
async fn a_service_that_is_replaced_in_mid_view() {
    let (mut service, database) = Service::start().await;
    service.post(Writer::Gateway, &gateway_audit("rr-1")).await.audit_id();
    let front = Front::start(&service).await;
    let Some(browser) = Browser::at(&format!("http://{}", front.address)).await else { return };
    browser.go("/console/incidents?follow=1").await;
    browser.until("document.querySelectorAll('tbody tr').length === 1").await;
    // Something else answers: what was shown stays, with a word of its age.
    let foreign = answer("application/json", r#"{"data":[{"id":"<b>","unknown":[{}]}]}"#);
    for other in [answer("text/html", "<script>ran('x')</script>"), answer("application/json", "{}"), foreign] {
        front.put(Behind::Other(other));
        browser.until("document.querySelector('.notice, .trouble')").await;
        assert_eq!(browser.value("document.querySelectorAll('tbody tr').length").await, 1);
        front.put(Behind::Service(service.address));
        browser.until("!document.querySelector('.notice, .trouble')").await;
    }
    // It is gone, and another comes on the same database.
    service.kill();
    browser.until("document.querySelector('.notice')?.innerText.includes('cannot be reached')").await;
    let successor = Service::on(&database.url, &[]).await;
    successor.logged("ready").await;
    successor.post(Writer::Gateway, &gateway_audit("rr-2")).await.audit_id();
    front.put(Behind::Service(successor.address));
    browser.until("document.querySelectorAll('tbody tr').length === 2 && !document.querySelector('.notice')").await;
    // A view that is asked for of something else says that it cannot show the answer.
    front.put(Behind::Other(foreign));
    browser.turn_to("/console/success").await;
    browser.until("document.querySelector('.trouble')").await;
    front.put(Behind::Service(successor.address));
    // Nobody answers: the wait ends.
    front.put(Behind::Silence);
    browser.turn_to("/console/incidents").await;
    browser.until("document.querySelector('.trouble')?.innerText.includes('did not answer in time')").await;
    assert_eq!(browser.value("seen.ran.length + seen.violations.length").await, 0);
    browser.end().await;
}
