//! Brings dead actors back. A panic in a handler closes the actor's address for good, and actix's own `Supervisor`
//! does not survive such a panic either. So the supervisor runs outside of the actor: it holds one end of a channel,
//! and the channel closes when the actor is dropped.

use crate::handle::Handle;
use actix::{Actor, Addr};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// The actor's end of the channel. The actor holds it as long as it lives, and the supervisor notices when it is
/// dropped.
pub struct Alive {
    _line: oneshot::Sender<()>,
}

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// An actor that has lived this long counts as recovered.
const RECOVERED: Duration = Duration::from_secs(60);
/// After this many restarts in a row, liveness fails.
const GIVE_UP: u32 = 10;

/// Starts an actor behind its handle, and starts it again whenever it dies, until `stopping` turns true. `start` is called
/// on the current arbiter.
pub fn supervise<A, F>(handle: Handle<A>, mut stopping: watch::Receiver<bool>, start: F)
where
    A: Actor,
    F: Fn(Alive) -> Addr<A> + 'static,
{
    let (line, mut died) = oneshot::channel();
    handle.set_address(Some(start(Alive { _line: line })));
    let mut started = Instant::now();
    actix::spawn(async move {
        let mut in_a_row = 0;
        loop {
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => return handle.set_stopping(),
                _ = &mut died => {}
                () = tokio::time::sleep_until(started + RECOVERED), if in_a_row > 0 => {
                    in_a_row = 0;
                    handle.set_broken(false);
                    continue;
                }
            }
            handle.set_address(None);
            in_a_row += 1;
            handle.set_broken(in_a_row >= GIVE_UP);
            handle.metrics().actor_restarts_total.with_label_values(&[handle.name()]).inc();
            tracing::error!(actor = handle.name(), restarts = in_a_row, "actor died; restarting it");
            tokio::time::sleep(pause(in_a_row)).await;
            let (line, next) = oneshot::channel();
            died = next;
            started = Instant::now();
            handle.set_address(Some(start(Alive { _line: line })));
        }
    });
}

/// The pause before a restart: none before the first restart in a row, then a pause that doubles.
fn pause(in_a_row: u32) -> Duration {
    match in_a_row {
        0 | 1 => Duration::ZERO,
        n => (FIRST_PAUSE * 2u32.saturating_pow(n - 2).min(1000)).min(LONGEST_PAUSE),
    }
}
