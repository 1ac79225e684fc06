use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    ERASED, KeyId, Opener, Opening, Personal, Seal, Sealed, SubjectKey, as_new, is_marked, open, open_text,
};
use super::{reveal, seal};

fn key(n: u8) -> SubjectKey {
    SubjectKey::new(KeyId::new([n; 12]), [n; SubjectKey::LENGTH])
}

/// Has one key, and knows of one that is erased.
struct Keys {
    has: SubjectKey,
    erased: SubjectKey,
}

impl Opener for Keys {
    fn open(&self, sealed: &Sealed<'_>) -> Opening {
        if sealed.key == self.erased.id() {
            return Opening::Erased;
        }
        self.has.open(sealed).map_or(Opening::Unknown, Opening::Says)
    }
}

fn keys() -> Arc<dyn Opener> {
    Arc::new(Keys {
        has: key(1),
        erased: key(2),
    })
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Row {
    email: Personal,
    addresses: BTreeMap<Personal, Personal>,
}

fn row() -> Row {
    Row {
        email: "ada@example.org".into(),
        addresses: BTreeMap::from([("home".into(), "1 Main St".into())]),
    }
}

fn sealed_by(key: SubjectKey) -> String {
    seal(Seal::By(key), || serde_json::to_string(&row()).unwrap()).0
}

#[test]
fn what_is_sealed_does_not_say_what_it_says() {
    let text = sealed_by(key(1));
    for said in ["ada", "example", "home", "Main"] {
        assert!(!text.contains(said), "{text}");
    }
    let (read, unknown) = open(&keys(), || serde_json::from_str::<Row>(&text).unwrap());
    assert_eq!((read, unknown), (row(), None));
}

#[test]
fn what_is_erased_says_nothing_and_is_kept_as_it_was() {
    let text = sealed_by(key(2));
    let (read, unknown) = open(&keys(), || serde_json::from_str::<Row>(&text).unwrap());
    assert_eq!((read.email.text(), unknown), (None, None));
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
    assert!(reveal(|| serde_json::to_string(&read).unwrap()).contains(ERASED));
}

#[test]
fn a_key_that_is_missing_is_told() {
    let text = sealed_by(key(3));
    let (_, unknown) = open(&keys(), || serde_json::from_str::<Row>(&text).unwrap());
    assert_eq!(unknown, Some(key(3).id()));
}

#[test]
fn a_fold_of_sealed_values_finds_them_again_without_a_key() {
    let mut kept: Row = serde_json::from_str(&sealed_by(key(1))).unwrap();
    let again = seal(Seal::By(key(1)), || {
        serde_json::to_string(&Personal::new("home")).unwrap()
    })
    .0;
    let again: Personal = serde_json::from_str(&again).unwrap();
    assert_eq!(again.text(), None);
    assert!(kept.addresses.remove(&again).is_some());
}

#[test]
fn a_value_from_the_log_is_written_as_it_stood_there() {
    let in_the_clear: Row = serde_json::from_str(&serde_json::to_string(&row()).unwrap()).unwrap();
    let (written, new) = seal(Seal::By(key(1)), || serde_json::to_string(&in_the_clear).unwrap());
    assert_eq!((written, new), (serde_json::to_string(&row()).unwrap(), 0));
    let (opened, _) = open(&keys(), || {
        serde_json::from_str::<Row>(&sealed_by(key(1))).unwrap()
    });
    assert_eq!(
        seal(Seal::By(key(3)), || serde_json::to_string(&opened).unwrap()),
        (sealed_by(key(1)), 0)
    );
}

#[test]
fn a_value_of_a_command_is_new_whatever_it_looks_like() {
    let read = as_new(|| serde_json::from_str::<Personal>("\"home\"").unwrap());
    let (written, new) = seal(Seal::By(key(1)), || serde_json::to_string(&read).unwrap());
    assert_eq!(new, 1);
    assert!(is_marked(written.as_bytes()));
}

#[test]
fn of_who_was_erased_nothing_new_is_kept() {
    let (written, new) = seal(Seal::Erased(key(2).id()), || {
        serde_json::to_string(&row()).unwrap()
    });
    assert_eq!(new, 3);
    let (read, _) = open(&keys(), || serde_json::from_str::<Row>(&written).unwrap());
    assert_eq!(read.email.text(), None);
}

#[test]
fn it_prints_as_nothing_that_it_says() {
    assert_eq!(
        format!("{0} {0:?}", Personal::new("ada")),
        "[personal] [personal]"
    );
}

#[test]
fn a_scope_ends_with_a_panic_too() {
    let panicked = std::panic::catch_unwind(|| seal(Seal::By(key(1)), || panic!("a domain's bug")));
    assert!(panicked.is_err());
    assert_eq!(serde_json::to_string(&Personal::new("home")).unwrap(), "\"home\"");
}

#[test]
fn a_text_is_opened_as_json_and_in_links_as_a_part_of_a_path() {
    let sealed = key(1).seal("my \"home\"/é");
    let text = format!("{{\"nickname\":\"{sealed}\",\"address\":\"/customers/7/addresses/{sealed}\"}}");
    let opened = open_text(&text, |sealed| key(1).open(sealed));
    let opened: serde_json::Value = serde_json::from_str(&opened).unwrap();
    assert_eq!(opened["nickname"], "my \"home\"/é");
    assert_eq!(
        opened["address"],
        "/customers/7/addresses/my%20%22home%22%2F%C3%A9"
    );
    let erased = open_text(&text, |_| None);
    assert_eq!(
        *erased,
        *"{\"nickname\":\"erased\",\"address\":\"/customers/7/addresses/erased\"}"
    );
}

#[test]
fn what_only_begins_like_a_sealed_value_is_left_as_it_is() {
    for text in [
        "\"enc1.\"",
        "\"enc1.short.x\"",
        "\"enc1.0123456789abcde!.x\"",
        "\"enc1.é\"",
    ] {
        assert_eq!(open_text(text, |_| Some("opened".to_owned())), text);
    }
}

proptest! {
    #[test]
    fn every_text_is_sealed_as_the_same_and_opened_by_its_key_alone(text in ".{0,40}", other in ".{0,40}") {
        let sealed = key(1).seal(&text);
        prop_assert_eq!(&sealed, &key(1).seal(&text));
        prop_assert_eq!(sealed == key(1).seal(&other), text == other);
        let parsed = Sealed::parse(&sealed).unwrap();
        prop_assert_eq!(key(1).open(&parsed), Some(text));
        prop_assert_eq!(key(2).open(&parsed), None);
    }

    #[test]
    fn a_sealed_value_that_was_changed_is_not_opened(at in 22_usize..60, letter in "[A-Za-z0-9]") {
        let sealed = key(1).seal("a text that is long enough");
        let mut changed = sealed.clone();
        changed.replace_range(at..=at, &letter);
        prop_assume!(changed != sealed);
        let parsed = Sealed::parse(&changed).unwrap();
        prop_assert_eq!(key(1).open(&parsed), None);
    }

    #[test]
    fn no_text_makes_the_opening_of_it_panic(text in ".{0,60}", begin in 0..3_u8) {
        let text = format!("{}{text}", ["enc1.", "\"enc1.AAAAAAAAAAAAAAAA.", "x"][usize::from(begin)]);
        let _ = open_text(&text, |sealed| key(1).open(sealed));
    }
}
