//! Settings of traces, by the names that OpenTelemetry gives them.

use super::values::{number, truth};
use super::{Reader, Settings, given};
use std::time::Duration;

/// Which requests are traced.
#[derive(Debug, Clone, Copy)]
pub struct Sampler {
    /// The share of requests without a caller's decision, 0 to 1.
    pub ratio: f64,
    /// Whether a caller's decision is followed.
    pub trusts_parent: bool,
}

/// Where spans go, and which requests have some.
#[derive(Debug, Clone)]
pub struct TraceConfig {
    pub endpoint: String,
    /// How long a batch may take.
    pub timeout: Duration,
    /// Whether `OTEL_SERVICE_NAME` names the service; the library reads it by itself.
    pub is_named: bool,
    pub sampler: Sampler,
}

impl Reader {
    pub(super) fn traces(&mut self, s: &Settings) -> Option<TraceConfig> {
        let url = |text: &str| match text {
            "" => Ok(None),
            text if text.starts_with("http://") || text.starts_with("https://") => {
                Ok(Some(text.trim_end_matches('/').to_owned()))
            }
            _ => Err("must be a URL with http:// or https://".to_owned()),
        };
        let base = self.or("OTEL_EXPORTER_OTLP_ENDPOINT", &s.otel_exporter_otlp_endpoint, "", url);
        let traces = self.or("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &s.otel_exporter_otlp_traces_endpoint, "", url);
        let ratio = self.or("OTEL_TRACES_SAMPLER_ARG", &s.otel_traces_sampler_arg, "0.01", |text| {
            text.parse::<f64>()
                .ok()
                .filter(|ratio| (0.0..=1.0).contains(ratio))
                .ok_or_else(|| "must be a number from 0 to 1".into())
        });
        let trusts_parent = self.or("TRACE_TRUST_PARENT", &s.trace_trust_parent, "true", truth);
        let sampler = self.or("OTEL_TRACES_SAMPLER", &s.otel_traces_sampler, "parentbased_traceidratio", |text| {
            let (is_parent_based, rest) = match text.strip_prefix("parentbased_") {
                Some(rest) => (true, rest),
                None => (false, text),
            };
            let ratio = match rest {
                "traceidratio" => ratio,
                "always_on" => 1.0,
                "always_off" => 0.0,
                _ => {
                    return Err(
                        "must be traceidratio, always_on or always_off, or one of these behind parentbased_".to_owned()
                    );
                }
            };
            Ok(Sampler { ratio, trusts_parent: is_parent_based && trusts_parent })
        });
        let timeout = self
            .or("OTEL_EXPORTER_OTLP_TIMEOUT", &s.otel_exporter_otlp_timeout, "10000", |text| number(text, 1, 600_000));
        let is_disabled = self.or("OTEL_SDK_DISABLED", &s.otel_sdk_disabled, "false", truth);
        let endpoint = traces.or_else(|| base.map(|base| format!("{base}/v1/traces")))?;
        if is_disabled {
            return None;
        }
        Some(TraceConfig {
            endpoint,
            timeout: Duration::from_millis(timeout),
            is_named: given(&s.otel_service_name).is_some(),
            sampler,
        })
    }
}
