//! Bodies and links.

use foldline_views::Row;
use http::HeaderValue;
use http::header::LINK;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use axum::response::Response;

use crate::api::ViewResource;
use crate::params::Params;

/// What a query parameter does not carry as it is. More than has to be, so that links need no thought.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b',');

/// What a page ends with.
const END: &str = "]}";

/// What a row's link takes in a page, and somewhat more.
const LINK_ROOM: usize = 96;

/// Where a page stands among the others.
pub(super) struct PageLinks {
    this: String,
    first: String,
    next: Option<String>,
}

impl PageLinks {
    /// `turn` is the parameter that the next page has another value of, with that value.
    pub(super) fn new(path: &str, params: &Params, turn: &str, next: Option<String>) -> Self {
        let first: Params = params.iter().filter(|(name, _)| name != turn).cloned().collect();
        let next = next.map(|value| {
            let mut params = first.clone();
            params.push((turn.to_owned(), value));
            url(path, &params)
        });
        Self {
            this: url(path, params),
            first: url(path, &first),
            next,
        }
    }

    /// The page: links, then the items, each of them JSON.
    pub(super) fn body(&self, items: &[String]) -> String {
        let room = items.iter().map(String::len).sum();
        self.body_of(items, room, |body, item| body.push_str(item))
    }

    /// The same of rows, each of which leads to itself.
    pub(super) fn body_of_rows(&self, view: &ViewResource, rows: &[Row]) -> String {
        // A page is as long as its rows: made one by one and then joined, each would be copied, and asked memory for, twice.
        let room = rows.iter().map(|row| row.doc.len() + LINK_ROOM).sum();
        self.body_of(rows, room, |body, row| push_in_list(body, view, row))
    }

    /// `room` is about how many bytes all items have.
    fn body_of<T>(&self, items: &[T], room: usize, push: impl Fn(&mut String, &T)) -> String {
        let next = self.next.clone().map_or(Value::Null, Value::String);
        let mut body = format!(
            "{{\"self\":{},\"first\":{},\"next\":{next},\"items\":[",
            Value::String(self.this.clone()),
            Value::String(self.first.clone()),
        );
        body.reserve(room + items.len() + END.len());
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                body.push(',');
            }
            push(&mut body, item);
        }
        body.push_str(END);
        body
    }

    /// The same links, as a header (RFC 8288).
    pub(super) fn add_to(&self, mut response: Response) -> Response {
        let mut links = format!("<{}>; rel=\"self\", <{}>; rel=\"first\"", self.this, self.first);
        if let Some(next) = &self.next {
            links += &format!(", <{next}>; rel=\"next\"");
        }
        if let Ok(links) = HeaderValue::from_str(&links) {
            response.headers_mut().insert(LINK, links);
        }
        response
    }
}

fn url(path: &str, params: &Params) -> String {
    format!("{path}{}", query(params))
}

/// What stands behind a path; nothing without parameters.
pub(super) fn query(params: &Params) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, IN_QUERY).to_string();
    let pairs: Vec<String> = params
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
        .collect();
    if pairs.is_empty() {
        return String::new();
    }
    format!("?{}", pairs.join("&"))
}

/// The row, with one more member, its last. It is text from its store to the client: nothing is parsed.
pub(super) fn with_member(doc: &str, name: &str, value: &Value) -> String {
    with_text(doc, name, &value.to_string())
}

/// The row that a list has: it leads to itself. Neither paths nor ids need escapes in JSON.
fn push_in_list(body: &mut String, view: &ViewResource, row: &Row) {
    let Some((open, comma)) = opened(&row.doc) else {
        return body.push_str(&row.doc);
    };
    let id = row.id.as_str();
    for part in [
        open,
        comma,
        "\"links\":{\"self\":\"",
        view.info.path,
        "/",
        id,
        "\"}}",
    ] {
        body.push_str(part);
    }
}

/// The same of a value that is JSON already; `name` needs no escapes in it.
pub(super) fn with_text(doc: &str, name: &str, value: &str) -> String {
    match opened(doc) {
        Some((open, comma)) => [open, comma, "\"", name, "\":", value, "}"].concat(),
        None => doc.to_owned(),
    }
}

/// An object but for its end, and what stands before one more member; `None` of what has no place for one: a view's rows need
/// not be objects.
fn opened(doc: &str) -> Option<(&str, &'static str)> {
    match doc.trim_end().strip_suffix('}') {
        Some(empty) if empty.trim() == "{" => Some(("{", "")),
        Some(open) if open.starts_with('{') => Some((open, ",")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::{PageLinks, with_member};

    #[test]
    fn links_join_any_row() {
        let mut links = Map::new();
        links.insert("self".to_owned(), "/a/1".into());
        let links = Value::from(links);
        let shown = |doc: &str| serde_json::from_str::<Value>(&with_member(doc, "links", &links)).unwrap();
        assert_eq!(shown("{}"), json!({ "links": { "self": "/a/1" } }));
        assert_eq!(
            shown("{\"a\":{}}"),
            json!({ "a": {}, "links": { "self": "/a/1" } })
        );
        assert_eq!(shown("7"), json!(7));
    }

    #[test]
    fn a_link_is_ascii_whatever_is_asked() {
        let params = vec![
            ("name[gte]".to_owned(), "grün & \"x\"\n".to_owned()),
            ("cursor".to_owned(), "abc".to_owned()),
        ];
        let links = PageLinks::new("/a", &params, "cursor", Some("def".to_owned()));
        assert_eq!(links.first, "/a?name%5Bgte%5D=gr%C3%BCn%20%26%20%22x%22%0A");
        assert_eq!(links.this, format!("{}&cursor=abc", links.first));
        assert_eq!(links.next, Some(format!("{}&cursor=def", links.first)));
        serde_json::from_str::<Value>(&links.body(&["1".to_owned()])).unwrap();
    }
}
