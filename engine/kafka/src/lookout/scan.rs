//! Reads spans of partitions up to their ends as of now.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::LookError;
use crate::KafkaSettings;
use crate::broker::Quiet;
use crate::security::token;

const REQUEST_MAX: Duration = Duration::from_secs(5);
/// Between two looks at how far it has come: the end of a partition may be a marker, which is no record.
const LOOK: Duration = Duration::from_millis(20);
/// Records that are read for one question.
const RECORDS_MAX: usize = 200_000;

/// A partition, from an offset on.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) from: i64,
}

/// A consumer of committed records that belongs to no group.
pub(super) struct Scan {
    consumer: BaseConsumer<Quiet>,
}

type Place = (String, i32);

impl Scan {
    pub(super) fn new(kafka: &KafkaSettings) -> Result<Self, KafkaError> {
        let mut config = kafka.client();
        config
            // librdkafka asks for a group, though nothing is subscribed to and nothing committed.
            .set("group.id", format!("{}foldline-lookout", kafka.topic_prefix))
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            // What is gone from a topic of commands or dead letters was kept as long as it should be.
            .set("auto.offset.reset", "earliest")
            .set("fetch.wait.max.ms", "5");
        let consumer = token::consumer(&config, Quiet::default())?;
        Ok(Self { consumer })
    }

    /// Hands out the records of the spans, and says up to which offset each was read.
    pub(super) fn read(
        &self,
        mut spans: Vec<Span>,
        mut take: impl FnMut(&BorrowedMessage<'_>),
    ) -> Result<Vec<Span>, LookError> {
        let ends = self.ends(&spans)?;
        let open: HashMap<Place, i64> = spans
            .iter()
            .zip(&ends)
            .filter(|(span, end)| span.from < **end)
            .map(|(span, end)| ((span.topic.clone(), span.partition), *end))
            .collect();
        if !open.is_empty() {
            self.assign(spans.iter().filter(|span| open.contains_key(&place(span))))?;
            let read = self.read_to(open, &mut take);
            self.consumer.unassign()?;
            read?;
        }
        for (span, end) in spans.iter_mut().zip(ends) {
            span.from = span.from.max(end);
        }
        Ok(spans)
    }

    fn assign<'a>(&self, spans: impl Iterator<Item = &'a Span>) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        for span in spans {
            list.add_partition_offset(&span.topic, span.partition, Offset::Offset(span.from))?;
        }
        self.consumer.assign(&list)
    }

    fn read_to(
        &self,
        mut open: HashMap<Place, i64>,
        take: &mut impl FnMut(&BorrowedMessage<'_>),
    ) -> Result<(), LookError> {
        let (mut looked, started_at) = (0, Instant::now());
        while !open.is_empty() {
            match self.consumer.poll(LOOK) {
                Some(message) => {
                    take(&message?);
                    looked += 1;
                    if looked >= RECORDS_MAX {
                        return Err(LookError::TooMany { looked });
                    }
                    if looked % 1_000 != 0 {
                        continue;
                    }
                }
                None if started_at.elapsed() > REQUEST_MAX => return Err(timed_out().into()),
                None => {}
            }
            self.close(&mut open)?;
        }
        Ok(())
    }

    /// Forgets the partitions that are read to their ends.
    fn close(&self, open: &mut HashMap<Place, i64>) -> Result<(), KafkaError> {
        for element in self.consumer.position()?.elements() {
            let place = (element.topic().to_owned(), element.partition());
            if let (Offset::Offset(position), Some(end)) = (element.offset(), open.get(&place))
                && position >= *end
            {
                open.remove(&place);
            }
        }
        Ok(())
    }

    /// The ends of the partitions, in one request.
    fn ends(&self, spans: &[Span]) -> Result<Vec<i64>, KafkaError> {
        let mut list = TopicPartitionList::with_capacity(spans.len());
        for span in spans {
            // In this request, the end is a time.
            list.add_partition_offset(&span.topic, span.partition, Offset::End)?;
        }
        let found = self.consumer.offsets_for_times(list, REQUEST_MAX)?;
        let end = |span: &Span| {
            let element = found.find_partition(&span.topic, span.partition);
            let element = element.ok_or_else(timed_out)?;
            element.error()?;
            match element.offset() {
                Offset::Offset(end) => Ok(end),
                _ => Err(timed_out()),
            }
        };
        spans.iter().map(end).collect()
    }
}

fn place(span: &Span) -> Place {
    (span.topic.clone(), span.partition)
}

fn timed_out() -> KafkaError {
    KafkaError::MessageConsumption(RDKafkaErrorCode::RequestTimedOut)
}
