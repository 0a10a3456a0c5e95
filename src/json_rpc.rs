//! Where requests carry JSON-RPC 2.0, and what its errors are called.

pub const PATH: &str = "/mcp";

pub const PARSE_ERROR: i32 = -32700;
pub const INVALID_REQUEST: i32 = -32600;
pub const METHOD_NOT_FOUND: i32 = -32601;
pub const INVALID_PARAMS: i32 = -32602;
pub const INTERNAL_ERROR: i32 = -32603;
/// A header that says something else than the body.
pub const HEADER_MISMATCH: i32 = -32020;
pub const UNSUPPORTED_VERSION: i32 = -32022;
/// Codes of this service, in the range that is free for implementations: the HTTP status says more.
pub const REFUSED: i32 = -32000;
pub const UNAVAILABLE: i32 = -32001;
