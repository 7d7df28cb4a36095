//! One key, read three times: from the origin, from L2, from L1.

use super::Shown;
use crate::cli::demo::database::value;
use crate::cli::demo::fleet::{Fleet, Node};
use crate::cli::exit::Fault;

const ID: u32 = 1;

/// The first read of all.
pub(in crate::cli::demo) async fn miss(fleet: &Fleet) -> Result<Shown, Fault> {
    read(fleet.first(), "origin").await
}

/// The first read of another instance.
pub(in crate::cli::demo) async fn l2_hit(fleet: &Fleet) -> Result<Shown, Fault> {
    read(fleet.second(), "l2").await
}

/// The second one there.
pub(in crate::cli::demo) async fn l1_hit(fleet: &Fleet) -> Result<Shown, Fault> {
    read(fleet.second(), "l1").await
}

async fn read(node: &Node, way: &str) -> Result<Shown, Fault> {
    let seen = node.get(ID).await?;
    seen.expect(&value(ID, &format!("User {ID}")), &[way])?;
    Ok(Shown { lines: vec![seen.line()], curl: node.curl(ID) })
}
