use std::convert::Infallible;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use foldline_service::Shutdown;
use foldline_stack::{Child, StackError};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::console::Console;

/// The first wait before a service that died is started again; each further one is twice as long.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Who has run for so long has recovered.
const RECOVERED: Duration = Duration::from_secs(60);
/// Who is not ready after it is asked why.
const PATIENCE: Duration = Duration::from_secs(5);

/// Makes the command that starts a service.
pub(crate) type Starter = Box<dyn Fn() -> Command + Send + Sync>;

/// A service that runs, and is started again when it dies.
pub(crate) struct Kept {
    stop: Shutdown,
    task: JoinHandle<()>,
}

impl Kept {
    /// Starts it, and returns when it is ready. A service that dies before that has something wrong with it that a
    /// further start would not mend.
    pub(crate) async fn start(
        mut child: Child,
        starter: Starter,
        console: &Arc<Console>,
    ) -> Result<Self, StackError> {
        child.start(starter())?;
        ready(&child, console).await?;
        let stop = Shutdown::new();
        let task = tokio::spawn({
            let (stop, console) = (stop.clone(), Arc::clone(console));
            async move {
                tokio::select! {
                    () = keep(&mut child, &starter, &console) => {}
                    () = stop.wait() => {}
                }
                child.stop().await;
            }
        });
        Ok(Self { stop, task })
    }

    /// Stops it, and returns when it is gone.
    pub(crate) async fn stop(mut self) {
        self.stop.trigger();
        // An error is a panic in the task, and then the child was killed as it was dropped.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Drops the child with it, which kills it.
        self.task.abort();
    }
}

/// Starts it again whenever it ends. Never returns.
async fn keep(child: &mut Child, starter: &Starter, console: &Console) {
    let mut backoff = BACKOFF_MIN;
    loop {
        let since = Instant::now();
        let status = child.ended().await;
        if since.elapsed() > RECOVERED {
            backoff = BACKOFF_MIN;
        }
        let name = child.name();
        let last = child.last_line();
        let last = last.map_or_else(String::new, |line| format!(", which ends with:\n  {line}"));
        console.line(&format!(
            "{name} ended ({status}) and is started again in {:.1} s; its log is {}{last}",
            backoff.as_secs_f32(),
            child.log().with_extension("log.previous").display()
        ));
        sleep(backoff).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
        match child.start(starter()) {
            // If it dies while it starts, the loop sees it.
            Ok(()) => drop(ready(child, console).await),
            Err(error) => console.line(&format!("{name} cannot be started: {error}")),
        }
    }
}

/// Waits as long as it takes: a service that has much to read is not ill. What it waits for is shown.
async fn ready(child: &Child, console: &Console) -> Result<(), StackError> {
    let (name, started) = (child.name(), Instant::now());
    let what = format!("starting {name}");
    console.begin(&what);
    let address = format!("http://127.0.0.1:{}", child.port());
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(2))
        .build()
        .expect("a plain client can be made");
    let readyz = format!("{address}/readyz");
    let answers = || async {
        let answer = http.get(&readyz).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    };
    tokio::select! {
        ready = child.ready(Duration::MAX, answers) => ready?,
        never = tell_what_is_missing(name, &readyz, &http, console) => match never {},
    }
    let after = started.elapsed().as_secs_f32();
    console.end(&what, &format!("{name} is ready at {address} after {after:.1} s"));
    Ok(())
}

/// Says from time to time what a service waits for, if it is something else than before.
async fn tell_what_is_missing(
    name: &str,
    readyz: &str,
    http: &reqwest::Client,
    console: &Console,
) -> Infallible {
    let mut told = String::new();
    loop {
        sleep(PATIENCE).await;
        let Ok(answer) = http.get(format!("{readyz}?verbose")).send().await else {
            continue;
        };
        let problem = answer.json::<serde_json::Value>().await.unwrap_or_default();
        let missing = problem["detail"].as_str().unwrap_or_default();
        if !missing.is_empty() && missing != told {
            console.line(&format!("{name} waits: {missing}"));
            missing.clone_into(&mut told);
        }
    }
}
