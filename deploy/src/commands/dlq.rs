//! `foldline dlq`: what could not be handled, and what becomes of it.

mod letter;
mod list;
mod parked;
mod show;

use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use foldline_core::Domains;
use foldline_kafka::{DeadLetters, KafkaSettings, check_topics};
use foldline_service::parse_duration;
use foldline_views::{ParkedEntry, SqliteStore, StoreError, ViewStore};

use self::letter::Letter;
use super::views::Place;

/// Settle what could not be handled.
#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// Show what is open: `restaurant.orders/3/17` is a record that was no command, by partition and offset of the
    /// dead-letter topic; `orders:restaurant.orders/8659a0d6` is an aggregate that the view orders has parked.
    List(ListOptions),
    /// Show one of them whole: headers, reason, content.
    Show(OneOptions),
    /// Hand a record in again as it was found; fold a parked aggregate from where it stopped. For when the reason is gone.
    Retry(RetryOptions),
    /// Give it up, and say why. A record stays in its topic, an aggregate stays parked; neither is open any more.
    Drop(DropOptions),
}

/// Where everything is.
#[derive(Debug, Args)]
pub(crate) struct Sources {
    #[command(flatten)]
    kafka: KafkaSettings,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(crate) struct ListOptions {
    #[command(flatten)]
    sources: Sources,
    /// Show what is settled as well.
    #[arg(long)]
    all: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OneOptions {
    #[command(flatten)]
    sources: Sources,
    /// As `dlq list` names it.
    letter: Letter,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RetryOptions {
    #[command(flatten)]
    sources: Sources,
    /// As `dlq list` names them.
    #[arg(required = true)]
    letters: Vec<Letter>,
    /// How long to wait for the projector to fold a parked aggregate.
    #[arg(long, default_value = "30s", value_parser = parse_duration, value_name = "TIME")]
    wait: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct DropOptions {
    #[command(flatten)]
    sources: Sources,
    /// As `dlq list` names it.
    letter: Letter,
    /// Why nothing more is to be done about it.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// What the commands work on. Blocking.
struct Desk {
    letters: DeadLetters,
    store: SqliteStore,
}

impl Desk {
    /// Everything that is parked; nothing if there are no views yet.
    fn parked(&self) -> anyhow::Result<Vec<ParkedEntry>> {
        let mut reader = match self.store.reader() {
            Err(StoreError::NotThere(_)) => return Ok(Vec::new()),
            reader => reader?,
        };
        let snapshot = reader.snapshot()?;
        Ok(snapshot.parked()?)
    }

    fn parked_one(&self, letter: &Letter) -> anyhow::Result<ParkedEntry> {
        let mut parked = self.parked()?.into_iter();
        let found = parked.find(|entry| Letter::of_parked(&entry.parked) == *letter);
        found.with_context(|| format!("{letter} is not parked; see `foldline dlq list`"))
    }
}

pub(crate) async fn run(command: DlqCommand, domains: Domains) -> anyhow::Result<()> {
    let sources = match &command {
        DlqCommand::List(options) => &options.sources,
        DlqCommand::Show(options) => &options.sources,
        DlqCommand::Retry(options) => &options.sources,
        DlqCommand::Drop(options) => &options.sources,
    };
    let cluster = check_topics(&sources.kafka, &domains).await?;
    let desk = Desk {
        letters: DeadLetters::new(&sources.kafka, &domains, cluster),
        store: sources.place.store(),
    };
    let done = tokio::task::spawn_blocking(move || match command {
        DlqCommand::List(options) => list::run(&desk, options.all, options.json),
        DlqCommand::Show(options) => show::run(&desk, &options.letter, options.json),
        DlqCommand::Retry(options) => retry(&desk, &options),
        DlqCommand::Drop(options) => drop_one(&desk, &options.letter, &options.reason),
    });
    done.await?
}

fn retry(desk: &Desk, options: &RetryOptions) -> anyhow::Result<()> {
    let mut failed = 0;
    for letter in &options.letters {
        let retried = match letter {
            Letter::Command {
                aggregate,
                partition,
                offset,
            } => {
                let done = desk.letters.retry(aggregate, *partition, *offset);
                done.map(|()| "handed in again".to_owned())
                    .map_err(anyhow::Error::from)
            }
            Letter::Parked(key) => parked::retry(desk, letter, key, options.wait),
        };
        match retried {
            Ok(done) => println!("{letter}: {done}"),
            Err(error) => {
                failed += 1;
                eprintln!("{letter}: {error:#}");
            }
        }
    }
    anyhow::ensure!(
        failed == 0,
        "{failed} of {} are still open",
        options.letters.len()
    );
    Ok(())
}

fn drop_one(desk: &Desk, letter: &Letter, reason: &str) -> anyhow::Result<()> {
    match letter {
        Letter::Command {
            aggregate,
            partition,
            offset,
        } => desk.letters.drop_letter(aggregate, *partition, *offset, reason)?,
        Letter::Parked(key) => desk.store.desk()?.drop_parked(key, reason)?,
    }
    println!("{letter}: dropped");
    Ok(())
}
