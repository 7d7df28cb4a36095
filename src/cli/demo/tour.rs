//! The narration: what there is, one step after the other, and what to try next.

use super::super::exit::Fault;
use super::super::print::Print;
use super::database::{Database, USUAL};
use super::fleet::{Fleet, NAMESPACE, path};
use super::steps::{self, Shown};

/// A user that no step touches.
const UNTOUCHED: u32 = 50;

/// Every step in turn; whether all of them showed what they say.
pub(super) async fn run(fleet: &Fleet, database: &mut Database, print: &mut Print) -> Result<bool, Fault> {
    introduce(fleet, print)?;
    fleet.settle().await?;
    let mut steps = Steps { print, number: 0, failed: 0 };
    let title = "A miss: the first instance asks the database and keeps the answer";
    steps.show(title, steps::reads::miss(fleet).await)?;
    let title = "An L2 hit: a second instance finds it in the shared tier";
    steps.show(title, steps::reads::l2_hit(fleet).await)?;
    let title = "An L1 hit: by now the second instance has its own copy";
    steps.show(title, steps::reads::l1_hit(fleet).await)?;
    let title = "A change in the database, and an invalidation: every instance drops its copy";
    steps.show(title, steps::change::run(fleet, database).await)?;
    let title = "A stampede on a cold key: one SELECT for all";
    steps.show(title, steps::stampede::run(fleet, database).await)?;
    let title = "A soft purge: the old value is answered while one refresh runs";
    steps.show(title, steps::soft::run(fleet, database).await)?;
    let title = "A late fill: what a slow load brings after an invalidation is not kept";
    steps.show(title, steps::late::run(fleet, database).await)?;
    let title = "A write behind: answered at once, read by all, and brought to the database after it";
    steps.show(title, steps::behind::run(fleet, database).await)?;
    let Steps { number, failed, .. } = steps;
    print.line("")?;
    match failed {
        0 => print.line(&format!("All {number} steps showed what they say."))?,
        _ => print.line(&format!("{failed} of {number} steps did not show what they say."))?,
    }
    Ok(failed == 0)
}

/// What to try, and how it ends.
pub(super) fn invite(fleet: &Fleet, database: &Database, print: &mut Print) -> Result<(), Fault> {
    let (first, second) = (fleet.first(), fleet.second());
    let update = format!("UPDATE {NAMESPACE} SET name = 'Somebody' WHERE id = {UNTOUCHED}");
    print.line("The instances go on serving until Ctrl-C. Try:")?;
    for line in [
        first.curl(UNTOUCHED),
        format!("sqlite3 {} \"{update}\"", database.file().display()),
        format!("curl -i -X PURGE {}{}", second.data, path(UNTOUCHED)),
        format!("curl -N {}/events", first.admin),
        format!("curl {}/stats", first.admin),
    ] {
        print.line(&format!("   $ {line}"))?;
    }
    print.line(&format!("or open {}/ in a browser: the status page.", first.admin))
}

fn introduce(fleet: &Fleet, print: &mut Print) -> Result<(), Fault> {
    print.line(&format!(
        "coherd demo: {} instances in one process, over an embedded backend",
        fleet.nodes.len()
    ))?;
    for node in &fleet.nodes {
        print.line(&format!("   {:<10} data {}   admin {}", node.name, node.data, node.admin))?;
    }
    let usual = USUAL.as_millis();
    print.line(&format!(
        "   {:<10} SQLite, a table of 100 {NAMESPACE}; a SELECT is made to take {usual} ms",
        "origin"
    ))
}

struct Steps<'a> {
    print: &'a mut Print,
    number: u32,
    failed: u32,
}

impl Steps<'_> {
    /// What a step showed, or that it did not.
    fn show(&mut self, title: &str, shown: Result<Shown, Fault>) -> Result<(), Fault> {
        self.number += 1;
        self.print.line("")?;
        self.print.line(&format!("{}  {title}", self.number))?;
        match shown {
            Ok(Shown { lines, curl }) => {
                for line in &lines {
                    self.print.line(&format!("   {line}"))?;
                }
                self.print.line(&format!("   $ {curl}"))
            }
            Err(Fault::Told(_, message)) => {
                self.failed += 1;
                self.print.line(&format!("   FAILED: {message}"))
            }
            Err(other) => Err(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::Captured;
    use super::*;

    #[test]
    fn a_step_that_shows_something_else_is_told_and_counted() {
        let captured = Captured::default();
        let mut print = captured.print();
        let mut steps = Steps { print: &mut print, number: 0, failed: 0 };
        let shown = Shown { lines: vec!["a line".to_owned()], curl: "curl x".to_owned() };
        steps.show("One", Ok(shown)).unwrap();
        steps.show("Two", Err(Fault::failed("expected l1"))).unwrap();
        assert_eq!((steps.number, steps.failed), (2, 1));
        assert_eq!(captured.out(), "\n1  One\n   a line\n   $ curl x\n\n2  Two\n   FAILED: expected l1\n");
        assert_eq!(steps.show("Three", Err(Fault::ReaderGone)), Err(Fault::ReaderGone));
    }
}
