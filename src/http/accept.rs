//! `Accept`: how much a client wants a kind of answer.

use hyper::header::{ACCEPT, HeaderMap};

/// The weight that a request gives a media type by its name, from 0 to 1; 0 where it names it not. Ranges with a `*` name
/// none.
pub(super) fn weight(headers: &HeaderMap, wanted: &str) -> f32 {
    let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let ranges = lines.flat_map(|line| line.split(',')).filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        parts.next().filter(|kind| kind.eq_ignore_ascii_case(wanted))?;
        let q = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        Some(q.map_or(1.0, |q| q.parse::<f32>().unwrap_or(0.0)))
    });
    ranges.fold(0.0, f32::max)
}

/// Whether OpenMetrics is asked for, and plain text no more than it.
pub(super) fn openmetrics(headers: &HeaderMap) -> bool {
    let openmetrics = weight(headers, "application/openmetrics-text");
    0.0 < openmetrics && weight(headers, "text/plain") <= openmetrics
}

/// Whether HTML is asked for, as browsers do for what they are to show.
pub(super) fn html(headers: &HeaderMap) -> bool {
    0.0 < weight(headers, "text/html")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(accept: &str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())])
    }

    #[test]
    fn openmetrics_is_for_whoever_asks_for_it() {
        for (accept, wanted) in [
            ("", false),
            ("*/*", false),
            ("text/plain", false),
            ("application/openmetrics-text", true),
            (
                "application/openmetrics-text; version=1.0.0; q=0.5, text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
                true,
            ),
            ("application/openmetrics-text;q=0.2,text/plain", false),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;q=x", false),
        ] {
            assert_eq!(openmetrics(&asked(accept)), wanted, "{accept}");
        }
    }

    #[test]
    fn html_is_for_whoever_names_it() {
        for (accept, wanted) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", true),
            ("application/json, Text/HTML;q=0.1", true),
            ("text/html;q=0, */*", false),
            ("text/*", false),
            ("*/*", false),
            ("application/problem+json", false),
        ] {
            assert_eq!(html(&asked(accept)), wanted, "{accept}");
        }
        assert!(!html(&HeaderMap::new()));
        let mut lines = asked("image/png");
        lines.append(ACCEPT, "text/html".parse().unwrap());
        assert!(html(&lines), "in a second line");
    }
}
