//! Every interleaving of a read from L1 with the follower that applies, proves and begins anew, on the real view.
//!
//! `view.rs` is built here once more, on loom's memory: loom runs each model under every order of its loads and stores
//! that Acquire and Release allow, stale values included. `relaxed` is the same view with the orderings taken away, to
//! show that they are needed and that a lack of them is found.

mod memory;
mod ordered;
mod relaxed;

use ordered::models::{self, advanced_first, in_order, judged, proven_first, standing_first};

#[test]
fn a_read_never_trusts_a_renewed_lease_without_the_events_that_it_proves() {
    models::read_beside_a_renewal(in_order, judged);
}

#[test]
#[should_panic(expected = "answered with older data")]
fn watermarks_before_the_lease_are_found() {
    models::read_beside_a_renewal(in_order, standing_first);
}

#[test]
#[should_panic(expected = "answered with older data")]
fn proof_before_the_marks_is_found() {
    models::read_beside_a_renewal(proven_first, judged);
}

#[test]
#[should_panic(expected = "answered with older data")]
fn a_renewal_without_release_and_acquire_is_found() {
    use relaxed::models;
    models::read_beside_a_renewal(models::in_order, models::judged);
}

#[test]
fn whoever_sees_the_cursor_sees_the_marks() {
    models::read_behind_the_cursor(in_order);
}

#[test]
#[should_panic(expected = "answered with older data")]
fn a_cursor_before_the_marks_is_found() {
    models::read_behind_the_cursor(advanced_first);
}

#[test]
#[should_panic(expected = "answered with older data")]
fn a_cursor_without_release_and_acquire_is_found() {
    use relaxed::models;
    models::read_behind_the_cursor(models::in_order);
}

#[test]
fn a_skipped_part_of_the_log_is_not_proven_before_its_floor() {
    models::read_beside_a_skip();
}

#[test]
fn a_copy_of_another_lineage_is_not_proven_by_the_new_one() {
    models::read_beside_a_beginning();
}

#[test]
fn what_an_event_made_invalid_stays_so_while_another_lineage_begins() {
    models::invalid_copy_beside_a_beginning();
}

#[test]
fn what_is_older_than_the_beginning_of_a_lineage_is_never_valid_in_it() {
    models::early_token_beside_a_beginning();
}
