//! Which paths a domain may be served at. The router panics at what it cannot take; this says why instead.

/// The first segments that the services keep for themselves, all of them on each: a domain that one serves, the others
/// serve too.
const RESERVED: [&str; 10] = [
    "asyncapi.json",
    "commands",
    "correlations",
    "docs",
    "events",
    "livez",
    "metrics",
    "openapi.json",
    "problems",
    "readyz",
];

/// A path of a domain that cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot be served at {path:?}: {why}")]
pub struct UnservablePath {
    /// The aggregate type or view.
    pub what: String,
    /// Its path.
    pub path: String,
    /// Why.
    pub why: &'static str,
}

/// Checks that `what`, an aggregate type or a view, can be served at the path.
pub fn check_path(what: &str, path: &str) -> Result<(), UnservablePath> {
    let refuse = |why| {
        Err(UnservablePath {
            what: what.to_owned(),
            path: path.to_owned(),
            why,
        })
    };
    let Some(segments) = path.strip_prefix('/') else {
        return refuse("a path begins with a slash");
    };
    let has_pattern = segments.contains(['{', '}', ':', '*']);
    if has_pattern || segments.split('/').any(str::is_empty) {
        return refuse("a path has fixed segments that are not empty");
    }
    let first = segments.split('/').next();
    if first.is_some_and(|first| RESERVED.contains(&first)) {
        return refuse("the engine serves something there");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_path;

    #[test]
    fn what_the_engine_serves_itself_and_what_is_no_path_is_refused_with_the_reason() {
        for path in ["/orders", "/menu/items", "/a/docs"] {
            assert_eq!(check_path("x", path), Ok(()), "{path}");
        }
        for path in [
            "/docs",
            "/problems/of-ours",
            "/events",
            "/commands",
            "/",
            "",
            "orders",
            "/a/{b}",
            "/a//b",
        ] {
            let refused = check_path("bar.tabs", path).unwrap_err().to_string();
            assert!(
                refused.starts_with(&format!("bar.tabs cannot be served at {path:?}: ")),
                "{refused}"
            );
        }
    }
}
