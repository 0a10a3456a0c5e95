//! The list of all settings. Each is a flag and an environment variable. A test compares the list with
//! docs/configuration.md.

macro_rules! settings {
    ($($heading:ident = $title:literal { $($(#[doc = $help:literal])+ $field:ident = $name:literal;)* })*) => {
        /// The settings as text, by flag or by environment variable. Some hold passwords, so they are never printed.
        #[derive(Clone, Default, clap::Args)]
        pub struct Settings { $($(
            $(#[doc = $help])+
            #[arg(long, env = $name, hide_env_values = true, value_name = "VALUE", help_heading = $title)]
            pub $field: Option<String>,
        )*)* }

        impl std::fmt::Debug for Settings {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("Settings")
            }
        }

        /// The names of all environment variables.
        pub const VARIABLES: &[&str] = &[$($($name),*),*];

        /// The titles under which the help of a command shows settings.
        pub mod headings {
            $(pub const $heading: &str = $title;)*
        }
    };
}

settings! {
    ADDRESSES = "Addresses" {
        /// Address of the REST API and of the health paths [default: 0.0.0.0:8080]
        listen_addr = "LISTEN_ADDR";
        /// Address of the metrics [default: 0.0.0.0:9090]
        metrics_addr = "METRICS_ADDR";
    }
    DATABASES = "Databases" {
        /// URL of the audit database: postgresql://…
        database_url = "DATABASE_URL";
        /// File that holds DATABASE_URL
        database_url_file = "DATABASE_URL_FILE";
        /// URL of the database for reads; a replica of the audit database is enough [default: DATABASE_URL]
        read_database_url = "READ_DATABASE_URL";
        /// File that holds READ_DATABASE_URL
        read_database_url_file = "READ_DATABASE_URL_FILE";
        /// URL of the database of the vectors [default: DATABASE_URL]
        vector_database_url = "VECTOR_DATABASE_URL";
        /// File that holds VECTOR_DATABASE_URL
        vector_database_url_file = "VECTOR_DATABASE_URL_FILE";
        /// Whether the tables are distributed over the nodes of Citus, by `migrate` and at the start: true or false [default: false]
        distribute = "DISTRIBUTE";
        /// With DISTRIBUTE=true: shards of each table, when it is distributed [default: 8]
        distribute_shards = "DISTRIBUTE_SHARDS";
        /// With DISTRIBUTE=true: whether audits are written, and short reads made, straight at the nodes that have the shards: true or false [default: false]
        citus_direct = "CITUS_DIRECT";
        /// Folder of the embedded PostgreSQL and of its tokens [default: ./data; as root /var/lib/data-storage]
        embedded_dir = "EMBEDDED_DIR";
        /// Folder of the PostgreSQL programs for --embedded [default: where `make` put them]
        embedded_pg_bin = "EMBEDDED_PG_BIN";
    }
    RIGHTS = "Identities and rights" {
        /// How tokens are checked: kubernetes or static [default: kubernetes; static with --embedded]
        auth_mode = "AUTH_MODE";
        /// Static token file, one line a token: token,user,uid,"group1,group2"
        auth_tokens_file = "AUTH_TOKENS_FILE";
        /// Kubeconfig file of the API server [default: the pod's own service account]
        kubeconfig = "KUBECONFIG";
        /// Accepted audiences, comma-separated; a token must have one of them [default: the API server's own]
        token_audiences = "TOKEN_AUDIENCES";
        /// How long a valid token is remembered [default: 30s]
        token_cache_ttl = "TOKEN_CACHE_TTL";
        /// How long a refused token is remembered [default: 5s]
        token_cache_negative_ttl = "TOKEN_CACHE_NEGATIVE_TTL";
        /// Most calls to the API server at once [default: 16]
        token_review_concurrency = "TOKEN_REVIEW_CONCURRENCY";
        /// Most token reviews a second for one peer [default: 20]
        token_review_rps_per_peer = "TOKEN_REVIEW_RPS_PER_PEER";
        /// How rights are checked: list or rbac [default: list]
        authz_mode = "AUTHZ_MODE";
        /// Namespace of the rights, with AUTHZ_MODE=rbac [default: the pod's or the kubeconfig context's, else default]
        authz_namespace = "AUTHZ_NAMESPACE";
        /// Whether reads need a token too: true or false [default: false]
        auth_reads = "AUTH_READS";
        /// Users who may write remediation audits, comma-separated
        writers_remediation = "WRITERS_REMEDIATION";
        /// Users who may write workflow audits, comma-separated
        writers_workflow = "WRITERS_WORKFLOW";
        /// Users who may read, with AUTH_READS=true, comma-separated [default: nobody]
        readers = "READERS";
    }
    RATES = "Rate limits" {
        /// Most requests a second of one identity; 0: no limit, and no limit on token reviews [default: 100]
        rate_limit_rps = "RATE_LIMIT_RPS";
        /// Most reads a second from one peer, without AUTH_READS; 0: no limit [default: 0]
        read_rate_limit_rps = "READ_RATE_LIMIT_RPS";
    }
    TLS = "TLS" {
        /// Certificate chain of the REST API, a PEM file [default: no TLS]
        tls_cert_file = "TLS_CERT_FILE";
        /// Private key of the certificate, a PEM file
        tls_key_file = "TLS_KEY_FILE";
        /// PEM file of authorities; a client must show a certificate of one of them [default: clients need no certificate]
        tls_client_ca_file = "TLS_CLIENT_CA_FILE";
    }
    POOLS = "Pools and times" {
        /// Most connections of the write pool [default: 8]
        write_pool_max = "WRITE_POOL_MAX";
        /// Most connections of the read pool [default: 8]
        read_pool_max = "READ_POOL_MAX";
        /// Most connections of the vector write pool [default: 4]
        vector_write_pool_max = "VECTOR_WRITE_POOL_MAX";
        /// Most connections of the vector read pool [default: 8]
        vector_read_pool_max = "VECTOR_READ_POOL_MAX";
        /// Longest life of a database connection [default: 5m]
        pool_max_lifetime = "POOL_MAX_LIFETIME";
        /// Longest time of a request, from its head to its answer [default: 4s]
        request_deadline = "REQUEST_DEADLINE";
        /// Longest wait for a permit [default: 1s]
        permit_wait = "PERMIT_WAIT";
        /// Most writes at once [default: 2048]
        write_permits = "WRITE_PERMITS";
        /// Most reads at once [default: 256]
        read_permits = "READ_PERMITS";
        /// Most searches at once [default: 64]
        search_permits = "SEARCH_PERMITS";
        /// How long requests are still served after SIGTERM, for a balancer that follows /health/ready [default: 0s]
        shutdown_delay = "SHUTDOWN_DELAY";
        /// Longest time from the end of that delay to the end of the process [default: 25s]
        shutdown_grace = "SHUTDOWN_GRACE";
    }
    AUDITS = "Audits" {
        /// How long the content of a body without any time is remembered [default: 10m]
        replay_window = "REPLAY_WINDOW";
        /// Largest body, in bytes or with KiB or MiB [default: 1MiB]
        max_body_bytes = "MAX_BODY_BYTES";
        /// Most audits of one flush [default: 512]
        flush_max_rows = "FLUSH_MAX_ROWS";
        /// Most bytes of one flush [default: 4MiB]
        flush_max_bytes = "FLUSH_MAX_BYTES";
        /// How far in the past the time of an audit may lie [default: 400d]
        audit_max_age = "AUDIT_MAX_AGE";
        /// How far in the future the time of an audit may lie [default: 1h]
        audit_max_ahead = "AUDIT_MAX_AHEAD";
        /// Whole months kept before this one; older ones are dropped, and their audits refused; 0 keeps all [default: 0]
        retention_months = "RETENTION_MONTHS";
    }
    CLIENTS = "Clients, pages and agents" {
        /// Most connections from clients [default: 8192]
        max_connections = "MAX_CONNECTIONS";
        /// Origins of pages that may use the API, comma-separated, such as `https://console.example.com`; *: any [default: none]
        cors_origins = "CORS_ORIGINS";
        /// Whether people may look at the service at /console/: true or false [default: true]
        console = "CONSOLE";
        /// Whether agents may use the service at /mcp: true or false [default: true]
        mcp = "MCP";
        /// Origins of pages that may use /mcp, comma-separated [default: none]
        mcp_allowed_origins = "MCP_ALLOWED_ORIGINS";
        /// Host names that /mcp answers to, comma-separated [default: any; with --embedded localhost, 127.0.0.1 and ::1]
        mcp_allowed_hosts = "MCP_ALLOWED_HOSTS";
    }
    EMBEDDER = "Searches" {
        /// Which embedder makes the vectors of audits: builtin, minilm, http or off [default: builtin]
        embedder = "EMBEDDER";
        /// With EMBEDDER=minilm: folder of all-MiniLM-L6-v2 (model.safetensors, config.json and tokenizer.json)
        embedder_path = "EMBEDDER_PATH";
        /// With EMBEDDER=http: URL of an OpenAI-compatible endpoint, like https://host/v1/embeddings
        embedder_url = "EMBEDDER_URL";
        /// File that holds EMBEDDER_URL
        embedder_url_file = "EMBEDDER_URL_FILE";
        /// With EMBEDDER=http: name of the model
        embedder_model = "EMBEDDER_MODEL";
        /// With EMBEDDER=http: key of the endpoint, sent as bearer token
        embedder_key = "EMBEDDER_KEY";
        /// File that holds EMBEDDER_KEY
        embedder_key_file = "EMBEDDER_KEY_FILE";
        /// A completed remediation counts as recurred if its alert comes back within this time after its end [default: 24h]
        recurrence_window = "RECURRENCE_WINDOW";
    }
    TRACES = "Traces" {
        /// Base URL of a collector that takes OTLP over HTTP, like http://collector:4318 [default: no traces]
        otel_exporter_otlp_endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT";
        /// URL that spans are sent to [default: OTEL_EXPORTER_OTLP_ENDPOINT and /v1/traces]
        otel_exporter_otlp_traces_endpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        /// How long the collector may take for a batch of spans, in milliseconds [default: 10000]
        otel_exporter_otlp_timeout = "OTEL_EXPORTER_OTLP_TIMEOUT";
        /// Takes traces away all the same: true or false [default: false]
        otel_sdk_disabled = "OTEL_SDK_DISABLED";
        /// Name of the service in its traces [default: data-storage]
        otel_service_name = "OTEL_SERVICE_NAME";
        /// Sampler: parentbased_traceidratio, traceidratio, always_on, always_off or parentbased_always_on, _off [default: parentbased_traceidratio]
        otel_traces_sampler = "OTEL_TRACES_SAMPLER";
        /// Share of the requests without a caller's decision that are traced, 0 to 1 [default: 0.01]
        otel_traces_sampler_arg = "OTEL_TRACES_SAMPLER_ARG";
        /// Whether a caller's decision to trace a request is followed: true or false [default: true]
        trace_trust_parent = "TRACE_TRUST_PARENT";
    }
    LOG = "Log" {
        /// Format of the log: json or pretty [default: json; pretty on a terminal]
        log_format = "LOG_FORMAT";
        /// Level or filter of the log [default: info]
        log_level = "LOG_LEVEL";
    }
}
