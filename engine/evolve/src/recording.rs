//! What one version of a program has made of a log, in a file: JSON, a line each.
//!
//! ```text
//! {"recording": ..}                  once: which log, up to where, and the forms of what follows
//! {"partition": ..}                  for each partition of each aggregate type, by name and number; then, of it:
//! {"unreadable": ..} {"command": ..}   what stands out: the rest is as the log says
//! {"aggregate": ..}                    each aggregate, as it is at the end
//! {"row": ..}                        each row of each view
//! {"end": ..}                        once: nothing is missing
//! ```

use std::io::{BufRead, Write};

use foldline_core::{AggregateId, Sequence};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::EvolveError;
use crate::rerun::Outcome;

/// The form of the file. Another one is not read.
pub(crate) const FORM: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    Recording(Box<Header>),
    Partition { of: String, partition: i32 },
    Unreadable(UnreadableLine),
    Command(CommandLine),
    Aggregate(Box<AggregateLine>),
    Row(Box<RowLine>),
    End { lines: u64 },
}

/// Which log was read, and by what.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) form: u32,
    /// Of Kafka's cluster.
    pub(crate) cluster: String,
    pub(crate) topic_prefix: String,
    pub(crate) types: Vec<TypeLine>,
    pub(crate) views: Vec<ViewLine>,
}

/// An aggregate type, as it was.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TypeLine {
    /// Its qualified name.
    pub(crate) name: String,
    /// See [`state_shape`](foldline_core::AggregateType::state_shape).
    pub(crate) shape: String,
    pub(crate) state_schema: Value,
    pub(crate) event_schema: Value,
    pub(crate) commands: Vec<String>,
    pub(crate) partitions: Vec<Ends>,
}

/// The first offsets that were not read any more, of the topics of a partition number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ends {
    pub(crate) events: i64,
    pub(crate) results: i64,
    pub(crate) commands: i64,
}

/// A view, as it was.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ViewLine {
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) schema: Value,
}

/// An event that could not be folded then either.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct UnreadableLine {
    pub(crate) offset: i64,
}

/// A command whose outcome, decided once more by the version that was recorded, is not simply that of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CommandLine {
    pub(crate) offset: i64,
    pub(crate) again: Again,
}

/// What a command came to, decided once more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Again {
    /// What the log says, if other aggregates are seen a little earlier or later.
    Nearby,
    /// Something else: its rule has changed since.
    Otherwise(Outcome),
    /// It could not be read.
    Unreadable,
}

/// An aggregate, as it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AggregateLine {
    pub(crate) id: AggregateId,
    pub(crate) sequence: Sequence,
    pub(crate) state: Value,
    /// The values that nobody else may hold: each its name and the value.
    pub(crate) unique: Vec<(String, String)>,
    /// The commands that it could accept.
    pub(crate) possible: Vec<String>,
    /// For each event, 8 hex digits of how it was read and 8 of the state after it.
    pub(crate) trail: String,
}

/// A row, as it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RowLine {
    pub(crate) view: String,
    pub(crate) id: AggregateId,
    pub(crate) listed: bool,
    pub(crate) row: Value,
}

/// Appends a step of a trail.
pub(crate) fn push_step(trail: &mut String, event: u32, state: u32) {
    use std::fmt::Write;
    // Writing into a String cannot fail.
    let _ = write!(trail, "{event:08x}{state:08x}");
}

/// The step that belongs to a sequence: the marks of the event and of the state.
pub(crate) fn step(trail: &str, sequence: Sequence) -> Option<(u32, u32)> {
    let at = usize::try_from(sequence.checked_sub(1)?).ok()?.checked_mul(16)?;
    let hex = |from: usize| u32::from_str_radix(trail.get(from..from + 8)?, 16).ok();
    Some((hex(at)?, hex(at + 8)?))
}

/// Writes a recording.
pub(crate) struct LineWriter<W> {
    out: W,
    lines: u64,
}

impl<W: Write> LineWriter<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, lines: 0 }
    }

    pub(crate) fn write(&mut self, line: &Line) -> Result<(), EvolveError> {
        serde_json::to_writer(&mut self.out, line).map_err(|error| EvolveError::File(error.into()))?;
        self.out.write_all(b"\n").map_err(EvolveError::File)?;
        self.lines += 1;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<(), EvolveError> {
        let lines = self.lines;
        self.write(&Line::End { lines })?;
        self.out.flush().map_err(EvolveError::File)
    }
}

/// Reads a recording.
pub(crate) struct LineReader<R> {
    input: R,
    lines: u64,
    waiting: Option<Line>,
    has_ended: bool,
}

