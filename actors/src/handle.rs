//! The only way to reach an actor: its address, which changes when it is restarted, and what keeps a flood of requests
//! from piling up in its mailbox.

use crate::error::ActorError;
use crate::metrics::Metrics;
use crate::waiting::{Awaited, Waiting, left};
use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, MailboxError, Message};
use prometheus::IntGauge;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

/// What bounds the use of an actor.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests that may be with the actor at once.
    pub permits: usize,
    /// How long a request waits for a permit.
    pub permit_wait: Duration,
    /// How long a request waits for its answer.
    pub deadline: Duration,
}

/// What a client is told of an actor that died.
pub(crate) const RESTARTING: &str = "a part of the service is being restarted";

/// A clonable way to one actor.
pub struct Handle<A: Actor>(Arc<HandleInner<A>>);

struct HandleInner<A: Actor> {
    name: &'static str,
    limits: Limits,
    permits: Semaphore,
    address: watch::Sender<Option<Addr<A>>>,
    broken: AtomicBool,
    /// Set when the service ends: an actor that is gone is meant to be.
    stopping: AtomicBool,
    metrics: Metrics,
}

impl<A: Actor> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Handle(self.0.clone())
    }
}

/// Liveness: an actor that handles it is alive and not stuck. It never waits for a database.
#[derive(Message)]
#[rtype(result = "Result<(), ActorError>")]
pub struct Ping;

/// Has an actor panic, so that tests see what follows. Not in release builds.
#[cfg(debug_assertions)]
#[derive(Message)]
#[rtype(result = "Result<(), ActorError>")]
pub struct Panic;

/// What every actor handles beside its own messages.
macro_rules! common_handlers {
    ($actor:ty) => {
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

/// Asks an actor to try its database; the answer is the database's.
#[derive(Message)]
#[rtype(result = "Result<(), ActorError>")]
pub struct Probe;

impl<A: Actor> Handle<A> {
    /// A handle whose actor is still to be started (`supervise`).
    pub fn new(name: &'static str, limits: Limits, metrics: &Metrics) -> Self {
        metrics.actor_permits.with_label_values(&[name]).set(limits.permits as i64); // far below 2^63
        metrics.actor_restarts_total.with_label_values(&[name]).reset();
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

    /// Set when the actor could not be brought back, too often in a row.
    pub(crate) fn set_broken(&self, broken: bool) {
        self.0.broken.store(broken, Ordering::Relaxed);
    }

    pub(crate) fn set_stopping(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
    }

    /// Sends a message within the limits and waits for the reply.
    ///
    /// # Errors
    /// What the actor replies; `Unavailable` without a permit, without an actor or past the deadline; `Internal` when
    /// the handling panicked.
    pub async fn call<M, T>(&self, message: M) -> Result<T, ActorError>
    where
        M: Message<Result = Result<T, ActorError>> + Send + 'static,
        T: Send + 'static,
        A: Handler<M> + Handler<Ping>,
        A::Context: ToEnvelope<A, M> + ToEnvelope<A, Ping>,
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

    /// As [`Self::call`], for a read, which ends when nobody waits for it any more.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn read<M, T>(&self, message: M) -> Result<T, ActorError>
    where
        M: Message<Result = Result<T, ActorError>> + Send + 'static,
        T: Send + 'static,
        A: Handler<Awaited<M>> + Handler<Ping>,
        A::Context: ToEnvelope<A, Awaited<M>> + ToEnvelope<A, Ping>,
    {
        let waiting = Waiting::current();
        tokio::select! {
            biased;
            () = waiting.clone().over() => Err(ActorError::Gone),
            reply = self.call(Awaited { message, waiting }) => reply,
        }
    }

    /// As [`Self::call`], without a permit: for the service's own questions, which must get through in a flood.
    pub async fn ask<M, T>(&self, message: M, deadline: Duration) -> Result<T, ActorError>
    where
        M: Message<Result = Result<T, ActorError>> + Send + 'static,
        T: Send + 'static,
        A: Handler<M> + Handler<Ping>,
        A::Context: ToEnvelope<A, M> + ToEnvelope<A, Ping>,
    {
        let Some(address) = self.live_address().await else {
            return Err(self.reject("down", RESTARTING));
        };
        // Whoever asks next must not meet a dying actor.
        let outlive = async || timeout(self.0.limits.permit_wait, address.send(Ping)).await;
        match timeout(deadline, address.send(message)).await {
            Ok(Ok(Err(ActorError::Internal))) => {
                // What it left to another may have ended in a panic, and so will the actor.
                let _ = outlive().await;
                Err(ActorError::Internal)
            }
            Ok(Ok(reply)) => reply,
            Ok(Err(MailboxError::Closed)) if self.0.stopping.load(Ordering::Relaxed) => {
                Err(ActorError::Unavailable("the service is stopping"))
            }
            Ok(Err(MailboxError::Closed)) => {
                tracing::error!(actor = self.0.name, "request lost to a panic");
                // The reply breaks before the mailbox does.
                let _ = outlive().await;
                Err(ActorError::Internal)
            }
            Ok(Err(MailboxError::Timeout)) | Err(_) => Err(self.reject("deadline", "the request took too long")),
        }
    }

    /// Hands a message over without waiting for it to be handled; `false` when there is no actor.
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

    /// Whether the actor answers, or is being restarted and not given up.
    pub async fn is_alive(&self, deadline: Duration) -> bool
    where
        A: Handler<Ping>,
        A::Context: ToEnvelope<A, Ping>,
    {
        !self.0.broken.load(Ordering::Relaxed) && self.ask(Ping, deadline).await.is_ok()
    }

    /// The address of an actor that runs; a restart is waited for.
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

/// Counts a permit for as long as it is held, also where the request is given up.
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
