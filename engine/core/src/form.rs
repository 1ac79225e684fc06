//! The form of a command as JSON: what can be said of it without knowing any state.

use std::fmt;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use serde::Serialize;
use serde_json::{Map, Value, json};
use serde_path_to_error::Segment;

use crate::CommandType;
use crate::schema::snake_case;

/// Everything that is wrong with the form of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct FormErrors(pub Vec<FormError>);

/// One thing that is wrong with the form of a command.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FormError {
    /// Where, as a JSON pointer (RFC 6901) into what the client sent; empty is all of it.
    pub pointer: String,
    /// What, for a person.
    pub detail: String,
}

impl FormErrors {
    /// The same mistakes, in the entry of a list.
    pub(crate) fn under(self, index: usize) -> Self {
        let entry = |error: FormError| FormError {
            pointer: format!("/{index}{}", error.pointer),
            ..error
        };
        Self(self.0.into_iter().map(entry).collect())
    }

    pub(crate) fn one(pointer: &str, detail: String) -> Self {
        Self(vec![FormError {
            pointer: pointer.to_owned(),
            detail,
        }])
    }

    /// What the schema allows and the Rust type does not, a number past its range for instance.
    pub(crate) fn unforeseen(error: &serde_path_to_error::Error<serde_json::Error>, sent: &Value) -> Self {
        let mut pointer = String::new();
        for segment in error.path() {
            match segment {
                Segment::Map { key } => pointer.push_str(&format!("/{key}")),
                Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
                // The command's type, which is beside its fields.
                Segment::Enum { .. } | Segment::Unknown => {}
            }
        }
        Self::one(&as_sent(&pointer, sent), error.inner().to_string())
    }
}

impl std::error::Error for FormErrors {}

impl fmt::Display for FormErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            // An empty pointer is all of it.
            let colon = if error.pointer.is_empty() { "" } else { ": " };
            write!(f, "{separator}{}{colon}{}", error.pointer, error.detail)?;
        }
        Ok(())
    }
}

/// The forms of an aggregate type's commands.
pub(crate) struct Forms {
    forms: Vec<(String, Validator)>,
}

impl Forms {
    pub(crate) fn new(commands: &[CommandType]) -> Self {
        let form = |command: &CommandType| {
            let validator = jsonschema::draft202012::new(&command.schema);
            (
                command.name.clone(),
                validator.expect("a schema made from a Rust type is valid"),
            )
        };
        Self {
            forms: commands.iter().map(form).collect(),
        }
    }

    /// Checks a body. Returns the command's type, and the command as serde reads it: `{"Type": {..}}`.
    pub(crate) fn read(&self, body: &Value, assumed: Option<&str>) -> Result<(String, Value), FormErrors> {
        let object = body
            .as_object()
            .ok_or_else(|| FormErrors::one("", "must be a JSON object".into()))?;
        let (name, validator) = self.form(object, assumed)?;
        let mut fields = object.clone();
        // Not `remove`, which would move the last field to its place.
        fields.shift_remove("type");
        let payload = in_snake_case(&Value::Object(fields));
        let errors: Vec<FormError> = validator
            .iter_errors(&payload)
            .flat_map(|error| errors_of(&error, &payload, body))
            .collect();
        if errors.is_empty() {
            Ok((name.to_owned(), json!({ name: payload })))
        } else {
            Err(FormErrors(errors))
        }
    }

    fn form(
        &self,
        object: &Map<String, Value>,
        assumed: Option<&str>,
    ) -> Result<(&str, &Validator), FormErrors> {
        let given = match object.get("type") {
            Some(Value::String(name)) => name.as_str(),
            Some(_) => return Err(FormErrors::one("/type", "must be a string".into())),
            None => assumed.ok_or_else(|| {
                FormErrors::one("/type", format!("is missing; it is one of {}", self.names()))
            })?,
        };
        let wanted = given.strip_suffix("Command").unwrap_or(given);
        let known = self.forms.iter().find(|(name, _)| name == wanted);
        let (name, validator) = known.ok_or_else(|| {
            FormErrors::one(
                "/type",
                format!("{given:?} is no command here; it is one of {}", self.names()),
            )
        })?;
        Ok((name, validator))
    }