impl<R: BufRead> LineReader<R> {
    /// Reads the header.
    pub(crate) fn open(input: R) -> Result<(Self, Header), EvolveError> {
        let mut reader = Self {
            input,
            lines: 0,
            waiting: None,
            has_ended: false,
        };
        match reader.next_line()? {
            Some(Line::Recording(header)) if header.form == FORM => Ok((reader, *header)),
            Some(Line::Recording(header)) => Err(EvolveError::Recording {
                line: 1,
                problem: format!("it has form {}, and this program reads form {FORM}", header.form),
            }),
            _ => Err(reader.wrong("it does not begin as a recording does".to_owned())),
        }
    }

    /// The next line, if it is one that is wanted: `None` at the end, or at a line of another kind.
    pub(crate) fn next_of<T>(
        &mut self,
        wanted: impl Fn(Line) -> Result<T, Line>,
    ) -> Result<Option<T>, EvolveError> {
        let line = match self.waiting.take() {
            Some(line) => Some(line),
            None => self.next_line()?,
        };
        match line.map(wanted) {
            None => Ok(None),
            Some(Ok(found)) => Ok(Some(found)),
            Some(Err(other)) => {
                self.waiting = Some(other);
                Ok(None)
            }
        }
    }

    /// Makes sure that all was read.
    pub(crate) fn finish(&mut self) -> Result<(), EvolveError> {
        match self.waiting.take() {
            None if self.has_ended => Ok(()),
            None if self.next_line()?.is_none() => Ok(()),
            _ => Err(self.wrong("a line that does not belong here".to_owned())),
        }
    }

    fn next_line(&mut self) -> Result<Option<Line>, EvolveError> {
        if self.has_ended {
            return Ok(None);
        }
        let mut text = String::new();
        self.input.read_line(&mut text).map_err(EvolveError::File)?;
        self.lines += 1;
        if text.is_empty() {
            return Err(self.wrong("it ends too early".to_owned()));
        }
        let line: Line = serde_json::from_str(&text).map_err(|error| self.wrong(error.to_string()))?;
        match line {
            Line::End { lines } if lines + 1 == self.lines => {
                self.has_ended = true;
                Ok(None)
            }
            Line::End { lines } => Err(self.wrong(format!("{lines} lines were written before it"))),
            line => Ok(Some(line)),
        }
    }

    pub(crate) fn wrong(&self, problem: String) -> EvolveError {
        EvolveError::Recording {
            line: self.lines,
            problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FORM, Header, Line, LineReader, LineWriter, push_step, step};
    use crate::EvolveError;

    fn written() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = LineWriter::new(&mut bytes);
        let header = Header {
            form: FORM,
            cluster: "c".to_owned(),
            topic_prefix: String::new(),
            types: Vec::new(),
            views: Vec::new(),
        };
        writer.write(&Line::Recording(Box::new(header))).unwrap();
        for partition in 0..3 {
            let of = "a.b".to_owned();
            writer.write(&Line::Partition { of, partition }).unwrap();
        }
        writer.finish().unwrap();
        bytes
    }

    fn read(bytes: &[u8]) -> Result<usize, EvolveError> {
        let (mut reader, _) = LineReader::open(bytes)?;
        let mut count = 0;
        let partition = |line| match line {
            Line::Partition { .. } => Ok(()),
            other => Err(other),
        };
        while reader.next_of(partition)?.is_some() {
            count += 1;
        }
        reader.finish()?;
        Ok(count)
    }

    #[test]
    fn what_was_written_is_read_and_a_recording_that_lacks_a_line_is_not() {
        let whole = written();
        assert_eq!(read(&whole).unwrap(), 3);
        let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
        for missing in 0..lines.len() {
            let kept = lines.iter().enumerate().filter(|(index, _)| *index != missing);
            let kept: Vec<u8> = kept.flat_map(|(_, line)| line.to_vec()).collect();
            let read = read(&kept);
            assert!(
                matches!(read, Err(EvolveError::Recording { .. })),
                "{missing}: {read:?}"
            );
        }
    }

    #[test]
    fn a_trail_has_a_step_for_each_sequence() {
        let mut trail = String::new();
        push_step(&mut trail, 1, 0xffff_ffff);
        push_step(&mut trail, 0xabc, 7);
        assert_eq!(step(&trail, 1), Some((1, 0xffff_ffff)));
        assert_eq!(step(&trail, 2), Some((0xabc, 7)));
        assert_eq!((step(&trail, 3), step(&trail, 0)), (None, None));
    }
}
