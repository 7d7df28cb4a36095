//! Many readers of a key that nobody has a copy of.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::{Shown, ensure};
use crate::cli::demo::database::{Database, value};
use crate::cli::demo::fleet::Fleet;
use crate::cli::demo::seen::line;
use crate::cli::exit::Fault;

const ID: u32 = 3;
const READERS: usize = 200;
/// Long enough for all of them to come while it runs.
const LOAD: Duration = Duration::from_millis(150);

/// All at once, over all instances; the origin is asked once.
pub(in crate::cli::demo) async fn run(fleet: &Fleet, database: &mut Database) -> Result<Shown, Fault> {
    database.write(ID, "Grace", LOAD).await?;
    let before = fleet.count("loads").await?;
    let began = Instant::now();
    let readers = fleet.nodes.iter().cycle().take(READERS).map(|node| node.get(ID));
    let answers = join_all(readers).await;
    let took = began.elapsed();
    let loads = fleet.count("loads").await? - before;

    let mut ways = BTreeMap::<String, usize>::new();
    for seen in answers {
        let seen = seen?;
        seen.expect(&value(ID, "Grace"), &["origin", "collapsed", "l2", "l1"])?;
        *ways.entry(seen.via().to_owned()).or_default() += 1;
    }
    ensure(loads == 1, || format!("{READERS} readers made {loads} SELECTs, not one"))?;
    let count = |way: &str| ways.get(way).copied().unwrap_or(0);
    let (instances, origin) = (fleet.nodes.len(), count("origin"));
    let lines = vec![
        line(
            "readers",
            took,
            &format!("{READERS} on {instances} instances until the last is answered, {loads} SELECT"),
        ),
        format!(
            "by way: {origin} loaded it, {} waited for that load, {} got it from L2, {} from L1",
            count("collapsed"),
            count("l2"),
            count("l1"),
        ),
    ];
    let curl = format!("curl -s {}/metrics | grep origin_requests_total", fleet.first().admin);
    Ok(Shown { lines, curl })
}
