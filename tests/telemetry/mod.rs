//! What an operator sees of instances from outside.

mod calls;
mod families;
mod lag;
mod monitor;
mod recorder;
mod traces;
