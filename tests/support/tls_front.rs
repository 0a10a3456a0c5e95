//! TLS in front of the test's PostgreSQL, which is built without TLS. The front answers PostgreSQL's SSLRequest, does
//! the handshake, and passes the rest on.

use super::certificates::Signed;
use super::server;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;

/// PostgreSQL's SSLRequest, which a client sends before the handshake: the length of the message, then a number that
/// stands for the request.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

pub struct TlsFront {
    pub address: SocketAddr,
    /// Connections that were encrypted.
    pub encrypted: Arc<AtomicUsize>,
}

impl TlsFront {
    pub async fn start(signed: &Signed) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let acceptor = TlsAcceptor::from(Arc::new(signed.server_config()));
        let encrypted = Arc::new(AtomicUsize::new(0));
        let count = encrypted.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, count) = (acceptor.clone(), count.clone());
                // A client that goes away is no fault.
                tokio::spawn(async move { pass_on(client, acceptor, count).await.ok() });
            }
        });
        TlsFront { address, encrypted }
    }
}

async fn pass_on(mut client: TcpStream, acceptor: TlsAcceptor, count: Arc<AtomicUsize>) -> std::io::Result<()> {
    let mut head = [0; 8];
    client.read_exact(&mut head).await?;
    let mut postgres = UnixStream::connect(server().socket()).await?;
    if head == SSL_REQUEST {
        client.write_all(b"S").await?;
        let mut client = acceptor.accept(client).await?;
        count.fetch_add(1, Ordering::SeqCst);
        copy_bidirectional(&mut client, &mut postgres).await?;
    } else {
        postgres.write_all(&head).await?;
        copy_bidirectional(&mut client, &mut postgres).await?;
    }
    Ok(())
}
