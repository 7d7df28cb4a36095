//! Whoever changes objects and says so: by key, tag, prefix, namespace, dependency or all, through every way in.

use std::sync::Arc;

use bytes::Bytes;
use coherd::cache::{PutError, Written};
use coherd::coherence::{Door, PublishError, Receipt, Terms, WaitMode};
use coherd::model::{Event, Hardness, Prefix, Provenance, Target};

use super::clients::{PATIENCE, write};
use super::node::Ended;
use super::origin::tags_of;
use super::plan::{ACCOUNTS, CARTS, Object, USERS, namespace};
use super::rng::Rng;
use super::run::Sim;
use super::world::MS;
use crate::history::{Acknowledged, Happened, Versions, Way};

/// Commits until the faults are over.
pub(super) async fn writer(sim: Arc<Sim>, number: usize) {
    let mut draw = Rng::of(sim.seed, ("writer", number));
    // An object has one writer: two would have to agree which write is the last.
    let own: Vec<Object> = sim.objects.iter().skip(number).step_by(sim.plan.writers).cloned().collect();
    loop {
        let pause = draw.below(2 * sim.plan.write_every);
        sim.world.pause(&mut draw, pause).await;
        if sim.faultless.is_cancelled() {
            return;
        }
        let object = if draw.per_mille(500) { &own[0] } else { draw.pick(&own) };
        let version = sim.register.commit(&object.name);
        let mut change = Change::drawn(&sim, &mut draw, object);
        let acknowledged = if object.namespace == CARTS && draw.per_mille(300) {
            change = Change::of(&sim, vec![key(object)], false);
            put(&sim, &mut draw, &change, object, version).await
        } else {
            send(&sim, &mut draw, &change).await
        };
        if acknowledged == Acknowledged::Unknown {
            // What it has sent may still arrive: a write to the cache alone must not arrive after the next one.
            sim.world.pause(&mut draw, 2 * sim.plan.timeout).await;
        }
    }
}

/// An event on its way.
struct Change {
    number: u64,
    event: Event,
    covers: Versions,
    started: u64,
}

impl Change {
    /// An event that names, beside others perhaps, this object.
    fn drawn(sim: &Sim, draw: &mut Rng, object: &Object) -> Self {
        let mut targets = vec![target(draw, object)];
        if draw.per_mille(100) {
            let other = draw.pick(&sim.objects);
            targets.push(target(draw, other));
        }
        Self::of(sim, targets, draw.per_mille(sim.plan.soft))
    }

    fn of(sim: &Sim, targets: Vec<Target>, soft: bool) -> Self {
        let number = sim.number();
        let mut covers = sim.register.versions();
        covers.retain(|name, _| sim.objects.iter().any(|it| it.name == *name && covered(&targets, it)));
        sim.sea.expect(number, sim.shards_of(&targets));
        let hardness = if soft { Hardness::Soft } else { Hardness::Hard };
        let provenance = Provenance { source: format!("e{number}"), ..Provenance::default() };
        let event = Event { targets, hardness, provenance, request_id: None };
        Self { number, event, covers, started: sim.history.now() }
    }

    fn record(&self, sim: &Sim, way: Way, acknowledged: &Acknowledged) {
        let soft = self.event.hardness == Hardness::Soft;
        if !soft && matches!(acknowledged, Acknowledged::Logged { .. } | Acknowledged::Everywhere { .. }) {
            sim.invalidated(&self.covers);
        }
        let (event, covers, acknowledged) = (self.number, self.covers.clone(), acknowledged.clone());
        sim.history.record(self.started, Happened::Invalidate { event, way, covers, soft, acknowledged });
    }
}

fn key(object: &Object) -> Target {
    Target::Key(namespace(object.namespace), object.key.clone())
}

fn target(draw: &mut Rng, object: &Object) -> Target {
    let users = object.namespace == USERS;
    match draw.below(100) {
        0..15 => Target::Tag(tags_of(&object.name).remove(0)),
        15..30 if users => {
            let end = object.key.find('/').unwrap_or_default();
            // Off its boundary, it is widened to it.
            let end = if draw.per_mille(300) { end + 2 } else { end + 1 };
            Target::Prefix(namespace(USERS), Prefix::new(&object.key[..end]).expect("a prefix"))
        }
        30..42 if users => Target::Key(namespace(ACCOUNTS), object.key.clone()),
        42..48 => Target::Namespace(namespace(object.namespace)),
        48..52 => Target::All,
        _ => key(object),
    }
}

fn covered(targets: &[Target], object: &Object) -> bool {
    targets.iter().any(|target| match target {
        Target::Key(ns, key) if **ns == *ACCOUNTS => object.namespace == USERS && *key == object.key,
        Target::Key(ns, key) => **ns == *object.namespace && *key == object.key,
        Target::Prefix(ns, prefix) => **ns == *object.namespace && object.key.starts_with(&**prefix),
        Target::Namespace(ns) => **ns == *object.namespace,
        Target::Tag(tag) => tags_of(&object.name).contains(tag),
        Target::All => true,
    })
}

