//! Inputs that nobody meant: known ones, changed at random.
//!
//! There is no instrumentation, so that it runs on stable and within `cargo test`. What guides it instead is what the
//! code under test says of an input: one that is answered in a way that was not seen before is kept for this run, and
//! changed further.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::chance::Chance;

/// The variable that says for how many seconds each kind of input is tried.
pub const SECONDS: &str = "FOLDLINE_FUZZ_SECONDS";

const SECONDS_BY_DEFAULT: u64 = 1;
/// How many inputs are tried at the least, however slow the machine is.
const COUNT_MIN: usize = 100;
/// How long an input gets.
const BYTES_MAX: usize = 16 * 1024;
/// How many inputs are kept.
const POOL_MAX: usize = 2_000;

/// Lengths and counts as Avro writes them (zigzag), that no record has: 2^31, 2^40, the greatest, the smallest, -1.
const LENGTHS: [&[u8]; 6] = [
    &[0x80, 0x80, 0x80, 0x80, 0x10],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x40],
    &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x01],
];

/// What means something in one text or another.
const WORDS: [&str; 24] = [
    "",
    "0",
    "-1",
    "9223372036854775807",
    "9223372036854775808",
    "1e400",
    "null",
    "[",
    "{\"",
    "\\u0000",
    "\u{0}",
    "é",
    "\u{202e}",
    "%",
    "%00",
    "%2F",
    "..",
    "*",
    "W/\"1\"",
    "seq:",
    "1.",
    "2024-02-30T00:00:00Z",
    "wait=",
    "[gte]",
];

/// Inputs of one kind, and changed ones.
pub struct Inputs {
    pool: Vec<Vec<u8>>,
    answers: HashSet<String>,
    chance: Chance,
}

impl Inputs {
    /// Begins with these.
    pub fn new(kind: &str, seeds: Vec<Vec<u8>>) -> Self {
        assert!(!seeds.is_empty(), "no result: there is nothing to change");
        Self {
            pool: seeds,
            answers: HashSet::new(),
            chance: Chance::of_this_run(kind),
        }
    }

    /// The inputs that it began with, and those that were kept.
    pub fn pool(&self) -> &[Vec<u8>] {
        &self.pool
    }

    /// One of them, changed.
    pub fn changed(&mut self) -> Vec<u8> {
        let mut input = self.chance.one_of(&self.pool).clone();
        for _ in 0..=self.chance.below(3) {
            self.change(&mut input);
        }
        input.truncate(BYTES_MAX);
        input
    }

    /// What was said of an input: one that made it say something new is changed further.
    pub fn answered(&mut self, input: Vec<u8>, answer: &str) {
        // Numbers differ from input to input, and are not what makes answers different.
        let kind = answer
            .replace(|c: char| c.is_ascii_digit(), "")
            .chars()
            .take(80)
            .collect();
        if self.answers.insert(kind) && self.pool.len() < POOL_MAX {
            self.pool.push(input);
        }
    }

    /// How many kinds of answers there were.
    pub fn answers(&self) -> usize {
        self.answers.len()
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let chance = &mut self.chance;
        let at = chance.below(input.len() + 1);
        let end = (at + 1 + chance.below(8)).min(input.len());
        match chance.below(8) {
            0 if at < input.len() => input[at] ^= 1 << chance.below(8),
            1 if at < input.len() => input[at] = chance.any().to_be_bytes()[0],
            2 => drop(input.drain(at..end)),
            3 => input.truncate(at),
            4 => drop(input.splice(at..end, chance.one_of(&LENGTHS).iter().copied())),
            5 => drop(input.splice(at..end, chance.one_of(&WORDS).bytes())),
            6 => {
                let other = chance.one_of(&self.pool);
                let from = chance.below(other.len() + 1);
                drop(input.splice(at.., other[from..].iter().copied()));
            }
            // The same again, many times over.
            _ => {
                let piece = input[at..end].to_vec();
                let times = 1 << chance.below(9);
                drop(input.splice(at..at, piece.repeat(times)));
            }
        }
    }
}

/// Tries inputs until the time is over; `check` says what became of one, and panics if that must not be.
pub fn fuzz(kind: &str, seeds: Vec<Vec<u8>>, mut check: impl FnMut(&[u8]) -> String) {
    let mut inputs = Inputs::new(kind, seeds);
    let mut try_one = |inputs: &mut Inputs, input: Vec<u8>| {
        let answer = catch_unwind(AssertUnwindSafe(|| check(&input)));
        match answer {
            Ok(answer) => inputs.answered(input, &answer),
            Err(panic) => {
                println!("{kind}: to be kept in tests/corpus: {}", hex(&input));
                resume_unwind(panic)
            }
        }
    };
    for seed in inputs.pool().to_vec() {
        try_one(&mut inputs, seed);
    }
    let (started_at, mut count) = (Instant::now(), 0_usize);
    while started_at.elapsed() < time() || count < COUNT_MIN {
        let input = inputs.changed();
        try_one(&mut inputs, input);
        count += 1;
    }
    println!("{kind}: {count} inputs, {} kinds of answers", inputs.answers());
}

/// For how long each kind of input is tried.
pub fn time() -> Duration {
    let given = std::env::var(SECONDS)
        .ok()
        .map(|text| text.parse().expect("seconds"));
    Duration::from_secs(given.unwrap_or(SECONDS_BY_DEFAULT))
}

/// The inputs that are kept in this folder of `tests/corpus`.
pub fn corpus(folder: &str) -> Vec<Vec<u8>> {
    let folder = root().join("tests/corpus").join(folder);
    let files = std::fs::read_dir(&folder).expect("a folder of the corpus");
    let read = |file: std::io::Result<std::fs::DirEntry>| std::fs::read(file.expect("a file").path());
    files.map(|file| read(file).expect("a file")).collect()
}

/// Bytes as the corpus has those that are no text.
pub fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| byte.is_ascii_hexdigit()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
    digits.chunks_exact(2).map(byte).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The root of the repository.
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("a folder in the repository").to_owned()
}
