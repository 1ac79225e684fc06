//! What the read API says about itself, made from the installed views and histories, as `router` makes its routes.

mod past;

use foldline_core::{Field, FieldKind};
use foldline_service::openapi::{OpenApi, Operation, parameter};
use serde_json::{Value, json};

use super::accept::Format;
use super::{access, feed};
use crate::api::{Api, HistoryResource, ViewResource};

const READS: &str = "reads";
const FAILURES: [&str; 6] = [
    "invalid-parameter",
    "invalid-consistency-token",
    "not-acceptable",
    "unavailable",
    "view-behind",
    "not-found",
];
const HEADERS: [&str; 2] = ["Consistency-Token", "Preference-Applied"];
const LIST_HEADERS: [&str; 3] = ["Consistency-Token", "Preference-Applied", "Link"];
const ROW_HEADERS: [&str; 3] = ["Consistency-Token", "Preference-Applied", "ETag"];

const DESCRIPTION: &str = "Shows views and histories.\n\nA read with a `Consistency-Token`, that of a command or of \
    another read, is answered when the view has seen what the token has. Every answer carries the token of what it shows. \
    Lists are pages of JSON, or all of it as NDJSON or CSV; what can be followed is also there as server-sent events, \
    resumed by `Last-Event-ID`.";

/// The document.
pub(super) fn document(api: &Api) -> Value {
    let mut document = OpenApi::new("Foldline read API", DESCRIPTION);
    document.tag(READS, "What there is to read, and all events in one feed.");
    let event = document.schema("Event", &event());
    let json = [("application/json", json!({ "type": "object" }))];
    let index = Operation::new(
        "index",
        READS,
        "Every view, and what its lists can be filtered and sorted by.",
    );
    document.add("get", "/", index.answers(200, "Links.", json, &[]));
    add_feed(&mut document, api, &event);
    past::add_conversation(&mut document, READS);
    for view in &api.views {
        add_view(&mut document, view);
    }
    for history in &api.histories {
        add_history(&mut document, api, history, &event);
    }
    document.finish()
}

/// The name of a view's group and of the schema of its rows.
fn name_of(view: &ViewResource) -> String {
    format!("{}.views.{}", view.info.domain, view.info.name)
}

fn add_view(document: &mut OpenApi, view: &ViewResource) {
    let (name, path) = (name_of(view), view.info.path);
    document.tag(
        &name,
        view.info.schema["description"].as_str().unwrap_or_default(),
    );
    let row = document.schema(&name, &view.info.schema);
    let row = json!({ "allOf": [row, { "type": "object", "properties": { "links": links() } }] });
    let list = Operation::new(&format!("{name}.list"), &name, "A list of them.")
        .needs(to_read(view))
        .takes(list_parameters(&view.fields, Format::TABLE).chain([past::at("at")]))
        .fails(past::LIST_FAILURES);
    document.add(
        "get",
        path,
        reading(list, page(&row), &row, Format::TABLE, &LIST_HEADERS),
    );
    let explained =
        json!({ "allOf": [row, { "type": "object", "properties": { "explained": past::explained() } }] });
    let one = Operation::new(&format!("{name}.one"), &name, "One of them.")
        .description("As server-sent events: what it is, and what it becomes.")
        .needs(to_read(view))
        .takes([past::at("at"), past::explain(view), if_none_match()])
        .takes(followed(Format::FOLLOWED))
        .answers(304, "It is as the client has it.", [], &ROW_HEADERS)
        .fails(past::FAILURES);
    document.add(
        "get",
        &format!("{path}/{{id}}"),
        reading(one, explained, &row, Format::FOLLOWED, &ROW_HEADERS),
    );
    past::add_difference(document, view, &name);
    for (list, fields) in view.info.lists {
        let items = document
            .kept(&name)
            .map(|row| row["properties"][*list]["items"].clone());
        let entry = items.filter(|items| !items.is_null()).unwrap_or(json!({}));
        let all = Operation::new(&format!("{name}.{list}"), &name, &format!("The {list} of one."))
            .needs(to_read(view))
            .takes(list_parameters(fields, Format::TABLE).chain([past::at("at"), if_none_match()]))
            .answers(304, "It is as the client has it.", [], &ROW_HEADERS)
            .fails(past::FAILURES);
        let path = format!("{path}/{{id}}/{list}");
        document.add(
            "get",
            &path,
            reading(all, page(&entry), &entry, Format::TABLE, &LIST_HEADERS),
        );
        let one = Operation::new(
            &format!("{name}.{list}.one"),
            &name,
            &format!("One of the {list}."),
        )
        .needs(to_read(view))
        .takes([past::at("at"), if_none_match(), format_parameter(Format::ONE)])
        .answers(304, "It is as the client has it.", [], &ROW_HEADERS)
        .fails(past::FAILURES);
        document.add(
            "get",
            &format!("{path}/{{entry}}"),
            reading(one, entry.clone(), &entry, Format::ONE, &ROW_HEADERS),
        );
    }
}

