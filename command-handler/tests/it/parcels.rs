//! A small aggregate to ask things of.

use foldline_core::schemars::{self, JsonSchema};
use foldline_core::{Aggregate, Context, Domain, Domains, Link, LinkTarget, RefusalKind, Rejection};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
pub struct Parcel {
    sent: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
pub enum ParcelCommand {
    /// Sends a parcel.
    SendParcel {
        /// In grams.
        weight: i32,
        /// What it is put into.
        shipping_container: Link<Container>,
    },
    /// Brings it to who awaits it.
    DeliverParcel {},
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
pub enum ParcelEvent {
    /// It is on its way.
    ParcelSent {},
    /// It is there.
    ParcelDelivered {},
}

pub struct Container;

impl LinkTarget for Container {
    const TEMPLATE: &'static str = "/containers/{id}";
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("no")]
pub struct No;

impl Rejection for No {
    fn code(&self) -> &'static str {
        "no"
    }

    fn kind(&self) -> RefusalKind {
        RefusalKind::State
    }
}

impl Aggregate for Parcel {
    const NAME: &'static str = "parcels";
    const PATH: &'static str = "/parcels";
    const CREATE: &'static str = "SendParcel";

    type Command = ParcelCommand;
    type Event = ParcelEvent;
    type Rejection = No;

    fn decide(&self, _: &ParcelCommand, _: &Context<'_>) -> Result<Vec<ParcelEvent>, No> {
        Err(No)
    }

    fn evolve(&mut self, _: &ParcelEvent) {
        self.sent = true;
    }

    fn possible(&self) -> Vec<&'static str> {
        vec!["DeliverParcel"]
    }
}

pub fn domains() -> Domains {
    Domains::new([Domain::new("post").aggregate::<Parcel>()]).unwrap()
}
