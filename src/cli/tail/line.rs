//! An event in a line: as JSON, or compact and greppable.

use std::fmt::Write as _;

use serde::Deserialize;

use super::super::exit::Fault;
use super::super::print::Print;

/// How events are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON object a line.
    Json,
    /// For people and grep.
    Human,
}

impl Form {
    /// Shows an event that came as JSON.
    pub(super) fn show(self, json: &str, print: &mut Print) -> Result<(), Fault> {
        match self {
            Self::Json => print.bytes(format!("{json}\n").as_bytes()),
            Self::Human => match serde_json::from_str::<Event>(json) {
                Ok(event) => print.line(&event.line()),
                Err(error) => {
                    print.note(&format!("coherd: an event does not read as expected, not shown: {error}"));
                    Ok(())
                }
            },
        }
    }
}

/// An event as instances render it; what a later version adds is passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    id: String,
    at: String,
    path: String,
    namespace: Option<String>,
    keys: Vec<String>,
    prefixes: Vec<String>,
    all: bool,
    tags: Vec<String>,
    soft: bool,
    source: String,
    reason: String,
    request_id: Option<String>,
}

impl Event {
    /// `AT ID hard|soft ns=… key=… prefix=… all tag=… src=… why=… rq=… via=…`: every target a word of its own.
    fn line(&self) -> String {
        let hardness = if self.soft { "soft" } else { "hard" };
        let mut line = format!("{} {} {hardness}", self.at, self.id);
        let mut word = |name: &str, value: &str| {
            write!(line, " {name}={}", quoted(value)).expect("a string takes all that is written");
        };
        if let Some(namespace) = &self.namespace {
            word("ns", namespace);
        }
        for (name, values) in [("key", &self.keys), ("prefix", &self.prefixes), ("tag", &self.tags)] {
            for value in values {
                word(name, value);
            }
        }
        if self.all {
            word("all", self.namespace.as_deref().unwrap_or("cluster"));
        }
        let remarks = [("src", &self.source), ("why", &self.reason)];
        for (name, value) in remarks.into_iter().filter(|(_, value)| !value.is_empty()) {
            word(name, value);
        }
        if let Some(id) = &self.request_id {
            word("rq", id);
        }
        word("via", &self.path);
        line
    }
}

/// As it is, or in quotes where it would not read as one word.
fn quoted(text: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '"';
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("{text:?}") }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::Captured;
    use super::*;

    const EVENT: &str = r#"{"id":"7-0","at":"2026-11-21T09:56:00.123Z","path":"pubsub","namespace":"users","keys":["1","a b"],"prefixes":["eu/"],"all":false,"tags":["team:7"],"soft":true,"source":"billing","reason":"plan \"x\"\u001b[2J","request_id":"r1"}"#;

    fn shown(form: Form, json: &str) -> Captured {
        let captured = Captured::default();
        form.show(json, &mut captured.print()).unwrap();
        captured
    }

    #[test]
    fn a_line_holds_every_target_as_a_word() {
        let expected = r#"2026-11-21T09:56:00.123Z 7-0 soft ns=users key=1 key="a b" prefix=eu/ tag=team:7 src=billing why="plan \"x\"\u{1b}[2J" rq=r1 via=pubsub"#;
        assert_eq!(shown(Form::Human, EVENT).out(), format!("{expected}\n"));
        let all = r#"{"id":"8-0","at":"t","path":"stream","all":true,"new":1}"#;
        assert_eq!(shown(Form::Human, all).out(), "t 8-0 hard all=cluster via=stream\n");
    }

    #[test]
    fn json_is_passed_on_as_it_came() {
        assert_eq!(shown(Form::Json, EVENT).out(), format!("{EVENT}\n"));
    }

    #[test]
    fn what_cannot_be_read_is_told_and_passed_over() {
        let captured = shown(Form::Human, "{");
        assert!(captured.out().is_empty() && captured.err().contains("not shown"), "{}", captured.err());
    }
}
