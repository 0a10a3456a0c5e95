//! Equal reads that wait together share one execution, which starts after all of them have arrived: nobody gets an answer that is
//! older than the question. Twenty dashboards cost what one does.

use crate::error::ActorError;
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;
use std::time::Duration;
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
}

impl<K: Clone + Eq + Hash + 'static, T: Clone + 'static> Sharing<K, T> {
    pub fn new() -> Self {
        Sharing(Rc::default())
    }

    /// Joins the execution of this kind that has not begun, or opens one behind the one that has.
    pub fn join(&self, kind: K, read: impl Future<Output = Result<T, ActorError>> + 'static) -> Execution<T> {
        let mut youngest = self.0.borrow_mut();
        let before = match youngest.get(&kind) {
            Some(youngest) if !youngest.started.get() => return youngest.execution.clone(),
            before => before.map(|youngest| youngest.execution.clone()),
        };
        let started = Rc::new(Cell::new(before.is_none()));
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
        youngest.insert(kind, Youngest { execution: execution.clone(), started });
        execution
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
        let mut first = Box::pin(sharing.join("list", first));
        assert!(first.as_mut().now_or_never().is_none());
        let mut second = Box::pin(sharing.join("list", second));
        assert!(second.as_mut().now_or_never().is_none());
        let third = sharing.join("list", third);
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
        let mut slow = Box::pin(sharing.join("list", slow));
        assert!(slow.as_mut().now_or_never().is_none());
        let (next, end) = read(&count);
        let next = sharing.join("list", next);
        end.send(()).expect("it waits");
        assert_eq!(next.await.ok(), Some(2));
    }
}
