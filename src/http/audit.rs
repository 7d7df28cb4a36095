//! Refused attempts, for the audit: who asked for what without the right, so often a second and no more.

use std::net::IpAddr;

use hyper::Method;
use tracing::info;

use super::problem::{Code, Problem};
use crate::telemetry::Throttle;

static REFUSED: Throttle = Throttle::new();

/// Tells of a refusal, if it was one for want of a right. The route is its template and the reason names a token and never
/// its secret: no key is in either.
pub(super) fn refused(problem: &Problem, method: &Method, route: &str, peer: IpAddr) {
    if !matches!(problem.code(), Code::Unauthorized | Code::Forbidden) {
        return;
    }
    let Some(suppressed) = REFUSED.pass() else { return };
    let peer = peer.to_string();
    info!(
        target: "coherd::audit",
        { audit.outcome = "refused",
        audit.method = method.as_str(),
        audit.route = route,
        audit.peer = peer.as_str(),
        audit.why = problem.detail(),
        suppressed },
        "a request was refused"
    );
}
