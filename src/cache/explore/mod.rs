//! The protocol explored: the product's follower, view, wait and decisions of the read path, with the reference model of
//! the scripts as the server, in every order of events.
//!
//! Two instances, readers that join each other's loads, writers that commit, publish and are acknowledged, and faults.
//! Nothing of what decides is modelled; what is modelled is the world around it: which message is on its way, and that
//! any of them may be next. Time is a step in which all leases run out, and it may pass at any moment.
//!
//! Left out: soft events and what only time makes stale, reads that ask for proof or for a load afresh, refreshes, several
//! keys and shards, instances that start or are forgotten. Those have tests of their own.

mod check;
mod config;
mod fingerprint;
mod instance;
mod large;
mod load;
mod reader;
mod search;
mod server;
mod setting;
mod weakened;
mod whole;
mod world;
mod writer;
