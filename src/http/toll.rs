//! Rate limits at the door: who sends a request, and what it is told of its limit.
//!
//! Every answer to a request that was counted says where its sender stands, by the fields of
//! draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy: "default";q=100;w=60`, `RateLimit: "default";r=99;t=1`.

use std::net::IpAddr;
use std::time::Duration;

use hyper::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use super::auth::Caller;
use super::front::Sender;
use super::problem::{Code, Problem};
use super::reply::{in_seconds, text_value};
use crate::limit::{Key, RateLimits};
use crate::model::{CallerId, Quota, Verdict};

/// The quota: so many requests in a window of so many seconds.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// How many are left, and in how many seconds all are again, or one is where none are left.
const STANDING: HeaderName = HeaderName::from_static("ratelimit");

/// What an answer says.
pub(super) type Headers = Vec<(HeaderName, HeaderValue)>;

/// Counts a request for a namespace, or refuses it; what its answer says of the limit, if there is one. Whoever sends
/// nothing to be told apart by is not counted.
pub(super) async fn pay(
    limits: &RateLimits,
    namespace: &str,
    caller: &Caller<'_>,
    Sender { headers, peer, .. }: Sender<'_>,
) -> Result<Headers, Problem> {
    let Some(id) = limits.key(namespace).and_then(|key| identify(key, headers, caller, peer)) else {
        return Ok(Headers::new());
    };
    // Its room is on the heap: a future is as large as what it may wait for, and most requests are not counted.
    let Some((quota, verdict)) = Box::pin(limits.admit(namespace, id)).await else {
        return Ok(Headers::new());
    };
    match verdict {
        Verdict::Admitted { left } => Ok(standing(quota, left, quota.regained(left)).into()),
        Verdict::Refused { wait } => {
            let after = in_seconds(wait);
            let detail =
                format!("the rate limit of namespace `{namespace}` is reached, retry after {after} s");
            let refusal = Problem::new(Code::RateLimited, detail).with_header(RETRY_AFTER, after.into());
            Err(standing(quota, 0, wait)
                .into_iter()
                .fold(refusal, |it, (name, value)| it.with_header(name, value)))
        }
    }
}

fn identify(key: &Key, headers: &HeaderMap, caller: &Caller<'_>, peer: IpAddr) -> Option<CallerId> {
    match key {
        Key::Header(name) => {
            let values: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
            let value = values.join(&b","[..]);
            (!value.is_empty()).then(|| CallerId::of(&value))
        }
        Key::Token => caller.name().map(|name| CallerId::of(name.as_bytes())),
        Key::Ip => Some(match peer.to_canonical() {
            IpAddr::V4(address) => CallerId::of(&address.octets()),
            // Whoever has one of these has at least all of its /64.
            IpAddr::V6(address) => CallerId::of(&address.octets()[..8]),
        }),
    }
}

fn standing(quota: Quota, left: u32, until: Duration) -> [(HeaderName, HeaderValue); 2] {
    let (requests, window) = quota.in_seconds();
    [
        (POLICY, text_value(&format!("\"default\";q={requests};w={window}"))),
        (STANDING, text_value(&format!("\"default\";r={left};t={}", in_seconds(until)))),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::auth::{Right, Tokens};
    use super::*;

    fn of(key: &Key, lines: &[(&'static str, &'static str)], peer: &str) -> Option<CallerId> {
        let mut tokens = Tokens::default();
        for name in ["a", "b"] {
            tokens.add(name, format!("secret-{name}").as_bytes(), [Right::Read], []);
        }
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("Bearer secret-a"));
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
            if *name == "authorization" {
                headers.insert(*name, HeaderValue::from_static(value));
            }
        }
        identify(key, &headers, &tokens.caller(&headers).unwrap(), peer.parse().unwrap())
    }

    #[test]
    fn callers_are_told_apart_by_what_the_limit_counts_and_nothing_else() {
        let user = Key::Header("x-user".to_owned());
        let by_user = |lines: &[(&'static str, &'static str)]| of(&user, lines, "10.0.0.1");
        assert_eq!(by_user(&[("x-user", "1")]), of(&user, &[("x-user", "1"), ("x-other", "2")], "10.0.0.2"));
        assert_ne!(by_user(&[("x-user", "1")]), by_user(&[("x-user", "2")]));
        assert_ne!(by_user(&[("x-user", "1")]), by_user(&[("x-user", "1"), ("x-user", "2")]));
        assert_eq!((by_user(&[]), by_user(&[("x-user", "")])), (None, None));

        let token = |secret| of(&Key::Token, &[("authorization", secret)], "10.0.0.1");
        assert_eq!(token("Bearer secret-a"), of(&Key::Token, &[("x-user", "1")], "10.0.0.2"));
        assert_ne!(token("Bearer secret-a"), token("Bearer secret-b"));

        let ip = |peer| of(&Key::Ip, &[], peer);
        assert_eq!(ip("10.0.0.1"), ip("::ffff:10.0.0.1"));
        assert_ne!(ip("10.0.0.1"), ip("10.0.0.2"));
        assert_eq!(ip("2001:db8:0:1::1"), ip("2001:db8:0:1:ffff::2"));
        assert_ne!(ip("2001:db8:0:1::1"), ip("2001:db8:0:2::1"));
    }

    #[test]
    fn a_standing_is_in_the_form_of_structured_fields() {
        let quota = Quota::new(100, Duration::from_secs(60), 10).unwrap();
        let [policy, standing] = standing(quota, 3, quota.regained(3));
        assert_eq!(policy.1, "\"default\";q=100;w=60");
        assert_eq!(standing.1, "\"default\";r=3;t=5");
        for (_, value) in [policy, standing] {
            sfv::Parser::new(value.as_bytes()).parse::<sfv::List>().expect("a list");
        }
    }
}
