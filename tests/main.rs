//! Every test that needs more than one room: one binary, a file per promise.

mod away;
mod chaos;
mod check;
mod commands;
mod conformance;
mod corpus;
mod demo;
mod door;
mod harness;
mod history;
mod junk;
mod kept;
mod loads;
mod locks;
mod model;
mod promises;
mod publishers;
mod rates;
mod refusals;
mod serve;
mod simulation;
mod starts;
mod storm;
mod strategies;
mod tidy;
mod ways_in;
