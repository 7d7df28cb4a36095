//! Every request that is answered, and what it takes to ask it.

/// What a request needs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Needs {
    /// Nothing.
    Nothing,
    /// A token, whichever.
    Token,
    /// A token with all of these rights, for this much.
    Rights(&'static [&'static str], Reach),
}

/// What a token has to be for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reach {
    /// The namespace `one`.
    One,
    /// All namespaces.
    All,
    /// Any namespace: what is shown is no more than the token is for.
    Any,
}

/// A request and what it takes.
#[derive(Debug)]
pub(super) struct Row {
    /// On the admin listener.
    pub(super) admin: bool,
    /// The variant of `DataRoute` or `AdminRoute`.
    pub(super) route: &'static str,
    /// Method and path.
    pub(super) line: &'static str,
    pub(super) body: &'static str,
    pub(super) needs: Needs,
}

const fn data(route: &'static str, line: &'static str, body: &'static str, needs: Needs) -> Row {
    Row { admin: false, route, line, body, needs }
}

const fn admin(route: &'static str, line: &'static str, body: &'static str, needs: Needs) -> Row {
    Row { admin: true, route, line, body, needs }
}

const READ: Needs = Needs::Rights(&["read"], Reach::One);
const WRITE: Needs = Needs::Rights(&["write"], Reach::One);
const LOCK: Needs = Needs::Rights(&["write"], Reach::All);
const PURGE: Needs = Needs::Rights(&["invalidate"], Reach::One);
const PURGE_ALL: Needs = Needs::Rights(&["invalidate"], Reach::All);
const LOOK: Needs = Needs::Rights(&["admin"], Reach::Any);
const LOOK_AT_ONE: Needs = Needs::Rights(&["admin"], Reach::One);
const OPERATE: Needs = Needs::Rights(&["admin"], Reach::All);
const BOTH: Needs = Needs::Rights(&["admin", "invalidate"], Reach::One);
const BOTH_ALL: Needs = Needs::Rights(&["admin", "invalidate"], Reach::All);

const KEYS: &str = r#"{"keys": ["a", "b"]}"#;
const KEY: &str = r#"{"namespace": "one", "keys": ["k"]}"#;
const TAG: &str = r#"{"tags": ["t"]}"#;
const ALL: &str = r#"{"all": true}"#;
/// How a CloudEvent begins.
pub(super) const CLOUD_EVENT: &str = r#"{"specversion": "1.0""#;
const CLOUD_KEY: &str = r#"{"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"namespace": "one", "keys": ["k"]}}"#;
const CLOUD_TAG: &str =
    r#"{"specversion": "1.0", "id": "2", "source": "/s", "type": "t", "data": {"tags": ["t"]}}"#;
const IDS: &str = r#"{"ids": ["1-0"]}"#;

/// A row at least for every route and method.
pub(super) const ROWS: &[Row] = &[
    data("Read", "GET /v1/cache/one/k", "", READ),
    data("Read", "HEAD /v1/cache/one/k", "", READ),
    data("Put", "PUT /v1/cache/one/k", "v", WRITE),
    data("Put", "PUT /v1/cache/one/k?wait=all", "v", WRITE),
    data("Delete", "DELETE /v1/cache/one/k", "", WRITE),
    data("Purge", "PURGE /v1/cache/one/k", "", PURGE),
    data("Purge", "PURGE /v1/cache/one/k?soft=true", "", PURGE),
    data("Bulk", "GET /v1/cache/one?keys=a,b", "", READ),
    data("Bulk", "HEAD /v1/cache/one?keys=a,b", "", READ),
    data("BulkPost", "POST /v1/cache/one", KEYS, READ),
    data("Warm", "POST /v1/warm/one", KEYS, WRITE),
    data("Invalidate", "POST /v1/invalidate", KEY, PURGE),
    data("Invalidate", "POST /v1/invalidate?wait=all", KEY, PURGE),
    data("Invalidate", "POST /v1/invalidate", TAG, PURGE_ALL),
    data("Invalidate", "POST /v1/invalidate", ALL, PURGE_ALL),
    data("Events", "POST /v1/events", CLOUD_KEY, PURGE),
    data("Events", "POST /v1/events", CLOUD_TAG, PURGE_ALL),
    data("TakeLock", "POST /v1/locks/one", "", LOCK),
    data("ExtendLock", "PUT /v1/locks/one", "", LOCK),
    data("GiveUpLock", "DELETE /v1/locks/one", "", LOCK),
    data("Healthz", "GET /healthz", "", Needs::Nothing),
    data("Healthz", "HEAD /healthz", "", Needs::Nothing),
    data("Readyz", "GET /readyz", "", Needs::Nothing),
    data("Readyz", "HEAD /readyz", "", Needs::Nothing),
    admin("Page", "GET /", "", LOOK),
    admin("Page", "HEAD /", "", LOOK),
    admin("Healthz", "GET /healthz", "", Needs::Nothing),
    admin("Healthz", "HEAD /healthz", "", Needs::Nothing),
    admin("Readyz", "GET /readyz", "", Needs::Nothing),
    admin("Readyz", "HEAD /readyz", "", Needs::Nothing),
    admin("Metrics", "GET /metrics", "", Needs::Nothing),
    admin("Metrics", "HEAD /metrics", "", Needs::Nothing),
    admin("Stats", "GET /stats", "", LOOK),
    admin("Stats", "HEAD /stats", "", LOOK),
    admin("ResetStats", "POST /stats/reset", "", OPERATE),
    admin("Events", "GET /events", "", LOOK),
    admin("Explain", "GET /v1/explain/one/k", "", LOOK_AT_ONE),
    admin("Explain", "HEAD /v1/explain/one/k", "", LOOK_AT_ONE),
    admin("Rights", "GET /v1/rights", "", Needs::Token),
    admin("Rights", "HEAD /v1/rights", "", Needs::Token),
    admin("Invalidate", "POST /v1/invalidate", KEY, BOTH),
    admin("Invalidate", "POST /v1/invalidate", TAG, BOTH_ALL),
    admin("PendingWrites", "GET /v1/writes/pending", "", OPERATE),
    admin("PendingWrites", "GET /v1/writes/pending?namespace=one", "", LOOK_AT_ONE),
    admin("PendingWrites", "HEAD /v1/writes/pending?namespace=one", "", LOOK_AT_ONE),
    admin("DeadWrites", "GET /v1/writes/dead", "", OPERATE),
    admin("DeadWrites", "GET /v1/writes/dead?namespace=one", "", LOOK_AT_ONE),
    admin("DeadWrites", "HEAD /v1/writes/dead?namespace=one", "", LOOK_AT_ONE),
    admin("RetryWrites", "POST /v1/writes/retry", IDS, OPERATE),
    admin("DropWrites", "POST /v1/writes/drop", IDS, OPERATE),
];
