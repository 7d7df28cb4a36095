//! What fred's errors mean to callers: not reachable, refused, or not understood.

use fred::error::{Error, ErrorKind};

use crate::backend::BackendError;

/// Answers that stand for "not now": the server is there and will be better.
const NOT_NOW: [&str; 6] = ["LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "UNBLOCKED"];

/// Answers that stand for "no": the command was not carried out.
const NO: [&str; 11] = [
    "OOM",
    "NOREPLICAS",
    "READONLY",
    "NOPERM",
    "MISCONF",
    "WRONGTYPE",
    "NOAUTH",
    "WRONGPASS",
    "DENIED",
    "NOGROUP",
    "BUSYGROUP",
];

/// The caller's view of an error. The server's own words are kept, they hold no secret.
pub(super) fn explain(error: &Error) -> BackendError {
    let text = error.details();
    let code = text.split_whitespace().next().unwrap_or_default();
    if NOT_NOW.contains(&code) {
        return BackendError::Unavailable(text.to_owned());
    }
    if NO.contains(&code) {
        return BackendError::Refused(text.to_owned());
    }
    // a slot that is being moved: the script says so itself where it may not have done anything yet
    if text.contains("non local key in a cluster node") {
        return BackendError::Unavailable(text.to_owned());
    }
    match error.kind() {
        ErrorKind::Timeout => BackendError::TimedOut,
        ErrorKind::IO
        | ErrorKind::Canceled
        | ErrorKind::Routing
        | ErrorKind::Cluster
        | ErrorKind::Sentinel => BackendError::Unavailable(text.to_owned()),
        ErrorKind::Tls => BackendError::Unavailable(format!("TLS: {text}")),
        ErrorKind::Backpressure => BackendError::Unavailable("too many commands are waiting".to_owned()),
        ErrorKind::Auth | ErrorKind::Config | ErrorKind::Url => BackendError::Refused(text.to_owned()),
        // a server's refusal begins with ERR; a script that broke down half-way says where
        ErrorKind::Unknown if code == "ERR" && !text.contains("script: ") => {
            BackendError::Refused(text.to_owned())
        }
        ErrorKind::Unknown if code != "ERR" => BackendError::Unavailable(text.to_owned()),
        _ => BackendError::Protocol(text.to_owned()),
    }
}

/// Whether the server says that it does not know the script (any more).
pub(super) fn is_noscript(error: &Error) -> bool {
    error.details().starts_with("NOSCRIPT")
}

/// Whether a key holds something else than ours.
pub(super) fn is_wrong_type(error: &Error) -> bool {
    error.details().starts_with("WRONGTYPE")
}

/// Whether a consumer group is not there: the stream is new, or somebody deleted it.
pub(super) fn is_no_group(error: &Error) -> bool {
    // a reader that was waiting when the stream was deleted hears UNBLOCKED
    error.details().starts_with("NOGROUP") || error.details().starts_with("UNBLOCKED")
}

/// Whether a server of a Cluster says that it does not have the slot.
pub(super) fn is_moved(unavailable: &str) -> bool {
    unavailable.starts_with("MOVED") || unavailable.starts_with("CLUSTERDOWN")
}

/// Whether a server says that it is none of a Cluster's.
pub(super) fn is_no_cluster(refusal: &str) -> bool {
    refusal.contains("cluster support disabled")
}

/// Whether the connection leads to a server that is no primary (any more).
pub(super) fn is_demotion(refusal: &str) -> bool {
    refusal.starts_with("READONLY")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_and_absences_are_told_apart() {
        let of = |kind, text: &'static str| explain(&Error::new(kind, text));
        let oom = of(ErrorKind::Unknown, "OOM command not allowed when used memory > 'maxmemory'.");
        assert!(matches!(oom, BackendError::Refused(_)));
        let no_replicas = of(ErrorKind::Unknown, "NOREPLICAS Not enough good replicas to write.");
        assert!(matches!(no_replicas, BackendError::Refused(_)));
        let loading = of(ErrorKind::Unknown, "LOADING Redis is loading the dataset in memory");
        assert!(matches!(loading, BackendError::Unavailable(_)));
        assert!(matches!(of(ErrorKind::Timeout, "Request timed out."), BackendError::TimedOut));
        assert!(matches!(of(ErrorKind::Unknown, "oneshot canceled"), BackendError::Unavailable(_)));
        let broken = of(ErrorKind::Unknown, "ERR user_script:7: bad argument script: 1f, on @user_script:7.");
        assert!(matches!(broken, BackendError::Protocol(_)));
    }
}
