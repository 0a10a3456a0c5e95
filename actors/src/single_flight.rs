//! Equal questions that come together share one execution: twenty dashboards cost what one does.
//!
//! Own code, because the published crates for this can only join what is already under way. Here an execution can also start after
//! all of its askers have arrived, it ends when nobody waits for it any more, and a panic in it harms no later asker.

use crate::error::ActorError;
use crate::waiting::Waiting;
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::rc::{Rc, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// Which execution an asker may join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joining {
    /// One that has not ended. The answer may be older than the question.
    UnderWay,
    /// One that has not started. The answer is never older than the question: an asker that comes later opens an execution behind
    /// the one that runs.
    BeforeStart,
}

/// How long an execution waits for the one before it to end. Until then others can join it.
const PATIENCE: Duration = Duration::from_millis(20);

type Execution<T> = Shared<LocalBoxFuture<'static, Result<T, ActorError>>>;
/// The youngest flight of each key. The askers of a flight own it, the table does not.
type Table<K, T> = Rc<RefCell<HashMap<K, Weak<Flight<K, T>>>>>;

/// The executions of one kind of question, by what is asked.
pub(crate) struct SingleFlight<K: Eq + Hash, T: Clone> {
    joining: Joining,
    flights: Table<K, T>,
}

/// One execution, held by each asker that waits for it. When the last asker is gone, the flight is dropped and its entry leaves the
/// table: after an answer, after a panic, and also where all askers are dropped half-way.
struct Flight<K: Eq + Hash, T: Clone> {
    key: K,
    execution: Execution<T>,
    started: Rc<Cell<bool>>,
    /// Tells the execution, when the flight is dropped, that nobody waits for it any more.
    _awaited: watch::Sender<()>,
    flights: Table<K, T>,
}

impl<K: Clone + Eq + Hash + 'static, T: Clone + 'static> SingleFlight<K, T> {
    pub fn new(joining: Joining) -> Self {
        SingleFlight { joining, flights: Rc::default() }
    }

    /// Whether the next asker of this key joins an execution, and starts none.
    pub fn can_join(&self, key: &K) -> bool {
        self.joinable(key).is_some()
    }

    /// Joins an execution of this key, or opens one.
    ///
    /// `waiting` is the asker's own: when it is over, the answer is `Gone`. `execute` makes the execution. The `Waiting` that it gets
    /// is over when that of each asker is. The last asker still polls the execution to its end then, so that the execution can
    /// cancel what it has begun.
    ///
    /// # Errors
    /// What the execution answers; `Gone`; `Internal` for all askers of an execution that panicked.
    pub fn ask<R>(
        &self,
        key: K,
        waiting: Waiting,
        execute: impl FnOnce(Waiting) -> R,
    ) -> LocalBoxFuture<'static, Result<T, ActorError>>
    where
        R: Future<Output = Result<T, ActorError>> + 'static,
    {
        let flight = self.joinable(&key).unwrap_or_else(|| self.open(key, execute));
        let execution = flight.execution.clone();
        Box::pin(async move {
            tokio::select! {
                biased;
                result = execution.clone() => return result,
                () = waiting.over() => if Rc::strong_count(&flight) > 1 {
                    return Err(ActorError::Gone);
                },
            }
            drop(flight);
            execution.await
        })
    }

    fn joinable(&self, key: &K) -> Option<Rc<Flight<K, T>>> {
        let flight = self.youngest(key)?;
        let joinable = match self.joining {
            Joining::UnderWay => flight.execution.peek().is_none(),
            Joining::BeforeStart => !flight.started.get(),
        };
        joinable.then_some(flight)
    }

    fn youngest(&self, key: &K) -> Option<Rc<Flight<K, T>>> {
        self.flights.borrow().get(key)?.upgrade()
    }

    fn open<R>(&self, key: K, execute: impl FnOnce(Waiting) -> R) -> Rc<Flight<K, T>>
    where
        R: Future<Output = Result<T, ActorError>> + 'static,
    {
        let (awaited, alive) = watch::channel(());
        let execution = execute(Waiting::on(alive));
        let before = self.youngest(&key).map(|flight| flight.execution.clone());
        let started = Rc::new(Cell::new(false));
        let start = started.clone();
        let execution = async move {
            if let Some(before) = before {
                // The answer of the one before is for that one's askers.
                let _ = timeout(PATIENCE, before).await;
            }
            start.set(true);
            execution.await
        };
        let execution = survive(execution).boxed_local().shared();
        let flights = self.flights.clone();
        let flight = Rc::new(Flight { key: key.clone(), execution, started, _awaited: awaited, flights });
        self.flights.borrow_mut().insert(key, Rc::downgrade(&flight));
        flight
    }
}

impl<K: Eq + Hash, T: Clone> Drop for Flight<K, T> {
    fn drop(&mut self) {
        let mut flights = self.flights.borrow_mut();
        // The entry may be that of a younger flight.
        if flights.get(&self.key).is_some_and(|youngest| std::ptr::eq(youngest.as_ptr(), self)) {
            flights.remove(&self.key);
        }
    }
}

