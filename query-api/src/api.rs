use std::sync::Arc;
use std::time::Duration;

use foldline_core::{AggregateInfo, AggregateType, Domains, Field, ViewInfo, ViewType, told_today};
use foldline_service::Shutdown;
use foldline_views::{HISTORY, HistoryEvent, ID, Snapshot, StoreError, ViewStore};

use crate::columns::{self, Column};
use crate::consistency::{Asked, Consistent, ReadError, Scope, Shown};
use crate::links::RowLinks;
use crate::opened::{Opened, Openers};
use crate::past::{PastLists, PastOptions, PastView};
use crate::readers::Readers;
use crate::streams::{StreamOptions, Streams};

/// What the read API runs on.
pub struct Api {
    pub(crate) consistent: Consistent,
    pub(crate) views: Vec<Arc<ViewResource>>,
    pub(crate) histories: Vec<Arc<HistoryResource>>,
    pub(crate) streams: Streams,
    pub(crate) past_lists: PastLists,
    pub(crate) wait_default: Duration,
    pub(crate) wait_max: Duration,
    pub(crate) opened: Opened,
    readers: Arc<Readers>,
    domains: Domains,
    topic_prefix: String,
    /// Without a slash at its end.
    pub(crate) command_api: String,
}

/// What the operator decides about it.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// What links to commands begin with.
    pub command_api: String,
    /// What the names of topics begin with.
    pub topic_prefix: String,
    /// How long a read with a token waits if the request does not say.
    pub wait_default: Duration,
    /// How long it waits at most.
    pub wait_max: Duration,
    /// How many reads run at once.
    pub readers: usize,
    /// Limits of streams.
    pub streams: StreamOptions,
    /// Limits of lists of the past.
    pub past: PastOptions,
}

/// A view, as the API serves it.
pub(crate) struct ViewResource {
    pub(crate) info: ViewInfo,
    /// What a list can be filtered and sorted by: the declared fields and the id.
    pub(crate) fields: Vec<Field>,
    pub(crate) scope: Scope,
    /// Whether the row is a fold of the one aggregate that it is about: its sequence then says all.
    pub(crate) is_fold: bool,
    /// Where the commands of the aggregate that a row is about are, if there is one: `{here}/{id}/commands`.
    pub(crate) commands: Option<String>,
    /// What each of its rows leads to.
    pub(crate) links: RowLinks,
    /// The aggregate that a row is a fold of, by its qualified name, if it is one.
    pub(crate) subject: Option<String>,
    /// What a row is as a line of a table.
    pub(crate) columns: Vec<Column>,
    /// How its past is folded, and what that depends on.
    pub(crate) past: Arc<PastView>,
    pub(crate) past_scope: Scope,
}

/// The history of an aggregate type, as the API serves it.
pub(crate) struct HistoryResource {
    pub(crate) path: &'static str,
    /// Qualified.
    pub(crate) aggregate: String,
    /// The types of its events.
    pub(crate) types: Vec<String>,
    pub(crate) scope: Scope,
    pub(crate) kind: Arc<dyn AggregateType>,
}

impl Api {
    /// Reads from the store; call it in a runtime. Live streams end when it is to stop. Without openers, what is sealed stays
    /// so in what is told.
    pub fn new(
        store: impl ViewStore + 'static,
        domains: &Domains,
        options: &ApiOptions,
        openers: Option<Openers>,
        shutdown: &Shutdown,
    ) -> Arc<Self> {
        let readers = Arc::new(Readers::new(Box::new(store), options.readers));
        let aggregates = || domains.aggregates().iter().map(|aggregate| aggregate.info());
        let views = domains.views().iter().map(|view| {
            let subject = aggregates().find(|aggregate| aggregate.path == view.info().path);
            let past = PastView::new(domains, view);
            Arc::new(ViewResource::new(&**view, subject, &options.command_api, past))
        });
        let histories = domains.aggregates().iter();
        let histories = histories.filter(|kind| !kind.info().is_internal());
        let histories = histories.map(|kind| Arc::new(HistoryResource::new(kind)));
        Arc::new(Self {
            consistent: Consistent::new(Arc::clone(&readers)),
            views: views.collect(),
            histories: histories.collect(),
            past_lists: PastLists::new(&options.past, Arc::clone(&readers), domains, options.readers),
            streams: Streams::new(&options.streams, options.readers, shutdown),
            wait_default: options.wait_default,
            wait_max: options.wait_max,
            opened: Opened::by(openers),
            readers,
            domains: domains.clone(),
            topic_prefix: options.topic_prefix.clone(),
            command_api: options.command_api.trim_end_matches('/').to_owned(),
        })
    }

