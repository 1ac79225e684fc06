//! Unique values: whoever has one has claimed it, and nobody else has.

use std::collections::{BTreeMap, BTreeSet};

use foldline_core::{Claim, ClaimEvent, DecodedEvent};

use super::{Topics, Violation};

/// Who has, or has claimed, which values.
pub type Holders = BTreeMap<String, BTreeSet<String>>;

/// The claims on each kind of unique value, against the aggregates that have the values.
pub fn are_those_of_the_holders(all: &[Topics]) -> Vec<Violation> {
    let mut found = Vec::new();
    for topics in all {
        let info = topics.aggregate.info();
        for name in info.unique {
            let claims = Claim::type_name(&info.name, name);
            let is_it = |other: &&Topics| {
                let other = other.aggregate.info();
                other.domain == info.domain && other.name == claims
            };
            let claims = all
                .iter()
                .find(is_it)
                .expect("claims are installed with what they are for");
            let claimed = claimed(claims.events.iter().map(|event| &event.record));
            found.extend(compare(&claimed, &had(topics, name)));
        }
    }
    found
}

/// What the events of the claims leave claimed.
fn claimed<'a>(events: impl Iterator<Item = &'a DecodedEvent>) -> Holders {
    let mut claimed = Holders::new();
    for event in events {
        match event.event.get::<Claim>().expect("an event of a claim") {
            ClaimEvent::ValueReserved { value, holder } => {
                claimed.entry(value.clone()).or_default().insert(holder.clone());
            }
            ClaimEvent::ValueReleased { value, holder } => {
                if let Some(holders) = claimed.get_mut(value) {
                    holders.remove(holder);
                }
            }
        }
    }
    claimed
}

/// What the aggregates have in the end.
fn had(topics: &Topics, name: &str) -> Holders {
    let aggregate = &topics.aggregate;
    let mut states = BTreeMap::new();
    for event in &topics.events {
        let id = event.record.meta.aggregate_id.to_string();
        let state = states.entry(id).or_insert_with(|| aggregate.initial());
        aggregate.evolve(state, &event.record.event);
    }
    let mut had = Holders::new();
    for (id, state) in &states {
        for unique in aggregate
            .unique(state)
            .into_iter()
            .filter(|unique| unique.name == name)
        {
            let claimed_as = topics.keys.claimed_as(aggregate.info(), name, &unique.value);
            had.entry(claimed_as).or_default().insert(id.clone());
        }
    }
    had
}

/// Each value is claimed by the one who has it, and by nobody if nobody has it.
fn compare(claimed: &Holders, had: &Holders) -> Vec<Violation> {
    let values: BTreeSet<&String> = claimed.keys().chain(had.keys()).collect();
    let listed = |holders: &Holders, value: &String| -> Vec<String> {
        holders.get(value).into_iter().flatten().cloned().collect()
    };
    let wrong = |value: &String| {
        let (claimed, had) = (listed(claimed, value), listed(had, value));
        let value = value.clone();
        (claimed != had || had.len() > 1).then_some(Violation::Claim { value, claimed, had })
    };
    values.into_iter().filter_map(wrong).collect()
}

#[cfg(test)]
mod tests {
    use super::{Holders, compare};

    fn holders(pairs: &[(&str, &[&str])]) -> Holders {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        pairs
            .iter()
            .map(|(value, names)| ((*value).to_owned(), owned(names)))
            .collect()
    }

    #[test]
    fn a_value_that_is_lost_leaked_or_had_by_two_is_found() {
        let good = holders(&[("a@x", &["ada"]), ("free@x", &[])]);
        assert_eq!(compare(&good, &holders(&[("a@x", &["ada"])])), []);
        for had in [
            holders(&[("a@x", &["bob"])]),
            holders(&[]),
            holders(&[("a@x", &["ada", "bob"])]),
            holders(&[("a@x", &["ada"]), ("b@x", &["bob"])]),
        ] {
            assert_eq!(compare(&good, &had).len(), 1, "{had:?}");
        }
        let both = holders(&[("a@x", &["ada", "bob"])]);
        assert_eq!(compare(&both, &both).len(), 1);
    }
}
