//! Requests that ask the API server the same question at the same time share one call.

use crate::error::ActorError;
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;

pub(super) type Flight<V> = Shared<LocalBoxFuture<'static, Result<V, ActorError>>>;

/// The calls under way. The actor polls each call to its end, even if no request waits for the call any more.
pub(super) struct Flights<K, V: Clone>(Rc<RefCell<HashMap<K, Flight<V>>>>);

impl<K: Clone + Eq + Hash + 'static, V: Clone + 'static> Flights<K, V> {
    pub fn new() -> Self {
        Flights(Rc::default())
    }

    pub fn join(&self, question: &K) -> Option<Flight<V>> {
        self.0.borrow().get(question).cloned()
    }

    /// Begins a call. Later requests with the same question may join the call.
    pub fn start(&self, question: K, call: impl Future<Output = Result<V, ActorError>> + 'static) -> Flight<V> {
        let (under_way, mine) = (self.0.clone(), question.clone());
        let flight = async move {
            let answer = call.await;
            under_way.borrow_mut().remove(&mine);
            answer
        };
        let flight = flight.boxed_local().shared();
        self.0.borrow_mut().insert(question, flight.clone());
        flight
    }
}
