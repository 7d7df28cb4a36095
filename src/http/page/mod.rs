//! The status page: one file with its style and its script in it, which asks the admin listener like any other client.
//!
//! The file holds nothing of an instance or a cluster. A browser that opens a page cannot send a token with that: where one
//! is needed it is refused, and shown the same file as the refusal's body, with a mark by which the script knows that it
//! has to ask for the token first. The script keeps the token for the tab, and sends it with its own requests. What it shows is only ever set as text, and the policy below takes the other ways from it.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use sha2::{Digest as _, Sha256};

use super::body::Body;
use super::conditional;
use super::problem::Problem;
use super::reply::text_value;

const DOCUMENT: &str = include_str!("index.html");
const STYLE: &str = include_str!("page.css");
/// In the order in which they are run; together they are one module.
const SCRIPTS: [&str; 7] = [
    include_str!("js/dom.js"),
    include_str!("js/ask.js"),
    include_str!("js/chart.js"),
    include_str!("js/overview.js"),
    include_str!("js/tail.js"),
    include_str!("js/forms.js"),
    include_str!("js/start.js"),
];

/// Where the document has its style and its script.
const PLACES: [&str; 2] = ["/* style */", "/* script */"];

/// The document's root, and how it is marked where the page is a refusal.
const ROOT: [&str; 2] = ["<html lang=\"en\">", "<html lang=\"en\" data-sign-in>"];

static PAGE: LazyLock<Page> = LazyLock::new(Page::put_together);

struct Page {
    text: String,
    /// The same, marked.
    sign_in: String,
    policy: HeaderValue,
    etag: String,
}

impl Page {
    fn put_together() -> Self {
        let script = SCRIPTS.concat();
        let text = DOCUMENT.replacen(PLACES[0], STYLE, 1).replacen(PLACES[1], &script, 1);
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
             require-trusted-types-for 'script'; trusted-types 'none'",
            digest(&script),
            digest(STYLE),
        );
        let etag = format!("\"{}\"", digest(&text));
        let sign_in = text.replacen(ROOT[0], ROOT[1], 1);
        Self { text, sign_in, policy: text_value(&policy), etag }
    }

    /// The headers that every answer with the page has: what it is, and what it may do.
    fn describe(&self, headers: &mut HeaderMap) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    }
}

fn digest(of: &str) -> String {
    format!("sha256-{}", BASE64.encode(Sha256::digest(of)))
}

/// The page, or 304 for a browser that has it.
pub(super) fn answer(asked: &HeaderMap) -> Response<Body> {
    let page = &*PAGE;
    let mut response = if conditional::none_match_holds(asked, &page.etag) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        Response::new(Body::from(Bytes::from_static(page.text.as_bytes())))
    };
    let headers = response.headers_mut();
    page.describe(headers);
    // A newer version of coherd has another page.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ETAG, text_value(&page.etag));
    response
}

/// A refusal whose body is the page, for signing in. Like any other it is kept by no cache and has no `ETag`: whatever a
/// browser has, it is sent whole.
pub(super) fn sign_in(refusal: Problem) -> Response<Body> {
    let page = &*PAGE;
    let mut response = refusal.into_response();
    *response.body_mut() = Body::from(Bytes::from_static(page.sign_in.as_bytes()));
    page.describe(response.headers_mut());
    response
}

#[cfg(test)]
mod tests {
    use super::super::problem::Code;
    use super::*;
    use hyper::header::IF_NONE_MATCH;

    fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
        let (_, rest) = text.split_once(start).unwrap();
        rest.split_once(end).unwrap().0
    }

    #[test]
    fn the_policy_lets_this_script_and_this_style_in_and_nothing_else() {
        let response = answer(&HeaderMap::new());
        assert_eq!(response.headers()["cache-control"], "no-cache");
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        let text = String::from_utf8(response.into_body().whole().unwrap()).unwrap();
        let script = between(&text, "<script type=\"module\">", "</script>");
        let style = between(&text, "<style>", "</style>");
        assert!(policy.contains(&format!("script-src '{}';", digest(script))), "{policy}");
        assert!(policy.contains(&format!("style-src '{}';", digest(style))), "{policy}");
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(text.matches("<script").count(), 1);
    }

    /// ` onclick=` and its like.
    fn has_handler(text: &str) -> bool {
        text.split(" on").skip(1).any(|rest| {
            let after = rest.trim_start_matches(|c: char| c.is_ascii_lowercase());
            after.len() < rest.len() && after.starts_with('=')
        })
    }

    #[test]
    fn the_page_is_one_file_without_ways_to_run_what_it_shows() {
        let text = &PAGE.text;
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "javascript:",
            "@import",
            "url(",
        ] {
            assert!(!text.contains(word), "{word}");
        }
        assert!(!has_handler(text) && has_handler("<a onclick=x>"));
        let mut links = text.match_indices("://").map(|(at, _)| &text[at..]);
        assert!(links.all(|link| link.starts_with("://www.w3.org/")), "nothing is asked of another host");
    }

    #[test]
    fn a_browser_that_has_it_is_told_so() {
        let etag = answer(&HeaderMap::new()).headers()[ETAG].clone();
        let again = answer(&HeaderMap::from_iter([(IF_NONE_MATCH, etag)]));
        assert_eq!((again.status().as_u16(), again.into_body().len()), (304, Some(0)));
    }
    #[test]
    fn a_refusal_is_the_same_page_with_a_mark_and_is_never_kept() {
        let page = answer(&HeaderMap::new());
        for (code, status, challenge) in
            [(Code::Unauthorized, 401, Some("Bearer")), (Code::Forbidden, 403, None)]
        {
            let refused = sign_in(Problem::new(code, "why"));
            assert_eq!(refused.status().as_u16(), status);
            let headers = refused.headers();
            let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
            assert_eq!((text("www-authenticate"), text("cache-control")), (challenge, Some("no-store")));
            assert_eq!(text("etag"), None, "it would be taken for the page's");
            for same in
                ["content-type", "content-security-policy", "x-content-type-options", "referrer-policy"]
            {
                assert_eq!(headers.get(same), page.headers().get(same), "{same}");
            }
            let body = String::from_utf8(refused.into_body().whole().unwrap()).unwrap();
            assert_eq!(body.matches(" data-sign-in>").count(), 1);
            assert_eq!(body.replace(" data-sign-in>", ">"), PAGE.text);
        }
    }
}
