//! The dead letters whose command's id could be read.

use std::collections::HashSet;
use std::num::NonZeroUsize;

use lru::LruCache;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use uuid::Uuid;

use super::scan::{Scan, Span};
use super::{DeadLettered, LookError};
use crate::KafkaSettings;
use crate::catalog::{Catalog, Slice};

/// So many are known, the newest.
const LETTERS_MAX: NonZeroUsize = NonZeroUsize::new(100_000).expect("it is not 0");

/// Read from their topics once, and from then on what is new.
#[derive(Default)]
pub(super) struct Letters {
    reading: Option<(Scan, Vec<Span>)>,
    /// By where the command lies.
    known: Option<LruCache<(Slice, i64), (Uuid, DeadLettered)>>,
}

impl Letters {
    /// Reads what is new.
    pub(super) fn read_on(&mut self, kafka: &KafkaSettings, catalog: &Catalog) -> Result<(), LookError> {
        let (scan, spans) = match &mut self.reading {
            Some(reading) => reading,
            none => none.insert((Scan::new(kafka)?, beginnings(catalog))),
        };
        let known = self.known.get_or_insert_with(|| LruCache::new(LETTERS_MAX));
        *spans = scan.read(spans.clone(), |message| {
            if let Some((place, id, letter)) = letter(catalog, message) {
                known.put(place, (id, letter));
            }
        })?;
        Ok(())
    }

    /// Whether the record of a command topic is one of them.
    pub(super) fn is_one(&self, slice: Slice, offset: i64) -> bool {
        let mut known = self.known.iter();
        known.any(|known| known.contains(&(slice, offset)))
    }

    /// The newest of each of these commands.
    pub(super) fn of(&self, ids: &HashSet<Uuid>) -> impl Iterator<Item = (Uuid, DeadLettered)> {
        // From the oldest on, so that a later one takes the place of an earlier one.
        let known = self.known.iter().flat_map(|known| known.iter().rev());
        let wanted = known.filter(move |(_, (id, _))| ids.contains(id));
        wanted.map(|(_, (id, letter))| (*id, letter.clone()))
    }
}

fn beginnings(catalog: &Catalog) -> Vec<Span> {
    let of_type = |installed: &crate::catalog::Installed| {
        let topic = installed.dead_letters.clone();
        let spans = installed.slices().map(move |slice| Span {
            topic: topic.clone(),
            partition: slice.partition,
            from: 0,
        });
        spans.collect::<Vec<_>>()
    };
    catalog
        .asked_by_others()
        .flat_map(|installed| of_type(installed))
        .collect()
}

/// What the headers say; `None` for a letter whose command's id could not be read.
fn letter(catalog: &Catalog, message: &BorrowedMessage<'_>) -> Option<((Slice, i64), Uuid, DeadLettered)> {
    let headers = message.headers()?;
    // The last one counts: a record that was set aside before brings the headers of that time with it.
    let header = |name: &str| {
        let named = headers.iter().filter(|header| header.key == name);
        std::str::from_utf8(named.last()?.value?).ok()
    };
    let topic = header("__foldline.errors.topic")?;
    let installed = catalog.by_command_topic(topic)?;
    let (partition, offset) = (
        header("__foldline.errors.partition")?.parse().ok()?,
        header("__foldline.errors.offset")?.parse().ok()?,
    );
    let id = header("__foldline.errors.command_id")?.parse().ok()?;
    let letter = DeadLettered {
        topic: topic.to_owned(),
        partition,
        offset,
        reason: header("__foldline.errors.reason").unwrap_or_default().to_owned(),
        set_aside_in: message.topic().to_owned(),
        set_aside_at: message.offset(),
    };
    Some(((installed.slice(partition), offset), id, letter))
}
