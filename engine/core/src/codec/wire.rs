//! As much of Avro's binary form as the codec puts together itself.

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

pub(super) fn read_byte(rest: &mut &[u8]) -> Result<u8, DecodeError> {
    let (byte, after) = rest
        .split_first()
        .ok_or_else(|| DecodeError::OtherRecord("it ends too early".to_owned()))?;
    *rest = after;
    Ok(*byte)
}

/// Reads what [`zigzag`] writes, negative numbers too.
pub(super) fn read_long(rest: &mut &[u8]) -> Result<i64, DecodeError> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = read_byte(rest)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((number >> 1).cast_signed() ^ -((number & 1).cast_signed()));
        }
    }
    Err(DecodeError::OtherRecord("a number that is too long".to_owned()))
}

pub(super) fn no_more(rest: &[u8]) -> Result<(), DecodeError> {
    match rest.len() {
        0 => Ok(()),
        count => Err(DecodeError::TrailingBytes { count }),
    }
}

#[cfg(test)]
mod tests {
    use super::{read_long, split_index, zigzag};

    #[test]
    fn the_index_of_a_branch_is_read_back() {
        for index in [0, 1, 63, 64, 100, 8191, 8192] {
            let mut bytes = zigzag(index);
            assert_eq!(
                read_long(&mut bytes.as_slice()).unwrap(),
                i64::try_from(index).unwrap()
            );
            bytes.extend_from_slice(b"datum");
            assert_eq!(split_index(&bytes), (index, b"datum".as_slice()));
        }
    }
}
