//! How a list is asked for.
//!
//! | parameter | means |
//! |---|---|
//! | `status=OPEN` | equal; given several times, one of them |
//! | `total.amount[gte]=1000` | `lt`, `lte`, `gt`, `gte`; all that are given hold |
//! | `sort=-total.amount,id` | by these fields, descending with `-`; ties by id |
//! | `limit=50` | at most so many |
//! | `at=...` | as it was then; see `past` |
//! | `cursor=...` | goes on where a page with the same filters and order ended |

use std::fmt::Write;

use foldline_core::{Field, FieldKind};
use foldline_views::{FieldValue, Filter, ListQuery, Sort, Test};
use uuid::Uuid;

use crate::cursor;

/// How many entries a page has if the client does not say.
const LIMIT_DEFAULT: usize = 50;
/// How many it has at most.
const LIMIT_MAX: usize = 500;

/// How many parameters a list takes: each condition costs the store something.
const PARAMS_MAX: usize = 100;

/// How much of a list is asked for, if the client does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// A page of it.
    Page,
    /// All of it.
    Everything,
}

impl Extent {
    fn default_limit(self) -> usize {
        match self {
            Self::Page => LIMIT_DEFAULT,
            Self::Everything => usize::MAX,
        }
    }

    fn limit_max(self) -> usize {
        match self {
            Self::Page => LIMIT_MAX,
            Self::Everything => usize::MAX,
        }
    }

    /// Reads `limit`.
    pub(crate) fn limit(self, params: &Params) -> Result<usize, BadParameter> {
        match params.iter().find(|(name, _)| name == "limit") {
            Some((_, text)) => self.limit_of(text),
            None => Ok(self.default_limit()),
        }
    }

    fn limit_of(self, text: &str) -> Result<usize, BadParameter> {
        let most = self.limit_max();
        match text.parse() {
            Ok(limit) if (1..=most).contains(&limit) => Ok(limit),
            _ => {
                let detail = format!("{text:?} is not a number from 1 to {most}");
                Err(bad("limit", detail, vec![format!("1..{most}")]))
            }
        }
    }
}

/// Query parameters, decoded.
pub(crate) type Params = Vec<(String, String)>;

/// A parameter that means nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadParameter {
    pub(crate) parameter: String,
    pub(crate) detail: String,
    /// What would do in its place.
    pub(crate) allowed: Vec<String>,
}

/// What a client asks of a list.
#[derive(Debug, Clone)]
pub(crate) struct ListRequest {
    pub(crate) query: ListQuery,
    /// Names filters and order, so that a cursor is not taken for one of another list.
    pub(crate) fingerprint: Uuid,
}

/// Reads the parameters of the list at this path, which may be filtered and sorted by these fields.
pub(crate) fn list_request(
    path: &str,
    params: &Params,
    fields: &[Field],
    extent: Extent,
) -> Result<ListRequest, BadParameter> {
    if let Some((name, _)) = params.get(PARAMS_MAX) {
        let detail = format!("a list takes at most {PARAMS_MAX} parameters");
        return Err(bad(name, detail, Vec::new()));
    }
    let mut filters = Vec::new();
    let mut sort = Vec::new();
    let limit = extent.limit(params)?;
    let mut cursor = None;
    for (name, value) in params {
        match name.as_str() {
            "sort" => add_sort(&mut sort, value, fields)?,
            // Read by whoever knows what a moment is there.
            "limit" | "at" => {}
            "cursor" => cursor = Some(value),
            _ => add_filter(&mut filters, name, value, fields)?,
        }
    }
    let fingerprint = fingerprint(path, &filters, &sort);
    let after = cursor
        .map(|text| cursor::decode(text, fingerprint))
        .transpose()
        .map_err(|error| bad("cursor", error.to_string(), Vec::new()))?;
    Ok(ListRequest {
        query: ListQuery {
            filters,
            sort,
            limit,
            after,
            generation: None,
        },
        fingerprint,
    })
}

