//! One read as a caller sees it.

use std::time::Duration;

use super::super::exit::Fault;

/// An answer.
pub(super) struct Seen {
    /// Which instance answered.
    pub(super) node: String,
    /// From sending the request to the last byte of the answer.
    pub(super) took: Duration,
    pub(super) body: String,
    /// `Cache-Status` without the cache's name: which way the answer came.
    pub(super) cache: String,
}

impl Seen {
    /// `hit` and `fwd=miss` say less than this.
    pub(super) fn via(&self) -> &str {
        let last = self.cache.rsplit("; ").next().unwrap_or_default();
        last.strip_prefix("detail=").unwrap_or(last)
    }

    /// This very value, come this way, or the step has not shown what it says.
    pub(super) fn expect(&self, value: &str, ways: &[&str]) -> Result<(), Fault> {
        if self.body == value && ways.contains(&self.via()) {
            return Ok(());
        }
        let Self { node, body, cache, .. } = self;
        let ways = ways.join(" or ");
        Err(Fault::failed(format!("expected {value} by {ways}, but {node} answered {body} with `{cache}`")))
    }

    /// The line of the narration.
    pub(super) fn line(&self) -> String {
        line(&self.node, self.took, &format!("{:<35} {}", self.body, self.cache))
    }
}

/// Who, after how long, what.
pub(super) fn line(who: &str, took: Duration, what: &str) -> String {
    format!("{who:<10} {:>7.1} ms  {what}", took.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_shows_what_it_says_only_with_that_value_and_that_way() {
        let seen = |cache: &str| Seen {
            node: "demo-1".to_owned(),
            took: Duration::from_micros(1_250),
            body: "{}".to_owned(),
            cache: cache.to_owned(),
        };
        assert_eq!(seen("hit; ttl=59; detail=l2").expect("{}", &["l1", "l2"]), Ok(()));
        assert_eq!(seen("fwd=miss; collapsed").expect("{}", &["collapsed"]), Ok(()));
        let other_way = seen("hit; ttl=59; detail=l2").expect("{}", &["l1"]).unwrap_err();
        let expected = "expected {} by l1, but demo-1 answered {} with `hit; ttl=59; detail=l2`";
        assert_eq!(other_way, Fault::failed(expected));
        assert!(seen("hit; ttl=59; detail=l2").expect("{\"a\":1}", &["l2"]).is_err());
    }
}
