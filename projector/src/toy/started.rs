#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::Path;

use foldline_kafka::LogRecord;
use foldline_views::{SqliteStore, ViewStore, ViewWriter};

use super::{Spec, bar};
use crate::Projector;

/// A projector that has just been started, or started again after it was killed.
pub fn start(path: &Path) -> (Box<dyn ViewWriter>, Projector) {
    let mut writer = SqliteStore::new(path).writer(bar(), "cluster").unwrap();
    let (positions, parked) = (writer.checkpoints().unwrap(), writer.parked().unwrap());
    (writer, Projector::new(bar(), positions, parked))
}

/// What Kafka would give a projector that stands there: from its slowest projection on.
pub fn unseen(projector: &Projector, specs: &[Spec]) -> Vec<LogRecord> {
    let records = specs.iter().map(Spec::record);
    let is_unseen = |record: &LogRecord| {
        let qualified = record.aggregate.info().qualified_name();
        record.offset >= projector.start(&qualified, record.partition)
    };
    records.filter(is_unseen).collect()
}
