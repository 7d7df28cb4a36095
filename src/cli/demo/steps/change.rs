//! A change at the origin that everybody knows of once its invalidation has been answered.

use serde_json::json;

use super::{Shown, ensure};
use crate::cli::demo::database::{Database, USUAL, value};
use crate::cli::demo::fleet::{Fleet, NAMESPACE};
use crate::cli::demo::seen::line;
use crate::cli::exit::Fault;

const ID: u32 = 2;

/// Every instance has a copy; none answers it after the invalidation.
pub(in crate::cli::demo) async fn run(fleet: &Fleet, database: &mut Database) -> Result<Shown, Fault> {
    for node in &fleet.nodes {
        node.get(ID).await?;
        node.get(ID).await?.expect(&value(ID, &format!("User {ID}")), &["l1"])?;
    }
    let updated = database.write(ID, "Ada", USUAL).await?;
    let event = json!({ "namespace": NAMESPACE, "keys": [ID.to_string()] });
    let (answer, took) = fleet.first().invalidate(&event).await?;
    let names = |member: &str| -> Vec<String> {
        answer[member]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|it| it.as_str().map(str::to_owned))
            .collect()
    };
    let (applied, missing) = (names("applied"), names("missing"));
    ensure(applied.len() + missing.len() == fleet.nodes.len(), || {
        format!("not every instance was waited for: {answer}")
    })?;
    let mut said = format!("invalidated, applied by {}", applied.join(", "));
    if !missing.is_empty() {
        said = format!("{said}, proven by time for {}", missing.join(", "));
    }
    let update = format!("SET name = 'Ada' WHERE id = {ID}");
    let mut lines = vec![line("update", updated, &update), line("wait=all", took, &said)];
    for (index, node) in fleet.nodes.iter().enumerate() {
        let seen = node.get(ID).await?;
        seen.expect(&value(ID, "Ada"), if index == 0 { &["origin"] } else { &["l2"] })?;
        lines.push(seen.line());
    }
    let curl = format!("curl '{}/v1/invalidate?wait=all' -d '{event}'", fleet.first().data);
    Ok(Shown { lines, curl })
}
