use std::sync::Arc;

use crate::erased::Typed;
use crate::personal::holds_personal;
use crate::schema::SchemaError;
use crate::view::TypedView;
use crate::{
    Aggregate, AggregateType, Claim, Field, FieldKind, Projection, RevisionError, ViewInfo, ViewType,
};

/// What a domain installs.
///
/// ```
/// # use foldline_core::{Claim, Domain};
/// let domain = Domain::new("cloakroom").aggregate::<Claim>();
/// ```
pub struct Domain {
    name: String,
    aggregates: Vec<Arc<dyn AggregateType>>,
    views: Vec<Arc<dyn ViewType>>,
    error: Option<DomainError>,
}

/// The domains that a program runs.
#[derive(Clone)]
pub struct Domains {
    aggregates: Vec<Arc<dyn AggregateType>>,
    views: Vec<Arc<dyn ViewType>>,
}

/// A domain cannot be installed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// A name that cannot be part of the name of a topic and of a schema.
    #[error("{name:?} cannot name a domain, an aggregate or a view: use a-z, 0-9 and -, a letter first")]
    Name {
        /// The name.
        name: String,
    },
    /// The types of the commands or events have no schema.
    #[error("{aggregate} has a type without schema: {source}")]
    Schema {
        /// The aggregate type.
        aggregate: String,
        /// What is wrong.
        source: SchemaError,
    },
    /// Events of an older revision could not be read.
    #[error("the revisions of the events of {aggregate}: {source}")]
    Revisions {
        /// The aggregate type.
        aggregate: String,
        /// What is wrong.
        source: RevisionError,
    },
    /// Two have the same name or the same path.
    #[error("two things are called {0:?}")]
    Twice(String),
    /// A type is named that is not there.
    #[error("{of} refers to {to:?}, which {domain} does not have")]
    Missing {
        /// Who refers to it.
        of: String,
        /// The name.
        to: String,
        /// The domain.
        domain: String,
    },
    /// A view tells own rows by a field that it cannot be filtered by.
    #[error("the view {view} tells whose a row is by {field:?}, which is not among its FIELDS as text")]
    NoOwnerField {
        /// The view.
        view: String,
        /// The field.
        field: String,
    },
    /// A view is filtered and sorted by what is sealed in it.
    #[error("the view {view} has {field:?} among its FIELDS, which is personal: rows hold it sealed")]
    PersonalField {
        /// The view.
        view: String,
        /// The field.
        field: String,
    },
    /// The creating command is none of the aggregate's.
    #[error("{aggregate} has no command {create:?}, which its CREATE names")]
    NoCreate {
        /// The aggregate type.
        aggregate: String,
        /// The command.
        create: String,
    },
}

impl DomainError {
    pub(crate) fn schema(aggregate: &str, source: SchemaError) -> Self {
        let aggregate = aggregate.to_owned();
        Self::Schema { aggregate, source }
    }
}

impl Domain {
    /// A domain with nothing in it.
    pub fn new(name: &str) -> Self {
        let error = check_name(name).err();
        Self {
            name: name.to_owned(),
            aggregates: Vec::new(),
            views: Vec::new(),
            error,
        }
    }

    /// Adds an aggregate type, and the claims on its unique values.
    #[must_use]
    pub fn aggregate<A: Aggregate>(mut self) -> Self {
        self.add::<A>(A::NAME, A::PATH);
        for unique in A::UNIQUE {
            self.add::<Claim>(&Claim::type_name(A::NAME, unique), Claim::PATH);
        }
        self
    }

    /// Adds a view.
    #[must_use]
    pub fn view<P: Projection>(mut self) -> Self {
        if let Err(error) = check_name(P::NAME) {
            self.error.get_or_insert(error);
        }
        self.views.push(Arc::new(TypedView::<P>::new(&self.name)));
        self
    }

