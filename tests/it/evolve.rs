//! The evolution gate, on a log that two versions of a small domain have written: what it finds of many changes of that
//! domain's code, and what the registry alone would.

mod club;
mod program;
mod rules;
mod schemas;
mod written;

use std::fmt::Write as _;
use std::io::BufRead;

use foldline_core::{DomainError, Domains};
use foldline_evolve::{CheckOptions, Counts, EvolveError, Report, check, record};
use foldline_kafka::{KafkaSettings, Registry, RegistryError, subjects};
use foldline_tests::stack;
use tokio::task::spawn_blocking;

use self::club::{Older, Running, Version, domains};
use self::written::written_log;

/// What a version is called, and its domains.
struct Candidate {
    name: &'static str,
    domains: Result<Domains, DomainError>,
}

fn candidate<V: Version>(name: &'static str) -> Candidate {
    Candidate {
        name,
        domains: domains::<V>(),
    }
}

/// One that means something else.
struct Changed {
    candidate: Candidate,
    /// Whether the registry refuses its schemas.
    is_refused: bool,
    /// The finding that tells of the change itself; others tell of what follows from it.
    finding: &'static str,
}

fn changed<V: Version>(name: &'static str, is_refused: bool, finding: &'static str) -> Changed {
    Changed {
        candidate: candidate::<V>(name),
        is_refused,
        finding,
    }
}

fn all_changed() -> Vec<Changed> {
    use schemas::*;
    vec![
        changed::<field_renamed::Changed>("field renamed, no alias", false, "state club.members /note"),
        changed::<event_renamed::Changed>("event type renamed", false, "unreadable club.members"),
        changed::<default_changed::Changed>("default changed", false, "state club.members /guests"),
        changed::<field_dropped::Changed>("optional field dropped", false, "event club.members MemberJoined"),
        changed::<required_field_dropped::Changed>("required field dropped", true, "row plans"),
        changed::<required_field_added::Changed>("required field added", true, "unreadable club.members"),
        changed::<field_narrowed::Changed>("field narrowed", true, "unreadable club.members"),
        changed::<no_upcaster::Changed>("revision without upcaster", false, "no upcaster"),
        changed::<wrong_upcaster::Changed>("upcaster wrong", false, "state club.members /balance"),
        changed::<command_field_renamed::Changed>(
            "command's field renamed",
            false,
            "outcome club.members Deposit /MoneyDeposited/note",
        ),
        changed::<rules::FoldForgets>("fold forgets a field", false, "state club.members /email"),
        changed::<rules::FoldDoubles>("fold counts twice", false, "state club.members /visits"),
        changed::<rules::FoldDiffersOnTheWay>(
            "fold differs on the way",
            false,
            "state club.members on the way",
        ),
        changed::<rules::RuleStricter>(
            "rule stricter",
            false,
            "outcome club.members Deposit accepted -> too-little",
        ),
        changed::<rules::RuleLaxer>(
            "rule laxer",
            false,
            "outcome club.members Visit too-poor -> accepted",
        ),
        changed::<rules::RefusalRenamed>(
            "code of a refusal renamed",
            false,
            "outcome club.members Visit too-poor -> balance-too-low",
        ),
        changed::<rules::EventDiffers>(
            "decision writes other values",
            false,
            "outcome club.members Join /MemberJoined/price",
        ),
        changed::<rules::UnitChanged>("unit changed in silence", false, "state club.members /balance"),
        changed::<rules::ValueMeansOther>(
            "a value means something else",
            false,
            "state club.members /balance",
        ),
        changed::<rules::ProjectionChanged>("projection changed", false, "row members /notes"),
        changed::<rules::UniqueChanged>(
            "unique values normalised otherwise",
            false,
            "unique club.members values",
        ),
    ]
}

