use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};

/// Tells every part of a process that it is to stop. Clones are the same.
#[derive(Debug, Clone)]
pub struct Shutdown {
    triggered: watch::Sender<bool>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// One that only [`trigger`](Self::trigger) triggers.
    pub fn new() -> Self {
        let (triggered, _) = watch::channel(false);
        Self { triggered }
    }

    /// One that SIGINT, SIGTERM or SIGHUP triggers, of which the last comes when the terminal is closed; a second SIGINT or
    /// SIGTERM ends the process at once.
    pub fn on_signals() -> std::io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = match ignores_hangup() {
            true => None,
            false => Some(signal(SignalKind::hangup())?),
        };
        let shutdown = Self::new();
        let trigger = shutdown.clone();
        tokio::spawn(async move {
            let signal = tokio::select! {
                signal = asked(&mut interrupt, &mut terminate) => signal,
                () = closed(&mut hangup) => "SIGHUP",
            };
            info!(signal, "stopping");
            trigger.trigger();
            // A terminal that closes says so twice, by the shell and by the kernel: nobody is impatient because of it.
            let signal = asked(&mut interrupt, &mut terminate).await;
            warn!(signal, "second signal: ending without waiting");
            std::process::exit(130);
        });
        Ok(shutdown)
    }

    /// Asks everybody to stop.
    pub fn trigger(&self) {
        self.triggered.send_replace(true);
    }

    /// Whether everybody was asked to stop.
    pub fn is_triggered(&self) -> bool {
        *self.triggered.borrow()
    }

    /// Returns when everybody is asked to stop.
    pub async fn wait(&self) {
        // It only fails if the sender is gone, and `self` holds one.
        let _ = self.triggered.subscribe().wait_for(|triggered| *triggered).await;
    }
}

/// Returns when somebody asks for an end.
async fn asked(interrupt: &mut Signal, terminate: &mut Signal) -> &'static str {
    tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    }
}

/// Returns when the terminal is closed; never, if that is not to matter.
async fn closed(hangup: &mut Option<Signal>) {
    match hangup {
        Some(hangup) => {
            hangup.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether who has started this wants it to outlive the terminal: `nohup` has SIGHUP ignored, and a handler would undo that.
/// Only Linux tells without unsafe code; a mask of signals, of which this is the first.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};
    use tokio::time::{sleep, timeout};

    use super::{Shutdown, ignores_hangup};

    #[tokio::test]
    async fn a_terminal_that_closes_asks_for_a_stop_unless_it_is_not_to_matter() {
        let is_ignored = ignores_hangup();
        let shutdown = Shutdown::on_signals().unwrap();
        for _ in 0..2 {
            kill_process(getpid(), Signal::HUP).unwrap();
            let stopped = timeout(Duration::from_secs(1), shutdown.wait()).await;
            assert_eq!(stopped.is_err(), is_ignored);
            // Were the next one taken for a second signal, the tests would end here.
            sleep(Duration::from_millis(50)).await;
        }
    }

    #[tokio::test]
    async fn every_clone_sees_it_before_and_after() {
        let shutdown = Shutdown::new();
        let early = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.wait().await }
        });
        assert!(!shutdown.is_triggered());
        shutdown.clone().trigger();
        early.await.unwrap();
        shutdown.wait().await;
        assert!(shutdown.is_triggered());
    }
}
