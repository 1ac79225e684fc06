use std::time::{Duration, Instant};

use anyhow::bail;
use foldline_views::{ParkedKey, ViewStore};

use super::{Desk, Letter};

/// How often one looks whether the projector has done it.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks the projector, which alone writes the views, and waits for what comes of it.
pub(super) fn retry(desk: &Desk, letter: &Letter, key: &ParkedKey, wait: Duration) -> anyhow::Result<String> {
    desk.parked_one(letter)?;
    desk.store.desk()?.retry(key)?;
    let asked_at = Instant::now();
    loop {
        let mut parked = desk.parked()?.into_iter();
        let Some(entry) = parked.find(|entry| Letter::of_parked(&entry.parked) == *letter) else {
            return Ok("it is folded up to now, and follows again".to_owned());
        };
        if !entry.is_to_be_retried {
            bail!(
                "it failed again, at offset {}: {}",
                entry.parked.offset,
                entry.parked.reason
            );
        }
        if asked_at.elapsed() > wait {
            bail!("the projector has not taken it up yet; it does so when it runs");
        }
        std::thread::sleep(PAUSE);
    }
}
