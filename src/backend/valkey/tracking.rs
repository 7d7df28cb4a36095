//! Changes of entries by whoever makes them: the server tells of every key below the entries' prefix, over the connection
//! that subscribes.

use super::context::Context;
use super::subscription::Live;
use crate::backend::BackendError;

/// Has the server tell of changes over this connection from now on.
pub(super) async fn begin(context: &Context, live: &mut Live) -> Result<(), BackendError> {
    let mut track: Vec<String> = ["CLIENT", "TRACKING", "ON", "BCAST"].map(str::to_owned).into();
    for prefix in context.keys.entries() {
        track.extend(["PREFIX".to_owned(), prefix]);
    }
    live.ask(&track.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let told = live.ask(&["CLIENT", "TRACKINGINFO"]).await?;
    if !told.iter().any(|text| text == "bcast") {
        return Err(BackendError::Refused("the server tells of no changes of entries".to_owned()));
    }
    live.heard.begin_touched();
    Ok(())
}
