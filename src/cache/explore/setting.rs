//! The one key, its tag, and the values it takes: what every world has in common.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;

use crate::backend::{EntryId, LoadId, Put, Stored, Token};
use crate::cache::answer::Entry;
use crate::cache::copy::{Copy, LoadTime};
use crate::clock::Boot;
use crate::coherence::core::{Slots, View};
use crate::model::{
    Content, Event, Hardness, Key, Lifetime, Name, Namespace, Provenance, Tag, Target, Value, covering,
};

/// `max_staleness` of every instance.
pub(super) const D: Duration = Duration::from_secs(2);
/// Places in a view's tables: the key's and the tag's are two of them.
pub(super) const SLOTS: usize = 4;
/// So long that nothing explored ends by its time.
const EVER: Duration = Duration::from_secs(1 << 30);
/// Values that the origin may have, one after the other.
const VERSIONS: usize = 8;

/// What an event names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Key,
    Tag,
    /// Something else.
    Other,
}

struct Fixed {
    entry: EntryId,
    covering: Vec<Name>,
    names: Vec<Name>,
    slots: Slots,
    contents: Vec<Arc<Entry>>,
    targets: [Target; 3],
}

static FIXED: LazyLock<Fixed> = LazyLock::new(|| {
    let namespace = Namespace::new("users").unwrap();
    let key = Key::new("1").unwrap();
    let tag = Tag::new("team").unwrap();
    let covering = covering(&namespace, &key);
    let names = vec![Name::tag(&tag)];
    let content = |version: usize| {
        let body = vec![u8::try_from(version).unwrap()].into();
        let content = Content::Present(Value { body, ..Value::default() });
        Arc::new(Entry::new(content, Lifetime { fresh: EVER, ..Lifetime::default() }))
    };
    Fixed {
        slots: Slots::of(covering.iter().chain(&names)),
        contents: (0..VERSIONS).map(content).collect(),
        targets: [
            Target::Key(namespace.clone(), key.clone()),
            Target::Tag(tag),
            Target::Tag(Tag::new("other").unwrap()),
        ],
        entry: EntryId { namespace, version: 1, key },
        covering,
        names,
    }
});

pub(super) fn entry() -> &'static EntryId {
    &FIXED.entry
}

/// The key's own names.
pub(super) fn own_names() -> &'static [Name] {
    &FIXED.covering
}

/// The tag that the origin's answer carries.
pub(super) fn tag_names() -> &'static [Name] {
    &FIXED.names
}

/// Which of the targets an event names.
pub(super) fn named(event: &Event) -> u8 {
    let place = FIXED.targets.iter().position(|target| event.targets.first() == Some(target));
    u8::try_from(place.expect("no other target is ever named")).expect("there are three")
}

pub(super) fn event(by: By, request_id: Option<String>) -> Event {
    Event {
        targets: vec![FIXED.targets[by as usize].clone()],
        hardness: Hardness::Hard,
        provenance: Provenance::default(),
        request_id,
    }
}

/// What is stored of a version.
pub(super) fn put(version: u8) -> Put {
    Put { names: FIXED.names.clone(), envelope: Bytes::from(vec![version]), fresh: EVER, kept: EVER }
}

/// The version that an entry of L2 holds.
pub(super) fn stored_version(stored: &Stored) -> u8 {
    stored.envelope[0]
}

/// The version of a copy.
pub(super) fn version(copy: &Copy) -> u8 {
    match &copy.entry.content {
        Content::Present(value) => value.body[0],
        Content::Absent => panic!("the origin always has a value"),
    }
}

/// A copy of `version`, under a token as this instance's view understands it.
pub(super) fn copy(view: &View, version: u8, token: Option<&Token>, load: &LoadId) -> Arc<Copy> {
    Arc::new(Copy {
        entry: Arc::clone(&FIXED.contents[usize::from(version)]),
        stamp: token.and_then(|token| view.stamp(token)),
        slots: FIXED.slots.clone(),
        names: FIXED.names.clone().into(),
        load: load.clone().into(),
        load_time: LoadTime::default(),
        // In the order of the versions, which is the order of the loads that brought them.
        born: Boot::from_nanos(u64::from(version) + 1),
        dirty: false,
        unseen: None,
    })
}
