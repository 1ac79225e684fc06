//! As much of Kafka's protocol as the proxy must understand: <https://kafka.apache.org/protocol>.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

const PRODUCE: i16 = 0;
const END_TXN: i16 = 26;
const TXN_OFFSET_COMMIT: i16 = 28;
/// From these versions on, strings are compact and headers have tags.
const FLEXIBLE_PRODUCE: i16 = 9;
const FLEXIBLE_END_TXN: i16 = 3;
/// A broker's own bound.
const FRAME_MAX: usize = 100 << 20;

/// A request's head, and what of its body matters here.
pub(super) struct Request {
    pub(super) correlation: i32,
    pub(super) asks: Asks,
}

pub(super) enum Asks {
    /// To end the transaction of this transactional id.
    ToEnd {
        id: String,
        is_commit: bool,
    },
    /// To write records in the transaction of this transactional id.
    ToProduce {
        id: String,
    },
    /// To add a group's offsets to a transaction.
    ToCommitOffsets,
    SomethingElse,
}

/// The next frame with its length; `None` at the end.
pub(super) async fn read_frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut size = [0; 4];
    match from.read_exact(&mut size).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = usize::try_from(i32::from_be_bytes(size)).unwrap_or(usize::MAX);
    if length > FRAME_MAX {
        return Err(io::Error::other("no frame of Kafka's protocol"));
    }
    let mut frame = size.to_vec();
    frame.resize(4 + length, 0);
    from.read_exact(&mut frame[4..]).await?;
    Ok(Some(frame))
}

impl Request {
    pub(super) fn of(frame: &[u8]) -> Self {
        let mut rest = Rest(&frame[4..]);
        let (key, version) = (rest.int16(), rest.int16());
        let correlation = rest.int32();
        let asks = asked(key, version, rest).unwrap_or(Asks::SomethingElse);
        Self { correlation, asks }
    }
}

fn asked(key: i16, version: i16, mut rest: Rest<'_>) -> Option<Asks> {
    // The client's id is never compact.
    rest.string();
    match key {
        PRODUCE => {
            let id = rest.string_after(version >= FLEXIBLE_PRODUCE)?;
            Some(Asks::ToProduce { id })
        }
        END_TXN => {
            let id = rest.string_after(version >= FLEXIBLE_END_TXN)?;
            rest.skip(8 + 2);
            let is_commit = rest.byte() == 1;
            Some(Asks::ToEnd { id, is_commit })
        }
        TXN_OFFSET_COMMIT => Some(Asks::ToCommitOffsets),
        _ => None,
    }
}

/// Which request an answer is to.
pub(super) fn correlation_of(answer: &[u8]) -> i32 {
    Rest(&answer[4..]).int32()
}

/// The error code that answers this `EndTxn`.
pub(super) fn end_txn_error(request: &[u8], answer: &[u8]) -> Option<i16> {
    let version = Rest(&request[6..]).int16();
    let mut rest = Rest(&answer[4..]);
    rest.skip(4);
    if version >= FLEXIBLE_END_TXN {
        rest.skip(1);
    }
    // How long the client is to hold back.
    rest.skip(4);
    (rest.0.len() >= 2).then(|| rest.int16())
}

/// What is not read yet. Beyond its end it is zeros: what is no request of ours is nothing that matters.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn skip(&mut self, count: usize) {
        self.take(count);
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let taken = self.take(N);
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    fn int16(&mut self) -> i16 {
        i16::from_be_bytes(self.array())
    }

    fn int32(&mut self) -> i32 {
        i32::from_be_bytes(self.array())
    }

    fn string(&mut self) -> Option<String> {
        let length = usize::try_from(self.int16()).ok()?;
        Some(String::from_utf8_lossy(self.take(length)).into_owned())
    }

    /// The first string of a body. The header of a flexible request ends with tags, of which clients send none.
    fn string_after(&mut self, is_flexible: bool) -> Option<String> {
        if !is_flexible {
            return self.string();
        }
        self.skip(1);
        // Compact: the length and one more, and ours are short.
        let length = usize::from(self.byte()).checked_sub(1)?;
        Some(String::from_utf8_lossy(self.take(length)).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::{Asks, Request, end_txn_error};

    fn request(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
        let head = [
            &key.to_be_bytes()[..],
            &version.to_be_bytes(),
            &7_i32.to_be_bytes(),
            b"\0\x01c",
        ]
        .concat();
        let length = i32::try_from(head.len() + body.len()).unwrap();
        [&length.to_be_bytes()[..], &head, body].concat()
    }

    #[test]
    fn a_commit_is_told_from_an_abort_in_old_and_new_versions() {
        let old = |committed: u8| [b"\0\x02id".as_slice(), &[0; 10], &[committed]].concat();
        let new = |committed: u8| [b"\0\x03id".as_slice(), &[0; 10], &[committed, 0]].concat();
        for (version, body) in [(1, old(1)), (4, new(1))] {
            let found = Request::of(&request(26, version, &body));
            assert!(
                matches!(found.asks, Asks::ToEnd { id, is_commit: true } if id == "id"),
                "version {version}"
            );
            assert_eq!(found.correlation, 7);
        }
        for (version, body) in [(1, old(0)), (4, new(0))] {
            let found = Request::of(&request(26, version, &body));
            assert!(
                matches!(found.asks, Asks::ToEnd { id, is_commit: false } if id == "id"),
                "version {version}"
            );
        }
    }

    #[test]
    fn only_records_of_a_transaction_are_looked_at() {
        let of = |version, body: &[u8]| Request::of(&request(0, version, body)).asks;
        assert!(matches!(of(7, b"\0\x02id"), Asks::ToProduce { id } if id == "id"));
        assert!(matches!(of(10, b"\0\x03id"), Asks::ToProduce { id } if id == "id"));
        assert!(matches!(of(7, b"\xff\xff"), Asks::SomethingElse));
        assert!(matches!(of(10, b"\0\0"), Asks::SomethingElse));
    }

    #[test]
    fn the_error_of_an_answer_is_found() {
        let answer = |head: &[u8]| [&[0, 0, 0, 10, 0, 0, 0, 7], head, &[0, 0, 0, 0, 0, 47]].concat();
        assert_eq!(end_txn_error(&request(26, 1, b""), &answer(b"")), Some(47));
        assert_eq!(end_txn_error(&request(26, 4, b""), &answer(b"\0")), Some(47));
    }
}