fn add_history(document: &mut OpenApi, api: &Api, history: &HistoryResource, event: &Value) {
    let view = api.views.iter().find(|view| view.info.path == history.path);
    let name = &history.aggregate;
    let tag = view.map_or_else(|| READS.to_owned(), |view| name_of(view));
    let after = parameter(
        "query",
        "after",
        "Only events behind this sequence.",
        json!({ "type": "integer", "minimum": 0 }),
        json!(3),
    );
    let events = Operation::new(
        &format!("{name}.events"),
        &tag,
        "The history of one, oldest first.",
    )
    .needs(to_see(name))
    .takes(
        [after, limit()]
            .into_iter()
            .chain(followed(Format::FOLLOWED_TABLE)),
    );
    let operation = reading(events, page(event), event, Format::FOLLOWED_TABLE, &LIST_HEADERS);
    document.add("get", &format!("{}/{{id}}/events", history.path), operation);
    past::add_state(document, history, &tag);
    past::add_audit(document, history, &tag, &self::event());
}

fn add_feed(document: &mut OpenApi, api: &Api, event: &Value) {
    let several = |names: Vec<&str>| json!({ "type": "array", "items": { "type": "string", "enum": names } });
    let aggregates: Vec<&str> = api
        .histories
        .iter()
        .map(|history| history.aggregate.as_str())
        .collect();
    let mut types: Vec<&str> = api
        .histories
        .iter()
        .flat_map(|history| &history.types)
        .map(String::as_str)
        .collect();
    types.sort_unstable();
    types.dedup();
    let first = json!([aggregates.first()]);
    let after =
        "Go on behind this place: `Event-Position` of an answer, or `id` of an event; `now` for what comes.";
    let event = json!({ "allOf": [event, { "type": "object", "properties": {
        "aggregate": { "type": "string", "description": "Which type of aggregate it is of." },
    } }] });
    let operation = Operation::new(
        "events",
        READS,
        "The events of all aggregates, or of those that are named.",
    )
    .description(
        "The events of one aggregate come in their order; between aggregates there is none that counts.",
    )
    .needs(
        api.histories
            .iter()
            .flat_map(|history| to_see(&history.aggregate)),
    )
    .takes([
        parameter(
            "query",
            "aggregate",
            "Of this type; several for any of them.",
            several(aggregates),
            first,
        ),
        parameter(
            "query",
            "type",
            "Events of this type; several for any of them.",
            several(types),
            Value::Null,
        ),
        parameter(
            "query",
            "actor",
            "What was asked for by this actor.",
            json!({ "type": "string" }),
            "ada".into(),
        ),
        parameter(
            "query",
            "from",
            "Recorded at this time (RFC 3339) or later; not for streams.",
            time(),
            moment(),
        ),
        parameter(
            "query",
            "to",
            "Recorded at this time or earlier; not for streams.",
            time(),
            moment(),
        ),
        parameter("query", "after", after, json!({ "type": "string" }), json!("now")),
        limit(),
    ])
    .takes(followed(Format::FOLLOWED_TABLE));
    let headers = [
        "Consistency-Token",
        "Preference-Applied",
        "Link",
        "Event-Position",
    ];
    let operation = reading(operation, page(&event), &event, Format::FOLLOWED_TABLE, &headers);
    document.add("get", feed::PATH, operation);
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn moment() -> Value {
    "2025-01-01T12:00:00Z".into()
}

/// The scopes with which a view may be read.
fn to_read(view: &ViewResource) -> [String; 2] {
    let name = access::name_of(view);
    ["read", "read-own"].map(|action| format!("{name}:{action}"))
}

/// The scopes with which the history of aggregates may be read.
fn to_see(aggregate: &str) -> [String; 2] {
    ["history", "history-own"].map(|action| format!("{aggregate}:{action}"))
}

/// What every read takes and answers. `one` is what a line of NDJSON holds.
fn reading(
    operation: Operation,
    json: Value,
    one: &Value,
    formats: &[Format],
    headers: &[&str],
) -> Operation {
    let text = |format: &Format| match format {
        Format::Json => json.clone(),
        Format::Ndjson => {
            json!({ "type": "string", "description": "One JSON value a line.", "contentSchema": one })
        }
        Format::Csv => json!({ "type": "string", "description": "A line of names, and a line for each." }),
        Format::EventStream => {
            json!({ "type": "string", "description": "Events with `id`, `event` and `data`." })
        }
    };
    let content = formats.iter().map(|format| (format.media_type(), text(format)));
    let streams = if formats == Format::ONE {
        &[][..]
    } else {
        &["too-many-streams"]
    };
    let failures = FAILURES.iter().chain(streams).copied();
    let failures = failures.chain(formats.contains(&Format::EventStream).then_some("invalid-header"));
    operation
        .takes(consistency())
        .answers(
            200,
            "What there is.",
            content,
            if headers.is_empty() { &HEADERS } else { headers },
        )
        .fails(failures)
}

fn consistency() -> [Value; 3] {
    let text = || json!({ "type": "string" });
    [
        parameter(
            "header",
            "Consistency-Token",
            "Show nothing older than this token has seen; several, with commas, for \
            all of them.",
            text(),
            Value::Null,
        ),
        parameter(
            "query",
            "consistency_token",
            "The same, for links.",
            text(),
            Value::Null,
        ),
        parameter(
            "header",
            "Prefer",
            "`wait=N`: wait at most N seconds for what the token asks.",
            text(),
            "wait=3".into(),
        ),
    ]
}

fn if_none_match() -> Value {
    let description = "The ETag of what the client has: 304 if it is still that.";
    parameter(
        "header",
        "If-None-Match",
        description,
        json!({ "type": "string" }),
        "\"7\"".into(),
    )
}

fn format_parameter(formats: &[Format]) -> Value {
    let names: Vec<&str> = formats.iter().map(|format| format.name()).collect();
    let description = "The form of the answer, for links; else `Accept` says it.";
    parameter(
        "query",
        "format",
        description,
        json!({ "type": "string", "enum": names }),
        "json".into(),
    )
}

/// What goes with streams.
fn followed(formats: &'static [Format]) -> impl Iterator<Item = Value> {
    let description = "Where a client that follows it was: the last `id` that it has seen.";
    let last = parameter(
        "header",
        "Last-Event-ID",
        description,
        json!({ "type": "string" }),
        Value::Null,
    );
    [format_parameter(formats), last].into_iter()
}

fn limit() -> Value {
    let schema = json!({ "type": "integer", "minimum": 1, "maximum": 500 });
    let description =
        "At most so many; 50 in a page of JSON unless it is given, and all in a table, which may be longer.";
    parameter("query", "limit", description, schema, json!(20))
}

fn list_parameters(fields: &[Field], formats: &'static [Format]) -> impl Iterator<Item = Value> {
    let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
    let sort = format!(
        "By these fields, with commas between them, descending with `-`: {}.",
        names.join(", ")
    );
    let text = || json!({ "type": "string" });
    let first = names.first().copied().unwrap_or_default();
    let general = [
        parameter("query", "sort", &sort, text(), format!("-{first}").into()),
        limit(),
        parameter(
            "query",
            "cursor",
            "As it stands in the link `next`.",
            text(),
            Value::Null,
        ),
        format_parameter(formats),
    ];
    let filters: Vec<Value> = fields.iter().flat_map(filters).collect();
    general.into_iter().chain(filters)
}

fn filters(field: &Field) -> Vec<Value> {
    let kind = match field.kind {
        FieldKind::Text => "string",
        FieldKind::Number => "integer",
        FieldKind::Boolean => "boolean",
    };
    let one = json!({ "type": kind });
    let any = json!({ "type": "array", "items": one });
    let mut found = vec![parameter(
        "query",
        field.name,
        "Equal; several for any of them.",
        any,
        Value::Null,
    )];
    for (operator, description) in [
        ("lt", "Less than this."),
        ("lte", "At most this."),
        ("gt", "More than this."),
        ("gte", "At least this."),
    ] {
        let name = format!("{}[{operator}]", field.name);
        found.push(parameter("query", &name, description, one.clone(), Value::Null));
    }
    found
}

fn links() -> Value {
    json!({
        "type": "object", "description": "Where one can go on.",
        "additionalProperties": { "type": "string", "format": "uri-reference" },
    })
}

fn page(item: &Value) -> Value {
    let link = |description: &str| json!({ "type": "string", "format": "uri-reference", "description": description });
    json!({
        "type": "object",
        "required": ["self", "first", "next", "items"],
        "properties": {
            "self": link("This page."),
            "first": link("The first page."),
            "next": { "type": ["string", "null"], "format": "uri-reference", "description": "The next page, if there is one." },
            "items": { "type": "array", "items": item },
        },
    })
}

/// As [`foldline_core::EventMeta::to_json`] writes it.
fn event() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let id = |description: &str| json!({ "type": "string", "format": "uuid", "description": description });
    let number = |description: &str| json!({ "type": "integer", "minimum": 0, "description": description });
    let time =
        |description: &str| json!({ "type": "string", "format": "date-time", "description": description });
    let properties = json!({
        "event_id": id("Its identity."),
        "event_type": text("Its type: what the payload is."),
        "aggregate_id": text("What it happened to."),
        "sequence": number("Its place in its aggregate, from 1, without gap."),
        "revision": number("The revision of the payload that is shown, from 1: always today's."),
        "written_revision": number("The revision that it was written in, and lies in its topic in."),
        "occurred_at": time("When the command was issued, by its sender's clock."),
        "recorded_at": time("When it was decided, by the command handler's clock."),
        "command_id": id("The command that it came from."),
        "correlation_id": text("The conversation."),
        "causation_id": text("What caused it."),
        "actor": { "type": ["string", "null"], "description": "Who sent the command." },
        "index": number("Its place among the events of its command, from 0."),
        "count": number("How many events its command made."),
        "previous_hash": { "type": ["string", "null"], "description": "SHA-256, in hex, of the record of the event \
            before it. Null for the first one, and where it was not known when the event was written." },
        "payload": { "type": "object", "description": "What has happened; see the schema of the event." },
    });
    // An event of the history may have been kept before there were these fields.
    let names: Vec<&String> = properties
        .as_object()
        .into_iter()
        .flat_map(|all| all.keys())
        .filter(|name| !["previous_hash", "written_revision"].contains(&name.as_str()))
        .collect();
    json!({
        "type": "object", "description": "What has happened to an aggregate.", "required": names,
        "properties": properties,
    })
}
