//! What others do to the server, on both sides, and what it will come to: where the scripts must begin another lineage.

use coherd::backend::memory::{Inbox, ShardState};
use coherd::backend::{EntryId, Token};
use coherd::model::Seq;

use super::command::Command;
use super::real::Real;
use super::resolve::{entry_of, named};
use super::steps::Vandal;
use super::writes::QueueVandal;
use crate::harness::resp::Reply;

const CTL: &str = "coherd:{main}:ctl";
const LOG: &str = "coherd:{main}:log";
const MEMBERS: &str = "coherd:{main}:mem";

/// What has been done that nobody has noticed yet.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a harm of its own")]
pub(crate) struct Harm {
    pub(crate) ctl: Ctl,
    pub(crate) log: Log,
    /// The log holds entries that are not events.
    pub(crate) foreign: bool,
    /// The members' key holds something else.
    pub(crate) members_junk: bool,
    /// How many members the control record counts.
    pub(crate) members_counted: usize,
    /// The control record was begun by FCALL: it has no limits until an instance brings some.
    pub(crate) bare: bool,
    pub(crate) functions_gone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ctl {
    Good,
    /// There is none that can be used.
    Gone,
    /// It was begun on another server.
    Strange,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    Good,
    /// A foreign entry has the id that our next event would get.
    Ahead,
    /// The key holds something else.
    Junk,
}

/// Whether a command has to begin a lineage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    No,
    Yes,
    /// Only if it logs anything.
    Logging,
}

impl Harm {
    /// An empty server.
    pub(crate) fn empty() -> Self {
        Self { ctl: Ctl::Gone, ..Self::begun(false) }
    }

    /// A lineage at its start.
    pub(crate) fn begun(bare: bool) -> Self {
        Self {
            ctl: Ctl::Good,
            log: Log::Good,
            foreign: false,
            members_junk: false,
            members_counted: 0,
            bare,
            functions_gone: false,
        }
    }

    /// Whether the members are those that the control record counts.
    pub(crate) fn members_whole(&self, members: usize) -> bool {
        self.ctl != Ctl::Gone && !self.members_junk && self.members_counted == members
    }

    /// Whether `command` has to begin a lineage.
    pub(crate) fn begins(&self, command: &Command, members: usize, head: Seq) -> Begins {
        let ensured = self.ctl == Ctl::Good && self.members_whole(members) && command.known() <= head;
        match command {
            Command::Lookup(_) | Command::Head if self.ctl == Ctl::Gone => Begins::Yes,
            Command::Beat(_) if !ensured => Begins::Yes,
            Command::Settle(..) if !ensured || self.log != Log::Good => Begins::Logging,
            command if command.publishes() && !ensured => Begins::Yes,
            command if command.publishes() && self.log != Log::Good => Begins::Logging,
            _ => Begins::No,
        }
    }
}

/// Does it on both sides.
pub(crate) async fn strike(
    vandal: &Vandal,
    real: &mut Real,
    (model, inbox): (&mut ShardState, &mut Inbox),
    harm: &mut Harm,
    (head, now): (Option<&Token>, u64),
) {
    match vandal {
        Vandal::FlushAll => {
            real.command(&["FLUSHALL"]).await;
            model.flush();
            *inbox = Inbox::default();
            *harm = Harm { functions_gone: harm.functions_gone, ..Harm::empty() };
        }
        Vandal::DropCtl => lose_ctl(&["DEL", CTL], real, model, harm).await,
        Vandal::JunkCtl => lose_ctl(&["SET", CTL, "junk"], real, model, harm).await,
        Vandal::MaimCtl => lose_ctl(&["HDEL", CTL, "seq"], real, model, harm).await,
        Vandal::OtherServer if harm.ctl != Ctl::Gone => {
            real.command(&["HSET", CTL, "rid", "ffff"]).await;
            harm.ctl = Ctl::Strange;
        }
        Vandal::DropEntry(entry) => {
            real.command(&["DEL", &entry_key(&entry_of(*entry))]).await;
            model.drop_entry(&entry_of(*entry));
        }
        Vandal::JunkEntry(entry) => {
            real.command(&["SET", &entry_key(&entry_of(*entry)), "junk"]).await;
            model.drop_entry(&entry_of(*entry));
        }
        Vandal::SoilEntry(entry) => {
            let entry = entry_of(*entry);
            if let Some(stored) = model.peek(now, &entry) {
                real.command(&["HSET", &entry_key(&entry), "d", &stored.token.seq.to_string()]).await;
                model.soil_entry(now, &entry, stored.token.seq);
            }
        }
        Vandal::DropLease(entry) => {
            real.command(&["DEL", &lease_key(&entry_of(*entry))]).await;
            model.drop_lease(now, &entry_of(*entry));
        }
        Vandal::JunkLease(entry) => {
            real.command(&["SET", &lease_key(&entry_of(*entry)), "junk"]).await;
            model.drop_lease(now, &entry_of(*entry));
        }
        Vandal::DropMembers => {
            real.command(&["DEL", MEMBERS]).await;
            harm.members_junk = false;
            forget_all(model);
        }
        Vandal::JunkMembers => {
            real.command(&["SET", MEMBERS, "junk"]).await;
            harm.members_junk = true;
            forget_all(model);
        }
        Vandal::DropMember(who) => {
            real.command(&["HDEL", MEMBERS, &named(*who)]).await;
            model.forget(&named(*who), None);
        }
        Vandal::Trim(keep) => {
            // which of them are ours is not known to the model
            let keep = if harm.foreign { 0 } else { *keep };
            real.command(&["XTRIM", LOG, "MAXLEN", "=", &keep.to_string()]).await;
            model.trim_log(keep);
        }
        Vandal::Foreign { ahead: true } => {
            let Some(head) = head else { return };
            let id = format!("{}-0", head.seq + 1);
            if let Reply::Text(_) = real.command(&["XADD", LOG, &id, "hello", "world"]).await {
                (harm.log, harm.foreign) = (Log::Ahead, true);
            }
        }
        // it would be counted among the events that are kept
        Vandal::Foreign { ahead: false } if 100 < real.settings.log_max_events => {
            real.command(&["XADD", LOG, "*", "hello", "world"]).await;
            harm.foreign = true;
        }
        Vandal::DropLog => {
            real.command(&["DEL", LOG]).await;
            (harm.log, harm.foreign) = (Log::Good, false);
            model.trim_log(0);
        }
        Vandal::JunkLog => {
            real.command(&["SET", LOG, "junk"]).await;
            harm.log = Log::Junk;
            model.trim_log(0);
        }
        Vandal::DropInbox => {
            real.command(&["DEL", "coherd:{main}:inbox"]).await;
            *inbox = Inbox::default();
        }
        Vandal::ScriptFlush => {
            real.command(&["SCRIPT", "FLUSH"]).await;
        }
        Vandal::FunctionFlush => {
            real.command(&["FUNCTION", "FLUSH"]).await;
            harm.functions_gone = true;
        }
        Vandal::Queue(vandal) => strike_queue(vandal, real, model).await,
        Vandal::OtherServer | Vandal::Foreign { ahead: false } => {}
    }
}

