//! What happens within the process, part by part, by criterion: `cargo bench --bench inside`.
//!
//! Each group has beside coherd's part the least that could stand there, where there is such a thing.

mod apply;
mod guards;
mod look_up;
mod parse;
mod wire;

criterion::criterion_group!(look_ups, look_up::look_up, look_up::judge, apply::apply, apply::covering_names);
criterion::criterion_group!(formats, wire::envelope, parse::event, parse::headers);
criterion::criterion_group!(checks, guards::breaker, guards::rate_limit);
criterion::criterion_main!(look_ups, formats, checks);
