//! What the documents of all services have in common.

use serde_json::{Map, Value, json};

use super::{OpenApi, Operation, parameter};

const DOCUMENTS: &str = "documents";
const HEALTH: &str = "health";

pub(super) fn add_routes(document: &mut OpenApi) {
    document.tag(DOCUMENTS, "What the service says about itself.");
    document.tag(HEALTH, "For whoever runs it.");
    let text = json!({ "type": "string" });
    let html = |id: &str, summary: &str| {
        let page = Operation::new(id, DOCUMENTS, summary).open();
        page.answers(200, "The page.", [("text/html", text.clone())], &[])
    };
    let page = |id: &str, summary: &str| {
        let forms = [("text/markdown", text.clone()), ("text/html", text.clone())];
        let page = Operation::new(id, DOCUMENTS, summary).open();
        page.answers(200, "Markdown, or HTML for browsers.", forms, &[])
    };
    let file = |id: &str, summary: &str| {
        let json = [("application/json", json!({ "type": "object" }))];
        let file = Operation::new(id, DOCUMENTS, summary).open();
        file.answers(200, "The document.", json, &[])
    };
    document.add(
        "get",
        "/docs",
        html("docs", "This document, to be read in a browser."),
    );
    document.add("get", "/openapi.json", file("openapi", "This document."));
    document.add("get", "/problems", page("problems", "Every type of problem."));
    let one = page("problem", "What a problem means, and what helps.").fails(["not-found"]);
    document.add("get", "/problems/{code}", one);
    let health = |id: &str, summary: &str| {
        let health = Operation::new(id, HEALTH, summary).open();
        health.answers(200, "It is so.", [("text/plain", text.clone())], &[])
    };
    document.add("get", "/livez", health("livez", "Whether the process runs."));
    let verbose = parameter(
        "query",
        "verbose",
        "Also say what is missing.",
        json!({ "type": "boolean" }),
        json!(true),
    );
    let ready = health("readyz", "Whether it can answer.").takes([verbose]);
    document.add("get", "/readyz", ready.fails(["not-ready"]));
    let metrics = health("metrics", "Its metrics, as Prometheus reads them.");
    document.add("get", "/metrics", metrics);
}

pub(super) fn bearer() -> Value {
    json!({
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token of the issuer that the service is set to (`--auth jwt`), with one of the scopes that \
            an operation names, where it names any. A service with `--auth none` asks nobody.",
    })
}

pub(super) fn schemas() -> Map<String, Value> {
    let schemas = json!({ "Problem": problem(), "NextStep": {
        "type": "object",
        "required": ["description"],
        "properties": {
            "description": { "type": "string", "description": "For a person." },
            "method": { "type": "string", "description": "If it is a request: its method." },
            "href": { "type": "string", "format": "uri-reference", "description": "And where it goes." },
        },
    }});
    match schemas {
        Value::Object(schemas) => schemas,
        _ => unreachable!("an object stands there"),
    }
}

/// Its members, those of our own among them.
fn problem() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let errors = json!({
        "type": "array",
        "description": "What is wrong with the body, one by one.",
        "items": {
            "type": "object",
            "required": ["pointer", "detail"],
            "properties": {
                "pointer": text("Where: a JSON pointer (RFC 6901) into the body, as it was sent."),
                "detail": text("What."),
            },
        },
    });
    let next = json!({
        "type": "array",
        "description": "What the client can do about it.",
        "items": { "$ref": "#/components/schemas/NextStep" },
    });
    json!({
        "type": "object",
        "description": "Problem details (RFC 9457). A type may have members of its own: see its page.",
        "additionalProperties": true,
        "required": ["type", "title", "status"],
        "properties": {
            "type": {
                "type": "string", "format": "uri-reference",
                "description": "Names the rule, for ever, and is a link to its page.",
            },
            "title": text("What every problem of this type is."),
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": text("What is wrong this time."),
            "instance": text("The path of the request."),
            "errors": errors,
            "next": next,
            "code": text("The last part of `type`, if a rule refused the command."),
            "command_id": { "type": "string", "format": "uuid", "description": "The command." },
            "command_type": text("Its type."),
            "aggregate": text("The link to the aggregate."),
            "sequence": { "type": "integer", "description": "The sequence that the aggregate is at." },
            "consistency_token": text("Send it with what must not be answered from before this."),
            "replayed": { "type": "boolean", "description": "Whether this answer was given before." },
            "request_id": text("This request, as in the header X-Request-Id."),
            "trace_id": { "type": "string", "pattern": "^[0-9a-f]{32}$", "description": "The trace it belongs to." },
        },
    })
}

/// Headers of answers, by name.
pub(super) fn headers() -> Value {
    let text = |description: &str, example: &str| json!({ "description": description, "schema": { "type": "string" }, "example": example });
    let number = |description: &str| json!({ "description": description, "schema": { "type": "integer", "minimum": 0 }, "example": 1 });
    json!({
        "X-Request-Id": text("Names this request in the logs. The client's own, if it has sent one.",
            "0198c5f0-1f2e-4d0a-9d0e-0d8d4a3c1e11"),
        "traceparent": text("The trace that the request belongs to (W3C). The client's own, if it has sent one.",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        "Consistency-Token": text("How far this answer has seen: send it with reads and commands that must not be \
            answered from before it.", "1.Q2x1c3Rlcg.b3JkZXJz"),
        "ETag": text("The sequence of what is shown, for If-Match and If-None-Match.", "\"7\""),
        "WWW-Authenticate": text("What is wrong with the token, if there is one (RFC 6750).",
            "Bearer realm=\"foldline\", error=\"invalid_token\", error_description=\"the token has expired\""),
        "Location": text("Where the outcome, or what was made, is found.", "/orders/8659a0d6"),
        "Preference-Applied": text("What of `Prefer` was followed.", "wait=3"),
        "Event-Position": text("The place in the feed behind what the answer shows: go on from there with `after`.", "1.AAE"),
        "Link": text("The pages around this one (RFC 8288).", "</orders?limit=50>; rel=\"self\""),
        "Retry-After": number("When it is worth to try again, in seconds."),
        "RateLimit": text("How many requests are left (r), and when the quota is whole again (t, seconds).",
            "\"default\";r=50;t=30"),
        "RateLimit-Policy": text("How many requests (q) in how many seconds (w).", "\"default\";q=100;w=60"),
    })
}
