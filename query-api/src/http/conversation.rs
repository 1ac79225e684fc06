//! A conversation: all that belongs to one correlation id, over all aggregates, as a tree of what caused what.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use foldline_views::{Conversation, HistoryCommand, HistoryEvent, Snapshot, StoreError};
use http::request::Parts;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::accept::Format;
use super::access::{self, Sight};
use super::call::Call;
use super::failure::Failure;
use super::history::{happened, refusal};
use crate::api::Api;
use crate::consistency::Shown;
use crate::params::only;

pub(super) const PATH: &str = "/correlations/{correlation_id}";

/// How many commands, and how many events, are shown of one.
const MOST: usize = 1000;

/// How deep causes are nested; what is deeper stands by itself, behind those that nothing caused.
const DEPTH_MAX: usize = 32;

/// Where the conversation is.
pub(super) fn link(correlation_id: &str) -> String {
    PATH.replace(
        "{correlation_id}",
        &utf8_percent_encode(correlation_id, NON_ALPHANUMERIC).to_string(),
    )
}

/// `GET /correlations/{correlation_id}`
pub(super) async fn one(
    State(api): State<Arc<Api>>,
    Path(correlation_id): Path<String>,
    parts: Parts,
) -> Result<Response, Failure> {
    let call = Call::new(&api, &parts, Format::ONE)?;
    only(&call.params, &[])?;
    let wanted = correlation_id.clone();
    let sight = Sight::new(&api, &call.caller);
    let read = move |snapshot: &dyn Snapshot| {
        let whole = snapshot.conversation(&wanted, MOST + 1)?;
        seen_of(whole, &sight, snapshot)
    };
    let shown = api
        .consistent
        .read(&access::of_all(&api), &call.asked, read)
        .await?;
    let Shown {
        value: (value, is_whole),
        token,
    } = shown;
    if value.commands.is_empty() && value.events.is_empty() {
        return Err(Failure::NotFound {
            path: call.path,
            seen: token,
        });
    }
    let body = json!({
        "correlation_id": correlation_id,
        "is_whole": is_whole,
        "commands": tree(&api, &value),
    });
    call.respond(&token, None, body.to_string()).await
}

/// What the caller may see of a conversation, and whether all of it was looked at.
fn seen_of(
    whole: Conversation,
    sight: &Sight,
    snapshot: &dyn Snapshot,
) -> Result<(Conversation, bool), StoreError> {
    let is_whole = whole.commands.len() <= MOST && whole.events.len() <= MOST;
    if sight.has_all() {
        return Ok((whole, is_whole));
    }
    let mut owners = sight.owners(snapshot);
    let commands = owners.only_seen(whole.commands, |command| (&command.aggregate, &command.id))?;
    let events = owners.only_seen(whole.events, |event| (&event.aggregate, &event.id))?;
    Ok((Conversation { commands, events }, is_whole))
}

/// A command of a conversation, with what it made.
#[derive(Default)]
struct Node<'a> {
    asked: Option<&'a HistoryCommand>,
    events: Vec<&'a HistoryEvent>,
}

struct Tree<'a> {
    api: &'a Api,
    nodes: HashMap<Uuid, Node<'a>>,
    caused: HashMap<Uuid, Vec<Uuid>>,
    shown: HashSet<Uuid>,
}

fn tree(api: &Api, conversation: &Conversation) -> Vec<Value> {
    let mut nodes: HashMap<Uuid, Node<'_>> = HashMap::new();
    // By time, commands of one moment as they were decided.
    let mut order: BTreeMap<(i64, i64, Uuid), Uuid> = BTreeMap::new();
    for event in conversation.events.iter().take(MOST) {
        nodes.entry(event.command_id).or_default().events.push(event);
        let key = (event.recorded_at.0, event.command_offset, event.command_id);
        order.insert(key, event.command_id);
    }
    for command in conversation.commands.iter().take(MOST) {
        nodes.entry(command.command_id).or_default().asked = Some(command);
        let key = (command.decided_at.0, command.command_offset, command.command_id);
        order.insert(key, command.command_id);
    }
    // A cause is a command, or an event of one.
    let mut causes: HashMap<String, Uuid> = HashMap::new();
    for (id, node) in &nodes {
        causes.insert(id.to_string(), *id);
        causes.extend(node.events.iter().map(|event| (event.event_id.to_string(), *id)));
    }
    let (mut roots, mut caused): (Vec<Uuid>, HashMap<Uuid, Vec<Uuid>>) = (Vec::new(), HashMap::new());
    let mut placed = HashSet::new();
    for id in order.values().copied().filter(|id| placed.insert(*id)) {
        let cause = nodes[&id].asked.and_then(|asked| asked.causation_id.as_ref());
        match cause.and_then(|cause| causes.get(cause)) {
            Some(cause) if *cause != id => caused.entry(*cause).or_default().push(id),
            _ => roots.push(id),
        }
    }
    let mut tree = Tree {
        api,
        nodes,
        caused,
        shown: HashSet::new(),
    };
    let mut shown: Vec<Value> = roots.into_iter().filter_map(|id| tree.show(id, 0)).collect();
    // What is left has no root because it causes itself, by way of others, or stands deeper below one than is nested.
    shown.extend(order.into_values().filter_map(|id| tree.show(id, 0)));
    shown
}

impl Tree<'_> {
    /// A command with all that it caused; `None` if it is shown already.
    fn show(&mut self, id: Uuid, depth: usize) -> Option<Value> {
        if !self.shown.insert(id) {
            return None;
        }
        let node = &self.nodes[&id];
        let refused = node.asked.filter(|asked| asked.refusal.is_some());
        let events: Vec<Value> = node
            .events
            .iter()
            .map(|event| happened(self.api, event, node.asked))
            .collect();
        let mut shown = match (refused, node.asked, node.events.first()) {
            (Some(command), ..) => refusal(self.api, command),
            (None, Some(command), _) => {
                let mut shown = refusal(self.api, command);
                shown["entry"] = "command".into();
                shown
            }
            (None, None, event) => json!({
                "entry": "command",
                "aggregate": event.map(|event| &event.aggregate),
                "aggregate_id": event.map(|event| &event.id),
                "recorded_at": event.map(|event| event.recorded_at.to_string()),
                "actor": event.and_then(|event| event.actor.as_ref()),
                "command": events.first().map(|event| event["command"].clone()),
            }),
        };
        shown["outcome"] = if refused.is_some() { "refused" } else { "accepted" }.into();
        shown["events"] = events.into();
        let caused = self.caused.get(&id).cloned().unwrap_or_default();
        let mut nested = Vec::new();
        for id in caused {
            if depth < DEPTH_MAX {
                nested.extend(self.show(id, depth + 1));
            }
        }
        shown["caused"] = nested.into();
        Some(shown)
    }
}
