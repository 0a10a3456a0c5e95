//! Which request waits for an answer, and until when. A request may ask several actors in turn. When the request ends,
//! its reads end too: a read for which no request waits any more is given up, and cancelled in PostgreSQL.

use crate::trace::OpenSpan;
use actix::Message;
use std::future::{Future, pending};
use std::pin::pin;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

tokio::task_local! {
    static CURRENT: Waiting;
}

/// The request that waits for an answer; without an asker the wait never ends. And its span, where the request is traced.
#[derive(Clone, Default)]
pub struct Waiting {
    asker: Option<Asker>,
    span: Option<OpenSpan>,
}

#[derive(Clone)]
struct Asker {
    until: Option<Instant>,
    /// Closed when the asker is gone.
    alive: watch::Receiver<()>,
}

/// Runs a request, whose span is this one if it is traced. No call within the request waits beyond `until`. The reads of the request end when the request ends
/// or when the client is `gone`.
pub async fn within<F: Future>(
    until: Instant,
    span: Option<OpenSpan>,
    gone: impl Future<Output = ()>,
    request: F,
) -> F::Output {
    let (here, alive) = watch::channel(());
    let mut request = pin!(CURRENT.scope(Waiting { asker: Some(Asker { until: Some(until), alive }), span }, request));
    tokio::select! {
        biased;
        done = &mut request => return done,
        () = gone => drop(here),
    }
    // The client is gone, so the reads of the request end now. A write goes on to its end.
    request.await
}

/// How much time the current request has left. Outside of a request there is no limit.
pub fn left() -> Duration {
    let until = Waiting::current().asker.and_then(|asker| asker.until);
    until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()))
}

impl Waiting {
    /// The waiting of the current request. Outside of a request the wait is never over.
    pub fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }

    /// A wait that is over when the sender of `alive` is dropped. What is done meanwhile is a part of the current span: where several requests
    /// share it, of the first one's.
    pub fn on(alive: watch::Receiver<()>) -> Self {
        Waiting { asker: Some(Asker { until: None, alive }), span: Self::current_span() }
    }

    /// Completes when the request no longer waits: it has its answer, it took too long, or the client is gone.
    pub async fn over(self) {
        let Some(Asker { mut alive, .. }) = self.asker else { return pending().await };
        // No value is ever sent: `changed` returns when the sender is dropped.
        let _ = alive.changed().await;
    }

    /// The span of the current request, if it is traced.
    pub fn current_span() -> Option<OpenSpan> {
        CURRENT.try_with(|waiting| waiting.span.clone()).ok().flatten()
    }

    /// A wait that never ends, for what is a part of this span.
    pub fn of_span(span: Option<OpenSpan>) -> Self {
        Waiting { asker: None, span }
    }

    /// Calls `make` as a part of this request.
    pub fn sync_scope<T>(self, make: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, make)
    }

    /// Runs a future as a part of this request.
    pub fn carry<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }

    /// Calls `make` as a part of this request, and runs the future that `make` returns as a part of this request too.
    pub fn scope<T, F: Future<Output = T> + 'static>(
        self,
        make: impl FnOnce() -> F,
    ) -> impl Future<Output = T> + 'static {
        let future = CURRENT.sync_scope(self.clone(), make);
        CURRENT.scope(self, future)
    }
}

/// A read, and the request that waits for it.
pub struct Awaited<M> {
    pub message: M,
    pub waiting: Waiting,
}

impl<M: Message> Message for Awaited<M> {
    type Result = M::Result;
}

/// Makes an actor handle these reads also as [`Awaited`] messages.
macro_rules! awaited_handlers {
    ($actor:ty: $($read:ty),+) => {$(
        impl actix::Handler<$crate::waiting::Awaited<$read>> for $actor {
            type Result = <Self as actix::Handler<$read>>::Result;

            fn handle(&mut self, read: $crate::waiting::Awaited<$read>, ctx: &mut Self::Context) -> Self::Result {
                Box::pin(read.waiting.scope(|| actix::Handler::<$read>::handle(self, read.message, ctx)))
            }
        }
    )+};
}
pub(crate) use awaited_handlers;

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn it_is_over_with_the_request() {
        let (tell, told) = tokio::sync::oneshot::channel();
        let request = within(Instant::now() + Duration::from_secs(60), None, pending(), async {
            let _ = tell.send(Waiting::current());
            assert!(left() > Duration::from_secs(50));
            pending::<()>().await;
        });
        let mut request = Box::pin(request);
        assert!(request.as_mut().now_or_never().is_none());
        let waiting = told.await.expect("told");
        assert!(waiting.clone().over().now_or_never().is_none());
        drop(request);
        waiting.over().await;
        assert!(Waiting::current().over().now_or_never().is_none() && left() == Duration::MAX);
    }

    #[tokio::test]
    async fn it_is_over_when_the_client_is_gone() {
        let request = async {
            Waiting::current().over().await;
            "done"
        };
        assert_eq!(within(Instant::now() + Duration::from_secs(60), None, async {}, request).await, "done");
    }

    #[tokio::test]
    async fn a_part_of_a_request_has_its_time() {
        let late =
            within(Instant::now(), None, pending(), async { Waiting::current().scope(|| async { left() }).await });
        assert_eq!(late.await, Duration::ZERO);
    }
}