/// Turns a panic of an execution into an answer. Without this `Shared` would leave its other askers waiting for ever, and would
/// panic again in each one that joins later.
///
/// The actor lives on, as after any panic in a future that it answers with: actix runs such a future as a task of its own.
async fn survive<T>(execution: impl Future<Output = Result<T, ActorError>>) -> Result<T, ActorError> {
    // Nothing of the execution is used after a panic.
    AssertUnwindSafe(execution).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("a shared execution panicked: all of its askers get an internal error");
        Err(ActorError::Internal)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix::prelude::*;
    use tokio::sync::oneshot;

    /// An execution that ends when it is told to, and counts.
    fn counted(count: &Rc<Cell<u32>>) -> (impl Future<Output = Result<u32, ActorError>> + use<>, oneshot::Sender<()>) {
        let (end, ended) = oneshot::channel();
        let count = count.clone();
        let execution = async move {
            count.set(count.get() + 1);
            let answer = count.get();
            let _ = ended.await;
            Ok(answer)
        };
        (execution, end)
    }

    /// An execution that panics when it is told to.
    fn panicking() -> (impl Future<Output = Result<u32, ActorError>>, oneshot::Sender<()>) {
        let (end, ended) = oneshot::channel();
        let execution = async move {
            let _ = ended.await;
            panic!("a test asked for it")
        };
        (execution, end)
    }

    async fn answer(answer: u32) -> Result<u32, ActorError> {
        Ok(answer)
    }

    #[tokio::test]
    async fn an_asker_after_the_start_gets_a_later_answer() {
        let (flights, count) = (SingleFlight::new(Joining::BeforeStart), Rc::new(Cell::new(0)));
        let (first, end_first) = counted(&count);
        let (second, end_second) = counted(&count);
        let (third, _end_third) = counted(&count);
        let mut first = flights.ask("list", Waiting::current(), |_| first);
        assert!(first.as_mut().now_or_never().is_none());
        let mut second = flights.ask("list", Waiting::current(), |_| second);
        assert!(second.as_mut().now_or_never().is_none());
        let third = flights.ask("list", Waiting::current(), |_| third);
        end_first.send(()).expect("it waits");
        assert_eq!(first.await.ok(), Some(1));
        assert!(flights.can_join(&"list"), "the first takes away its own entry, and not that of the second");
        assert!(second.as_mut().now_or_never().is_none());
        end_second.send(()).expect("it waits");
        assert_eq!(second.await.ok(), Some(2), "it came after the first had started");
        assert_eq!(third.await.ok(), Some(2), "it came before the second had started");
        assert!(flights.flights.borrow().is_empty());
    }

    #[tokio::test]
    async fn an_asker_joins_what_is_under_way() {
        let (flights, count) = (SingleFlight::new(Joining::UnderWay), Rc::new(Cell::new(0)));
        let (first, end) = counted(&count);
        let (second, _end_second) = counted(&count);
        let mut first = flights.ask("token", Waiting::current(), |_| first);
        assert!(!flights.can_join(&"other") && flights.can_join(&"token"));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(flights.can_join(&"token"));
        let second = flights.ask("token", Waiting::current(), |_| second);
        end.send(()).expect("it waits");
        assert_eq!(first.await.ok(), Some(1));
        // The second has not taken its answer yet, but the execution has ended.
        assert!(!flights.can_join(&"token"));
        let third = flights.ask("token", Waiting::current(), |_| answer(3));
        assert_eq!((second.await.ok(), third.await.ok()), (Some(1), Some(3)));
        assert_eq!(count.get(), 1);
        assert!(flights.flights.borrow().is_empty());
    }

    #[tokio::test]
    async fn an_execution_does_not_wait_for_a_slow_one() {
        let (flights, count) = (SingleFlight::new(Joining::BeforeStart), Rc::new(Cell::new(0)));
        let (slow, _never) = counted(&count);
        let mut slow = flights.ask("list", Waiting::current(), |_| slow);
        assert!(slow.as_mut().now_or_never().is_none());
        let (next, end) = counted(&count);
        let next = flights.ask("list", Waiting::current(), |_| next);
        end.send(()).expect("it waits");
        assert_eq!(next.await.ok(), Some(2));
    }

    #[tokio::test]
    async fn an_execution_ends_with_its_last_asker() {
        let flights = SingleFlight::new(Joining::BeforeStart);
        let ((first, first_alive), (second, second_alive)) = (watch::channel(()), watch::channel(()));
        let given_up = Rc::new(Cell::new(0));
        // It ends only when nobody waits for it any more, and needs a turn of the runtime for that.
        let execute = |waiting: Waiting| {
            let given_up = given_up.clone();
            async move {
                waiting.over().await;
                tokio::task::yield_now().await;
                given_up.set(given_up.get() + 1);
                Err::<u32, ActorError>(ActorError::Gone)
            }
        };
        let mut one = flights.ask("list", Waiting::on(first_alive), execute);
        // The first has started; the second waits behind it, with the third.
        assert!(one.as_mut().now_or_never().is_none());
        let mut two = flights.ask("list", Waiting::on(second_alive), execute);
        let mut three = flights.ask("list", Waiting::current(), execute);
        assert!(two.as_mut().now_or_never().is_none() && three.as_mut().now_or_never().is_none());
        drop(first);
        assert!(matches!(one.await, Err(ActorError::Gone)));
        assert_eq!(given_up.get(), 1, "the last asker polls the execution to its end");
        drop(second);
        assert!(matches!(two.await, Err(ActorError::Gone)));
        assert_eq!(given_up.get(), 1, "the third still waits");
        assert!(three.as_mut().now_or_never().is_none());
        drop(three);
        assert!(flights.flights.borrow().is_empty());
    }

    #[tokio::test]
    async fn a_panic_is_answered_and_forgotten() {
        for joining in [Joining::UnderWay, Joining::BeforeStart] {
            let flights = SingleFlight::new(joining);
            let (execution, end) = panicking();
            let mut first = flights.ask("list", Waiting::current(), |_| execution);
            let mut second = flights.ask("list", Waiting::current(), |_| answer(2));
            assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
            end.send(()).expect("it waits");
            assert!(matches!(first.await, Err(ActorError::Internal)), "{joining:?}");
            // The second has not taken its answer yet: the entry of the execution that panicked is still there.
            assert!(!flights.can_join(&"list"), "{joining:?}");
            let third = flights.ask("list", Waiting::current(), |_| answer(3));
            assert_eq!(third.await.ok(), Some(3), "{joining:?}");
            assert!(matches!(second.await, Err(ActorError::Internal)), "{joining:?}");
            assert!(flights.flights.borrow().is_empty(), "{joining:?}");
            assert_eq!(flights.ask("list", Waiting::current(), |_| answer(4)).await.ok(), Some(4), "{joining:?}");
        }
    }

    #[tokio::test]
    async fn an_execution_behind_one_that_panics_runs() {
        let flights = SingleFlight::new(Joining::BeforeStart);
        let (execution, end) = panicking();
        let mut first = flights.ask("list", Waiting::current(), |_| execution);
        assert!(first.as_mut().now_or_never().is_none());
        let mut second = flights.ask("list", Waiting::current(), |_| answer(2));
        assert!(second.as_mut().now_or_never().is_none());
        end.send(()).expect("it waits");
        // The second polls the first, and meets its panic.
        assert_eq!(second.await.ok(), Some(2));
        assert!(matches!(first.await, Err(ActorError::Internal)));
        assert!(flights.flights.borrow().is_empty());
    }

    #[tokio::test]
    async fn a_panic_before_there_is_an_execution_leaves_nothing() {
        let flights = SingleFlight::new(Joining::UnderWay);
        let ask =
            || flights.ask("list", Waiting::current(), |_| -> std::future::Ready<_> { panic!("a test asked for it") });
        assert!(std::panic::catch_unwind(AssertUnwindSafe(ask)).is_err());
        assert!(flights.flights.borrow().is_empty());
        assert_eq!(flights.ask("list", Waiting::current(), |_| std::future::ready(Ok(1))).await.ok(), Some(1));
    }

    #[tokio::test]
    async fn an_execution_that_is_dropped_leaves_nothing() {
        for joining in [Joining::UnderWay, Joining::BeforeStart] {
            let (flights, count) = (SingleFlight::new(joining), Rc::new(Cell::new(0)));
            let (half_way, end) = counted(&count);
            let mut half_way = flights.ask("list", Waiting::current(), |_| half_way);
            assert!(half_way.as_mut().now_or_never().is_none());
            drop(half_way);
            assert!(end.is_closed() && flights.flights.borrow().is_empty(), "{joining:?}");
            drop(flights.ask("list", Waiting::current(), |_| answer(2)));
            assert!(flights.flights.borrow().is_empty(), "never polled, {joining:?}");
            assert_eq!(flights.ask("list", Waiting::current(), |_| answer(3)).await.ok(), Some(3), "{joining:?}");
        }
    }

    /// Asks an [`Asked`] actor; `panics` where this asker would open an execution that panics.
    #[derive(Message)]
    #[rtype(result = "Result<u32, ActorError>")]
    struct Ask {
        panics: bool,
    }

    struct Asked(SingleFlight<(), u32>);

    impl Actor for Asked {
        type Context = Context<Self>;
    }

    impl Handler<Ask> for Asked {
        type Result = ResponseFuture<Result<u32, ActorError>>;

        fn handle(&mut self, Ask { panics }: Ask, _: &mut Self::Context) -> Self::Result {
            self.0.ask(
                (),
                Waiting::current(),
                |_| async move { if panics { panic!("a test asked for it") } else { Ok(1) } },
            )
        }
    }

    #[actix::test]
    async fn an_actor_outlives_a_panic_in_what_it_shares() {
        let actor = Asked(SingleFlight::new(Joining::BeforeStart)).start();
        let both = futures_util::join!(actor.send(Ask { panics: true }), actor.send(Ask { panics: true }));
        assert!(matches!(both, (Ok(Err(ActorError::Internal)), Ok(Err(ActorError::Internal)))), "{both:?}");
        let next = actor.send(Ask { panics: false }).await;
        assert!(matches!(next, Ok(Ok(1))), "{next:?}");
    }
}
