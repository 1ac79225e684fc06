//! How far a reading is.

use std::cell::RefCell;
use std::rc::Rc;

use crate::recording::{Ends, Header};
use crate::refold::Partition;

/// Is told how much has been read, of how much, in offsets of event partitions.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// How many events are read before it is told.
const EVERY: u64 = 512;

pub(crate) struct Watched<'a> {
    told: Rc<RefCell<Progress<'a>>>,
    total: u64,
    before: u64,
}

impl<'a> Watched<'a> {
    pub(crate) fn new(header: &Header, progress: Progress<'a>) -> Self {
        let partitions = header.types.iter().flat_map(|of_type| &of_type.partitions);
        Self {
            told: Rc::new(RefCell::new(progress)),
            total: partitions.map(|ends| offset(ends.events)).sum(),
            before: 0,
        }
    }

    /// The partition, which tells of what is read of it.
    pub(crate) fn watch<'p>(&mut self, partition: Partition<'p>, ends: Ends) -> Partition<'p>
    where
        'a: 'p,
    {
        let (told, before, total) = (Rc::clone(&self.told), self.before, self.total);
        (told.borrow_mut())(before, total);
        self.before += offset(ends.events);
        let mut count = 0;
        let events = partition.events.inspect(move |event| {
            count += 1;
            if let (0, Ok(event)) = (count % EVERY, event) {
                (told.borrow_mut())(before + offset(event.offset), total);
            }
        });
        Partition {
            events: Box::new(events),
            ..partition
        }
    }

    /// All of it has been read.
    pub(crate) fn end(&self) {
        (self.told.borrow_mut())(self.total, self.total);
    }
}

fn offset(offset: i64) -> u64 {
    u64::try_from(offset).unwrap_or_default()
}
