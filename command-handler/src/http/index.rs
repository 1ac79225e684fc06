//! `GET /`: where everything is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use foldline_core::AggregateInfo;
use serde_json::{Value, json};

use super::{Api, create_command};

pub(super) async fn get_index(State(api): State<Arc<Api>>) -> Json<Value> {
    let infos = api.domains.aggregates().iter().map(|aggregate| aggregate.info());
    let listed: Vec<Value> = infos.filter(|info| !info.is_internal()).map(entry).collect();
    Json(json!({
        "service": "foldline-command-handler",
        "version": env!("CARGO_PKG_VERSION"),
        "aggregates": listed,
        "links": {
            "outcome": "/commands/{command_id}",
            "query_api": api.query_api,
            "health": "/readyz",
            "metrics": "/metrics",
        },
    }))
}

fn entry(info: &AggregateInfo) -> Value {
    let path = info.path;
    json!({
        "aggregate_type": info.qualified_name(),
        "created_by": create_command(info),
        "links": {
            "create": path,
            "forms": format!("{path}/commands"),
            "commands": format!("{path}/{{id}}/commands"),
        },
    })
}
