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

    /// One that SIGINT or SIGTERM triggers; a second signal ends the process at once.
    pub fn on_signals() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let shutdown = Self::new();
        let trigger = shutdown.clone();
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = interrupt.recv() => "SIGINT",
                    _ = terminate.recv() => "SIGTERM",
                }
            };
            let signal = next().await;
            info!(signal, "stopping");
            trigger.trigger();
            let signal = next().await;
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

#[cfg(test)]
mod tests {
    use super::Shutdown;

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
