//! What can be asked, as links with their JSON Schema.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use foldline_core::{AggregateId, AggregateInfo, CommandType};
use foldline_service::{Caller, Problem};
use http::header::CACHE_CONTROL;
use serde_json::{Value, json};

use super::{Surface, access, answer, create_command, link_of, problem};

/// `GET {path}/commands`: of the aggregate type.
pub(super) async fn get_forms(State(surface): State<Surface>, caller: Caller) -> Result<Response, Problem> {
    access::to_any(&surface, &caller)?;
    let info = surface.aggregate.info();
    let forms = info.commands.iter().map(|command| {
        let to_any = format!("{}/{{id}}/commands", info.path);
        if command.creates {
            form(command, info.path, &[&to_any])
        } else {
            form(command, &to_any, &[])
        }
    });
    let body = json!({
        "aggregate_type": info.qualified_name(),
        "commands": forms.collect::<Vec<_>>(),
    });
    Ok(axum::Json(body).into_response())
}

/// `GET {path}/{id}/commands`: of one aggregate, and which are possible now.
pub(super) async fn get_possible(
    State(surface): State<Surface>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Response, Problem> {
    let id: AggregateId = id.parse().map_err(|error| problem::id(&error))?;
    access::to_one(&surface, &caller, &id)?;
    let Surface { api, aggregate } = &surface;
    let info = aggregate.info();
    let found = api.commands.state(aggregate, &id);
    let (possible, sequence) = match found.map_err(|reason| problem::unreadable(&reason))? {
        Some((state, sequence)) => (aggregate.possible(&state), sequence),
        None => (vec![create_command(info)], 0),
    };
    let body = json!({
        "aggregate": link_of(info, &id),
        "exists": sequence > 0,
        "sequence": sequence,
        "commands": possible_forms(info, &id, &possible),
    });
    let mut response = ([(CACHE_CONTROL, "no-store")], axum::Json(body)).into_response();
    answer::set_etag(response.headers_mut(), sequence);
    Ok(response)
}

fn possible_forms(info: &AggregateInfo, id: &AggregateId, possible: &[&str]) -> Vec<Value> {
    let href = format!("{}/commands", link_of(info, id));
    let with_possible = |command: &CommandType| {
        let mut form = form(command, &href, &[]);
        form["possible"] = possible.contains(&command.name.as_str()).into();
        form
    };
    info.commands.iter().map(with_possible).collect()
}

/// A command as a link: where it is sent, and how it must look; `also_at` if there is more than
/// one place.
fn form(command: &CommandType, href: &str, also_at: &[&str]) -> Value {
    let mut form = json!({
        "type": command.name,
        "description": command.doc,
        "creates": command.creates,
        "method": "POST",
        "href": href,
        "content_type": "application/json",
        "schema": with_type(command),
    });
    if !also_at.is_empty() {
        form["also_at"] = json!(also_at);
    }
    form
}

/// The schema of the fields, and of the type beside them.
pub(super) fn with_type(command: &CommandType) -> Value {
    let name = &command.name;
    let mut schema = command.schema.clone();
    let kind = json!({ "enum": [name, format!("{name}Command")] });
    schema["properties"]["type"] = kind;
    match schema["required"].as_array_mut() {
        Some(required) => required.push("type".into()),
        None => schema["required"] = json!(["type"]),
    }
    schema
}