/// A parameter that has no meaning where it stands.
pub(crate) fn unknown(name: &str, allowed: Vec<String>) -> BadParameter {
    bad(name, format!("there is no parameter {name:?} here"), allowed)
}

/// The parameters that a list or a stream takes besides filters.
pub(crate) fn only(params: &Params, known: &[&str]) -> Result<(), BadParameter> {
    match params.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        Some((name, _)) => {
            let known = known.iter().chain(&["consistency_token", "format"]);
            Err(unknown(name, known.map(|&name| name.to_owned()).collect()))
        }
        None => Ok(()),
    }
}

/// A parameter that cannot be understood.
pub(crate) fn bad(parameter: &str, detail: String, allowed: Vec<String>) -> BadParameter {
    BadParameter {
        parameter: parameter.to_owned(),
        detail,
        allowed,
    }
}

fn add_sort(sort: &mut Vec<Sort>, text: &str, fields: &[Field]) -> Result<(), BadParameter> {
    for part in text.split(',') {
        let name = part.strip_prefix('-').unwrap_or(part);
        let Some(field) = fields.iter().find(|field| field.name == name).copied() else {
            let allowed = fields.iter().map(|field| field.name.to_owned()).collect();
            let detail = format!("the list cannot be sorted by {name:?}");
            return Err(bad("sort", detail, allowed));
        };
        if sort.iter().any(|sort| sort.field == field) {
            return Err(bad("sort", format!("{name:?} stands there twice"), Vec::new()));
        }
        let descending = part.starts_with('-');
        sort.push(Sort { field, descending });
    }
    Ok(())
}

fn add_filter(
    filters: &mut Vec<Filter>,
    name: &str,
    text: &str,
    fields: &[Field],
) -> Result<(), BadParameter> {
    let (field_name, operator) = match name.strip_suffix(']').and_then(|name| name.split_once('[')) {
        Some((field, operator)) => (field, operator),
        None => (name, ""),
    };
    let Some(field) = fields.iter().find(|field| field.name == field_name).copied() else {
        let names = fields.iter().map(|field| field.name.to_owned());
        let others = ["sort", "limit", "cursor", "at", "format", "consistency_token"].map(str::to_owned);
        return Err(unknown(name, names.chain(others).collect()));
    };
    let value = value_of(text, field.kind).map_err(|detail| bad(name, detail, Vec::new()))?;
    let test = match operator {
        "" => {
            // Equal to one of the values, if there are several.
            for filter in filters.iter_mut().filter(|filter| filter.field == field) {
                if let Test::In(values) = &mut filter.test {
                    values.push(value);
                    return Ok(());
                }
            }
            Test::In(vec![value])
        }
        "lt" => Test::Less(value),
        "lte" => Test::AtMost(value),
        "gt" => Test::Greater(value),
        "gte" => Test::AtLeast(value),
        _ => {
            let allowed = ["lt", "lte", "gt", "gte"].map(|operator| format!("{field_name}[{operator}]"));
            let detail = format!("{operator:?} is no comparison");
            return Err(bad(name, detail, allowed.into()));
        }
    };
    filters.push(Filter { field, test });
    Ok(())
}

fn value_of(text: &str, kind: FieldKind) -> Result<FieldValue, String> {
    match kind {
        FieldKind::Text => Ok(FieldValue::Text(text.to_owned())),
        FieldKind::Number => match text.parse() {
            Ok(number) => Ok(FieldValue::Number(number)),
            Err(_) => Err(format!("{text:?} is no whole number")),
        },
        FieldKind::Boolean => match text.parse() {
            Ok(yes) => Ok(FieldValue::Boolean(yes)),
            Err(_) => Err(format!("{text:?} is neither true nor false")),
        },
    }
}

