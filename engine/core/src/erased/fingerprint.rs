//! What a command asks for, in short.

use std::io::{self, Write};

use serde_json::ser::{Formatter, Serializer};
use uuid::Uuid;

use crate::id::uuid_of;
use crate::{CommandMeta, Payload};

/// Equal commands have equal fingerprints, whoever sent them, when and why, and whichever version of the code looks at them: a
/// field that was added as an `Option`, and is not set, is not there. Else a command that is sent again after a deployment
/// would be taken for another one.
pub(super) fn fingerprint<P: Payload>(meta: &CommandMeta, commands: &[P]) -> serde_json::Result<Uuid> {
    let mut said = Said {
        bytes: Vec::with_capacity(256),
        fields: Vec::new(),
    };
    for command in commands {
        command.serialize(&mut Serializer::with_formatter(&mut said, WithoutNulls))?;
    }
    let mut asked = said.bytes;
    asked.extend_from_slice(meta.aggregate_id.as_str().as_bytes());
    asked.extend_from_slice(&meta.expected_sequence.unwrap_or(-1).to_be_bytes());
    Ok(uuid_of(&Uuid::NAMESPACE_OID, &asked))
}

// None of them is ever written by itself: JSON has control characters only as escapes.
const FIELD: u8 = 1;
const NULL: u8 = 2;
const END: u8 = 3;

/// Marks where a field begins and ends, and what is null, for [`Said`].
struct WithoutNulls;

impl Formatter for WithoutNulls {
    fn write_null<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(&[NULL])
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, _: bool) -> io::Result<()> {
        writer.write_all(&[FIELD])
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(&[END])
    }
}

/// JSON without the fields that are null, written once and without anything in between: each command is read so, twice if it
/// comes over HTTP.
struct Said {
    bytes: Vec<u8>,
    /// Where those begin that have not ended.
    fields: Vec<usize>,
}

impl Write for Said {
    fn write(&mut self, written: &[u8]) -> io::Result<usize> {
        if written == [FIELD] {
            self.fields.push(self.bytes.len());
        }
        if written != [END] {
            self.bytes.extend_from_slice(written);
        } else if let (Some(begin), Some(&NULL)) = (self.fields.pop(), self.bytes.last()) {
            self.bytes.truncate(begin);
        }
        Ok(written.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};
    use uuid::Uuid;

    use super::fingerprint;
    use crate::{CommandMeta, Payload, Timestamp};

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    enum Before {
        Order { item: String, notes: Vec<Option<i32>> },
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    struct Guest {
        name: Option<String>,
        seat: Option<i32>,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    enum Today {
        Order {
            item: String,
            table: Option<i32>,
            notes: Vec<Option<i32>>,
            guest: Option<Guest>,
        },
    }

    fn of(command: impl Payload) -> Uuid {
        let meta = CommandMeta::new(Uuid::nil(), "a".parse().unwrap(), Timestamp(1));
        fingerprint(&meta, &[command]).unwrap()
    }

    fn today(table: Option<i32>, notes: Vec<Option<i32>>, guest: Option<Guest>) -> Uuid {
        let item = "tea".to_owned();
        of(Today::Order {
            item,
            table,
            notes,
            guest,
        })
    }

    #[test]
    fn a_command_is_the_same_before_and_after_it_has_optional_fields_more() {
        let notes = vec![Some(1), None];
        let before = of(Before::Order {
            item: "tea".to_owned(),
            notes: notes.clone(),
        });
        assert_eq!(before, today(None, notes.clone(), None));
        assert_ne!(before, today(Some(7), notes, None));
    }

    #[test]
    fn commands_that_say_something_else_are_others() {
        let guest = |name: Option<&str>, seat| Guest {
            name: name.map(str::to_owned),
            seat,
        };
        let all = [
            today(None, vec![], None),
            today(None, vec![None], None),
            today(None, vec![None, Some(7)], None),
            today(None, vec![Some(7), None], None),
            today(Some(7), vec![], None),
            today(None, vec![], Some(guest(None, None))),
            today(None, vec![], Some(guest(None, Some(7)))),
            today(None, vec![], Some(guest(Some("7"), None))),
            today(None, vec![], Some(guest(Some("\u{2}"), None))),
            today(Some(7), vec![], Some(guest(None, Some(7)))),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one), "{index}");
        }
    }
}
