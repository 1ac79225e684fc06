//! A command handler that sleeps in the middle of a transaction, until another one has taken over and committed.

use std::time::{Duration, Instant};

use super::{FIRST, Stage};
use crate::client::Client;
use crate::faults::report::Hit;
use crate::faults::schedule::Successor;
use crate::handler_log::{refused_transactions, take_overs};
use crate::metrics;
use crate::system::Service;

/// How long a transaction is waited for. Under load there is always one.
const TRANSACTION_MAX: Duration = Duration::from_secs(10);
/// A group waits 10 s for a member, Kafka 10 s for a transaction that nobody ends, and looks every 10 s.
const NAP_MAX: Duration = Duration::from_secs(60);
/// How long one that wakes may take to find out.
const WAKING_MAX: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// A handler has so many workers, which begin anew each by itself.
const WORKERS: usize = 2;

/// What became of the sleepers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Naps {
    /// Handlers that slept while another one took over and committed.
    pub naps: usize,
    /// Those that had a transaction refused when they woke.
    pub zombies: usize,
}

/// A command handler of the stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    First,
    /// Has the name of the first one.
    Twin,
    Second,
}

impl Stage {
    /// One nap, or there and back.
    pub(super) async fn zombie(&mut self, hit: Hit, successor: Successor) {
        match successor {
            Successor::Namesake => {
                if self.nap(Who::First, Who::Twin, &hit).await {
                    self.nap(Who::Twin, Who::First, &hit).await;
                }
                self.one_of_two_namesakes().await;
            }
            Successor::Another => {
                self.second_is_there().await;
                self.nap(Who::First, Who::Second, &hit).await;
            }
        }
    }

    /// Whether it slept while the other one took over and committed.
    async fn nap(&mut self, sleeper: Who, successor: Who, hit: &Hit) -> bool {
        // The twin has the same name.
        let in_its_name = format!("-{FIRST}-");
        if !self.proxy.opens(&in_its_name, TRANSACTION_MAX).await {
            return false;
        }
        self.pause(sleeper);
        let slept_at = Instant::now();
        let hit = Hit {
            at: self.load.elapsed(),
            waiting: self.load.waiting(),
            in_transaction: true,
            ..hit.clone()
        };
        let log = self.log(sleeper);
        let has_committed = self.takes_over(successor).await;
        self.resume(sleeper);
        let woke_at = Instant::now();
        let is_zombie = self.wakes(sleeper, successor, &log).await;
        println!(
            "    {sleeper:?} slept {:.1?}, {successor:?} has committed: {has_committed}; told after {:.1?}, refused: {is_zombie}",
            woke_at - slept_at,
            woke_at.elapsed()
        );
        if has_committed {
            self.naps.naps += 1;
            self.naps.zombies += usize::from(is_zombie);
            self.hits.push(hit);
        }
        has_committed
    }

    /// Whether it takes over, and then commits.
    async fn takes_over(&mut self, successor: Who) -> bool {
        let taken_over = match successor {
            Who::Second => take_overs(&self.log(successor)),
            // It begins anew.
            Who::First | Who::Twin => 0,
        };
        self.is_started(successor).await;
        let has_taken_over = async || take_overs(&self.log(successor)) > taken_over;
        if !within(NAP_MAX, LOOK_AGAIN, has_taken_over).await {
            return false;
        }
        let decided = match successor {
            // What a standby has committed before was its own.
            Who::Second => self.decided(successor).await,
            Who::First | Who::Twin => 0,
        };
        let has_committed = async || self.decided(successor).await > decided;
        within(NAP_MAX, LOOK_AGAIN, has_committed).await
    }

    /// Waits until it knows what has happened. Whether a transaction of it was refused, which its log did not say before.
    async fn wakes(&self, sleeper: Who, successor: Who, log: &str) -> bool {
        let was_refused = || refused_transactions(&self.log(sleeper)) > refused_transactions(log);
        let is_told = async || match successor {
            // It goes on, perhaps without having had anything in its hands.
            Who::Second => was_refused() || take_overs(&self.log(sleeper)) >= take_overs(log) + WORKERS,
            // It ends, because there is another one of its name.
            Who::First | Who::Twin => !self.is_running(sleeper).await,
        };
        within(WAKING_MAX, LOOK_AGAIN, is_told).await;
        was_refused()
    }

    /// Whichever has ended, the first one runs afterwards, alone.
    async fn one_of_two_namesakes(&mut self) {
        self.twin.kill().await;
        if !self.is_running(Who::First).await {
            self.is_started(Who::First).await;
        }
    }

    /// Commands that it has decided, and committed.
    async fn decided(&self, who: Who) -> u64 {
        let sum = metrics::sum_if_up(&self.write(who), "foldline_commands_total", "").await;
        sum.unwrap_or_default()
    }

    fn write(&self, who: Who) -> Client {
        match who {
            Who::First => self.system.write(),
            Who::Twin => self.twin.write(),
            Who::Second => self.second.write(),
        }
    }

    fn pause(&self, who: Who) {
        match who {
            Who::First => self.system.pause(Service::CommandHandler),
            Who::Twin => self.twin.pause(),
            Who::Second => self.second.pause(),
        }
    }

    fn resume(&self, who: Who) {
        match who {
            Who::First => self.system.resume(Service::CommandHandler),
            Who::Twin => self.twin.resume(),
            Who::Second => self.second.resume(),
        }
    }

    fn log(&self, who: Who) -> String {
        match who {
            Who::First => self.system.log_of(Service::CommandHandler),
            Who::Twin => self.twin.log(),
            Who::Second => self.second.log(),
        }
    }

    async fn is_running(&self, who: Who) -> bool {
        match who {
            Who::First => self.system.has_ended(Service::CommandHandler).await.is_none(),
            Who::Twin => self.twin.is_running(),
            Who::Second => self.second.is_running(),
        }
    }

    async fn is_started(&mut self, who: Who) {
        match who {
            Who::First => {
                // What it is now is over: it has ended, or is to.
                self.system.kill(Service::CommandHandler).await;
                self.system.launch(Service::CommandHandler);
            }
            Who::Twin => {
                self.twin.kill().await;
                self.twin.start_again();
            }
            Who::Second => {}
        }
    }
}

/// Whether the answer is yes within the time.
async fn within(at_most: Duration, every: Duration, ask: impl AsyncFn() -> bool) -> bool {
    let began_at = Instant::now();
    while began_at.elapsed() < at_most {
        if ask().await {
            return true;
        }
        tokio::time::sleep(every).await;
    }
    false
}
