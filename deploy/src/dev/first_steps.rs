use std::fmt::Write;

use foldline_core::Domains;
use uuid::Uuid;

use super::Addresses;

/// What is printed when everything is up: where things are, and what to do first.
pub(crate) fn text(addresses: &Addresses, domains: &Domains) -> String {
    let Addresses {
        kafka,
        registry,
        command_handler,
        projector,
        query_api,
        data,
    } = addresses;
    let mut text = format!(
        "
Everything is up.
  write API  {command_handler}
  read API   {query_api}
  projector  {projector}/metrics
  Kafka      {kafka}
  schemas    {registry}
  data       {data} (logs and settings too)

"
    );
    if domains.aggregate("restaurant", "menu").is_some() {
        text.push_str(&menu(command_handler, query_api));
    } else {
        text.push_str(&any(command_handler, domains));
    }
    text.push_str("\nCtrl-C stops everything.\n");
    text
}

/// A command, the view that it makes, and the history that stays.
fn menu(command_handler: &str, query_api: &str) -> String {
    // A new one for each start, so that the commands work each time.
    let id = Uuid::now_v7();
    let body =
        r#"{"type": "AddMenuItem", "description": "Feijoada", "price": {"amount": 1250, "currency": "USD"}}"#;
    format!(
        "Paste these into another terminal:
  seen=$(curl -sSi {command_handler}/menu/items/{id}/commands -H 'Content-Type: application/json' -d '{body}' | tee -a /dev/stderr | tr -d '\\r' | sed -n 's/^consistency-token: //p')
  curl -sS -w '\\n' \"{query_api}/menu/items/{id}?consistency_token=$seen\"
  curl -sS -w '\\n' \"{query_api}/menu/items/{id}/events?consistency_token=$seen\"
The first is a command, the second the view that it made, the third the history that stays. Views follow within
milliseconds; with the command's token a read waits until they have.
"
    )
}

/// For domains that we do not know: each aggregate lists its commands with their schemas.
fn any(command_handler: &str, domains: &Domains) -> String {
    let mut text = "What each aggregate can be asked:\n".to_owned();
    let infos = domains.aggregates().iter().map(|aggregate| aggregate.info());
    for info in infos.filter(|info| !info.path.is_empty()) {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  curl -sS {command_handler}{}/new/commands", info.path);
    }
    text
}
