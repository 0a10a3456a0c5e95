//! What a handle promises for any actor: bounded use, deadlines, and a new actor after a panic.

use actix::prelude::*;
use data_storage_actors::error::ActorError;
use data_storage_actors::handle::{Delivery, Handle, Limits, Ping, Relayed};
use data_storage_actors::metrics::Metrics;
use data_storage_actors::supervise::{Alive, supervise};
use futures_util::future::join_all;
use prometheus::Registry;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// An actor that does as it is told.
struct Obedient {
    handled: u32,
    _alive: Alive,
}

impl Actor for Obedient {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype(result = "Result<u32, ActorError>")]
enum Order {
    Count,
    Panic,
    PanicLater,
    Never,
    Refuse,
}

impl Handler<Order> for Obedient {
    type Result = ResponseFuture<Result<u32, ActorError>>;

    fn handle(&mut self, order: Order, _: &mut Self::Context) -> Self::Result {
        self.handled += 1;
        let handled = self.handled;
        match order {
            Order::Panic => panic!("told to"),
            Order::PanicLater => Box::pin(async { panic!("told to") }),
            Order::Never => Box::pin(std::future::pending()),
            Order::Refuse => Box::pin(async { Err(ActorError::NotFound) }),
            Order::Count => Box::pin(async move { Ok(handled) }),
        }
    }
}

impl<M> Handler<Delivery<M>> for Obedient
where
    M: Message + 'static,
    Obedient: Handler<M>,
{
    type Result = Relayed<<Obedient as Handler<M>>::Result>;

    fn handle(&mut self, delivery: Delivery<M>, ctx: &mut Self::Context) -> Self::Result {
        Relayed(Handler::<M>::handle(self, delivery.open(), ctx))
    }
}

impl Handler<Ping> for Obedient {
    type Result = Result<(), ActorError>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Self::Result {
        Ok(())
    }
}

fn start(permits: usize) -> (Handle<Obedient>, Metrics, watch::Sender<bool>) {
    let metrics = Metrics::register(&Registry::new()).expect("new names");
    let limits = Limits { permits, permit_wait: Duration::from_millis(300), deadline: Duration::from_millis(600) };
    let handle = Handle::new("obedient", limits, &metrics);
    let (stopping, stopped) = watch::channel(false);
    let arbiter = Arbiter::new().handle();
    supervise(handle.clone(), stopped, move |alive| {
        Obedient::start_in_arbiter(&arbiter, move |_| Obedient { handled: 0, _alive: alive })
    });
    (handle, metrics, stopping)
}

#[actix::test]
async fn a_panic_costs_its_request_and_the_next_are_served() {
    let (handle, metrics, _stopping) = start(8);
    assert_eq!(handle.call(Order::Count).await.ok(), Some(1));
    assert!(matches!(handle.call(Order::Refuse).await, Err(ActorError::NotFound)));
    assert_eq!(handle.call(Order::Count).await.ok(), Some(3), "a refusal is a reply");
    for _ in 0..3 {
        assert!(matches!(handle.call(Order::Panic).await, Err(ActorError::Internal)));
        assert_eq!(handle.call(Order::Count).await.ok(), Some(1), "a new actor counts from the start");
    }
    assert!(matches!(handle.call(Order::PanicLater).await, Err(ActorError::Internal)));
    assert!(handle.call(Order::Count).await.is_ok());
    assert_eq!(metrics.actor_restarts_total.with_label_values(&["obedient"]).get(), 3);
    assert!(handle.is_alive(Duration::from_secs(1)).await);
}

#[actix::test]
async fn permits_bound_what_is_under_way() {
    let (handle, metrics, _stopping) = start(4);
    let started = Instant::now();
    let answers = join_all((0..50).map(|_| handle.call(Order::Never))).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(ActorError::Unavailable(_)))));
    assert!(started.elapsed() < Duration::from_secs(3));
    let rejected = |reason| metrics.actor_rejected_total.with_label_values(&["obedient", reason]).get();
    assert_eq!((rejected("deadline"), rejected("no_permit")), (4, 46));
    assert_eq!(metrics.actor_permits_in_use.with_label_values(&["obedient"]).get(), 0);
    assert!(handle.call(Order::Count).await.is_ok(), "served again afterwards");
}

/// What waits in the mailbox of an actor that dies goes to the next actor.
#[actix::test]
async fn a_panic_costs_only_what_the_actor_was_working_on() {
    for _ in 0..10 {
        let (handle, _metrics, _stopping) = start(64);
        let orders = (0..30).map(|n| handle.call(if n == 3 { Order::Panic } else { Order::Count }));
        let answers = join_all(orders).await;
        let lost = answers.iter().filter(|answer| answer.is_err()).count();
        assert_eq!(lost, 1, "{answers:?}");
    }
}

/// An actor that cannot be kept alive fails liveness.
#[actix::test]
async fn an_actor_that_dies_again_and_again_is_not_alive() {
    let (handle, _metrics, _stopping) = start(8);
    for _ in 0..10 {
        let _ = handle.ask(Order::Panic, Duration::from_secs(1)).await; // also while it is being restarted
        while handle.ask(Order::Refuse, Duration::from_secs(1)).await.is_err_and(|e| !matches!(e, ActorError::NotFound))
        {
        }
    }
    assert!(!handle.is_alive(Duration::from_secs(1)).await);
}
