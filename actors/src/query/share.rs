//! Equal reads that wait together share one execution, which starts after all of them have arrived: nobody gets an answer that is
//! older than the question. Twenty dashboards cost what one does.

use crate::error::ActorError;
use crate::waiting::Waiting;
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::{Rc, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// How long a read waits for the one of its kind that is under way, so that others can join it.
const PATIENCE: Duration = Duration::from_millis(20);

type Execution<T> = Shared<LocalBoxFuture<'static, Result<T, ActorError>>>;

/// The youngest execution of each kind that has not ended.
pub(super) struct Sharing<K, T: Clone>(Rc<RefCell<HashMap<K, Youngest<T>>>>);

struct Youngest<T: Clone> {
    execution: Execution<T>,
    /// Whether it is too late to join.
    started: Rc<Cell<bool>>,
    /// Held by those who wait for it: when the last is gone, it is too.
    askers: Weak<watch::Sender<()>>,
}

impl<K: Clone + Eq + Hash + 'static, T: Clone + 'static> Sharing<K, T> {
    pub fn new() -> Self {
        Sharing(Rc::default())
    }

    /// Joins the execution of this kind that has not begun, or opens one behind the one that has. `read` makes it, for whoever waits.
    pub fn join<R>(
        &self,
        kind: K,
        waiting: Waiting,
        read: impl FnOnce(Waiting) -> R,
    ) -> LocalBoxFuture<'static, Result<T, ActorError>>
    where
        R: Future<Output = Result<T, ActorError>> + 'static,
    {
        let (execution, askers) = self.enter(kind, read);
        Box::pin(async move {
            tokio::select! {
                biased;
                result = execution.clone() => return result,
                () = waiting.over() => if Rc::strong_count(&askers) > 1 {
                    return Err(ActorError::Gone);
                },
            }
            // The last to go sees to it that the read is given up.
            drop(askers);
            execution.await
        })
    }

    fn enter<R>(&self, kind: K, read: impl FnOnce(Waiting) -> R) -> (Execution<T>, Rc<watch::Sender<()>>)
    where
        R: Future<Output = Result<T, ActorError>> + 'static,
    {
        let mut youngest = self.0.borrow_mut();
        let before = youngest.get(&kind);
        if let Some((youngest, askers)) = before.and_then(|before| Some((before, before.askers.upgrade()?)))
            && !youngest.started.get()
        {
            return (youngest.execution.clone(), askers);
        }
        let before = before.map(|youngest| youngest.execution.clone());
        let started = Rc::new(Cell::new(before.is_none()));
        let (here, alive) = watch::channel(());
        let (askers, read) = (Rc::new(here), read(Waiting::on(alive)));
        let execution = {
            let (table, kind, started) = (self.0.clone(), kind.clone(), started.clone());
            async move {
                if let Some(before) = before {
                    // Its result is for others, and it may take its time.
                    let _ = timeout(PATIENCE, before).await;
                }
                started.set(true);
                let result = read.await;
                let mut table = table.borrow_mut();
                if table.get(&kind).is_some_and(|youngest| Rc::ptr_eq(&youngest.started, &started)) {
                    table.remove(&kind);
                }
                result
            }
        };
        let execution = execution.boxed_local().shared();
        youngest.insert(kind, Youngest { execution: execution.clone(), started, askers: Rc::downgrade(&askers) });
        (execution, askers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    /// An execution that ends when it is told to, and counts.
    fn read(count: &Rc<Cell<u32>>) -> (impl Future<Output = Result<u32, ActorError>> + use<>, oneshot::Sender<()>) {
        let (end, ended) = oneshot::channel();
        let count = count.clone();
        let read = async move {
            count.set(count.get() + 1);
            let answer = count.get();
            let _ = ended.await;
            Ok(answer)
        };
        (read, end)
    }

    #[tokio::test]
    async fn who_comes_later_gets_a_later_answer() {
        let (sharing, count) = (Sharing::new(), Rc::new(Cell::new(0)));
        let (first, end_first) = read(&count);
        let (second, end_second) = read(&count);
        let (third, _end_third) = read(&count);
        let mut first = Box::pin(sharing.join("list", Waiting::current(), |_| first));
        assert!(first.as_mut().now_or_never().is_none());
        let mut second = Box::pin(sharing.join("list", Waiting::current(), |_| second));
        assert!(second.as_mut().now_or_never().is_none());
        let third = sharing.join("list", Waiting::current(), |_| third);
        end_first.send(()).expect("it waits");
        assert_eq!(first.await.ok(), Some(1));
        assert!(second.as_mut().now_or_never().is_none());
        end_second.send(()).expect("it waits");
        assert_eq!(second.await.ok(), Some(2), "it came after the first had begun");
        assert_eq!(third.await.ok(), Some(2), "it came before the second had begun");
        assert!(sharing.0.borrow().is_empty());
    }

    #[tokio::test]
    async fn a_slow_execution_is_not_waited_for() {
        let (sharing, count) = (Sharing::new(), Rc::new(Cell::new(0)));
        let (slow, _never) = read(&count);
        let mut slow = Box::pin(sharing.join("list", Waiting::current(), |_| slow));
        assert!(slow.as_mut().now_or_never().is_none());
        let (next, end) = read(&count);
        let next = sharing.join("list", Waiting::current(), |_| next);
        end.send(()).expect("it waits");
        assert_eq!(next.await.ok(), Some(2));
    }

    #[tokio::test]
    async fn it_ends_with_the_last_who_waits() {
        let sharing = Sharing::new();
        let ((first, first_alive), (second, second_alive)) = (watch::channel(()), watch::channel(()));
        // It ends only when nobody waits.
        let read = |waiting: Waiting| async move {
            waiting.over().await;
            Err::<u32, ActorError>(ActorError::Gone)
        };
        let mut one = Box::pin(sharing.join("list", Waiting::on(first_alive), read));
        // The first has begun; the second waits behind it, with the third.
        assert!(one.as_mut().now_or_never().is_none());
        let mut two = Box::pin(sharing.join("list", Waiting::on(second_alive), read));
        let mut three = Box::pin(sharing.join("list", Waiting::current(), read));
        assert!(two.as_mut().now_or_never().is_none() && three.as_mut().now_or_never().is_none());
        drop(first);
        assert!(matches!(one.await, Err(ActorError::Gone)));
        drop(second);
        assert!(matches!(two.await, Err(ActorError::Gone)), "it goes, and the third waits on");
        assert!(three.as_mut().now_or_never().is_none());
        drop(three);
    }
}
