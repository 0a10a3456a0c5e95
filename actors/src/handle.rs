//! The only way to reach an actor. A handle knows the actor's address, which changes at each restart, and keeps a
//! flood of requests from piling up in the actor's mailbox.

use crate::error::ActorError;
use crate::metrics::Metrics;
use crate::trace::OpenSpan;
use crate::waiting::{Awaited, Waiting, left};
use actix::dev::{MessageResponse, OneshotSender, ToEnvelope};
use actix::{Actor, Addr, Handler, Message};
use prometheus::IntGauge;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio::time::{timeout, timeout_at};

/// The limits on the use of an actor.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most requests that the actor may have at once.
    pub permits: usize,
    /// How long a request waits for a permit.
    pub permit_wait: Duration,
    /// How long a request waits for its answer.
    pub deadline: Duration,
}

/// Longer than any deadline: a time far beyond the end of the clock's range would be none.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// What a client reads when the actor has died.
pub(crate) const RESTARTING: &str = "a part of the service is being restarted";

/// A clonable way to one actor.
pub struct Handle<A: Actor>(Arc<HandleInner<A>>);

struct HandleInner<A: Actor> {
    name: &'static str,
    limits: Limits,
    permits: Semaphore,
    address: watch::Sender<Option<Addr<A>>>,
    broken: AtomicBool,
    /// Set when the service stops. An actor that ends after that was stopped on purpose.
    stopping: AtomicBool,
    metrics: Metrics,
}

impl<A: Actor> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Handle(self.0.clone())
    }
}

/// The liveness check: an actor that handles this message is alive and not stuck. The handler never waits for a
/// database.
#[derive(Message)]
#[rtype(result = "Result<(), ActorError>")]
pub struct Ping;

/// Makes an actor panic, so that a test sees what follows. Release builds do not have this message.
#[cfg(debug_assertions)]
#[derive(Message)]
#[rtype(result = "Result<(), ActorError>")]
pub struct Panic;

/// Implements the messages that every actor handles beside its own.
macro_rules! common_handlers {
    ($actor:ty) => {
        impl<M> actix::Handler<$crate::handle::Delivery<M>> for $actor
        where
            M: actix::Message + 'static,
            $actor: actix::Handler<M>,
        {
            type Result = $crate::handle::Relayed<<$actor as actix::Handler<M>>::Result>;

            fn handle(&mut self, delivery: $crate::handle::Delivery<M>, ctx: &mut Self::Context) -> Self::Result {
                let span = $crate::waiting::Waiting::of_span(delivery.span());
                $crate::handle::Relayed(span.sync_scope(|| actix::Handler::<M>::handle(self, delivery.open(), ctx)))
            }
        }

        impl actix::Handler<$crate::handle::Ping> for $actor {
            type Result = Result<(), $crate::error::ActorError>;

            fn handle(&mut self, _: $crate::handle::Ping, _: &mut Self::Context) -> Self::Result {
                Ok(())
            }
        }

        #[cfg(debug_assertions)]
        impl actix::Handler<$crate::handle::Panic> for $actor {
            type Result = Result<(), $crate::error::ActorError>;

            fn handle(&mut self, _: $crate::handle::Panic, _: &mut Self::Context) -> Self::Result {
                panic!("a test asked for it")
            }
        }
    };
}
pub(crate) use common_handlers;

/// A message on its way. If an actor dies before it has taken the message up, the handle sends it to the next actor: a panic costs only
/// the messages that the actor was working on.
pub struct Delivery<M> {
    message: Arc<Mutex<Option<M>>>,
    /// Of the request that it is a part of, if that is traced.
    span: Option<OpenSpan>,
}

impl<M: Message> Message for Delivery<M> {
    type Result = M::Result;
}

/// The reply to a delivery: what the handler of the message replies.
pub struct Relayed<R>(pub R);

impl<A, M, R> MessageResponse<A, Delivery<M>> for Relayed<R>
where
    A: Actor,
    M: Message,
    R: MessageResponse<A, M>,
{
    fn handle(self, ctx: &mut A::Context, reply: Option<OneshotSender<M::Result>>) {
        self.0.handle(ctx, reply);
    }
}