    fn names(&self) -> String {
        self.forms
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// Field names in camelCase are taken for the same in snake_case: the talk's own request has `menuItem`.
fn in_snake_case(value: &Value) -> Value {
    match value {
        Value::Object(object) => object
            .iter()
            .map(|(name, value)| (snake_case(name), in_snake_case(value)))
            .collect(),
        Value::Array(items) => items.iter().map(in_snake_case).collect(),
        other => other.clone(),
    }
}

/// What a validator's error says, each with the pointer to what is to blame as the client wrote it.
fn errors_of(error: &ValidationError<'_>, payload: &Value, sent: &Value) -> Vec<FormError> {
    let at = error.instance_path().to_string();
    let under = |name: &str| format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
    let unknown = |name: &String| (under(name), "is no field of this command".to_owned());
    let blame = match error.kind() {
        ValidationErrorKind::Required { property } => {
            vec![(
                under(property.as_str().unwrap_or_default()),
                "is missing".to_owned(),
            )]
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => unexpected.iter().map(unknown).collect(),
        // Where no field is allowed at all, the error does not say which are there.
        ValidationErrorKind::FalseSchema => {
            let fields = payload.pointer(&at).and_then(Value::as_object);
            fields.into_iter().flat_map(Map::keys).map(unknown).collect()
        }
        ValidationErrorKind::Pattern { .. } => vec![(at, "has not the form of such a link".to_owned())],
        _ => vec![(at, error.to_string())],
    };
    let written = |(pointer, detail): (String, String)| FormError {
        pointer: as_sent(&pointer, sent),
        detail,
    };
    blame.into_iter().map(written).collect()
}

/// The pointer with each name as the client wrote it.
fn as_sent(pointer: &str, sent: &Value) -> String {
    let mut here = Some(sent);
    let mut found = String::new();
    for segment in pointer.split('/').skip(1) {
        let object = here.and_then(Value::as_object);
        let name = object.and_then(|object| object.keys().find(|name| snake_case(name) == segment));
        let name = name.map_or(segment, String::as_str);
        found.push('/');
        found.push_str(name);
        here = here.and_then(|here| here.get(name).or_else(|| here.get(name.parse::<usize>().ok()?)));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{Claim, Domain, Domains, FormError};

    fn read(body: Value) -> Result<String, Vec<FormError>> {
        let domains = Domains::new([Domain::new("test").aggregate::<Claim>()]).unwrap();
        let form = domains.aggregates()[0].command_from_json(&body, Some("ReserveValue"));
        form.map(|(name, _)| name).map_err(|errors| errors.0)
    }

    #[track_caller]
    fn refused(body: Value, pointers: &[&str]) {
        let errors = read(body).unwrap_err();
        let found: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(found, pointers, "{errors:?}");
    }

    #[test]
    fn the_suffix_command_is_optional_and_so_is_an_assumed_type() {
        for kind in ["ReserveValue", "ReserveValueCommand"] {
            assert_eq!(
                read(json!({"type": kind, "value": "v", "holder": "a"})).unwrap(),
                "ReserveValue"
            );
        }
        assert_eq!(
            read(json!({"value": "v", "holder": "a"})).unwrap(),
            "ReserveValue"
        );
    }

    #[test]
    fn each_mistake_is_named_by_a_pointer() {
        refused(json!([]), &[""]);
        refused(json!({"type": 7}), &["/type"]);
        refused(json!({"type": "Sell"}), &["/type"]);
        refused(json!({"value": 1}), &["/holder", "/value"]);
        refused(
            json!({"value": "v", "holder": "a", "coLour": "red"}),
            &["/coLour"],
        );
    }
}
