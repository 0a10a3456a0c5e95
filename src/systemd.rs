//! Tells systemd when the service is ready and when it stops, and notifies systemd's watchdog as long as every actor
//! answers. Without systemd, all of this does nothing.

use crate::state::AppState;
use actix_web::web::Data;
use sd_notify::NotifyState;
use std::sync::LazyLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use tokio::time::{MissedTickBehavior, interval};

/// Messages that may wait until systemd reads them: where it does not, it takes about ten, and then whoever writes to it waits.
const WAITING: usize = 16;

/// Leads to a thread of its own, which may wait for systemd as long as it will.
static TELL: LazyLock<SyncSender<NotifyState<'static>>> = LazyLock::new(|| {
    let (tell, told) = sync_channel::<NotifyState<'static>>(WAITING);
    std::thread::spawn(move || {
        for state in told {
            if let Err(error) = sd_notify::notify(&[state]) {
                tracing::warn!(%error, "systemd cannot be told");
            }
        }
    });
    tell
});

pub fn ready() {
    tell(NotifyState::Ready);
}

pub fn stopping() {
    tell(NotifyState::Stopping);
}

fn tell(state: NotifyState<'static>) {
    if TELL.try_send(state).is_err() {
        tracing::warn!("systemd does not read what it is told");
    }
}

/// Notifies the watchdog twice in each of its intervals, if systemd watches the service.
pub async fn beat(state: Data<AppState>) {
    let Some(patience) = sd_notify::watchdog_enabled() else { return };
    let mut ticks = interval(patience / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if state.actors.are_alive().await {
            tell(NotifyState::Watchdog);
        } else {
            tracing::error!("an actor does not answer: the watchdog is not told");
        }
    }
}
