//! What expressions name: metrics, and the values that labels shall have.

use std::collections::BTreeSet;

/// The metrics: every word that begins like one of a scrape of coherd.
pub(super) fn metrics(expr: &str) -> BTreeSet<String> {
    let (words, _) = parts(expr);
    let of_a_scrape = |word: &&String| ["coherd_", "process_"].iter().any(|it| word.starts_with(it));
    words.iter().filter(of_a_scrape).cloned().collect()
}

/// The fixed values in matchers, each with its label: of `op=~"fill|peek"` both.
pub(super) fn values(expr: &str) -> BTreeSet<(String, String)> {
    let (_, matchers) = parts(expr);
    let fixed =
        |value: &&str| value.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_');
    let of = |(label, value): &(String, String)| {
        let values: Vec<_> =
            value.split('|').filter(fixed).map(|it| (label.clone(), it.to_owned())).collect();
        values
    };
    matchers.iter().flat_map(of).collect()
}

/// The words outside of quotes, and the quoted texts with the words before them.
fn parts(expr: &str) -> (Vec<String>, Vec<(String, String)>) {
    let (mut words, mut quoted) = (Vec::new(), Vec::new());
    for (number, piece) in expr.split('"').enumerate() {
        if number % 2 == 1 {
            quoted.push((words.last().cloned().unwrap_or_default(), piece.to_owned()));
            continue;
        }
        let word = |it: char| it.is_ascii_alphanumeric() || it == '_';
        words.extend(piece.split(|it| !word(it)).filter(|it| !it.is_empty()).map(str::to_owned));
    }
    (words, quoted)
}

/// Whether a page of metrics has that metric, or one of a histogram's.
pub(super) fn scraped(page: &str, metric: &str) -> bool {
    page.lines().any(|line| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(['{', ' '])))
}

#[test]
fn metrics_and_values_are_found() {
    let expr =
        r#"sum(rate(coherd_a_total{op=~"fill|peek",x!="y_1"}[5m])) / up{job=~".*coherd_.*"} + process_b"#;
    assert_eq!(metrics(expr), ["coherd_a_total", "process_b"].map(str::to_owned).into());
    let pairs = [("op", "fill"), ("op", "peek"), ("x", "y_1")].map(|(l, v)| (l.to_owned(), v.to_owned()));
    assert_eq!(values(expr), pairs.into());
    assert!(
        scraped("coherd_a_total{op=\"x\"} 1\n", "coherd_a_total") && !scraped("coherd_ab 1\n", "coherd_a")
    );
}