/// Does it to a queue, on both sides. A key that holds something else is as good as none.
async fn strike_queue(vandal: &QueueVandal, real: &mut Real, model: &mut ShardState) {
    let queue = |partition| format!("coherd:{{main}}:w:{partition}");
    let of = |partition, what| format!("coherd:{{main}}:w:{partition}:{what}");
    let dead = "coherd:{main}:dead".to_owned();
    match *vandal {
        QueueVandal::DropQueue(partition) => {
            real.command(&["DEL", &queue(partition)]).await;
            model.drop_queue(partition);
        }
        QueueVandal::JunkQueue(partition) => {
            real.command(&["SET", &queue(partition), "junk"]).await;
            model.drop_queue(partition);
        }
        QueueVandal::DropGroup(partition) => {
            real.command(&["XGROUP", "DESTROY", &queue(partition), "coherd"]).await;
            model.drop_group(partition);
        }
        QueueVandal::DropParked(partition) => {
            real.command(&["DEL", &of(partition, "parked")]).await;
            model.drop_parked(partition);
        }
        QueueVandal::JunkParked(partition) => {
            real.command(&["SET", &of(partition, "parked"), "junk"]).await;
            model.drop_parked(partition);
        }
        QueueVandal::DropOwner(partition) => {
            real.command(&["DEL", &of(partition, "owner")]).await;
            model.drop_owner(partition);
        }
        QueueVandal::JunkOwner(partition) => {
            real.command(&["DEL", &of(partition, "owner")]).await;
            real.command(&["HSET", &of(partition, "owner"), "junk", "1"]).await;
            model.drop_owner(partition);
        }
        QueueVandal::DropLetters => {
            real.command(&["DEL", &dead]).await;
            model.drop_letters();
        }
        QueueVandal::DropWorkers => {
            real.command(&["DEL", "coherd:{main}:w:workers"]).await;
            model.drop_workers();
        }
        QueueVandal::JunkWorkers => {
            real.command(&["SET", "coherd:{main}:w:workers", "junk"]).await;
            model.drop_workers();
        }
        QueueVandal::JunkLetters => {
            real.command(&["SET", &dead, "junk"]).await;
            model.drop_letters();
        }
    }
}

async fn lose_ctl(command: &[&str], real: &mut Real, model: &mut ShardState, harm: &mut Harm) {
    real.command(command).await;
    model.end_lineage();
    harm.ctl = Ctl::Gone;
}

fn forget_all(model: &mut ShardState) {
    for member in model.members() {
        model.forget(&member.instance, None);
    }
}

fn entry_key(EntryId { namespace, version, key }: &EntryId) -> String {
    format!("coherd:{{main}}:e:{namespace}:v{version}:{key}")
}

fn lease_key(EntryId { namespace, key, .. }: &EntryId) -> String {
    format!("coherd:{{main}}:l:{namespace}:{key}")
}
