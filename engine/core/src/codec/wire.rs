//! As much of Avro's binary form as the codec puts together itself.

use std::io::{Cursor, Read};

use super::DecodeError;

/// Avro's branch 0 and branch 1 of a union, as zigzag varints.
pub(super) const ABSENT: u8 = 0;
pub(super) const PRESENT: u8 = 2;

/// Splits a union's datum into the index of its branch and the branch's datum.
pub(super) fn split_index(union: &[u8]) -> (usize, &[u8]) {
    let mut index = 0;
    for (at, byte) in union.iter().enumerate() {
        index |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            // Zigzag of a number that is not negative.
            return (index >> 1, &union[at + 1..]);
        }
    }
    unreachable!("a union's datum begins with its index")
}

/// A number as Avro writes it: zigzag, then 7 bits a byte.
pub(super) fn zigzag(number: usize) -> Vec<u8> {
    let mut rest = number << 1;
    let mut bytes = Vec::with_capacity(2);
    while rest > 0x7f {
        // Masked to eight bits.
        #[allow(clippy::cast_possible_truncation)]
        bytes.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    #[allow(clippy::cast_possible_truncation)]
    bytes.push(rest as u8);
    bytes
}

/// Reads what [`zigzag`] writes, negative numbers too.
pub(super) fn read_long(rest: &mut Cursor<&[u8]>) -> Result<i64, DecodeError> {
    let broken = |what: &str| DecodeError::OtherRecord(what.to_owned());
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        rest.read_exact(&mut byte)
            .map_err(|_| broken("it ends too early"))?;
        number |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            return Ok((number >> 1).cast_signed() ^ -((number & 1).cast_signed()));
        }
    }
    Err(broken("a number that is too long"))
}

pub(super) fn no_more(rest: &Cursor<&[u8]>) -> Result<(), DecodeError> {
    let left = rest.get_ref().len() - usize::try_from(rest.position()).unwrap_or(usize::MAX);
    if left == 0 {
        Ok(())
    } else {
        Err(DecodeError::TrailingBytes { count: left })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::{read_long, split_index, zigzag};

    #[test]
    fn the_index_of_a_branch_is_read_back() {
        for index in [0, 1, 63, 64, 100, 8191, 8192] {
            let mut bytes = zigzag(index);
            assert_eq!(
                read_long(&mut Cursor::new(&bytes)).unwrap(),
                i64::try_from(index).unwrap()
            );
            bytes.extend_from_slice(b"datum");
            assert_eq!(split_index(&bytes), (index, b"datum".as_slice()));
        }
    }
}
