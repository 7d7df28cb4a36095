//! Plausible weakenings of the protocol, each a cargo feature: what the history checker must find within minutes, or it
//! proves nothing. `make mutants` builds them one by one. Without a feature every constant is `false`, and nothing of
//! this is left in the program.

#[cfg(all(
    not(debug_assertions),
    any(
        feature = "mutant-token-at-end",
        feature = "mutant-l1-unchecked",
        feature = "mutant-joiners-unfenced",
        feature = "mutant-new-members-trusted",
        feature = "mutant-no-identity",
        feature = "mutant-ack-at-append",
        feature = "mutant-lease-from-reply",
        feature = "mutant-plain-del",
        feature = "mutant-unfenced",
        feature = "mutant-clear-dirty",
        feature = "mutant-ack-early",
        feature = "mutant-put-keeps-lease",
    )
))]
compile_error!("a release holds no mutant: they are there to be found by `make mutants`");

/// A load takes its token when the origin has answered, not before it is asked.
pub(crate) const TOKEN_AT_END: bool = cfg!(feature = "mutant-token-at-end");
/// An event drops what L1 holds at that moment; what is put there later is not held against it.
pub(crate) const L1_UNCHECKED: bool = cfg!(feature = "mutant-l1-unchecked");
/// Whoever joins a load may use its result, whenever the load has read.
pub(crate) const JOINERS_UNFENCED: bool = cfg!(feature = "mutant-joiners-unfenced");
/// `wait=all` counts the members of a lineage that has just begun as all there are.
pub(crate) const NEW_MEMBERS_TRUSTED: bool = cfg!(feature = "mutant-new-members-trusted");
/// `wait=all` is answered as soon as the event is logged.
pub(crate) const ACK_AT_APPEND: bool = cfg!(feature = "mutant-ack-at-append");
/// A lease counts from the heartbeat's answer, not from its sending.
pub(crate) const LEASE_FROM_REPLY: bool = cfg!(feature = "mutant-lease-from-reply");

/// No server is ever another one.
pub(crate) const NO_IDENTITY: bool = cfg!(feature = "mutant-no-identity");
/// An event is DEL and PUBLISH: it marks no names and voids no leases, and a fill is a plain SET.
pub(crate) const PLAIN_DEL: bool = cfg!(feature = "mutant-plain-del");

/// A write carries no number to its HTTP origin.
pub(crate) const UNFENCED: bool = cfg!(feature = "mutant-unfenced");
/// What is confirmed is taken for whatever is pending.
pub(crate) const CLEAR_DIRTY: bool = cfg!(feature = "mutant-clear-dirty");
/// What a worker takes is done with, whatever becomes of it.
pub(crate) const ACK_EARLY: bool = cfg!(feature = "mutant-ack-early");
/// A write behind neither voids the lease of a load nor keeps out what it brings.
pub(crate) const PUT_KEEPS_LEASE: bool = cfg!(feature = "mutant-put-keeps-lease");

/// How the scripts begin that hold what a feature leaves out of one of them.
const PUBLISH: &str = "-- Publications, one after the other in one step.";
const FILL: &str = "-- Fills, one after the other in one step.";
const TAKE: &str = "-- KEYS: ctl, stream; ARGV: partition, worker, consumer,";
const SETTLE: &str = "-- KEYS: ctl, stream, dead; ARGV: known,";

/// What a feature leaves out of the scripts that hold `of`.
struct Weakening {
    on: bool,
    of: &'static str,
    part: &'static str,
    instead: String,
}

fn weakenings() -> Vec<Weakening> {
    let of = |on, of, part, instead: &str| Weakening { on, of, part, instead: instead.to_owned() };
    let (marks, leases) = ("  for i = first, last do\n    marks[", "  for i = first, last do\n    local key");
    vec![
        of(
            NO_IDENTITY,
            "",
            "return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')",
            "return 'any'",
        ),
        of(PLAIN_DEL, "", marks, "  for i = 1, 0 do\n    marks["),
        of(PLAIN_DEL, "", leases, "  for i = 1, 0 do\n    local key"),
        of(
            CLEAR_DIRTY,
            SETTLE,
            "  if found[1] ~= seq then\n    done[#done + 1] = id\n    return 'superseded'\n  end\n",
            "",
        ),
        of(ACK_EARLY, TAKE, "  local at = 4 * count", "  done[#done + 1] = id\n  local at = 4 * count"),
        of(
            PUT_KEEPS_LEASE,
            PUBLISH,
            "first_name, body - 1)",
            "first_name, what == PENDING and 0 or body - 1)",
        ),
        of(
            PUT_KEEPS_LEASE,
            PUBLISH,
            "KEYS, key, entry - 1)",
            "KEYS, key, what == PENDING and 0 or entry - 1)",
        ),
        of(PUT_KEEPS_LEASE, FILL, "return 'dirty'", "return 'stored'"),
    ]
}

/// A script, with what the features leave out of it.
///
/// # Panics
///
/// If it no longer holds what a feature would leave out: such a mutant would be the product itself.
pub(crate) fn scripts(mut text: String) -> String {
    for Weakening { of, part, instead, .. } in weakenings().into_iter().filter(|it| it.on) {
        if text.contains(of) {
            assert!(text.contains(part), "no script holds `{part}`");
            text = text.replace(part, &instead);
        }
    }
    text
}

/// What some feature would leave out of one of these scripts and does not find there just once, or in none of them.
#[cfg(test)]
pub(crate) fn misfits(scripts: &[&str]) -> Vec<&'static str> {
    let fits = |it: &Weakening| {
        let mut concerned = scripts.iter().filter(|text| text.contains(it.of)).peekable();
        concerned.peek().is_some() && concerned.all(|text| text.matches(it.part).count() == 1)
    };
    weakenings().into_iter().filter(|it| !it.on && !fits(it)).map(|it| it.part).collect()
}
