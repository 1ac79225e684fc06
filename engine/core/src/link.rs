use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::AggregateId;

/// What a [`Link`] points at.
pub trait LinkTarget: 'static {
    /// Its path, `/customers/{id}/addresses/{nickname}`; segments in braces vary.
    const TEMPLATE: &'static str;
}

/// A hyperlink in a command: a path, or a whole URL that ends in one.
///
/// It keeps what the client wrote, so that a malformed one is refused by a rule of the domain on every way in,
/// not lost as an unreadable record.
pub struct Link<T> {
    text: String,
    target: PhantomData<fn() -> T>,
}

/// What a path segment carries unescaped (RFC 3986, 2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

impl<T: LinkTarget> Link<T> {
    /// The link whose segments in braces are these, one for each; they are percent-encoded.
    pub fn to<const N: usize>(segments: [&str; N]) -> Self {
        let mut given = segments.into_iter();
        let wanted = T::TEMPLATE.split('/').map(|segment| match segment {
            varying if varying.starts_with('{') => {
                utf8_percent_encode(given.next().unwrap_or_default(), ESCAPED).to_string()
            }
            fixed => fixed.to_owned(),
        });
        Self::new(wanted.collect::<Vec<_>>().join("/"))
    }

    /// A link as a client wrote it.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            target: PhantomData,
        }
    }

    /// What stands in place of the segments in braces, percent-decoded. `None` if the link does not fit.
    pub fn segments(&self) -> Option<Vec<String>> {
        let path = self.path();
        let mut found = Vec::new();
        let mut given = path.split('/');
        for wanted in T::TEMPLATE.split('/') {
            let segment = given.next()?;
            if wanted.starts_with('{') {
                let decoded = percent_decode_str(segment).decode_utf8().ok()?;
                if decoded.is_empty() {
                    return None;
                }
                found.push(decoded.into_owned());
            } else if wanted != segment {
                return None;
            }
        }
        given.next().is_none().then_some(found)
    }

    /// The id in the first segment in braces. `None` if the link does not fit.
    pub fn id(&self) -> Option<AggregateId> {
        self.segments()?.first()?.parse().ok()
    }

    /// As the client wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn path(&self) -> &str {
        let Some((_, rest)) = self.text.split_once("://") else {
            return &self.text;
        };
        rest.find('/').map_or("", |slash| &rest[slash..])
    }

    /// For the JSON Schema: what [`segments`](Self::segments) takes.
    fn pattern() -> String {
        let mut pattern = "^(https?://[^/]+)?".to_owned();
        for (index, segment) in T::TEMPLATE.split('/').enumerate() {
            if index > 0 {
                pattern.push('/');
            }
            pattern.push_str(match segment {
                "{id}" => AggregateId::PATTERN,
                varying if varying.starts_with('{') => "[^/]+",
                fixed => fixed,
            });
        }
        pattern + "$"
    }
}

impl<T: LinkTarget> JsonSchema for Link<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Link to {}", T::TEMPLATE).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "uri-reference", "pattern": Self::pattern() })
    }
}

impl<T> Clone for Link<T> {
    fn clone(&self) -> Self {
        Self {
            text: self.text.clone(),
            target: PhantomData,
        }
    }
}

impl<T> PartialEq for Link<T> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<T> fmt::Debug for Link<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl<T> fmt::Display for Link<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<T> Serialize for Link<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de, T: LinkTarget> Deserialize<'de> for Link<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::{Link, LinkTarget};

    struct Address;
    impl LinkTarget for Address {
        const TEMPLATE: &'static str = "/customers/{id}/addresses/{nickname}";
    }

    fn segments(text: &str) -> Option<Vec<String>> {
        Link::<Address>::new(text).segments()
    }

    #[test]
    fn a_link_is_a_path_or_a_url_that_ends_in_one() {
        let both = Some(vec!["7".to_owned(), "my home".to_owned()]);
        assert_eq!(segments("/customers/7/addresses/my%20home"), both);
        assert_eq!(
            segments("http://127.0.0.1:8080/customers/7/addresses/my%20home"),
            both
        );
    }

    #[test]
    fn a_link_that_is_made_from_its_segments_gives_them_back() {
        let link = Link::<Address>::to(["7", "my/home ü"]);
        assert_eq!(link.as_str(), "/customers/7/addresses/my%2Fhome%20%C3%BC");
        assert_eq!(link.segments().unwrap(), ["7", "my/home ü"]);
    }

    #[test]
    fn what_does_not_fit_is_no_link() {
        for bad in [
            "",
            "7",
            "/customers/7",
            "/customers/7/addresses",
            "/customers/7/addresses/",
            "/customers/7/addresses/home/x",
            "/menu/7/addresses/home",
            "http://customers",
        ] {
            assert_eq!(segments(bad), None, "{bad}");
        }
    }
}
