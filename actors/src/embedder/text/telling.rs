//! Numbers that tell failures apart, as features.

/// A number that tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Number {
    pub term: String,
    pub sort: Sort,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// How a process ended, or the signal that ended it.
    Exit,
    Http,
    /// Another code, or a port.
    Code,
    /// A version or a limit.
    Detail,
}

/// Codes have terms that begin with this.
pub const CODE: char = '#';
/// Versions and limits have terms that begin with this.
pub const DETAIL: char = '~';

/// All codes of HTTP.
pub(super) const HTTP_CODES: &str = "\
    301 302 304 307 308 400 401 402 403 404 405 406 408 409 410 412 413 414 415 417 421 422 423 424 425 426 428 429 431 \
    451 499 500 501 502 503 504 505 507 508 511 520 521 522 523 524 525 526 527 529";

pub(super) fn code(digits: &str, sort: Sort) -> Number {
    Number { term: format!("{CODE}{digits}"), sort }
}

pub(super) fn detail(text: impl std::fmt::Display) -> Number {
    Number { term: format!("{DETAIL}{text}"), sort: Sort::Detail }
}

/// The concepts of a code: what different writings of it have in common.
pub(super) fn concepts_of(number: &Number) -> &'static [&'static str] {
    let digits = number.term.trim_start_matches(CODE);
    match (number.sort, digits) {
        (Sort::Exit, "9" | "137") => &["=sigkill"],
        (Sort::Exit, "11" | "139") => &["=sigsegv"],
        (Sort::Exit, "15" | "143") => &["=sigterm"],
        (Sort::Exit, "6" | "134") => &["=sigabrt"],
        (Sort::Http, digits) if digits.starts_with('5') => &["=5xx"],
        (Sort::Http, digits) if digits.starts_with('4') => &["=4xx"],
        _ => &[],
    }
}
