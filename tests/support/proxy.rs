//! A proxy in front of the test's PostgreSQL. A test can make it bad while it is in use.

use super::server;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Open,
    /// The proxy cuts all connections, also new ones.
    Cut,
    /// The proxy takes what is sent, and passes nothing on.
    Silent,
    /// The proxy passes everything on, this much later.
    Delay(Duration),
    /// The proxy passes on a byte at a time, with pauses.
    Drip,
}

pub struct Proxy {
    pub address: SocketAddr,
    way: watch::Sender<Way>,
}

impl Proxy {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (way, watched) = watch::channel(Way::Open);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *watched.borrow() == Way::Cut {
                    continue;
                }
                let Ok((from_server, to_server)) = server().stream().await else { continue };
                let (from_client, to_client) = client.into_split();
                tokio::spawn(pump(from_client, to_server, watched.clone()));
                tokio::spawn(pump(from_server, to_client, watched.clone()));
            }
        });
        Proxy { address, way }
    }

    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgresql://postgres@{}/{database}?sslmode=disable", self.address)
    }
}

async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut way: watch::Receiver<Way>) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut bytes) => read,
            _ = way.wait_for(|way| *way == Way::Cut) => return,
        };
        let Ok(read @ 1..) = read else { return };
        let now = *way.borrow();
        let written = match now {
            Way::Open => to.write_all(&bytes[..read]).await,
            Way::Silent => Ok(()),
            Way::Cut => return,
            Way::Delay(time) => {
                sleep(time).await;
                to.write_all(&bytes[..read]).await
            }
            Way::Drip => drip(&bytes[..read], &mut to).await,
        };
        if written.is_err() {
            return;
        }
    }
}

async fn drip(bytes: &[u8], to: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    for byte in bytes {
        to.write_all(&[*byte]).await?;
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
