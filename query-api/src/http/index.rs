use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use foldline_core::{Field, FieldKind};
use http::header::CACHE_CONTROL;
use serde_json::{Map, Value, json};

use super::feed;
use crate::api::{Api, ViewResource};

/// `GET /`: what there is to read.
pub(super) async fn index(State(api): State<Arc<Api>>) -> Response {
    let views: Vec<Value> = api.views.iter().map(|view| resource(view)).collect();
    let histories: Vec<Value> = api
        .histories
        .iter()
        .map(|history| {
            json!({
                "name": history.aggregate,
                "links": { "events": format!("{}/{{id}}/events", history.path) },
            })
        })
        .collect();
    let index =
        json!({ "self": "/", "resources": views, "histories": histories, "links": { "events": feed::PATH } });
    ([(CACHE_CONTROL, "no-cache")], Json(index)).into_response()
}

fn resource(view: &ViewResource) -> Value {
    let path = view.info.path;
    let mut links = Map::new();
    links.insert("self".to_owned(), path.into());
    links.insert("item".to_owned(), format!("{path}/{{id}}").into());
    if let Some(commands) = &view.commands {
        links.insert("events".to_owned(), format!("{path}/{{id}}/events").into());
        links.insert(
            "commands".to_owned(),
            format!("{commands}/{{id}}/commands").into(),
        );
    }
    let lists: Vec<Value> = view
        .info
        .lists
        .iter()
        .map(|(list, fields)| {
            let link = format!("{path}/{{id}}/{list}");
            json!({ "name": list, "fields": described(fields), "links": { "self": link } })
        })
        .collect();
    json!({
        "name": view.info.name,
        "domain": view.info.domain,
        "fields": described(&view.fields),
        "lists": lists,
        "links": links,
    })
}

/// What can be filtered and sorted by.
fn described(fields: &[Field]) -> Value {
    let kinds = fields.iter().map(|field| {
        let kind = match field.kind {
            FieldKind::Text => "text",
            FieldKind::Number => "number",
            FieldKind::Boolean => "boolean",
        };
        (field.name.to_owned(), Value::from(kind))
    });
    Value::Object(kinds.collect())
}
