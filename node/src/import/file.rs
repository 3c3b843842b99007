//! Chains in a file: blocks in RLP, one after the other, as geth exports them.

use std::io::{ErrorKind, Read};

use eyre::{bail, eyre};

/// Largest block read, bytes.
const MOST_BYTES: u64 = 64 << 20;
/// First byte of an RLP list of 55 bytes or fewer, and of one whose length takes 1 to 8 bytes.
const SHORT_LIST: u8 = 0xc0;
const LONG_LIST: u8 = 0xf8;

/// The next RLP list, its head included; `None` at the end of the file.
pub(super) fn read_item(file: &mut impl Read) -> eyre::Result<Option<Vec<u8>>> {
    let mut first = [0];
    loop {
        match file.read(&mut first) {
            Ok(0) => return Ok(None),
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut item = first.to_vec();
    let length = match first[0] {
        byte @ LONG_LIST.. => {
            let mut bytes = vec![0; usize::from(byte - LONG_LIST) + 1];
            file.read_exact(&mut bytes).map_err(cut)?;
            item.extend_from_slice(&bytes);
            bytes.iter().fold(0u64, |sum, byte| sum.saturating_mul(256) + u64::from(*byte))
        }
        byte @ SHORT_LIST.. => u64::from(byte - SHORT_LIST),
        _ => bail!("the file is no chain of blocks in RLP"),
    };
    if length > MOST_BYTES {
        bail!("the file is damaged: a block of {length} bytes, at most {MOST_BYTES}");
    }
    let wanted = item.len() as u64 + length;
    file.take(length).read_to_end(&mut item)?;
    if (item.len() as u64) < wanted {
        return Err(cut(ErrorKind::UnexpectedEof.into()));
    }
    Ok(Some(item))
}

fn cut(error: std::io::Error) -> eyre::Report {
    if error.kind() == ErrorKind::UnexpectedEof {
        return eyre!("the file ends in the middle of a block; what came before is imported");
    }
    error.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_read_one_by_one() {
        let long: Vec<u8> = [&[0xf9, 1, 0][..], &[7; 256]].concat();
        let file = [&[0xc1, 5][..], &long, &[0xc0]].concat();
        let mut at = &file[..];
        assert_eq!(read_item(&mut at).unwrap(), Some(vec![0xc1, 5]));
        assert_eq!(read_item(&mut at).unwrap(), Some(long.clone()));
        assert_eq!(read_item(&mut at).unwrap(), Some(vec![0xc0]));
        assert_eq!(read_item(&mut at).unwrap(), None);
        for (bytes, told) in [
            (&long[..200], "in the middle of a block"),
            (&long[..2], "in the middle of a block"),
            (&[0x80], "no chain of blocks"),
            (&[0xff, 255, 255, 255, 255, 255, 255, 255, 255], "bytes, at most"),
        ] {
            let error = read_item(&mut &*bytes).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
