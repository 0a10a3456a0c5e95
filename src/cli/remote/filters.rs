//! The filters of incidents, as flags. A test compares them with those of the API.

use super::Query;
use serde_json::{Map, Value};

macro_rules! filters {
    ($($(#[doc = $help:literal])+ $field:ident: $value:literal;)*) => {
        /// Which incidents; a flag that is repeated takes any of its values.
        #[derive(Debug, Clone, Default, clap::Args)]
        #[command(next_help_heading = "Filters")]
        pub struct FilterOptions { $(
            $(#[doc = $help])+
            #[arg(long, value_name = $value)]
            $field: Vec<String>,
        )* }

        impl FilterOptions {
            /// The names as the API has them, and the values.
            fn given(&self) -> Vec<(&'static str, &[String])> {
                vec![$((stringify!($field), self.$field.as_slice()),)*]
            }
        }
    };
}

filters! {
    /// Name of the alert
    alert_name: "NAME";
    /// critical, high, medium or low
    severity: "SEVERITY";
    /// What was done, like scale
    action_type: "ACTION";
    /// Namespace
    namespace: "NAME";
    /// Cluster
    cluster: "NAME";
    /// pending, in_progress, completed, failed, cancelled or rolled_back
    status: "STATUS";
    /// What it was done to, like deployment/web
    target_resource: "TARGET";
    /// Fingerprint of the alert
    alert_fingerprint: "FINGERPRINT";
    /// Environment, like production
    environment: "NAME";
    /// Remediation request
    remediation_request_id: "ID";
    /// From then on: RFC 3339, or a span before now like 24h or 7d
    since: "TIME";
    /// Before then
    until: "TIME";
}

impl FilterOptions {
    pub fn query(&self) -> Query {
        let given = self.given().into_iter();
        given.flat_map(|(name, values)| values.iter().map(move |value| (name, value.clone()))).collect()
    }

    /// As a search's body has them.
    pub fn body(&self) -> Map<String, Value> {
        let given = self.given().into_iter().filter(|(_, values)| !values.is_empty());
        given
            .map(|(name, values)| {
                let value = if let [only] = values { only.clone().into() } else { values.to_vec().into() };
                (name.to_owned(), value)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_storage_actors::domain::filter::filters;

    #[test]
    fn the_flags_are_the_filters_of_the_api() {
        let options = FilterOptions::default();
        let names: Vec<&str> = options.given().iter().map(|(name, _)| *name).collect();
        assert_eq!(names, filters());
    }
}