async fn send(sim: &Sim, draw: &mut Rng, change: &Change) -> Acknowledged {
    let (way, acknowledged) = match draw.below(100) {
        0..10 => (Way::Inbox, inbox(sim, &change.event)),
        10..18 => (Way::Pubsub, channel(sim, &change.event)),
        _ => {
            let all = draw.per_mille(400);
            let tries = if draw.per_mille(700) { 4 } else { 1 };
            (Way::Http, publish(sim, draw, change, all, tries).await)
        }
    };
    change.record(sim, way, &acknowledged);
    acknowledged
}

/// Through an instance, again with the same `request_id` where there was no answer.
async fn publish(sim: &Sim, draw: &mut Rng, change: &Change, all: bool, tries: u64) -> Acknowledged {
    let request_id = (1 < tries).then(|| format!("r{}", change.number));
    let event = Event { request_id, ..change.event.clone() };
    for _ in 0..tries {
        let node = sim.node(draw.place(sim.plan.instances));
        let terms = Terms { confirm: all, ..Terms::of(Door::Http) };
        let published = async {
            let receipt = node.coherence.publish(event.clone(), &terms).await?;
            let mode = if all { Some(node.coherence.wait_all(&receipt, None).await.mode) } else { None };
            Ok::<(Receipt, Option<WaitMode>), PublishError>((receipt, mode))
        };
        let Some(Ended::Answered(Ok((receipt, mode)))) = node.call(draw.fork(), PATIENCE, published).await
        else {
            let pause = draw.below(300 * MS);
            sim.world.pause(draw, pause).await;
            continue;
        };
        sim.acknowledge(change.number, &receipt.id, &change.covers);
        let id = receipt.id.to_string();
        return match mode {
            Some(WaitMode::Early) => Acknowledged::Everywhere { id, early: true },
            Some(WaitMode::Late) => Acknowledged::Everywhere { id, early: false },
            Some(WaitMode::TimedOut) | None => Acknowledged::Logged { id },
        };
    }
    Acknowledged::Unknown
}

/// `XADD` to the inbox stream, by somebody with a connection of their own.
fn inbox(sim: &Sim, event: &Event) -> Acknowledged {
    let mut fields = vec![("src", event.provenance.source.clone())];
    if event.hardness == Hardness::Soft {
        fields.push(("soft", "1".to_owned()));
    }
    // A stream's entry names one namespace.
    let [target] = &*event.targets else { return Acknowledged::Unknown };
    match target {
        Target::Key(ns, key) => fields.extend([("ns", ns.to_string()), ("key", key.to_string())]),
        Target::Prefix(ns, prefix) => fields.extend([("ns", ns.to_string()), ("prefix", prefix.to_string())]),
        Target::Namespace(ns) => fields.extend([("ns", ns.to_string()), ("all", "1".to_owned())]),
        Target::Tag(tag) => fields.push(("tag", tag.to_string())),
        Target::All => fields.push(("all", "1".to_owned())),
    }
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let fields = fields.iter().map(|(name, value)| (bytes(name), bytes(value))).collect();
    match sim.sea.store.inbox_add(fields) {
        Ok(_) => Acknowledged::Durable,
        Err(_) => Acknowledged::Unknown,
    }
}

/// `PUBLISH` to the inbox channel.
fn channel(sim: &Sim, event: &Event) -> Acknowledged {
    let [Target::Key(ns, key)] = &*event.targets else { return Acknowledged::Unknown };
    let soft = event.hardness == Hardness::Soft;
    let text =
        format!(r#"{{"ns":"{ns}","key":"{key}","soft":{soft},"source":"{}"}}"#, event.provenance.source);
    sim.sea.store.inbox_publish(text.into());
    sim.sea.spread();
    Acknowledged::Unknown
}

/// A write to the cache alone: the value goes in with its event.
async fn put(sim: &Sim, draw: &mut Rng, change: &Change, object: &Object, version: u64) -> Acknowledged {
    let node = sim.node(draw.place(sim.plan.instances));
    let write = write(object, version, None);
    let written = node.call(draw.fork(), PATIENCE, node.cache.put(CARTS, &object.key, write)).await;
    let acknowledged = match written {
        Some(Ended::Answered(Ok(Written::Changed(receipt)))) => {
            sim.acknowledge(change.number, &receipt.id, &change.covers);
            Acknowledged::Logged { id: receipt.id.to_string() }
        }
        Some(Ended::Answered(
            Ok(Written::Leased) | Err(PutError::LeaseLost | PutError::Off | PutError::TooLarge(_)),
        )) => {
            panic!("a write without a lease was taken for another")
        }
        Some(Ended::Answered(Err(PutError::Backend(_))) | Ended::Hung) | None => Acknowledged::Unknown,
    };
    change.record(sim, Way::Put, &acknowledged);
    acknowledged
}

/// Says again what nobody has acknowledged; it must be heard now.
pub(super) async fn settle(sim: &Sim, draw: &mut Rng, object: &Object) {
    let change = Change::of(sim, vec![key(object)], false);
    let acknowledged = publish(sim, draw, &change, true, 10).await;
    change.record(sim, Way::Http, &acknowledged);
    assert_ne!(
        acknowledged,
        Acknowledged::Unknown,
        "seed {}: an event is not taken in calm weather",
        sim.seed
    );
}
