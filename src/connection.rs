//! A client's connection. A client that has closed its connection waits for nothing. A client that does not take its
//! answer is cut off. The memory of all answers on their way is bounded.

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use bytes::Bytes;
use prometheus::IntGauge;
use rustix::net::{Shutdown, shutdown, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::any::Any;
use std::convert::Infallible;
use std::future::pending;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::Interest;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{AbortHandle, spawn};
use tokio::time::sleep;

/// The memory of all answers that are longer than [`SHORT`], together, in KiB.
pub const ROOM_KIB: usize = 128 * 1024;
/// Most incidents whose audits are read and written out at once. Each may have 16 MiB of text, and takes several times
/// that much memory.
pub const ASSEMBLED_AT_ONCE: usize = 8;
/// How many bytes the socket and the connection's own buffer take at once.
pub const SHORT: u64 = 64 * 1024;
/// How many bytes of a long answer are handed on at once.
const CHUNK: usize = 32 * 1024;
/// A client must take a long answer within `TIME`, and at least `LEAST_PER_SECOND` of it. Every `LOOK` the service
/// looks whether the client keeps up.
const TIME: Duration = Duration::from_secs(60);
const LEAST_PER_SECOND: u64 = 32 * 1024;
const LOOK: Duration = Duration::from_secs(5);
/// How long a client may take nothing of what was sent to it.
const STALLED: Duration = Duration::from_secs(20);

/// Another handle of a connection's socket. The HTTP library owns the connection; with this handle the service can cut
/// the connection off.
#[derive(Clone)]
pub struct Socket(Arc<OwnedFd>);

/// If a request is answered sooner than this, its connection is not watched.
const SOON: Duration = Duration::from_millis(100);

impl Socket {
    /// Completes when the client has closed the connection, or its half of the connection. Such a client does not wait
    /// for the answer.
    pub async fn closed_by_client(self) {
        sleep(SOON).await;
        let watched = self.0.try_clone().and_then(|socket| TcpStream::from_std(socket.into()));
        let Ok(watched) = watched else { return pending().await };
        loop {
            match watched.ready(Interest::READABLE).await {
                Ok(ready) if ready.is_read_closed() => return,
                // The client has sent its next request, which is not read here.
                Ok(_) => _ = watched.try_io(Interest::READABLE, || Err::<(), _>(ErrorKind::WouldBlock.into())),
                Err(_) => return pending().await,
            }
        }
    }
}

/// Lets the process open as many files as the system allows. A connection takes two files.
pub fn allow_files(connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let wanted = connections as u64 * 2 + 256; // usize fits into 64 bits
    let allowed = if raised.is_ok() { limit.maximum } else { limit.current };
    if allowed.is_some_and(|allowed| allowed < wanted) {
        tracing::warn!(?allowed, wanted, "MAX_CONNECTIONS needs more open files than are allowed");
    }
}

/// Counts a connection for as long as it is open.
struct Open(IntGauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The sockets of the connections that speak HTTP/2, for as long as they are open. The HTTP library ends idle connections of HTTP/1.1 when it
/// stops, but waits for those of HTTP/2 until its time is over.
#[derive(Clone, Default)]
pub struct Multiplexed(Arc<Mutex<Vec<Weak<OwnedFd>>>>);

impl Multiplexed {
    fn add(&self, socket: &Socket) {
        let mut sockets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sockets.len() == sockets.capacity() {
            sockets.retain(|socket| socket.strong_count() > 0);
        }
        sockets.push(Arc::downgrade(&socket.0));
    }

    /// Ends these connections. Nothing more is read of them, so no request must be in flight.
    pub fn end(&self) {
        for socket in self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if let Some(socket) = socket.upgrade() {
                // One that is closed needs no end.
                let _ = shutdown(&socket, Shutdown::Read);
            }
        }
    }
}

/// Counts the connection, limits how long a client may take nothing of what was sent to it, and keeps the socket for long answers.
pub fn accept(connection: &dyn Any, data: &mut Extensions, open: &IntGauge, multiplexed: &Multiplexed) {
    open.inc();
    data.insert(Rc::new(Open(open.clone())));
    let Some(stream) = tcp_stream(connection) else { return };
    if let Err(error) = sockopt::set_tcp_user_timeout(stream, u32::try_from(STALLED.as_millis()).unwrap_or(0)) {
        tracing::warn!(%error, "a socket without a time limit");
    }
    match rustix::io::fcntl_dupfd_cloexec(stream, 0) {
        Ok(socket) => {
            let socket = Socket(Arc::new(socket));
            let tls = connection.downcast_ref::<TlsStream<TcpStream>>();
            if tls.is_some_and(|tls| tls.get_ref().1.alpn_protocol() == Some(b"h2")) {
                multiplexed.add(&socket);
            }
            data.insert(socket);
        }
        Err(error) => tracing::warn!(%error, "a connection that cannot be cut off"),
    }
}

fn tcp_stream(connection: &dyn Any) -> Option<&TcpStream> {
    let tls = connection.downcast_ref::<TlsStream<TcpStream>>().map(|tls| tls.get_ref().0);
    tls.or_else(|| connection.downcast_ref::<TcpStream>())
}

/// A long answer on its way to a client.
struct Outgoing {
    rest: Bytes,
    length: u64,
    taken: Arc<AtomicU64>,
    in_flight: IntGauge,
    _room: OwnedSemaphorePermit,
    watch: Option<AbortHandle>,
}

/// Hands a long body on in small parts. The body keeps its share of the memory until the last part. A client that is
/// too slow is cut off.
pub fn taken_in_time(
    body: BoxBody,
    room: OwnedSemaphorePermit,
    socket: Option<Socket>,
    in_flight: &IntGauge,
) -> BoxBody {
    let rest = match body.try_into_bytes() {
        Ok(bytes) => bytes,
        // A body that comes in parts takes hardly any memory.
        Err(body) => return body,
    };
    let (length, taken) = (rest.len() as u64, Arc::<AtomicU64>::default()); // usize fits into 64 bits
    let watch = socket.map(|socket| spawn(cut_off_if_slow(socket, length, taken.clone())).abort_handle());
    in_flight.add(length as i64); // below 2^63
    Outgoing { rest, length, taken, in_flight: in_flight.clone(), _room: room, watch }.boxed()
}

async fn cut_off_if_slow(Socket(socket): Socket, length: u64, taken: Arc<AtomicU64>) {
    let least = (length / TIME.as_secs()).max(LEAST_PER_SECOND) * LOOK.as_secs();
    for look in 1.. {
        sleep(LOOK).await;
        if taken.load(Ordering::Relaxed) < least * look {
            tracing::warn!("a client takes its answer too slowly: it is cut off");
            // The shutdown of a connection that is gone already fails, which does not matter.
            let _ = shutdown(&socket, Shutdown::Both);
            return;
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.in_flight.sub(self.length as i64); // below 2^63
        if let Some(watch) = &self.watch {
            watch.abort();
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
        self.taken.fetch_add(length as u64, Ordering::Relaxed); // as above
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
        let open = IntGauge::new("a", "b").expect("a gauge");
        accept(&stream, &mut data, &open, &Multiplexed::default());
        assert_eq!(open.get(), 1);
        assert_eq!(sockopt::tcp_user_timeout(&stream).ok(), u32::try_from(STALLED.as_millis()).ok());
        let (room, in_flight) = (Arc::new(Semaphore::new(8)), IntGauge::new("a", "b").expect("a gauge"));
        let share = room.clone().acquire_many_owned(8).await.expect("room");
        tokio::time::pause();
        let answer = BoxBody::new(Bytes::from(vec![b'x'; 100_000]));
        let mut answer = taken_in_time(answer, share, data.get::<Socket>().cloned(), &in_flight);
        let chunk = poll_fn(|cx| Pin::new(&mut answer).poll_next(cx)).await.expect("some").expect("no error");
        assert_eq!((chunk.len(), in_flight.get(), room.available_permits()), (CHUNK, 100_000, 0));
        // The clock is paused, so it runs to the cut by itself.
        assert_eq!(client.read(&mut [0; 1]).await.expect("the end"), 0);
        drop(answer);
        assert_eq!((in_flight.get(), room.available_permits()), (0, 8));
    }
}