impl<M> Delivery<M> {
    /// The span of the request that it is a part of.
    pub fn span(&self) -> Option<OpenSpan> {
        self.span.clone()
    }

    /// Takes the message up.
    pub fn open(self) -> M {
        let mut message = self.message.lock().unwrap_or_else(PoisonError::into_inner); // nothing panics while it is held
        message.take().expect("a delivery is handled once, and sent again only if it was not")
    }
}

/// Asks an actor whether its database answers.
#[derive(Message)]
#[rtype(result = "Result<(), ActorError>")]
pub struct Probe;

impl<A: Actor> Handle<A> {
    /// A handle whose actor is not started yet; `supervise` starts the actor.
    pub fn new(name: &'static str, limits: Limits, metrics: &Metrics) -> Self {
        metrics.actor_permits.with_label_values(&[name]).set(limits.permits as i64); // far below 2^63
        metrics.actor_restarts_total.with_label_values(&[name]).reset();
        metrics.actor_permits_in_use.with_label_values(&[name]);
        metrics.actor_duration_seconds.with_label_values(&[name]);
        for reason in ["no_permit", "deadline", "down", "queue_full"] {
            metrics.actor_rejected_total.with_label_values(&[name, reason]);
        }
        Handle(Arc::new(HandleInner {
            name,
            limits,
            permits: Semaphore::new(limits.permits),
            address: watch::Sender::new(None),
            broken: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            metrics: metrics.clone(),
        }))
    }

    pub fn name(&self) -> &'static str {
        self.0.name
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn set_address(&self, address: Option<Addr<A>>) {
        self.0.address.send_replace(address);
    }

    /// Says whether the actor died so often in a row that liveness must fail.
    pub(crate) fn set_broken(&self, broken: bool) {
        self.0.broken.store(broken, Ordering::Relaxed);
    }

    pub(crate) fn set_stopping(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
    }

    /// Sends a message within the limits and waits for the reply.
    ///
    /// # Errors
    /// The error that the actor replies; `Unavailable` without a permit, without an actor or after the deadline;
    /// `Internal` when the handler panicked.
    pub async fn call<M, T>(&self, message: M) -> Result<T, ActorError>
    where
        M: Message<Result = Result<T, ActorError>> + Send + 'static,
        T: Send + 'static,
        A: Handler<Delivery<M>> + Handler<Ping>,
        A::Context: ToEnvelope<A, Delivery<M>> + ToEnvelope<A, Ping>,
    {
        let inner = &self.0;
        let Ok(Ok(_permit)) = timeout(inner.limits.permit_wait.min(left()), inner.permits.acquire()).await else {
            return Err(self.reject("no_permit", "the service is overloaded"));
        };
        let _in_use = InUse::enter(inner.metrics.actor_permits_in_use.with_label_values(&[inner.name]));
        let started = Instant::now();
        let reply = self.ask(message, inner.limits.deadline.min(left())).await;
        inner.metrics.actor_duration_seconds.with_label_values(&[inner.name]).observe(started.elapsed().as_secs_f64());
        reply
    }

    /// Like [`Self::call`], for a read. The read ends when the request no longer waits for it.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn read<M, T>(&self, message: M) -> Result<T, ActorError>
    where
        M: Message<Result = Result<T, ActorError>> + Send + 'static,
        T: Send + 'static,
        A: Handler<Delivery<Awaited<M>>> + Handler<Ping>,
        A::Context: ToEnvelope<A, Delivery<Awaited<M>>> + ToEnvelope<A, Ping>,
    {
        let waiting = Waiting::current();
        tokio::select! {
            biased;
            () = waiting.clone().over() => Err(ActorError::Gone),
            reply = self.call(Awaited { message, waiting }) => reply,
        }
    }

