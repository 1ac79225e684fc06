//! A projection without its types: what the projector and the query API run.

use std::any::Any;
use std::marker::PhantomData;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::{AggregateId, DecodedEvent, Field, Projection, Source};

/// A row of some view.
pub type ViewState = Box<dyn Any + Send + Sync>;

/// What a view declares.
#[derive(Debug, Clone)]
pub struct ViewInfo {
    /// The domain that it belongs to.
    pub domain: String,
    /// Its name.
    pub name: &'static str,
    /// See [`Projection::VERSION`].
    pub version: u32,
    /// Where the API serves it.
    pub path: &'static str,
    /// What clients may filter and sort by.
    pub fields: &'static [Field],
    /// The fields that are lists with a resource of their own.
    pub lists: &'static [(&'static str, &'static [Field])],
    /// The aggregate types (by name, in the same domain) that it reads.
    pub sources: Vec<&'static str>,
    /// The JSON Schema of a row.
    pub schema: Value,
}

/// A view, installed.
///
/// Each method that takes a [`ViewState`] panics if it is of another view.
pub trait ViewType: Send + Sync {
    /// What it declares.
    fn info(&self) -> &ViewInfo;
    /// The rows that the event touches. None if it is of an aggregate type that the view does not read.
    fn keys(&self, aggregate: &str, event: &DecodedEvent) -> Vec<AggregateId>;
    /// What the event makes of a row: `None` in if there is none, `None` out to remove it.
    fn project(
        &self,
        row: Option<ViewState>,
        aggregate: &str,
        event: &DecodedEvent,
        id: &AggregateId,
    ) -> Option<ViewState>;
    /// The field, and what it holds in the rows of this owner; see [`Projection::owned`].
    fn owned(&self, owner: &str) -> Option<(&'static str, String)>;
    /// Whether clients see the row.
    fn is_listed(&self, row: &ViewState) -> bool;
    /// The row, as it is stored and shown.
    fn encode(&self, row: &ViewState) -> String;
    /// Reads [`encode`](Self::encode).
    fn decode(&self, row: &str) -> Result<ViewState, serde_json::Error>;
}

pub(crate) struct TypedView<P: Projection> {
    info: ViewInfo,
    sources: Vec<Source<P::View>>,
    of: PhantomData<fn() -> P>,
}

impl<P: Projection> TypedView<P> {
    pub(crate) fn new(domain: &str) -> Self {
        let sources = P::sources();
        let schema = SchemaSettings::draft2020_12()
            .into_generator()
            .into_root_schema_for::<P::View>();
        Self {
            info: ViewInfo {
                domain: domain.to_owned(),
                name: P::NAME,
                version: P::VERSION,
                path: P::PATH,
                fields: P::FIELDS,
                lists: P::LISTS,
                sources: sources.iter().map(|source| source.aggregate).collect(),
                schema: schema.to_value(),
            },
            sources,
            of: PhantomData,
        }
    }

    fn source(&self, aggregate: &str) -> Option<&Source<P::View>> {
        self.sources.iter().find(|source| source.aggregate == aggregate)
    }

    fn row(row: &ViewState) -> &P::View {
        row.downcast_ref().expect("a row of this view")
    }
}

impl<P: Projection> ViewType for TypedView<P> {
    fn info(&self) -> &ViewInfo {
        &self.info
    }

    fn keys(&self, aggregate: &str, event: &DecodedEvent) -> Vec<AggregateId> {
        self.source(aggregate)
            .map(|source| (source.keys)(&event.meta, &event.event))
            .unwrap_or_default()
    }

    fn project(
        &self,
        row: Option<ViewState>,
        aggregate: &str,
        event: &DecodedEvent,
        id: &AggregateId,
    ) -> Option<ViewState> {
        let source = self.source(aggregate).expect("only sources have keys");
        let row = row.map(|row| *row.downcast::<P::View>().expect("a row of this view"));
        let row = (source.fold)(row, &event.meta, &event.event, id)?;
        Some(Box::new(row))
    }

    fn owned(&self, owner: &str) -> Option<(&'static str, String)> {
        P::owned(owner)
    }

    fn is_listed(&self, row: &ViewState) -> bool {
        P::is_listed(Self::row(row))
    }

    fn encode(&self, row: &ViewState) -> String {
        serde_json::to_string(Self::row(row)).expect("rows are structs with text for keys")
    }

    fn decode(&self, row: &str) -> Result<ViewState, serde_json::Error> {
        Ok(Box::new(serde_json::from_str::<P::View>(row)?))
    }
}
