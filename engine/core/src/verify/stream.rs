use std::collections::HashMap;

use uuid::Uuid;

use crate::{AggregateId, EventHash, Sequence};

/// The events of each aggregate, as far as they are read.
#[derive(Default)]
pub(super) struct Streams(HashMap<AggregateId, Stream>);

#[derive(Default)]
struct Stream {
    tip: Option<Tip>,
    /// Sequences that a later event has left out, with that one's offset.
    left_out: Vec<(Sequence, i64)>,
}

/// The last event of an aggregate.
#[derive(Debug, Clone)]
pub(super) struct Tip {
    pub(super) offset: i64,
    pub(super) sequence: Sequence,
    pub(super) hash: EventHash,
    /// `None` if it cannot be read.
    pub(super) command_id: Option<Uuid>,
    /// What the result of its command says of its hash, if it has said it.
    pub(super) by_result: Option<bool>,
}

/// How an event follows those that were read of its aggregate.
#[derive(Debug)]
pub(super) enum Follows {
    /// It is the first.
    First,
    /// It is next to this one.
    Next(Tip),
    /// There are some left out before it.
    Gap,
    /// It was left out before.
    Late,
    /// It is there already.
    Repeated,
}

/// An event that is not there.
pub(super) struct LeftOut {
    pub(super) id: AggregateId,
    pub(super) sequence: Sequence,
    /// Of the event that shows it.
    pub(super) offset: i64,
}

/// More than that of one aggregate are not told one by one.
const LEFT_OUT_MAX: i64 = 1000;

impl Streams {
    /// Takes an event.
    pub(super) fn follow(&mut self, id: &AggregateId, event: Tip) -> Follows {
        let stream = self.of(id);
        let last = stream.last();
        if event.sequence <= last {
            let late = stream
                .left_out
                .iter()
                .position(|(sequence, _)| *sequence == event.sequence);
            return match late {
                Some(at) => {
                    stream.left_out.remove(at);
                    Follows::Late
                }
                None => Follows::Repeated,
            };
        }
        let (sequence, offset) = (event.sequence, event.offset);
        let left_out = last + 1..sequence.min(last + 1 + LEFT_OUT_MAX);
        stream
            .left_out
            .extend(left_out.map(|sequence| (sequence, offset)));
        let before = stream.tip.replace(event);
        match before {
            _ if sequence > last + 1 => Follows::Gap,
            Some(before) => Follows::Next(before),
            None => Follows::First,
        }
    }

    /// Takes a record that cannot be read for the next event; returns its sequence.
    pub(super) fn stand_in(&mut self, id: &AggregateId, offset: i64, hash: EventHash) -> Sequence {
        let stream = self.of(id);
        let sequence = stream.last() + 1;
        stream.tip = Some(Tip {
            offset,
            sequence,
            hash,
            command_id: None,
            by_result: None,
        });
        sequence
    }

    /// What a result says of the event that lies there.
    pub(super) fn told(&mut self, id: &AggregateId, offset: i64, is_same: bool) {
        if let Some(tip) = self.0.get_mut(id).and_then(|stream| stream.tip.as_mut())
            && tip.offset == offset
        {
            tip.by_result = Some(is_same);
        }
    }

    pub(super) fn has(&self, id: &AggregateId, sequence: Sequence) -> bool {
        self.0.get(id).is_some_and(|stream| {
            let is_left_out = stream.left_out.iter().any(|(left_out, _)| *left_out == sequence);
            sequence <= stream.last() && !is_left_out
        })
    }

    pub(super) fn missing(&self) -> Vec<LeftOut> {
        let of = |(id, stream): (&AggregateId, &Stream)| {
            let left_out = |(sequence, offset): &(Sequence, i64)| LeftOut {
                id: id.clone(),
                sequence: *sequence,
                offset: *offset,
            };
            stream.left_out.iter().map(left_out).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of).collect()
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len() as u64
    }

    fn of(&mut self, id: &AggregateId) -> &mut Stream {
        // Not by `entry`: most events are of an aggregate that is known, and need no copy of its id.
        if !self.0.contains_key(id) {
            self.0.insert(id.clone(), Stream::default());
        }
        self.0.get_mut(id).expect("it was put in above")
    }
}

impl Stream {
    fn last(&self) -> Sequence {
        self.tip.as_ref().map_or(0, |tip| tip.sequence)
    }
}