/// The same for the same conditions, in whatever order they are given.
fn fingerprint(path: &str, filters: &[Filter], sort: &[Sort]) -> Uuid {
    let mut conditions: Vec<String> = filters
        .iter()
        .map(|filter| {
            let mut test = filter.test.clone();
            if let Test::In(values) = &mut test {
                values.sort();
                values.dedup();
            }
            format!("{} {test:?}", filter.field.name)
        })
        .collect();
    conditions.sort();
    let mut text = format!("{path} {conditions:?}");
    for Sort { field, descending } in sort {
        // Writing to a string does not fail.
        let _ = write!(text, " {} {descending}", field.name);
    }
    Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use foldline_core::Field;
    use foldline_views::{FieldValue, Place, Test};

    use super::{BadParameter, Extent, ListRequest, Params, cursor, list_request};

    const FIELDS: &[Field] = &[
        Field::text("status"),
        Field::number("total.amount"),
        Field::boolean("paid"),
    ];

    fn parse(params: &[(&str, &str)]) -> Result<ListRequest, BadParameter> {
        let params: Params = params
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        list_request("/orders", &params, FIELDS, Extent::Page)
    }

    #[test]
    fn a_filter_that_is_given_twice_takes_either() {
        let request = parse(&[("status", "OPEN"), ("paid", "true"), ("status", "PLACED")]).unwrap();
        assert_eq!(request.query.filters.len(), 2);
        let text = |text: &str| FieldValue::Text(text.to_owned());
        assert_eq!(
            request.query.filters[0].test,
            Test::In(vec![text("OPEN"), text("PLACED")])
        );
    }

    #[test]
    fn both_ends_of_a_range_hold() {
        let request = parse(&[("total.amount[gte]", "1"), ("total.amount[lt]", "-9")]).unwrap();
        let tests: Vec<_> = request
            .query
            .filters
            .into_iter()
            .map(|filter| filter.test)
            .collect();
        assert_eq!(
            tests,
            [
                Test::AtLeast(FieldValue::Number(1)),
                Test::Less(FieldValue::Number(-9))
            ]
        );
    }

    #[test]
    fn what_means_nothing_is_refused_by_name() {
        let cases = [
            ("colour", "red", "status"),
            ("status[like]", "x", "status[lt]"),
            ("sort", "-colour", "total.amount"),
            ("limit", "501", "1..500"),
        ];
        for (name, value, allowed) in cases {
            let error = parse(&[(name, value)]).unwrap_err();
            assert_eq!(error.parameter, name);
            assert!(error.allowed.contains(&allowed.to_owned()), "{error:?}");
        }
        assert_eq!(parse(&[("status", "x"); 101]).unwrap_err().parameter, "status");
        for (name, value) in [
            ("sort", "status,-status"),
            ("total.amount", "1.5"),
            ("paid", "yes"),
            ("limit", "0"),
            ("cursor", "?"),
        ] {
            assert_eq!(parse(&[(name, value)]).unwrap_err().parameter, name);
        }
    }

    #[test]
    fn a_cursor_goes_with_its_filters_and_order_whatever_the_limit() {
        let place = Place(vec![FieldValue::Text("7".to_owned())]);
        let first = parse(&[("status", "OPEN"), ("paid", "true")]).unwrap();
        let cursor = cursor::encode(first.fingerprint, &place);
        let next = parse(&[
            ("paid", "true"),
            ("limit", "7"),
            ("cursor", &cursor),
            ("status", "OPEN"),
        ]);
        assert_eq!(next.unwrap().query.after, Some(place));
        let others: [&[(&str, &str)]; 3] = [
            &[("cursor", &cursor)],
            &[("status", "PLACED"), ("paid", "true"), ("cursor", &cursor)],
            &[
                ("status", "OPEN"),
                ("paid", "true"),
                ("sort", "status"),
                ("cursor", &cursor),
            ],
        ];
        for other in others {
            assert_eq!(parse(other).unwrap_err().parameter, "cursor");
        }
    }
}
