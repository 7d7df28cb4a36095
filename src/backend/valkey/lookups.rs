//! A lookup's way: the plain claim where the caller has just seen that there is nothing, else the script.

use std::pin::pin;

use super::claims::{Claimed, Wanted};
use super::entries::Looked;
use super::{Valkey, entries, keeps_losing};
use crate::backend::{BackendError, Claim, Found, Lookup};

impl Valkey {
    /// See [`crate::backend::Backend::lookup`].
    pub(super) async fn look_up(&self, lookup: Lookup) -> Result<Found, BackendError> {
        let at = self.at_entry(&lookup.entry)?;
        let connection = at.data();
        let asked = pin!(async {
            let claimed = match wanted(&lookup) {
                // on a Cluster scripts look for themselves whether they are on the shard's server
                Some(wanted) if !self.context.clustered => {
                    let token = wanted.token.clone();
                    let claims = &at.batches().claims;
                    let claimed = claims.ask(&self.context, &at, at.shard(), wanted).await?;
                    if claimed == Claimed::Yes {
                        return Ok(Found::Leased { token, stale: None });
                    }
                    claimed
                }
                _ => Claimed::No,
            };
            let mut looked = entries::lookup(&self.context, connection, &lookup).await?;
            if matches!(looked, Looked::NoLineage) {
                self.reconcile(connection, at.shard()).await?;
                looked = entries::lookup(&self.context, connection, &lookup).await?;
            }
            let Looked::Found(found) = looked else { return Err(keeps_losing()) };
            if let (Claimed::Otherwise, Some(claim)) = (claimed, &lookup.claim)
                && !matches!(found, Found::Leased { .. })
            {
                entries::release(&self.context, connection, &lookup.entry, &claim.load).await?;
            }
            Ok(found)
        });
        self.run(&at, asked).await
    }
}

/// What a plain claim takes, where one will do.
fn wanted(Lookup { entry, claim, .. }: &Lookup) -> Option<Wanted> {
    let Claim { load, lease, even_if_fresh: false, absent: Some(token) } = claim.as_ref()? else {
        return None;
    };
    let token = token.clone();
    Some(Wanted { entry: entry.clone(), load: load.clone(), lease: *lease, token })
}
