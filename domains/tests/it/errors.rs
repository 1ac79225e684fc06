//! `docs/errors/` has a page for each way to be refused.

use std::collections::BTreeSet;
use std::fs;

use foldline_domains::installed;

use crate::folder;

/// What the engine itself refuses by.
const OF_THE_ENGINE: [&str; 8] = [
    "unknown-aggregate",
    "sequence-mismatch",
    "command-id-reused",
    "invalid-consistency-token",
    "dead-lettered",
    "token-not-reached",
    "decision-failed",
    "subject-erased",
];

fn codes() -> BTreeSet<String> {
    let domains = installed();
    let infos = domains.aggregates().iter().map(|aggregate| aggregate.info());
    let mut codes: BTreeSet<String> = OF_THE_ENGINE.map(str::to_owned).into();
    for info in infos {
        codes.extend(info.codes.iter().map(|code| (*code).to_owned()));
        codes.extend(info.unique.iter().map(|name| format!("{name}-taken")));
    }
    codes
}

#[test]
fn every_code_has_a_page_that_shows_it() {
    for code in codes() {
        let path = folder("docs/errors").join(format!("{code}.md"));
        let page = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            page.starts_with(&format!("# {code} (")),
            "docs/errors/{code}.md is to begin with its name and status"
        );
        let shown = format!("\"type\": \"/problems/{code}\"");
        assert!(page.contains(&shown), "docs/errors/{code}.md is to show {shown}");
    }
}

#[test]
fn a_code_is_kebab_case() {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
    for code in codes() {
        assert!(code.bytes().all(allowed), "{code}");
    }
}