    /// Like [`Self::call`], but without a permit: for the service's own messages, which must reach the actor even in a
    /// flood.
    pub async fn ask<M, T>(&self, message: M, deadline: Duration) -> Result<T, ActorError>
    where
        M: Message<Result = Result<T, ActorError>> + Send + 'static,
        T: Send + 'static,
        A: Handler<Delivery<M>> + Handler<Ping>,
        A::Context: ToEnvelope<A, Delivery<M>> + ToEnvelope<A, Ping>,
    {
        let until = tokio::time::Instant::now() + deadline.min(FOREVER);
        let message = Arc::new(Mutex::new(Some(message)));
        loop {
            let reply = timeout_at(until, self.deliver(&message)).await;
            match reply {
                Ok(Some(reply)) => return reply,
                // The actor died before it took the message up.
                Ok(None) => {}
                Err(_) => return Err(self.reject("deadline", "the request took too long")),
            }
        }
    }

    /// Sends a message once. `None` if the actor died before it took the message up; then no actor has seen it.
    async fn deliver<M, T>(&self, message: &Arc<Mutex<Option<M>>>) -> Option<Result<T, ActorError>>
    where
        M: Message<Result = Result<T, ActorError>> + Send + 'static,
        T: Send + 'static,
        A: Handler<Delivery<M>> + Handler<Ping>,
        A::Context: ToEnvelope<A, Delivery<M>> + ToEnvelope<A, Ping>,
    {
        let Some(address) = self.live_address().await else {
            return Some(Err(self.reject("down", RESTARTING)));
        };
        // Waits until a dying actor has ended, so that the next message does not meet it.
        let outlive = async || timeout(self.0.limits.permit_wait, address.send(Ping)).await;
        let reply = match address.send(Delivery { message: message.clone(), span: Waiting::current_span() }).await {
            Ok(Err(ActorError::Internal)) => {
                // A task that the actor started may have panicked. Then the actor will die too.
                let _ = outlive().await;
                Err(ActorError::Internal)
            }
            Ok(reply) => reply,
            Err(_) if self.0.stopping.load(Ordering::Relaxed) => {
                Err(ActorError::Unavailable("the service is stopping"))
            }
            Err(_) => {
                // The reply is dropped before the mailbox closes.
                let _ = outlive().await;
                if message.lock().is_ok_and(|message| message.is_some()) {
                    return None;
                }
                tracing::error!(actor = self.0.name, "request lost to a panic");
                Err(ActorError::Internal)
            }
        };
        Some(reply)
    }

    /// Sends a message without waiting until it is handled. Returns `false` if there is no actor.
    pub fn tell<M>(&self, message: M) -> bool
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        match &*self.0.address.borrow() {
            Some(address) if address.connected() => {
                address.do_send(message);
                true
            }
            _ => false,
        }
    }

    /// Whether the actor answers in time and has not been given up. A restart of the actor is waited for.
    pub async fn is_alive(&self, deadline: Duration) -> bool
    where
        A: Handler<Delivery<Ping>> + Handler<Ping>,
        A::Context: ToEnvelope<A, Delivery<Ping>> + ToEnvelope<A, Ping>,
    {
        !self.0.broken.load(Ordering::Relaxed) && self.ask(Ping, deadline).await.is_ok()
    }

    /// The address of the running actor. If the actor is being restarted, this waits for the restart.
    async fn live_address(&self) -> Option<Addr<A>> {
        let live = |address: &Option<Addr<A>>| address.as_ref().is_some_and(Addr::connected);
        let mut watch = self.0.address.subscribe();
        let address = timeout(self.0.limits.permit_wait, watch.wait_for(live)).await;
        match address {
            Ok(Ok(address)) => address.clone(),
            _ => None,
        }
    }

    fn reject(&self, reason: &str, words: &'static str) -> ActorError {
        self.0.metrics.actor_rejected_total.with_label_values(&[self.0.name, reason]).inc();
        ActorError::Unavailable(words)
    }
}

/// Counts a permit as in use for as long as it is held, also if the request is given up.
struct InUse(IntGauge);

impl InUse {
    fn enter(gauge: IntGauge) -> Self {
        gauge.inc();
        InUse(gauge)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.dec();
    }
}
