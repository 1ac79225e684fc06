use foldline_core::{AggregateId, Envelope, Field, Link, Personal, Projection, Source, from};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Customer, CustomerEvent, ToAddress};

/// The customers, with their addresses.
pub struct Customers;

/// A customer, as clients see one. Without the token: who could read it here need not read the email.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CustomerView {
    /// The customer's id.
    pub id: String,
    /// The email, as the customer wrote it.
    pub email: Personal,
    /// Whether the customer has shown to read it.
    pub verified: bool,
    /// When the customer signed up.
    pub signed_up_at: String,
    /// Where the customer can be found, the oldest first.
    pub addresses: Vec<AddressView>,
}

/// An address, as clients see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AddressView {
    /// The link to it, for `SetDeliveryAddress`.
    pub address: String,
    /// How the customer calls it.
    pub nickname: Personal,
    /// Where it is.
    pub location: Personal,
}

impl Projection for Customers {
    const NAME: &'static str = "customers";
    const PATH: &'static str = "/customers";
    const FIELDS: &'static [Field] = &[Field::boolean("verified"), Field::text("signed_up_at")];
    const LISTS: &'static [(&'static str, &'static [Field])] =
        &[("addresses", &[Field::text("nickname"), Field::text("location")])];

    type View = CustomerView;

    fn owned(owner: &str) -> Option<(&'static str, String)> {
        Some(("id", owner.to_owned()))
    }

    fn sources() -> Vec<Source<CustomerView>> {
        vec![from::<Customer, _>(
            |event| vec![event.meta.aggregate_id.clone()],
            project,
        )]
    }
}

fn project(
    row: Option<CustomerView>,
    event: &Envelope<CustomerEvent>,
    id: &AggregateId,
) -> Option<CustomerView> {
    let Some(mut row) = row else {
        return signed_up(event, id);
    };
    match &event.event {
        CustomerEvent::CustomerSignedUp { email, .. } | CustomerEvent::CustomerEmailChanged { email, .. } => {
            row.email.clone_from(email);
            row.verified = false;
        }
        CustomerEvent::CustomerEmailVerified { .. } => row.verified = true,
        CustomerEvent::AddressAdded { nickname, location } => row.addresses.push(AddressView {
            address: Link::<ToAddress>::to([id.as_str(), nickname.kept()]).to_string(),
            nickname: nickname.clone(),
            location: location.clone(),
        }),
        CustomerEvent::AddressRemoved { nickname } => {
            row.addresses.retain(|address| address.nickname != *nickname);
        }
    }
    Some(row)
}

/// A customer's first event makes the row; no other one comes without it.
fn signed_up(event: &Envelope<CustomerEvent>, id: &AggregateId) -> Option<CustomerView> {
    let CustomerEvent::CustomerSignedUp { email, .. } = &event.event else {
        return None;
    };
    Some(CustomerView {
        id: id.to_string(),
        email: email.clone(),
        verified: false,
        signed_up_at: event.meta.occurred_at.to_string(),
        addresses: vec![],
    })
}
