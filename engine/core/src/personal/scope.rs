//! What becomes of personal values while something is written or read.
//!
//! serde gives a value no way to ask what it is written for, and a key is none of the domain's business. So whoever
//! encodes or decodes says it for the time of a call, and the values of this thread look it up. Without that, a value is
//! written as it is kept, and read as it stands: nothing is opened, or sealed anew, by accident.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::{KeyId, Sealed, SubjectKey};

/// By which key new values are sealed.
#[derive(Debug, Clone)]
pub enum Seal {
    /// By that of their subject.
    By(SubjectKey),
    /// Their subject was erased: nothing of them is kept.
    Erased(KeyId),
    /// Their subject has no key: they are kept as they are.
    Clear,
}

/// Opens what is sealed.
pub trait Opener: Send + Sync {
    /// What the value says.
    fn open(&self, sealed: &Sealed<'_>) -> Opening;
}

/// What is known of a sealed value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// It says this.
    Says(String),
    /// Its key is gone for good.
    Erased,
    /// Its key is not known, and was not erased: something is missing.
    Unknown,
}

thread_local! {
    static WRITING: RefCell<Writing> = const { RefCell::new(Writing::AsKept) };
    static READING: RefCell<Reading> = const { RefCell::new(Reading::AsKept) };
}

pub(super) enum Writing {
    AsKept,
    Sealing(Sealing),
    /// For who may see it.
    Revealing,
    /// How many are not sealed.
    Counting(Cell<usize>),
}

pub(super) enum Reading {
    AsKept,
    /// Values are those of a command.
    New,
    Opening(OpeningAll),
}

/// What was met while [`seal`]ing.
pub struct Sealing {
    by: Seal,
    new: Cell<usize>,
}

impl Sealing {
    pub(super) fn seal(&self, text: &str) -> String {
        self.new.set(self.new.get() + 1);
        match &self.by {
            Seal::By(key) => key.seal(text),
            Seal::Erased(key) => Sealed::text(key, ""),
            Seal::Clear => text.to_owned(),
        }
    }
}

pub(super) struct OpeningAll {
    opener: Arc<dyn Opener>,
    unknown: Cell<Option<KeyId>>,
}

impl OpeningAll {
    pub(super) fn open(&self, sealed: &Sealed<'_>) -> Option<String> {
        match self.opener.open(sealed) {
            Opening::Says(text) => Some(text),
            Opening::Erased => None,
            Opening::Unknown => {
                self.unknown.set(Some(sealed.key));
                None
            }
        }
    }
}

/// New values that `write` serializes are sealed. Also returns how many those were.
pub fn seal<R>(by: Seal, write: impl FnOnce() -> R) -> (R, usize) {
    let sealing = Sealing {
        by,
        new: Cell::new(0),
    };
    match while_writing(Writing::Sealing(sealing), write) {
        (result, Writing::Sealing(sealing)) => (result, sealing.new.get()),
        (result, _) => (result, 0),
    }
}

/// How many values that `write` serializes are not sealed.
pub fn count_unsealed<R>(write: impl FnOnce() -> R) -> usize {
    match while_writing(Writing::Counting(Cell::new(0)), write) {
        (_, Writing::Counting(count)) => count.get(),
        _ => 0,
    }
}

/// Values that `write` serializes say what they say, for who may see it.
pub fn reveal<R>(write: impl FnOnce() -> R) -> R {
    while_writing(Writing::Revealing, write).0
}

/// Values that `read` deserializes are opened. Also returns the key of one whose key is not known, if there is one.
pub fn open<R>(by: &Arc<dyn Opener>, read: impl FnOnce() -> R) -> (R, Option<KeyId>) {
    let opening = OpeningAll {
        opener: Arc::clone(by),
        unknown: Cell::new(None),
    };
    match while_reading(Reading::Opening(opening), read) {
        (result, Reading::Opening(opening)) => (result, opening.unknown.get()),
        (result, _) => (result, None),
    }
}

/// Values that `read` deserializes are new: those of a command.
pub(crate) fn as_new<R>(read: impl FnOnce() -> R) -> R {
    while_reading(Reading::New, read).0
}

pub(super) fn writing<R>(with: impl FnOnce(&Writing) -> R) -> R {
    WRITING.with_borrow(with)
}

pub(super) fn reading<R>(with: impl FnOnce(&Reading) -> R) -> R {
    READING.with_borrow(with)
}

fn while_writing<R>(how: Writing, write: impl FnOnce() -> R) -> (R, Writing) {
    let restore = Restore {
        before: Some(WRITING.replace(how)),
        put: |before| WRITING.replace(before),
    };
    let result = write();
    (result, restore.now())
}

fn while_reading<R>(how: Reading, read: impl FnOnce() -> R) -> (R, Reading) {
    let restore = Restore {
        before: Some(READING.replace(how)),
        put: |before| READING.replace(before),
    };
    let result = read();
    (result, restore.now())
}

/// Puts back what held before, also after a panic: a domain's may be caught, and the thread goes on.
struct Restore<T> {
    before: Option<T>,
    put: fn(T) -> T,
}

impl<T> Restore<T> {
    fn now(mut self) -> T {
        let before = self.before.take().expect("it is put back once");
        (self.put)(before)
    }
}

impl<T> Drop for Restore<T> {
    fn drop(&mut self) {
        if let Some(before) = self.before.take() {
            (self.put)(before);
        }
    }
}
