//! A client's connection: who has closed it waits for nothing, who does not take his answer is cut off, and all answers on their way
//! have a bound on their memory.

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use bytes::Bytes;
use prometheus::IntGauge;
use rustix::net::{Shutdown, shutdown, sockopt};
use std::any::Any;
use std::convert::Infallible;
use std::future::pending;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::Interest;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{AbortHandle, spawn};
use tokio::time::sleep;

/// Of all answers that are longer than [`SHORT`] together, in KiB.
pub const ROOM_KIB: usize = 256 * 1024;
/// What the socket and the connection's own buffer take at once.
pub const SHORT: u64 = 64 * 1024;
/// Handed on at once.
const CHUNK: usize = 32 * 1024;
/// How long a client may take for an answer, and how long it may take nothing at all.
const TIME: Duration = Duration::from_secs(60);
const STALLED: Duration = Duration::from_secs(20);

/// A connection's socket: to cut it off there must be a way around whoever writes to it.
#[derive(Clone)]
pub struct Socket(Arc<OwnedFd>);

/// A request that is answered sooner is not watched.
const SOON: Duration = Duration::from_millis(100);

impl Socket {
    /// Ends when the client has closed the connection, or its half of it: who does not wait for the answer.
    pub async fn closed_by_client(self) {
        sleep(SOON).await;
        let watched = self.0.try_clone().and_then(|socket| TcpStream::from_std(socket.into()));
        let Ok(watched) = watched else { return pending().await };
        loop {
            match watched.ready(Interest::READABLE).await {
                Ok(ready) if ready.is_read_closed() => return,
                // Its next request, which is not for here to read.
                Ok(_) => _ = watched.try_io(Interest::READABLE, || Err::<(), _>(ErrorKind::WouldBlock.into())),
                Err(_) => return pending().await,
            }
        }
    }
}

/// Bounds how long a client may leave what was sent to it untaken, and keeps the socket for long answers.
pub fn accept(connection: &dyn Any, data: &mut Extensions) {
    let Some(stream) = tcp_stream(connection) else { return };
    if let Err(error) = sockopt::set_tcp_user_timeout(stream, u32::try_from(STALLED.as_millis()).unwrap_or(0)) {
        tracing::warn!(%error, "a socket without a time limit");
    }
    match rustix::io::fcntl_dupfd_cloexec(stream, 0) {
        Ok(socket) => _ = data.insert(Socket(Arc::new(socket))),
        Err(error) => tracing::warn!(%error, "a connection that cannot be cut off"),
    }
}

fn tcp_stream(connection: &dyn Any) -> Option<&TcpStream> {
    let tls = connection.downcast_ref::<TlsStream<TcpStream>>().map(|tls| tls.get_ref().0);
    tls.or_else(|| connection.downcast_ref::<TcpStream>())
}

/// A long answer.
struct Outgoing {
    rest: Bytes,
    length: i64,
    in_flight: IntGauge,
    _room: OwnedSemaphorePermit,
    cut_off: Option<AbortHandle>,
}

/// Hands a long body on in small parts, and keeps its share of the memory until the last; a client that takes too long is cut off.
pub fn taken_in_time(
    body: BoxBody,
    room: OwnedSemaphorePermit,
    socket: Option<Socket>,
    in_flight: &IntGauge,
) -> BoxBody {
    let rest = match body.try_into_bytes() {
        Ok(bytes) => bytes,
        // One that comes in parts takes no memory to speak of.
        Err(body) => return body,
    };
    let cut_off = socket.map(|Socket(socket)| {
        let task = spawn(async move {
            sleep(TIME).await;
            tracing::warn!("a client took too long for its answer: it is cut off");
            // One that is gone has nothing left to cut.
            let _ = shutdown(&socket, Shutdown::Both);
        });
        task.abort_handle()
    });
    let length = i64::try_from(rest.len()).unwrap_or(i64::MAX);
    in_flight.add(length);
    Outgoing { rest, length, in_flight: in_flight.clone(), _room: room, cut_off }.boxed()
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.in_flight.sub(self.length);
        if let Some(cut_off) = &self.cut_off {
            cut_off.abort();
        }
    }
}

impl MessageBody for Outgoing {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.rest.len() as u64) // usize fits into 64 bits
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(CHUNK);
        Poll::Ready(Some(Ok(self.rest.split_to(length))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn who_takes_his_answer_byte_by_byte_is_cut_off() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("an address"));
        let (client, accepted) = tokio::join!(client, listener.accept());
        let (mut client, (stream, _)) = (client.expect("connected"), accepted.expect("accepted"));
        let mut data = Extensions::new();
        accept(&stream, &mut data);
        assert_eq!(sockopt::tcp_user_timeout(&stream).ok(), u32::try_from(STALLED.as_millis()).ok());
        let (room, in_flight) = (Arc::new(Semaphore::new(8)), IntGauge::new("a", "b").expect("a gauge"));
        let share = room.clone().acquire_many_owned(8).await.expect("room");
        tokio::time::pause();
        let answer = BoxBody::new(Bytes::from(vec![b'x'; 100_000]));
        let mut answer = taken_in_time(answer, share, data.get::<Socket>().cloned(), &in_flight);
        let chunk = poll_fn(|cx| Pin::new(&mut answer).poll_next(cx)).await.expect("some").expect("no error");
        assert_eq!((chunk.len(), in_flight.get(), room.available_permits()), (CHUNK, 100_000, 0));
        // Paused time runs to the cut by itself.
        assert_eq!(client.read(&mut [0; 1]).await.expect("the end"), 0);
        drop(answer);
        assert_eq!((in_flight.get(), room.available_permits()), (0, 8));
    }
}
