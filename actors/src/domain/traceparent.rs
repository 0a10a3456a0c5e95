//! Which trace a request belongs to: the `traceparent` header of W3C Trace Context.

/// The ids of the trace and of the caller's span, 32 and 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent<'a> {
    pub trace_id: &'a str,
    pub parent_id: &'a str,
    /// Whether the caller traces the request.
    pub is_sampled: bool,
}

impl<'a> TraceParent<'a> {
    /// `None` if the header does not have this form: the request then counts as one without a trace. Later versions of
    /// the header may have more parts after the flags.
    pub fn parse(header: &'a [u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(header).ok()?.split('-');
        let version = digits(parts.next()?, 2)?;
        let trace_id = digits(parts.next()?, 32)?;
        let parent_id = digits(parts.next()?, 16)?;
        let flags = u8::from_str_radix(digits(parts.next()?, 2)?, 16).ok()?;
        let nothing_more = parts.next().is_none();
        let some = |id: &str| id.bytes().any(|b| b != b'0');
        let valid = version != "ff" && (version != "00" || nothing_more) && some(trace_id) && some(parent_id);
        valid.then_some(TraceParent { trace_id, parent_id, is_sampled: flags & 1 == 1 })
    }
}

fn digits(text: &str, count: usize) -> Option<&str> {
    let hexadecimal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (text.len() == count && text.bytes().all(hexadecimal)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_form_is_taken() {
        let (trace_id, parent_id) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let taken = Some(TraceParent { trace_id, parent_id, is_sampled: true });
        let of = |header: &'static str| TraceParent::parse(header.as_bytes());
        assert_eq!(of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), taken);
        assert_eq!(of("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes"), taken);
        for wrong in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
