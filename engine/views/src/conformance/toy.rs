//! A domain with a view, and a store to keep it in.

use foldline_core::{
    AggregateId, Claim, Domain, Domains, Field, Projection, Source, Timestamp, from, schemars,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Batch, CheckpointKey, CheckpointMove, HISTORY, HistoryEvent, NewRow, Page, Position, Row, RowChange,
    Snapshot, ViewReader, ViewStore, ViewWriter,
};

pub(crate) const CLUSTER: &str = "cluster-a";
pub(crate) const VIEW: &str = "coats";
pub(crate) const AGGREGATE: &str = "cloakroom.claims";

pub(crate) const COLOUR: Field = Field::text("colour");
pub(crate) const PRICE: Field = Field::number("price.amount");
pub(crate) const WET: Field = Field::boolean("wet");

#[derive(Clone, Serialize, Deserialize, schemars::JsonSchema)]
pub(crate) struct Coat {}

/// The view of the suite; its rows are written by hand.
struct Coats;
impl Projection for Coats {
    const NAME: &'static str = VIEW;
    const PATH: &'static str = "/coats";
    const FIELDS: &'static [Field] = &[COLOUR, PRICE, WET];
    type View = Coat;
    fn sources() -> Vec<Source<Coat>> {
        vec![from::<Claim, _>(|_| Vec::new(), |view, _, _| view)]
    }
}

/// The same, of another version, with other fields, under another name.
macro_rules! variant {
    ($variant:ident, $name:expr, $version:expr, $fields:expr) => {
        struct $variant;
        impl Projection for $variant {
            const NAME: &'static str = $name;
            const VERSION: u32 = $version;
            const PATH: &'static str = "/coats";
            const FIELDS: &'static [Field] = $fields;
            type View = Coat;
            fn sources() -> Vec<Source<Coat>> {
                Coats::sources()
            }
        }
    };
}
variant!(NewerCoats, VIEW, 2, Coats::FIELDS);
variant!(PlainCoats, VIEW, 1, &[COLOUR]);
variant!(HistoricCoats, HISTORY, 1, &[]);

fn domains<P: Projection>() -> Domains {
    Domains::new([Domain::new("cloakroom").aggregate::<Claim>().view::<P>()]).unwrap()
}

/// As the suite declares it.
pub(crate) fn coats() -> Domains {
    domains::<Coats>()
}
/// Of the next version.
pub(crate) fn newer_coats() -> Domains {
    domains::<NewerCoats>()
}
/// With fewer fields.
pub(crate) fn plain_coats() -> Domains {
    domains::<PlainCoats>()
}
/// With a name that is not allowed.
pub(crate) fn historic_coats() -> Domains {
    domains::<HistoricCoats>()
}

/// An empty store, and what has to live as long as it.
pub(crate) struct Fixture {
    pub(crate) store: Box<dyn ViewStore>,
    _kept: Box<dyn std::any::Any>,
}

impl Fixture {
    pub(crate) fn new(store: impl ViewStore + 'static, kept: impl std::any::Any) -> Self {
        Self {
            store: Box::new(store),
            _kept: Box::new(kept),
        }
    }

    pub(crate) fn writer(&self) -> Box<dyn ViewWriter> {
        self.store.writer(&coats(), CLUSTER).unwrap()
    }

    /// A writer that has written these rows.
    pub(crate) fn filled(
        &self,
        rows: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Box<dyn ViewWriter> {
        let mut writer = self.writer();
        let rows = rows.into_iter().map(|(id, doc)| put(id, &doc)).collect();
        let batch = Batch {
            rows,
            ..Batch::default()
        };
        writer.commit(&batch).unwrap();
        writer
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&dyn Snapshot) -> T) -> T {
        let mut reader: Box<dyn ViewReader> = self.store.reader().unwrap();
        let snapshot = reader.snapshot().unwrap();
        read(&*snapshot)
    }

    pub(crate) fn get(&self, row: &str) -> Option<Row> {
        self.read(|snapshot| snapshot.get(VIEW, &id(row)).unwrap())
    }
}

pub(crate) fn id(text: &str) -> AggregateId {
    text.parse().unwrap()
}

/// A listed row.
pub(crate) fn put(row: &str, doc: &str) -> RowChange {
    RowChange {
        view: VIEW.to_owned(),
        id: id(row),
        row: Some(NewRow {
            doc: doc.to_owned(),
            listed: true,
            sequence: 1,
            version: 1,
        }),
    }
}

pub(crate) fn remove(row: &str) -> RowChange {
    RowChange {
        view: VIEW.to_owned(),
        id: id(row),
        row: None,
    }
}

/// A step of the view's checkpoint in partition 0; each event has the command of the same offset.
pub(crate) fn step(from: i64, to: i64) -> CheckpointMove {
    let position = |next_offset| Position {
        next_offset,
        command_offset: next_offset - 1,
    };
    CheckpointMove {
        key: key(VIEW),
        from: position(from),
        to: position(to),
    }
}

pub(crate) fn key(projection: &str) -> CheckpointKey {
    CheckpointKey {
        projection: projection.to_owned(),
        aggregate: AGGREGATE.to_owned(),
        partition: 0,
    }
}

pub(crate) fn event(aggregate: &str, sequence: i64) -> HistoryEvent {
    HistoryEvent {
        aggregate: AGGREGATE.to_owned(),
        id: id(aggregate),
        sequence,
        partition: 0,
        offset: 100 + sequence,
        event_id: Uuid::new_v5(&Uuid::nil(), format!("{aggregate}/{sequence}").as_bytes()),
        event_type: "ValueReserved".to_owned(),
        occurred_at: Timestamp(1),
        recorded_at: Timestamp(2),
        command_id: Uuid::from_u128(7),
        command_offset: sequence,
        correlation_id: "conversation".to_owned(),
        actor: (sequence > 1).then(|| "ada".to_owned()),
        json: format!("{{\"sequence\":{sequence}}}"),
    }
}

pub(crate) fn ids(page: &Page) -> Vec<&str> {
    page.rows.iter().map(|row| row.id.as_str()).collect()
}
