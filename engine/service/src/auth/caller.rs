use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{Extensions, StatusCode};

use crate::Problem;

/// What a caller wants to do with something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// See it as views show it.
    Read,
    /// See its events, its states, and what was asked of it.
    History,
    /// Command it.
    Write,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::History => "history",
            Self::Write => "write",
        }
    }
}

/// With which of them a caller may do so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// With all.
    All,
    /// With those that are this owner's.
    Own(String),
    /// With none.
    Nothing,
}

/// Who asks. Scopes are named after what they are about and what may be done with it: `restaurant.orders:read`,
/// `restaurant.orders:history` and `restaurant.orders:write` are for all orders, `restaurant.orders:read-own` and so on
/// for those of the token's subject. A scope to write may end with one type of command, and is then for that type alone:
/// `restaurant.orders:write:PlaceOrder`.
#[derive(Debug, Clone)]
pub struct Caller(Arc<Who>);

#[derive(Debug)]
enum Who {
    Anyone,
    Somebody {
        subject: String,
        scopes: HashSet<String>,
    },
    Nobody,
}

impl Caller {
    /// Who may do everything, where nobody is asked who they are.
    pub fn anyone() -> Self {
        Self(Arc::new(Who::Anyone))
    }

    /// The subject of a token, with its scopes.
    pub fn new(subject: impl Into<String>, scopes: impl IntoIterator<Item = String>) -> Self {
        Self(Arc::new(Who::Somebody {
            subject: subject.into(),
            scopes: scopes.into_iter().collect(),
        }))
    }

    /// The caller of a request. One that has passed no [`guard`](super::Auth::guard) may do nothing.
    pub fn of(extensions: &Extensions) -> Self {
        let caller = extensions.get().cloned();
        caller.unwrap_or_else(|| Self(Arc::new(Who::Nobody)))
    }

    /// The subject of its token: who acts, as records name it. None if nobody was asked.
    pub fn subject(&self) -> Option<&str> {
        match &*self.0 {
            Who::Somebody { subject, .. } => Some(subject),
            Who::Anyone | Who::Nobody => None,
        }
    }

    /// Whether nobody is asked who they are.
    pub fn is_anyone(&self) -> bool {
        matches!(&*self.0, Who::Anyone)
    }

    /// Which rows of a view, by its name with the domain's, it may read.
    pub fn reads(&self, view: &str) -> Reach {
        self.reach(view, Action::Read, "")
    }

    /// Of which aggregates of a type, by its name with the domain's, it may read the history.
    pub fn reads_history(&self, aggregate: &str) -> Reach {
        self.reach(aggregate, Action::History, "")
    }

    /// Which of `what` it may send all these types of commands to.
    pub fn writes(&self, what: &str, types: &[String]) -> Reach {
        let reaches = types.iter().map(|kind| self.reach(what, Action::Write, kind));
        reaches.reduce(Reach::less).unwrap_or(Reach::Nothing)
    }

    /// Which of `what` it may send any command to.
    pub fn writes_any(&self, what: &str) -> Reach {
        let Who::Somebody { subject, scopes } = &*self.0 else {
            return self.reach(what, Action::Write, "");
        };
        let has = |name: String| {
            let of_type = format!("{name}:");
            let mut scopes = scopes.iter();
            scopes.any(|scope| *scope == name || scope.starts_with(&of_type))
        };
        if has(format!("{what}:write")) {
            Reach::All
        } else if has(format!("{what}:write-own")) {
            Reach::Own(subject.clone())
        } else {
            Reach::Nothing
        }
    }

    fn reach(&self, what: &str, action: Action, kind: &str) -> Reach {
        let (subject, scopes) = match &*self.0 {
            Who::Anyone => return Reach::All,
            Who::Nobody => return Reach::Nothing,
            Who::Somebody { subject, scopes } => (subject, scopes),
        };
        let has = |name: String| scopes.contains(&name) || scopes.contains(&format!("{name}:{kind}"));
        let name = action.name();
        if has(format!("{what}:{name}")) {
            Reach::All
        } else if has(format!("{what}:{name}-own")) {
            Reach::Own(subject.clone())
        } else {
            Reach::Nothing
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

impl Reach {
    fn less(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, _) | (_, Self::Nothing) => Self::Nothing,
            (Self::Own(subject), _) | (_, Self::Own(subject)) => Self::Own(subject),
            (Self::All, Self::All) => Self::All,
        }
    }

    /// Whether what belongs to `owner` is within it.
    pub fn has(&self, owner: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Own(subject) => owner == Some(subject),
            Self::Nothing => false,
        }
    }

