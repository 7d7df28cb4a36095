//! The terms of the keys that an instance leaves to those after it.

use std::time::Duration;

use crate::model::Key;

/// Most keys kept of a namespace.
pub const HOT_KEYS_MAX: usize = 1000;
/// How long they are kept from when their list was begun, and so at the least an instance's pause.
pub const HOT_KEPT: Duration = Duration::from_hours(24);
/// How long a list takes part as it is: a restart of all instances, one after the other. In an older one every key is
/// colder than all that are added, and the list begins anew.
pub const HOT_MERGED: Duration = Duration::from_hours(1);

/// A key and how often it was read. Of two instances that keep the same key, the one that read it more counts; beyond
/// [`HOT_KEYS_MAX`] the coldest go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HotKey {
    /// How often it was read lately, as an estimate.
    pub heat: u16,
    /// Which.
    pub key: Key,
}
