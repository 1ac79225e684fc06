//! The form of a command as JSON: what can be said of it without knowing any state.

use std::collections::HashMap;
use std::fmt;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use serde::Serialize;
use serde_json::{Map, Value, json};
use serde_path_to_error::Segment;

use crate::CommandType;
use crate::schema::snake_case;

/// How many mistakes of a command are told: who has that many sees the others when these are mended.
const ERRORS_MAX: usize = 100;

/// Everything that is wrong with the form of a command, or the first of it.
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
    /// The same mistakes, in an entry of a list or in a field.
    pub(crate) fn under(self, segment: impl fmt::Display) -> Self {
        let entry = |error: FormError| FormError {
            pointer: format!("/{segment}{}", error.pointer),
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
        Self::one(&Written::new(sent).pointer(&pointer), error.inner().to_string())
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
        let payload = in_snake_case(&Value::Object(fields))?;
        let mut written = Written::new(body);
        let errors: Vec<FormError> = validator
            .iter_errors(&payload)
            .flat_map(|error| blame(&error, &payload))
            .take(ERRORS_MAX)
            .map(|(pointer, detail)| FormError {
                pointer: written.pointer(&pointer),
                detail,
            })
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

/// Field names in camelCase are taken for the same in snake_case: the talk's own request has `menuItem`. A field that is there
/// under both is a mistake: one of its values would be dropped in silence.
fn in_snake_case(value: &Value) -> Result<Value, FormErrors> {
    match value {
        Value::Object(fields) => fields_in_snake_case(fields).map(Value::Object),
        Value::Array(items) => {
            let entry =
                |(index, item): (usize, &Value)| in_snake_case(item).map_err(|errors| errors.under(index));
            items.iter().enumerate().map(entry).collect()
        }
        other => Ok(other.clone()),
    }
}

fn fields_in_snake_case(fields: &Map<String, Value>) -> Result<Map<String, Value>, FormErrors> {
    let mut renamed = Map::with_capacity(fields.len());
    for (name, value) in fields {
        let value = in_snake_case(value).map_err(|errors| errors.under(escaped(name)))?;
        if renamed.insert(snake_case(name), value).is_some() {
            return Err(stands_twice(fields, name));
        }
    }
    Ok(renamed)
}

fn stands_twice(fields: &Map<String, Value>, name: &str) -> FormErrors {
    let renamed = snake_case(name);
    let first = fields.keys().find(|other| snake_case(other) == renamed);
    let first = first.map_or(name, String::as_str);
    let detail = format!("{first:?} and {name:?} are one field, which can stand here once");
    FormErrors::one(&format!("/{}", escaped(name)), detail)
}

/// A name as a part of a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// What a validator's error says: pointers into the payload to what is to blame, and what is wrong with it.
fn blame(error: &ValidationError<'_>, payload: &Value) -> Vec<(String, String)> {
    let at = error.instance_path().to_string();
    let under = |name: &str| format!("{at}/{}", escaped(name));
    let unknown = |name: &String| (under(name), "is no field of this command".to_owned());
    match error.kind() {
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
    }
}

/// The names of fields as the client wrote them.
struct Written<'a> {
    sent: &'a Value,
    /// By the pointer to an object: its names, by what they are in snake_case. Made once for an object, because to look through
    /// its names for each mistake in it takes as long as it has names times mistakes.
    names: HashMap<String, HashMap<String, &'a str>>,
}

impl<'a> Written<'a> {
    fn new(sent: &'a Value) -> Self {
        Self {
            sent,
            names: HashMap::new(),
        }
    }

    /// The pointer with each name as the client wrote it.
    fn pointer(&mut self, pointer: &str) -> String {
        let mut here = Some(self.sent);
        let mut found = String::new();
        for segment in pointer.split('/').skip(1) {
            let fields = here.and_then(Value::as_object);
            let name = fields.and_then(|fields| self.name(&found, fields, segment));
            let name = name.unwrap_or(segment);
            found.push('/');
            found.push_str(name);
            here = here.and_then(|here| here.get(name).or_else(|| here.get(name.parse::<usize>().ok()?)));
        }
        found
    }

    /// The name that is this one in snake_case, in the object that lies there.
    fn name(&mut self, at: &str, fields: &'a Map<String, Value>, renamed: &str) -> Option<&'a str> {
        let names = self.names.entry(at.to_owned()).or_insert_with(|| {
            let names = fields.keys();
            names.map(|name| (snake_case(name), name.as_str())).collect()
        });
        names.get(renamed).copied()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::ERRORS_MAX;
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

    #[test]
    fn a_field_that_stands_there_in_both_cases_is_refused_by_both_names() {
        let errors = read(json!({"value": "v", "Value": "w", "holder": "a"})).unwrap_err();
        let [error] = &errors[..] else {
            panic!("{errors:?}")
        };
        assert_eq!(error.pointer, "/Value");
        assert!(error.detail.contains(r#""value" and "Value""#), "{error:?}");
        refused(
            json!({"value": "v", "holder": [{"menuItem": 1, "menu_item": 2}]}),
            &["/holder/0/menu_item"],
        );
    }

    /// Of the square of so many names, nobody would await the end.
    #[test]
    fn of_many_mistakes_the_first_are_told_and_the_others_cost_nothing() {
        let names = (0..50_000).map(|number| format!("anUnknownField{number}"));
        let body: Value = names.map(|name| (name, Value::Null)).collect();
        let errors = read(body).unwrap_err();
        assert_eq!(errors.len(), ERRORS_MAX);
        let unknown = errors
            .iter()
            .filter(|error| error.pointer.starts_with("/anUnknownField"));
        assert!(unknown.count() >= ERRORS_MAX - 2, "{errors:?}");
    }
}