    fn add<A: Aggregate>(&mut self, name: &str, path: &'static str) {
        let typed = check_name(name).and_then(|()| Typed::<A>::new(&self.name, name, path));
        match typed {
            Ok(typed) => self.aggregates.push(Arc::new(typed)),
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
    }

    fn check(&self) -> Result<(), DomainError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let has = |name: &str| {
            self.aggregates
                .iter()
                .any(|aggregate| aggregate.info().name == name)
        };
        let missing = |of: &str, to: &str| {
            let (of, to) = (of.to_owned(), to.to_owned());
            DomainError::Missing {
                of,
                to,
                domain: self.name.clone(),
            }
        };
        for aggregate in &self.aggregates {
            let info = aggregate.info();
            if let Some(to) = info.references.iter().find(|to| !has(to)) {
                return Err(missing(&info.name, to));
            }
            if info.is_personal && !has(&info.subject) {
                return Err(missing(&info.name, &info.subject));
            }
            if !info.commands.iter().any(|command| command.creates) {
                let (aggregate, create) = (info.name.clone(), "CREATE".to_owned());
                return Err(DomainError::NoCreate { aggregate, create });
            }
        }
        for view in &self.views {
            let info = view.info();
            if let Some(to) = info.sources.iter().find(|to| !has(to)) {
                return Err(missing(info.name, to));
            }
            check_owned(&**view)?;
            check_personal(info)?;
        }
        Ok(())
    }
}

impl Domains {
    /// Puts domains together. An error is a mistake in a domain's code: programs stop at it.
    pub fn new(domains: impl IntoIterator<Item = Domain>) -> Result<Self, DomainError> {
        let mut all = Self {
            aggregates: Vec::new(),
            views: Vec::new(),
        };
        for domain in domains {
            domain.check()?;
            all.aggregates.extend(domain.aggregates);
            all.views.extend(domain.views);
        }
        all.check_unique()?;
        Ok(all)
    }

    /// Every aggregate type.
    pub fn aggregates(&self) -> &[Arc<dyn AggregateType>] {
        &self.aggregates
    }

    /// Every view.
    pub fn views(&self) -> &[Arc<dyn ViewType>] {
        &self.views
    }

    /// The aggregate type of a domain by its name.
    pub fn aggregate(&self, domain: &str, name: &str) -> Option<&Arc<dyn AggregateType>> {
        let is_it = |info: &crate::AggregateInfo| info.domain == domain && info.name == name;
        self.aggregates.iter().find(|aggregate| is_it(aggregate.info()))
    }

    /// The codes of all rules, those of unique values among them.
    pub fn codes(&self) -> Vec<String> {
        let of = |info: &crate::AggregateInfo| {
            let codes = info.codes.iter().map(|code| (*code).to_owned());
            let taken = info.unique.iter().map(|name| format!("{name}-taken"));
            codes.chain(taken).collect::<Vec<_>>()
        };
        let infos = self.aggregates.iter().map(|aggregate| aggregate.info());
        infos.flat_map(of).collect()
    }

    fn check_unique(&self) -> Result<(), DomainError> {
        let paths = self.aggregates.iter().map(|aggregate| aggregate.info().path);
        let names = self.aggregates.iter().map(|aggregate| {
            let info = aggregate.info();
            format!("{}.{}", info.domain, info.name)
        });
        let aggregates = names.chain(paths.filter(|path| !path.is_empty()).map(str::to_owned));
        no_twins(aggregates)?;
        no_twins(self.views.iter().map(|view| view.info().path.to_owned()))?;
        no_twins(self.views.iter().map(|view| view.info().name.to_owned()))
    }
}

fn check_personal(view: &ViewInfo) -> Result<(), DomainError> {
    let is_personal = |field: &&Field| {
        let mut parts = field.name.split('.');
        let schema = parts.try_fold(&view.schema, |schema, part| schema.get("properties")?.get(part));
        schema.is_some_and(holds_personal)
    };
    match view.fields.iter().find(is_personal) {
        Some(field) => Err(DomainError::PersonalField {
            view: view.name.to_owned(),
            field: field.name.to_owned(),
        }),
        None => Ok(()),
    }
}

/// A list of own rows is a filtered list.
fn check_owned(view: &dyn ViewType) -> Result<(), DomainError> {
    let Some((field, _)) = view.owned("") else {
        return Ok(());
    };
    let mut fields = view.info().fields.iter();
    let is_text = fields.any(|known| known.name == field && known.kind == FieldKind::Text);
    if is_text || field == "id" {
        return Ok(());
    }
    let (view, field) = (view.info().name.to_owned(), field.to_owned());
    Err(DomainError::NoOwnerField { view, field })
}

fn no_twins(names: impl Iterator<Item = String>) -> Result<(), DomainError> {
    let mut names: Vec<String> = names.collect();
    names.sort();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(DomainError::Twice(pair[0].clone())),
        None => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), DomainError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let starts_well = name.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
    if starts_well && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(DomainError::Name {
        name: name.to_owned(),
    })
}
