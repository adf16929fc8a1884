//! Unpacks what somebody else has compressed with zstd, in memory that whoever compressed it does not choose.

use std::io::{self, BufRead, BufReader, Read};

use zstd::Decoder;

/// Binary logarithm of the most memory, in bytes, that an archive may demand for what it refers back to: 8 MiB, as every decoder of the web
/// takes (RFC 9659). zstd itself writes more only above its level 19.
const WINDOW: u32 = 23;

/// What a reader unpacks to; an archive that demands more memory is an error when it is read.
pub fn unpack<'a, R: Read>(from: R) -> io::Result<Decoder<'a, BufReader<R>>> {
    unpack_buffered(BufReader::with_capacity(128 << 10, from))
}

/// The same for what is buffered already.
pub fn unpack_buffered<'a, R: BufRead>(from: R) -> io::Result<Decoder<'a, R>> {
    let mut decoder = Decoder::with_buffer(from)?;
    decoder.window_log_max(WINDOW)?;
    Ok(decoder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// An archive of a long text with this window.
    fn archive(window: u32) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.long_distance_matching(true).unwrap();
        encoder.window_log(window).unwrap();
        (0..100_000u32).for_each(|number| encoder.write_all(&number.to_le_bytes()).unwrap());
        encoder.finish().unwrap()
    }

    #[test]
    fn an_archive_does_not_choose_how_much_memory_it_takes() {
        for (window, is_read) in [(23, true), (24, false), (27, false), (30, false)] {
            let archive = archive(window);
            let mut text = Vec::new();
            let read = unpack(&archive[..]).unwrap().read_to_end(&mut text);
            assert_eq!(read.is_ok(), is_read, "{window}: {read:?}");
            assert!(text.len() == if is_read { 400_000 } else { 0 }, "{window}");
        }
    }

    #[test]
    fn what_nixdag_writes_at_any_level_is_read() {
        let text = vec![7; 20 << 20];
        for level in [1, 3, 9, 19] {
            let mut encoder = zstd::Encoder::new(Vec::new(), level).unwrap();
            encoder.write_all(&text).unwrap();
            let mut read = Vec::new();
            unpack(&encoder.finish().unwrap()[..]).unwrap().read_to_end(&mut read).unwrap();
            assert!(read == text, "{level}");
        }
    }
}