    /// Whether anything is.
    pub fn is_something(&self) -> bool {
        *self != Self::Nothing
    }
}

impl Problem {
    /// The caller has no scope to do this with anything of this kind.
    pub fn needs_scope(what: &str, action: Action) -> Self {
        let scope = format!("{what}:{}", action.name());
        forbidden().detail(format!(
            "this needs the scope {scope}, or {scope}-own for what is one's own"
        ))
    }

    /// The caller may command own ones, and this is none, as far as is known here.
    pub fn not_own(what: &str) -> Self {
        forbidden().detail(format!(
            "the caller may command its own of {what}, and this is another's, or not known here yet"
        ))
    }
}

fn forbidden() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "forbidden", "The caller may not do this")
}

#[cfg(test)]
mod tests {
    use super::{Caller, Reach};

    fn with(scopes: &str) -> Caller {
        Caller::new("ada", scopes.split(' ').map(str::to_owned))
    }

    fn own() -> Reach {
        Reach::Own("ada".to_owned())
    }

    #[test]
    fn a_scope_is_for_what_it_names_and_nothing_else() {
        let caller = with("restaurant.orders:read restaurant.menu:write");
        assert_eq!(caller.reads("restaurant.orders"), Reach::All);
        assert_eq!(caller.reads("restaurant.menu"), Reach::Nothing);
        assert_eq!(caller.reads_history("restaurant.orders"), Reach::Nothing);
        assert_eq!(caller.writes_any("restaurant.orders"), Reach::Nothing);
        assert_eq!(caller.writes_any("restaurant.menu"), Reach::All);
        assert_eq!(
            with("restaurant.orders:read-own").reads("restaurant.orders"),
            own()
        );
        for nothing in [
            "",
            ":read",
            "restaurant.orders",
            "restaurant.orders:",
            "restaurant.orders:reads",
            "*",
        ] {
            assert_eq!(
                with(nothing).reads("restaurant.orders"),
                Reach::Nothing,
                "{nothing}"
            );
        }
    }

    #[test]
    fn a_scope_of_one_type_of_command_is_for_that_type_alone() {
        let caller = with("r.o:write:Place r.o:write-own:Open r.o:write-own:Place");
        let writes = |types: &[&str]| {
            let types: Vec<String> = types.iter().map(|kind| (*kind).to_owned()).collect();
            caller.writes("r.o", &types)
        };
        assert_eq!(writes(&["Place"]), Reach::All);
        assert_eq!(writes(&["Open"]), own());
        assert_eq!(writes(&["Place", "Open"]), own());
        assert_eq!(writes(&["Cancel"]), Reach::Nothing);
        assert_eq!(writes(&["Place", "Cancel"]), Reach::Nothing);
        assert_eq!(writes(&[]), Reach::Nothing);
        assert_eq!(caller.writes_any("r.o"), Reach::All);
        assert_eq!(caller.writes_any("r.ox"), Reach::Nothing);
    }

    #[test]
    fn what_is_nobodys_is_only_in_the_reach_of_who_may_have_all() {
        assert!(Reach::All.has(None) && Reach::All.has(Some("eve")));
        assert!(own().has(Some("ada")) && !own().has(Some("eve")) && !own().has(None));
        assert!(!Reach::Nothing.has(Some("ada")));
    }

    #[test]
    fn a_request_without_a_guard_may_do_nothing() {
        let caller = Caller::of(&http::Extensions::new());
        assert_eq!(caller.reads("r.o"), Reach::Nothing);
        assert_eq!(caller.writes_any("r.o"), Reach::Nothing);
    }
}
