//! Requests that a browser sends for a page of somebody else: a page of another site can have any browser that reaches a
//! listener send it requests, and by pointing its own name there (DNS rebinding) can read the answers too.
//!
//! Tokens close both doors, for a foreign page has none to send. Without tokens the listener is on a loopback address and
//! whoever reaches it may do everything: so a browser has to show that the request is not another site's.

use std::net::IpAddr;

use hyper::Method;
use hyper::header::ORIGIN;
use hyper::http::uri::Authority;

use super::front::Sender;
use super::problem::{Code, Problem};

/// Refuses requests that change something and come from a page of another site, or from one whose name was pointed here.
/// Only browsers send what tells them apart: other clients are never refused.
pub(super) fn refuse_foreign_change(sender: Sender<'_>) -> Result<(), Problem> {
    refuse_foreign_page(sender)?;
    if is_change(sender.method) && sender.headers.contains_key(ORIGIN) {
        refuse_foreign_name(sender)?;
    }
    Ok(())
}

/// Refuses requests that change something and come from a page of another site.
pub(super) fn refuse_foreign_page(Sender { method, host, headers, .. }: Sender<'_>) -> Result<(), Problem> {
    if !is_change(method) {
        return Ok(());
    }
    // Where a browser says so itself it is believed, before a comparison that a proxy on the way may have spoilt.
    let refused = match (headers.get("sec-fetch-site"), headers.get(ORIGIN)) {
        (Some(site), _) => !matches!(site.as_bytes(), b"same-origin" | b"none"),
        (None, Some(origin)) => {
            let origin = origin.to_str().ok().and_then(|text| text.split_once("://"));
            !origin.zip(host).is_some_and(|((_, from), to)| from.eq_ignore_ascii_case(to))
        }
        (None, None) => false,
    };
    if refused {
        return Err(Problem::new(Code::Forbidden, "a browser sent this for a page of another site"));
    }
    Ok(())
}

/// Refuses requests under a name that anybody may have pointed at this machine.
pub(super) fn refuse_foreign_name(Sender { host, .. }: Sender<'_>) -> Result<(), Problem> {
    // HTTP/1.0 names no host, and no browser speaks it.
    if host.is_none_or(is_own_name) {
        return Ok(());
    }
    let detail = "without tokens this listener answers only to `localhost` and to addresses: any site may point its name here";
    Err(Problem::new(Code::Forbidden, detail))
}

fn is_change(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

/// `localhost`, which no resolver is asked for, or an address, which needs none.
fn is_own_name(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    let host = authority.host().to_ascii_lowercase();
    let name = host.strip_suffix('.').unwrap_or(&host);
    let address = name.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderMap;
    use std::net::Ipv4Addr;

    fn ask(method: &Method, host: Option<&str>, lines: &[(&'static str, &str)]) -> (bool, bool) {
        let headers: HeaderMap =
            lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let sender = Sender { method, host, headers: &headers, peer: Ipv4Addr::LOCALHOST.into() };
        let refused = |answer: Result<(), Problem>| answer.is_err_and(|it| it.code() == Code::Forbidden);
        (refused(refuse_foreign_page(sender)), refused(refuse_foreign_change(sender)))
    }

    #[test]
    fn a_page_of_another_site_changes_nothing() {
        let here = Some("127.0.0.1:9080");
        for (lines, refused) in [
            (&[][..], false),
            (&[("origin", "http://127.0.0.1:9080")], false),
            (&[("origin", "https://127.0.0.1:9080"), ("sec-fetch-site", "same-origin")], false),
            (&[("sec-fetch-site", "none")], false),
            // Behind a proxy that asks under another name.
            (&[("origin", "https://ops.example"), ("sec-fetch-site", "same-origin")], false),
            (&[("origin", "http://evil.example")], true),
            (&[("origin", "http://127.0.0.1:3000")], true),
            (&[("origin", "http://127.0.0.1:3000"), ("sec-fetch-site", "same-site")], true),
            (&[("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "Same-Origin")], true),
            (&[("origin", "null")], true),
            (&[("origin", "")], true),
        ] {
            for method in ["POST", "PUT", "DELETE", "PURGE"] {
                let answer = ask(&method.parse().unwrap(), here, lines);
                assert_eq!(answer, (refused, refused), "{method} {lines:?}");
            }
            assert_eq!(
                ask(&Method::GET, here, lines),
                (false, false),
                "it could not read the answer: {lines:?}"
            );
        }
        assert_eq!(ask(&Method::POST, None, &[("origin", "http://x")]), (true, true));
    }

    #[test]
    fn a_name_that_was_pointed_here_is_told_by_the_browser_that_uses_it() {
        let rebound = [("origin", "http://evil.example:9080")];
        assert_eq!(ask(&Method::POST, Some("evil.example:9080"), &rebound), (false, true));
        assert_eq!(ask(&Method::POST, Some("evil.example:9080"), &[]), (false, false), "no browser");
    }

    #[test]
    fn only_addresses_and_localhost_belong_to_this_machine() {
        for own in [
            "localhost",
            "LocalHost:9080",
            "localhost.:9080",
            "a.localhost",
            "127.0.0.1",
            "10.1.2.3:80",
            "[::1]:9080",
        ] {
            assert!(is_own_name(own), "{own}");
        }
        for foreign in [
            "evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example:9080",
            "",
            "a b",
            "::1",
        ] {
            assert!(!is_own_name(foreign), "{foreign}");
        }
    }
}
