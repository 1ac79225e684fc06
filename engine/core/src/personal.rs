//! Personal values: text that says something of a person, and is to be erased when that person asks for it.
//!
//! A domain marks such a field by its type, [`Personal`]. Where it is kept (events, states, snapshots, rows) it stands
//! sealed: encrypted by a key of the person it is about, its *subject*. Without that key it says nothing, so to throw the
//! key away is to erase it everywhere, in an event store in which nothing is ever changed.
//!
//! A sealed value is text too, and the same each time that the same text is sealed for the same subject. So a fold can
//! carry it from an event into a state or a row, and find it again there, without having any key: only decisions and
//! the read API open it.

mod key;
mod scope;
mod sealed;

use std::cmp::Ordering;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

pub use self::key::{InvalidKey, KeyId, SubjectKey};
pub(crate) use self::scope::as_new;
pub use self::scope::{Opener, Opening, Seal, Sealing, count_unsealed, open, reveal, seal};
use self::scope::{Reading, Writing, reading, writing};
pub use self::sealed::{ERASED, Sealed, is_marked, open_text};

/// Text about a person.
///
/// It prints as `[personal]`: what it says is not to stand in a refusal, a log or an error. An event that names a value
/// which the state has already takes it from there ([`clone`](Clone::clone)), so that both are the same text in the log,
/// however old the first one is.
#[derive(Clone)]
pub struct Personal(Form);

#[derive(Clone)]
enum Form {
    /// From a command: to be sealed where it is kept.
    New(String),
    /// It lies in the clear in a log, from before its field was marked, and stays so.
    InTheClear(String),
    /// As it is kept, and what it says if its key is at hand.
    Sealed { kept: String, says: Option<String> },
}

impl Personal {
    /// A value that is not kept anywhere yet.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Form::New(text.into()))
    }

    /// What it says. `None` if it is erased, or sealed here: folds must not look.
    pub fn text(&self) -> Option<&str> {
        match &self.0 {
            Form::New(text) | Form::InTheClear(text) => Some(text),
            Form::Sealed { says, .. } => says.as_deref(),
        }
    }

    /// What stands for it where it is kept: for links in rows, which the read API shows opened.
    pub fn kept(&self) -> &str {
        match &self.0 {
            Form::New(text) | Form::InTheClear(text) => text,
            Form::Sealed { kept, .. } => kept,
        }
    }

    /// Equal values have equal ones, and it stays the same for as long as the value lives.
    fn identity(&self) -> &str {
        self.text().unwrap_or_else(|| self.kept())
    }
}

impl Default for Personal {
    fn default() -> Self {
        Self::new("")
    }
}

impl<T: Into<String>> From<T> for Personal {
    fn from(text: T) -> Self {
        Self::new(text)
    }
}

impl PartialEq for Personal {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Personal {}

impl PartialOrd for Personal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Personal {
    fn cmp(&self, other: &Self) -> Ordering {
        self.identity().cmp(other.identity())
    }
}

impl fmt::Debug for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[personal]")
    }
}

impl fmt::Display for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[personal]")
    }
}

impl Serialize for Personal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        writing(|how| match (&self.0, how) {
            (Form::New(text), Writing::Sealing(sealing)) => serializer.serialize_str(&sealing.seal(text)),
            (Form::Sealed { says, .. }, Writing::Revealing) => {
                serializer.serialize_str(says.as_deref().unwrap_or(ERASED))
            }
            (Form::New(text) | Form::InTheClear(text), Writing::Counting(count)) => {
                count.set(count.get() + 1);
                serializer.serialize_str(text)
            }
            (Form::New(text) | Form::InTheClear(text), _) => serializer.serialize_str(text),
            (Form::Sealed { kept, .. }, _) => serializer.serialize_str(kept),
        })
    }
}

impl<'de> Deserialize<'de> for Personal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(reading(|how| match (how, Sealed::parse(&text)) {
            (Reading::New, _) => Form::New(text),
            (_, None) => Form::InTheClear(text),
            (Reading::Opening(opening), Some(sealed)) => {
                let says = opening.open(&sealed);
                Form::Sealed { kept: text, says }
            }
            (Reading::AsKept, Some(_)) => Form::Sealed {
                kept: text,
                says: None,
            },
        })))
    }
}

/// Marks the schema of a personal value.
const MARK: &str = "x-personal";

impl JsonSchema for Personal {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Personal".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", MARK: true })
    }
}

/// Whether something with this JSON Schema can hold personal values.
pub(crate) fn holds_personal(schema: &Value) -> bool {
    match schema {
        Value::Object(object) => {
            object.get(MARK) == Some(&Value::Bool(true)) || object.values().any(holds_personal)
        }
        Value::Array(items) => items.iter().any(holds_personal),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
