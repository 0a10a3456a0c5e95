//! The codings in which bodies come and go: gzip, zstd, and for answers brotli.

use actix_web::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap};
use bytes::Bytes;
use flate2::Compression;
use flate2::read::{GzEncoder, MultiGzDecoder};
use std::io::{self, Read};
use tokio::task::spawn_blocking;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Zstd,
    Gzip,
    Brotli,
}

/// How they were chosen: docs/performance.md, "Packed answers".
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;
const BROTLI_QUALITY: u32 = 1;
const BROTLI_WINDOW: u32 = 20;
/// A longer body is compressed beside the threads that answer.
const LONG: usize = 64 * 1024;
/// The longest distance that a zstd body may refer back to, as a power of two: the memory that reading it takes.
const MOST_WINDOW: u32 = 23;

impl Coding {
    pub fn name(self) -> &'static str {
        match self {
            Coding::Zstd => "zstd",
            Coding::Gzip => "gzip",
            Coding::Brotli => "br",
        }
    }
}

/// The coding that a client would rather have; of those that it likes as well, the one that is made soonest.
pub fn accepted(headers: &HeaderMap) -> Option<Coding> {
    let mut best: Option<(u16, Coding)> = None;
    for coding in [Coding::Zstd, Coding::Gzip, Coding::Brotli] {
        let quality = quality(headers, coding.name());
        if quality > best.map_or(0, |(best, _)| best) {
            best = Some((quality, coding));
        }
    }
    let (quality_of_best, coding) = best?;
    // Whoever would rather have it as it is gets it so.
    let is_better = quality_of_best >= identity(headers);
    is_better.then_some(coding)
}

/// How much a client likes a coding, in thousandths; 0 where it does not want it.
fn quality(headers: &HeaderMap, name: &str) -> u16 {
    let named = listed(headers).find(|(coding, _)| {
        coding.eq_ignore_ascii_case(name) || (name == "gzip" && coding.eq_ignore_ascii_case("x-gzip"))
    });
    named.or_else(|| listed(headers).find(|(coding, _)| *coding == "*")).map_or(0, |(_, quality)| quality)
}

fn identity(headers: &HeaderMap) -> u16 {
    listed(headers).find(|(coding, _)| coding.eq_ignore_ascii_case("identity")).map_or(0, |(_, quality)| quality)
}

/// The codings that a request names, with their qualities.
fn listed(headers: &HeaderMap) -> impl Iterator<Item = (&str, u16)> {
    let values = headers.get_all(ACCEPT_ENCODING).filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|item| {
        let (coding, parameters) = item.split_once(';').unwrap_or((item, ""));
        let quality = parameters.trim().strip_prefix("q=").or_else(|| parameters.trim().strip_prefix("Q="));
        let quality = quality.map_or(Some(1.0), |text| text.trim().parse::<f32>().ok()).unwrap_or(0.0);
        (coding.trim(), (quality.clamp(0.0, 1.0) * 1000.0) as u16) // 0…1000
    })
}

/// The body in a coding; `None` where that fails.
pub async fn compress(coding: Coding, body: Bytes) -> Option<Bytes> {
    match body.len() > LONG {
        true => spawn_blocking(move || compressed(coding, &body)).await.ok()?,
        false => compressed(coding, &body),
    }
}

fn compressed(coding: Coding, body: &[u8]) -> Option<Bytes> {
    let mut made = Vec::with_capacity(body.len() / 8 + 512);
    let read = match coding {
        Coding::Zstd => return zstd::bulk::compress(body, ZSTD_LEVEL).ok().map(Bytes::from),
        Coding::Gzip => GzEncoder::new(body, Compression::new(GZIP_LEVEL)).read_to_end(&mut made),
        Coding::Brotli => brotli::CompressorReader::new(body, body.len().clamp(1, LONG), BROTLI_QUALITY, BROTLI_WINDOW)
            .read_to_end(&mut made),
    };
    read.ok().map(|_| Bytes::from(made))
}

/// Why a body cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Its coding is none of those that are read.
    Coding,
    Broken,
    TooLarge,
}

/// The coding of a request's body.
pub fn coding_of(headers: &HeaderMap) -> Result<Option<Coding>, Unreadable> {
    let mut codings = headers.get_all(CONTENT_ENCODING);
    let (Some(coding), None) = (codings.next(), codings.next()) else {
        return if headers.contains_key(CONTENT_ENCODING) { Err(Unreadable::Coding) } else { Ok(None) };
    };
    match coding.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "identity" => Ok(None),
        "gzip" | "x-gzip" => Ok(Some(Coding::Gzip)),
        "zstd" => Ok(Some(Coding::Zstd)),
        _ => Err(Unreadable::Coding),
    }
}

/// The body that came in a coding, of so many bytes at most.
pub fn decompressed(coding: Coding, body: &[u8], most: usize) -> Result<Vec<u8>, Unreadable> {
    let read = |reader: &mut dyn Read| -> io::Result<Vec<u8>> {
        let mut made = Vec::new();
        reader.take(most as u64 + 1).read_to_end(&mut made)?;
        Ok(made)
    };
    let made = match coding {
        Coding::Gzip => read(&mut MultiGzDecoder::new(body)),
        Coding::Zstd => zstd::Decoder::new(body).and_then(|mut reader| {
            reader.window_log_max(MOST_WINDOW)?;
            read(&mut reader)
        }),
        Coding::Brotli => return Err(Unreadable::Coding),
    };
    let made = made.map_err(|_| Unreadable::Broken)?;
    if made.len() > most { Err(Unreadable::TooLarge) } else { Ok(made) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    fn asking(text: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(text));
        headers
    }

    #[test]
    fn a_client_gets_what_it_likes_best() {
        for (asked, given) in [
            ("", None),
            ("identity", None),
            ("deflate", None),
            ("gzip", Some(Coding::Gzip)),
            ("x-gzip", Some(Coding::Gzip)),
            ("GZIP;q=0.5", Some(Coding::Gzip)),
            ("deflate, gzip, br, zstd", Some(Coding::Zstd)),
            ("gzip, br", Some(Coding::Gzip)),
            ("gzip;q=0.5, br;q=0.8", Some(Coding::Brotli)),
            ("gzip;q=0", None),
            ("*", Some(Coding::Zstd)),
            ("zstd;q=0, *;q=0.1", Some(Coding::Gzip)),
            ("identity, gzip;q=0.5", None),
            ("gzip;q=wrong", None),
        ] {
            assert_eq!(accepted(&asking(asked)), given, "{asked}");
        }
    }

    #[test]
    fn what_is_compressed_can_be_read_and_has_a_bound() {
        let body = b"{\"a\":\"incident incident incident\"}".repeat(1_000);
        for coding in [Coding::Gzip, Coding::Zstd] {
            let made = compressed(coding, &body).expect("compressed");
            assert!(made.len() < body.len() / 20);
            assert_eq!(decompressed(coding, &made, body.len()).as_deref(), Ok(&body[..]));
            assert_eq!(decompressed(coding, &made, body.len() - 1), Err(Unreadable::TooLarge));
            assert_eq!(decompressed(coding, &made[..made.len() / 2], body.len()), Err(Unreadable::Broken));
            assert_eq!(decompressed(coding, b"{}", 10), Err(Unreadable::Broken));
        }
        let made = compressed(Coding::Brotli, &body).expect("compressed");
        let mut read = Vec::new();
        brotli::Decompressor::new(&made[..], 4096).read_to_end(&mut read).expect("brotli");
        assert_eq!(read, body);
    }
}
