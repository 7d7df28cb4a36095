//! Why a run failed: any error, for whoever started it to read.

/// What went wrong.
pub(crate) type Fault = Box<dyn std::error::Error + Send + Sync>;
