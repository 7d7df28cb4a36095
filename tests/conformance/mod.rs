//! What every backend does alike: each statement of the trait `Backend`, against each implementation of it.

#![expect(clippy::unwrap_used, reason = "an operation that fails fails its case")]

pub(crate) mod cluster;
mod fill;
pub(crate) mod fixture;
pub(crate) mod ground;
mod hot;
mod inbox;
mod kit;
mod limits;
mod locks;
mod log;
mod lookup;
mod members;
mod memory;
mod publish;
mod signals;
pub(crate) mod valkey;
mod writes;

/// One backend's run of all cases: its name in the test's path, and its [`fixture::Fixture`].
macro_rules! conformance {
    ($backend:ident, $($how:tt)+) => {
        mod $backend {
            conformance!(@cases { $($how)+ } lookup: [
                a_miss_without_a_claim_takes_no_lease
                a_miss_with_a_claim_gets_the_lease_and_the_head
                what_was_not_there_is_leased_as_it_is_now
                a_taken_lease_is_busy_for_every_other_load
                a_load_that_asks_again_still_has_its_lease
                an_expired_lease_goes_to_the_next
                a_lease_that_outlasts_every_other_is_of_a_clock_that_went_back
                a_stored_value_is_fresh_for_every_instance_with_the_head_as_token
                a_hit_takes_no_lease
                the_copy_at_hand_is_not_sent_again
                what_time_made_stale_comes_with_its_own_token
                what_is_kept_no_longer_is_gone
                a_refresh_gets_the_lease_beside_a_fresh_entry
                a_refresh_of_the_copy_at_hand_is_content_with_what_another_has_loaded
                an_entry_of_a_lineage_that_ended_is_void
                versions_of_a_namespace_are_separate_entries
                peek_answers_in_order_and_checks_nothing
            ]);
            conformance!(@cases { $($how)+ } fill: [
                a_fill_without_the_lease_is_refused_and_leaves_it_alone
                a_fill_ends_the_lease
                a_fill_after_its_lease_expired_is_refused
                an_old_load_cannot_store_after_an_event_and_a_newer_load
                an_event_for_a_tag_that_only_the_value_names_keeps_it_out
                an_event_for_what_covers_the_key_keeps_the_value_out
                a_refused_fill_ends_the_lease
                an_event_about_something_else_does_not_refuse_a_fill
                a_lease_of_a_lost_store_is_lost
                a_fill_with_another_token_than_the_leases_is_refused
                a_fill_without_a_lease_is_kept_out_by_newer_events_alone
                a_fill_without_a_lease_leaves_the_lease_alone
                a_lease_of_a_lineage_that_ended_is_void
                a_released_lease_goes_to_the_next
                only_its_holder_releases_a_lease
                everybody_sees_who_has_a_lease_and_for_how_long
            ]);
            conformance!(@cases { $($how)+ } publish: [
                a_hard_event_for_a_key_drops_the_entry_and_the_lease
                a_soft_event_for_a_key_leaves_a_stale_copy_and_drops_the_lease
                a_prefix_covers_the_keys_below_it
                a_prefix_off_a_boundary_is_widened
                a_namespace_covers_its_keys_alone
                a_tag_covers_values_of_all_namespaces
                a_name_that_a_value_depends_on_covers_it
                all_covers_everything
                a_soft_event_for_all_makes_everything_stale
                a_hard_event_counts_beside_a_later_soft_one
                a_value_loaded_after_the_event_is_fresh
                a_repeated_request_logs_nothing_and_gets_the_first_place
                a_repeat_counts_only_beyond_the_number_given
                events_of_all_instances_are_numbered_densely
                a_value_takes_effect_with_its_event
                forgotten_watermarks_never_bring_a_value_back
                a_lineage_begun_by_an_event_starts_above_what_is_known
                a_lost_store_begins_another_lineage_above_what_is_known
            ]);
            conformance!(@cases { $($how)+ } log: [
                each_event_is_chained_to_the_one_before
                an_event_is_read_as_it_was_published
                a_prefix_off_a_boundary_is_logged_as_what_it_was_widened_to
                a_part_of_the_log_is_read_from_where_one_stands
                a_trimmed_log_shows_by_its_first_number
                the_head_counts_what_another_instance_logged
            ]);
            conformance!(@cases { $($how)+ } members: [
                a_beat_makes_a_member_that_all_see
                a_publisher_gets_the_members
                a_beat_says_where_the_log_stands
                a_lineage_begun_by_a_beat_starts_above_what_is_known
                a_lineage_ends_with_whoever_knows_of_higher_numbers
                a_confirmation_raises_the_cursor_and_never_lowers_it
                a_member_that_went_on_beating_is_not_forgotten
                a_member_that_leaves_is_forgotten_at_once
            ]);
            conformance!(@cases { $($how)+ } signals: [
                an_event_is_announced_to_every_instance_as_it_is_logged
                a_confirmation_is_heard
                who_waits_for_a_lease_hears_how_it_ended
                who_waits_for_a_load_hears_of_it_though_it_took_its_lease_in_another_lineage
                a_lease_that_nobody_waits_for_ends_in_silence
                a_message_on_the_inbox_channel_is_heard_as_it_came
                a_distrusted_connection_ends_and_another_is_made
            ]);
            conformance!(@cases { $($how)+ } inbox: [
                an_entry_is_taken_once_with_its_fields_as_they_came
                at_most_as_many_entries_as_asked_for_are_taken
                who_waits_gets_the_first_entry_when_it_comes
                without_an_entry_the_wait_ends_empty
                an_unfinished_entry_is_adopted_when_it_was_idle_long_enough
                a_finished_entry_is_never_seen_again
                the_inbox_goes_on_after_the_store_was_lost
            ]);
            conformance!(@cases { $($how)+ } limits: [
                a_burst_is_spent_by_all_instances_together
                of_many_at_once_as_many_as_the_burst_are_admitted
                who_waits_as_long_as_told_is_admitted
                a_refusal_costs_nothing
                callers_and_namespaces_spend_their_own
                a_quota_that_shrank_keeps_nobody_waiting_longer_than_it_says
                the_extremes_of_a_quota_are_counted
                what_is_spent_outlives_a_lineage_and_not_the_store
            ]);
            conformance!(@cases { $($how)+ } hot: [
                the_hottest_keys_come_first_for_every_instance
                what_several_keep_is_merged_by_the_greater_heat
                of_more_keys_than_are_kept_the_coldest_go
                what_is_kept_outlives_a_lineage_and_not_the_store
            ]);
            conformance!(@cases { $($how)+ } locks: [
                a_lock_has_one_holder_until_it_is_given_up
                of_many_who_ask_at_once_one_gets_it
                an_expired_lock_goes_to_the_next_under_a_greater_fence
                an_expired_lock_is_not_extended_though_nobody_took_it
                an_extended_lock_is_held_for_longer_under_its_fence
                another_token_neither_extends_a_lock_nor_gives_it_up
                who_asks_again_has_it_under_the_same_fence
                who_waits_for_a_lock_hears_that_it_was_given_up
                a_lock_of_a_lineage_that_ended_stands_and_is_not_extended
                fences_grow_though_everything_is_lost
            ]);
            conformance!(@cases { $($how)+ } writes: [
                a_write_through_keeps_fills_out_until_its_value_is_stored
                of_two_writers_at_once_neither_leaves_its_value
                an_event_during_a_write_through_keeps_its_value_out
                a_write_through_takes_the_place_of_an_older_pending_one_if_it_succeeds
                a_write_behind_is_answered_by_all_until_the_origin_has_it
                what_was_flushed_is_a_copy_like_any_other
                a_newer_write_supersedes_an_older_one
                a_parked_write_waits_and_its_neighbours_do_not
                a_parked_write_comes_again_when_it_is_due
                what_a_dead_worker_took_is_taken_over
                a_queue_has_one_owner_until_it_is_given_up
                a_worker_that_found_nothing_hears_of_the_next_write
                a_dead_write_is_dropped_with_an_event_and_kept_with_the_dead
                what_the_origin_has_a_newer_one_of_is_dropped_with_an_event
                a_full_queue_takes_no_further_write
                a_queue_is_handed_to_one_of_those_that_are_there
                writes_outlive_a_lineage_and_queues_beyond_those_known_are_told_of
                no_more_is_taken_than_is_asked_for
            ]);
        }
    };
    // A test for each case, on servers of its own.
    (@cases { $fixture:ty } $room:ident: [$($case:ident)*]) => {
        mod $room {
            $(
                #[tokio::test]
                async fn $case() {
                    crate::conformance::$room::$case::<$fixture>().await;
                }
            )*
        }
    };
    // The same on a cluster.
    (@cases { all in $fixture:ty } $room:ident: [$($case:ident)*]) => {
        #[tokio::test]
        async fn $room() {
            let ring = std::sync::Arc::new(crate::harness::ring::Ring::start().await);
            crate::conformance::cluster::RING.scope(ring, async {
                $( Box::pin(crate::conformance::$room::$case::<$fixture>()).await; )*
            })
            .await;
        }
    };
    // One after the other on the same servers, which take long to start.
    (@cases { all on $ground:path } $room:ident: [$($case:ident)*]) => {
        #[tokio::test]
        async fn $room() {
            let cases = async {
                $(crate::conformance::$room::$case::<crate::conformance::ground::Shared>().await;)*
            };
            crate::conformance::ground::on($ground().await, cases).await;
        }
    };
}

// One line for each backend.
conformance!(on_memory, crate::conformance::memory::Joined);
conformance!(on_valkey, crate::conformance::valkey::Connected);
conformance!(on_shards, crate::conformance::valkey::Sharded);
conformance!(on_cluster, all in crate::conformance::cluster::Clustered);
conformance!(by_sentinels, all on crate::conformance::ground::by_sentinels);
conformance!(over_tls, all on crate::conformance::ground::over_tls);
