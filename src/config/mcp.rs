//! From where the Model Context Protocol may be spoken.

/// Who may send requests to `/mcp`, beside what tokens say.
#[derive(Debug, Clone, Default)]
pub struct McpConfig {
    /// Pages of these origins may; a client that is no browser sends none.
    pub origins: Vec<String>,
    /// The names that the service is called by; all if there are none.
    pub hosts: Vec<String>,
}

impl McpConfig {
    /// Whether pages of an origin may use the service: it is listed, or it is a host that the service is called by.
    pub fn is_origin(&self, origin: &str) -> bool {
        let host = origin.split_once("://").map_or("", |(_, host)| host);
        self.origins.iter().any(|known| known.eq_ignore_ascii_case(origin))
            || self.hosts.iter().any(|known| is_host(host, known))
    }

    /// Whether the service is called by this name.
    pub fn is_host(&self, host: &str) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|known| is_host(host, known))
    }
}

/// Whether a host, with or without a port, is this one.
fn is_host(host: &str, known: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    host.eq_ignore_ascii_case(known)
        || name.trim_matches(['[', ']']).eq_ignore_ascii_case(known.trim_matches(['[', ']']))
}

#[cfg(test)]
mod tests {
    use super::is_host;

    #[test]
    fn hosts_with_and_without_ports() {
        for (host, known, is) in [
            ("localhost:8080", "localhost", true),
            ("LOCALHOST", "localhost", true),
            ("127.0.0.1:9", "127.0.0.1", true),
            ("[::1]:8080", "::1", true),
            ("memory:8080", "memory:8080", true),
            ("memory:8081", "memory:8080", false),
            ("localhost.evil", "localhost", false),
            ("", "localhost", false),
        ] {
            assert_eq!(is_host(host, known), is, "{host} {known}");
        }
    }
}