/// Those that mean the same.
fn harmless() -> Vec<Candidate> {
    vec![
        candidate::<Running>("the running version"),
        candidate::<rules::Refactored>("refactored"),
        candidate::<schemas::optional_field::Changed>("new optional field"),
        candidate::<schemas::new_event::Changed>("new event type"),
        candidate::<schemas::reordered::Changed>("variants and fields reordered"),
        candidate::<schemas::right_upcaster::Changed>("new revision with its upcaster"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_finds_every_change_of_meaning_and_the_registry_some() {
    let kafka = written_log().await;
    let recording = recorded(&kafka).await;
    let mut table = format!("{:<36} {:<10} the gate's finding\n", "change", "registry");
    let (mut by_gate, mut by_registry) = (0, 0);
    let all = all_changed();
    let count = all.len();
    for Changed {
        candidate,
        is_refused,
        finding,
    } in all
    {
        let found = findings(&kafka, &recording, &candidate).await;
        let of_change = found.iter().find(|found| found.contains(finding));
        let refused = refused_by_registry(&kafka, &candidate).await;
        by_gate += usize::from(of_change.is_some());
        by_registry += usize::from(refused);
        let said = if refused { "refuses" } else { "accepts" };
        let shown = of_change.map_or("-", String::as_str);
        let _ = writeln!(table, "{:<36} {said:<10} {shown}", candidate.name);
        assert_eq!(refused, is_refused, "{}", candidate.name);
    }
    println!("{table}\nof {count} changes the gate finds {by_gate}, the registry alone {by_registry}");
    assert_eq!((by_gate, by_registry), (count, 3), "{table}");

    for candidate in harmless() {
        let found = findings(&kafka, &recording, &candidate).await;
        assert_eq!(found, [""; 0], "{} is harmless", candidate.name);
        assert!(
            !refused_by_registry(&kafka, &candidate).await,
            "{}",
            candidate.name
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_recording_the_snapshots_that_the_system_keeps_tell_of_a_changed_fold() {
    let kafka = written_log().await;
    let running = checked(&kafka, &domains::<Running>().unwrap(), None)
        .await
        .unwrap();
    assert!(running.findings.is_clean(), "{running}");
    assert!(running.compared.snapshots > 5, "{running}");

    let changed = domains::<rules::FoldDoubles>().unwrap();
    let report = checked(&kafka, &changed, None).await.unwrap();
    let of_visits = &report.findings.groups["state club.members /visits"];
    assert_eq!(of_visits.count, 6, "{report}");
    assert!(of_visits.examples[0].at.starts_with("snapshot at"), "{report}");
}

/// What the gate finds, a line for each group.
async fn findings(kafka: &KafkaSettings, recording: &[u8], candidate: &Candidate) -> Vec<String> {
    let domains = match &candidate.domains {
        Ok(domains) => domains.clone(),
        // The program does not even start.
        Err(error) => return vec![error.to_string()],
    };
    let report = checked(kafka, &domains, Some(recording)).await.unwrap();
    assert!(report.counts.events > 0 && report.counts.commands > 0, "{report}");
    println!("--- {}\n{report}", candidate.name);
    let groups = report.findings.groups.iter();
    groups
        .map(|(key, group)| format!("{key}: {}", group.count))
        .collect()
}

async fn checked(
    kafka: &KafkaSettings,
    domains: &Domains,
    recording: Option<&[u8]>,
) -> Result<Report, EvolveError> {
    let (kafka, domains) = (kafka.clone(), domains.clone());
    let recording = recording.map(<[u8]>::to_vec);
    let options = CheckOptions {
        examples: 3,
        expected: Default::default(),
    };
    let checking = spawn_blocking(move || {
        let mut recording = recording.as_deref();
        let against = recording.as_mut().map(|bytes| bytes as &mut dyn BufRead);
        check(&kafka, &domains, against, &options, &mut |_, _| {})
    });
    checking.await.unwrap()
}

async fn recorded(kafka: &KafkaSettings) -> Vec<u8> {
    let kafka = kafka.clone();
    let recording = spawn_blocking(move || {
        let mut recording = Vec::new();
        let counts = record(
            &kafka,
            &domains::<Running>().unwrap(),
            &mut recording,
            &mut |_, _| {},
        )
        .unwrap();
        (recording, counts)
    });
    let (recording, counts) = recording.await.unwrap();
    let Counts {
        events,
        commands,
        gone,
        ..
    } = counts;
    assert!(events > 30 && commands > 40 && gone == 0, "{counts:?}");
    recording
}

/// Whether the registry refuses the schemas of a version, after those of the versions before it: under names of its own, so
/// that each is asked about alone.
async fn refused_by_registry(kafka: &KafkaSettings, candidate: &Candidate) -> bool {
    let Ok(changed) = &candidate.domains else {
        // It is never asked: the program stops before.
        return false;
    };
    let kafka = KafkaSettings {
        topic_prefix: format!("{}-", stack::unique_name("verdict")),
        ..kafka.clone()
    };
    let registry = Registry::new(&kafka).unwrap();
    let of = |domains: &Domains| subjects(&kafka.topics(), domains);
    let (older, running) = (
        of(&domains::<Older>().unwrap()),
        of(&domains::<Running>().unwrap()),
    );
    for (index, subject) in of(changed).iter().enumerate() {
        if subject.schema == running[index].schema {
            continue;
        }
        for before in [&older[index], &running[index]] {
            assert_eq!(before.name, subject.name);
            registry.register(before).await.unwrap();
        }
        match registry.register(subject).await {
            Ok(_) => {}
            Err(RegistryError::Incompatible { .. }) => return true,
            Err(error) => panic!("{}: {error}", subject.name),
        }
    }
    false
}