    /// The topic of an aggregate type (by its qualified name) that is called so: `events`, `commands`, `results`.
    pub(crate) fn topic(&self, aggregate: &str, kind: &str) -> String {
        format!("{}{aggregate}.{kind}", self.topic_prefix)
    }

    /// Where the API serves an aggregate type, by its qualified name.
    pub(crate) fn path_of(&self, aggregate: &str) -> Option<&'static str> {
        let mut histories = self.histories.iter();
        histories
            .find(|history| history.aggregate == aggregate)
            .map(|history| history.path)
    }

    /// Events of the history, as they are told today; see [`told_today`].
    pub(crate) fn today(&self, events: &mut [HistoryEvent]) {
        for event in events {
            let of = self
                .histories
                .iter()
                .find(|history| history.aggregate == event.aggregate);
            if let Some(history) = of {
                event.json = told_today(&*history.kind, std::mem::take(&mut event.json));
            }
        }
    }

    /// Reads for a stream, when it is its turn: requests of others come first. Who has to wait for what the client has seen
    /// does so before: the turns are few, and all other streams would wait with it.
    pub(crate) async fn read_for_stream<T: Send + 'static>(
        &self,
        scope: &Scope,
        asked: &Asked,
        read: impl Fn(&dyn Snapshot) -> Result<T, StoreError> + Clone + Send + 'static,
    ) -> Result<Shown<T>, ReadError> {
        if !asked.tokens.is_empty() {
            self.consistent.look_up(scope, asked, |_| Ok(())).await?;
        }
        let _turn = self.streams.turn().await;
        let at_once = Asked {
            wait: Duration::ZERO,
            ..asked.clone()
        };
        self.consistent.read(scope, &at_once, read).await
    }

    pub(crate) fn domains(&self) -> &Domains {
        &self.domains
    }

    /// What keeps reads from being answered, for people.
    pub fn missing(&self) -> Vec<String> {
        match self
            .readers
            .read_here(|snapshot, _| snapshot.missing(&self.domains))
        {
            Ok(missing) => missing
                .into_iter()
                .map(|view| format!("the view {view}, which is not served in the form of this version"))
                .collect(),
            Err(error) => vec![error.to_string()],
        }
    }
}

impl ViewResource {
    fn new(view: &dyn ViewType, subject: Option<&AggregateInfo>, command_api: &str, past: PastView) -> Self {
        let info = view.info();
        let mut fields = info.fields.to_vec();
        if !fields.iter().any(|field| field.name == ID.name) {
            fields.push(ID);
        }
        let qualified = |source: &&str| format!("{}.{source}", info.domain);
        let is_fold = subject.is_some_and(|subject| info.sources == [subject.name.as_str()]);
        let commands =
            subject.map(|subject| format!("{}{}", command_api.trim_end_matches('/'), subject.path));
        Self {
            fields,
            scope: Scope {
                projection: info.name.to_owned(),
                aggregates: info.sources.iter().map(qualified).collect(),
            },
            subject: subject.filter(|_| is_fold).map(AggregateInfo::qualified_name),
            columns: columns::of_rows(&info.schema),
            is_fold,
            past_scope: Scope {
                projection: HISTORY.to_owned(),
                aggregates: past.sources.clone(),
            },
            past: Arc::new(past),
            links: RowLinks::new(info, commands.as_deref()),
            commands,
            info: info.clone(),
        }
    }
}

impl HistoryResource {
    fn new(kind: &Arc<dyn AggregateType>) -> Self {
        let info = kind.info();
        let aggregate = info.qualified_name();
        Self {
            path: info.path,
            types: info.events.clone(),
            scope: Scope {
                projection: HISTORY.to_owned(),
                aggregates: vec![aggregate.clone()],
            },
            aggregate,
            kind: Arc::clone(kind),
        }
    }
}
