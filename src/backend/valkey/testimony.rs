//! Saying what was seen on the server before.

use super::connection::{Arg, Connection};
use super::errors::explain;
use super::reply::Parts;
use super::{Context, script};
use crate::backend::{BackendError, Judged, Testimony};
use crate::model::{Hardness, Shard, Target};

/// See [`crate::backend::Backend::testify`].
pub(super) async fn testify(
    context: &Context,
    connection: &Connection,
    shard: Shard,
    testimony: &Testimony,
) -> Result<Judged, BackendError> {
    let Testimony { instance, lineage, seen, told } = testimony;
    let mut args = vec![Arg::from(context.known(shard))];
    args.extend(context.settings_args());
    let says = match told {
        None => "",
        Some(told) if told.whole => "all",
        Some(_) => "some",
    };
    args.extend([
        Arg::from(instance.as_str()),
        Arg::from(lineage.as_str()),
        Arg::from(*seen),
        Arg::from(says),
    ]);
    for (seq, event) in told.iter().flat_map(|told| &told.events) {
        args.extend([
            Arg::from(*seq),
            Arg::from(event.hardness == Hardness::Soft),
            Arg::from(event.provenance.source.as_str()),
            Arg::from(event.provenance.reason.as_str()),
            Arg::from(event.targets.len() as u64),
        ]);
        args.extend(target_args(&event.targets));
    }
    let answer = script::TESTIFY.run(connection, context.keys.shard(shard), Vec::new(), args).await;
    let mut parts = Parts::of("testify", answer.map_err(|error| explain(&error))?)?;
    match parts.text()?.as_str() {
        "none" => Ok(Judged::None),
        "trial" => Ok(Judged::Wanted(parts.number()?)),
        "waits" => Ok(Judged::Waits),
        "kept" => Ok(Judged::Kept),
        "refused" => Ok(Judged::Refused),
        _ => Err(parts.wrong("an unknown status")),
    }
}

/// An event's targets as `testify.lua` takes them: kind, namespace, text.
fn target_args(targets: &[Target]) -> impl Iterator<Item = Arg> {
    targets.iter().flat_map(|target| {
        let (kind, namespace, text): (&str, &str, &str) = match target {
            Target::Key(namespace, key) => ("key", namespace, key),
            Target::Prefix(namespace, prefix) => ("prefix", namespace, prefix),
            Target::Namespace(namespace) => ("ns", namespace, ""),
            Target::Tag(tag) => ("tag", "", tag),
            Target::All => ("all", "", ""),
        };
        [Arg::from(kind), Arg::from(namespace), Arg::from(text)]
    })
}
