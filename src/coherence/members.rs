//! Who else is there. A member is forgotten when its heartbeat has stood still for longer than it could have answered
//! from its copies, by this machine's own clock: the server's clock may be set, and would empty the table at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::MemberStatus;
use super::shared::Shared;
use crate::backend::Member;
use crate::clock::Boot;
use crate::model::{Seq, Shard};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// Beyond twice its `max_staleness`.
const SLACK: Duration = Duration::from_secs(1);

/// What was last seen of a member in a shard.
#[derive(Clone, Copy)]
struct Seen {
    beats: u64,
    since: Boot,
    cursor: Seq,
}

/// The name of a process among the members: its id, and what tells it from another process of that id.
pub(super) fn unique(instance: &str, process: u32) -> String {
    format!("{instance}~{process:08x}")
}

/// The `instance.id` behind a member's name.
pub(super) fn display(member: &str) -> String {
    member.rsplit_once('~').map_or(member, |(id, _)| id).to_owned()
}

/// Looks at the members now and then, until stopped.
pub(super) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut seen: HashMap<(Shard, String), Seen> = HashMap::new();
    while !stop.is_cancelled() {
        shared.wakes.sweep();
        shared.unlocks.sweep();
        for shard in shared.count().all() {
            match shared.backend.members(shard).await {
                Ok(members) => look(&shared, shard, &members, &mut seen).await,
                Err(error) => debug!(shard = shard.0, error = %error, "the members could not be read"),
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = sleep(PAUSE) => {}
        }
    }
}

async fn look(shared: &Shared, shard: Shard, members: &[Member], seen: &mut HashMap<(Shard, String), Seen>) {
    let now = shared.clock.now();
    seen.retain(|(of, name), _| *of != shard || members.iter().any(|member| member.instance == *name));
    let mut statuses = Vec::new();
    for member in members {
        let fresh = Seen { beats: member.beats, since: now, cursor: member.cursor };
        let entry = seen.entry((shard, member.instance.clone())).or_insert(fresh);
        if entry.beats != member.beats {
            *entry = fresh;
        }
        entry.cursor = member.cursor;
        let still = now.since(entry.since);
        statuses.push(MemberStatus {
            id: display(&member.instance),
            cursor: entry.cursor,
            lag: still,
            alive: still < member.max_staleness + PAUSE,
        });
        if member.max_staleness.max(shared.longest) * 2 + SLACK < still && member.instance != shared.member {
            info!(member.id = %member.instance, "a member's heartbeat stands still, forgetting it");
            if let Err(error) = shared.backend.forget(shard, &member.instance, Some(member.beats)).await {
                debug!(error = %error, "a member could not be forgotten, trying again");
            }
        }
    }
    if shard == Shard(0) {
        shared.metrics.members.set(i64::try_from(statuses.len()).unwrap_or(i64::MAX));
        shared.set_members(statuses, members);
    }
}
