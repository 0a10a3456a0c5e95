//! Brings dead actors back. A panic in a handler closes the actor's address for good, and actix's own `Supervisor`
//! does not survive such a panic either. So the supervisor runs outside of the actor: it holds one end of a channel,
//! and the channel closes when the actor is dropped.

use crate::handle::Handle;
use actix::{Actor, Addr};
use backon::{BackoffBuilder, ExponentialBuilder};
use std::iter::once;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// The actor's end of the channel. The actor holds it as long as it lives, and the supervisor notices when it is
/// dropped.
pub struct Alive {
    _line: oneshot::Sender<()>,
}

const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Before the second restart in a row, the third and so on: from 50 ms on, doubling.
const PAUSES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(50))
    .with_max_delay(LONGEST_PAUSE)
    .without_max_times();
/// An actor that lived this long has recovered.
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
        let (mut in_a_row, mut pauses) = (0, restart_pauses());
        loop {
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => return handle.set_stopping(),
                _ = &mut died => {}
                () = tokio::time::sleep_until(started + RECOVERED), if in_a_row > 0 => {
                    (in_a_row, pauses) = (0, restart_pauses());
                    handle.set_broken(false);
                    continue;
                }
            }
            handle.set_address(None);
            in_a_row += 1;
            handle.set_broken(in_a_row >= GIVE_UP);
            handle.metrics().actor_restarts_total.with_label_values(&[handle.name()]).inc();
            tracing::error!(actor = handle.name(), restarts = in_a_row, "actor died; restarting it");
            tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
            let (line, next) = oneshot::channel();
            died = next;
            started = Instant::now();
            handle.set_address(Some(start(Alive { _line: line })));
        }
    });
}

/// The pauses before restarts in a row, without end. There is none before the first.
fn restart_pauses() -> impl Iterator<Item = Duration> {
    once(Duration::ZERO).chain(PAUSES.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let millis: Vec<u128> = restart_pauses().take(10).map(|pause| pause.as_millis()).collect();
        assert_eq!(millis, [0, 50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(restart_pauses().nth(10_000), Some(LONGEST_PAUSE));
    }
}
