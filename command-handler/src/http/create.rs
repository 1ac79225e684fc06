//! `POST {path}`: a new aggregate, with an id that we make.

use axum::extract::{Request, State};
use axum::response::Response;
use foldline_core::{AggregateId, FormError, FormErrors};
use foldline_service::{Caller, Problem};
use uuid::Uuid;

use super::headers::Asked;
use super::{Surface, access, body, commands, create_command, problem};

pub(super) async fn post_new(
    State(surface): State<Surface>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    access::to_any(&surface, &caller)?;
    let info = surface.aggregate.info();
    let creating = create_command(info);
    let asked = Asked::read(request.headers(), request.uri(), &caller, &surface.api)?;
    let sent = body::read(request, &surface.api).await?;
    let read = surface.aggregate.command_from_json(&sent, Some(creating));
    let (name, command) = read.map_err(|errors| problem::form(info, errors))?;
    if name != creating {
        let error = FormError {
            pointer: "/type".to_owned(),
            detail: format!(
                "{name} needs an aggregate: send it to {}/{{id}}/commands",
                info.path
            ),
        };
        return Err(problem::form(info, FormErrors(vec![error])));
    }
    let id = new_id(&asked);
    commands::submit(&surface, &caller, id, asked, &command, &sent).await
}

/// A request that may come again must make the same aggregate.
fn new_id(asked: &Asked) -> AggregateId {
    if asked.is_repeatable {
        Uuid::new_v5(&asked.command_id, b"aggregate").into()
    } else {
        Uuid::now_v7().into()
    }
}
