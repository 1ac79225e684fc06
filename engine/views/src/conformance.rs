//! What every view store does: one suite for all of them.

pub(crate) mod commits;
pub(crate) mod feeds;
pub(crate) mod generations;
pub(crate) mod lists;
pub(crate) mod openings;
pub(crate) mod past;
pub(crate) mod toy;

pub(crate) use toy::Fixture;

/// Makes a test of each rule in the suite, for the store that the function makes.
macro_rules! view_store_suite {
    ($fixture:path) => {
        $crate::conformance::view_store_suite!($fixture, commits:
            a_batch_is_there_whole_or_not_at_all
            a_batch_that_comes_twice_is_refused
            a_step_that_leaves_something_out_is_refused
            an_event_that_the_history_has_is_refused
            an_older_writer_is_fenced
            a_reader_sees_no_half_batch
            a_version_stands_until_something_is_committed
            a_row_is_loaded_as_it_was_written
            a_row_that_is_removed_is_gone
            a_row_that_is_not_listed_is_loaded_and_not_read
            the_history_is_read_by_aggregate_in_pages
            what_is_parked_stays_parked_for_its_first_reason
            positions_are_those_of_the_projection
        );
        $crate::conformance::view_store_suite!($fixture, lists:
            a_list_is_filtered_by_every_test
            all_filters_hold_together
            a_missing_value_meets_no_filter
            pages_have_every_row_once_in_every_order
            a_page_goes_on_where_the_last_one_ended_although_rows_come_and_go
            the_last_page_leads_nowhere
            a_place_of_another_order_is_refused
            a_list_shows_what_a_row_is_whatever_it_was
        );
        $crate::conformance::view_store_suite!($fixture, feeds:
            a_feed_has_every_event_once_in_the_order_of_its_partition
            a_feed_leaves_out_what_is_not_asked_for_and_goes_on_behind_it
            a_feed_begins_and_ends_where_it_is_told
            the_partitions_of_a_page_come_by_time
        );
        $crate::conformance::view_store_suite!($fixture, generations:
            a_view_of_another_version_is_served_on_until_it_is_built
            a_view_with_other_fields_is_served_on_until_it_is_built
            a_field_that_the_served_form_lacks_is_named
            a_generation_is_built_beside_the_one_that_is_served
            a_generation_is_served_when_it_has_come_as_far
            what_a_builder_held_is_given_back
            a_writer_begins_again_after_a_switch
            a_reader_sees_one_generation_whole
            all_pages_of_a_list_can_come_from_one_generation
            a_builder_goes_on_where_it_stood
            what_another_program_has_begun_is_begun_anew
            a_generation_that_was_served_is_kept_and_can_go_on
            what_is_served_cannot_be_removed
            what_is_parked_belongs_to_its_generation
            what_is_parked_is_retried_when_it_is_asked_for_and_follows_again
        );
        $crate::conformance::view_store_suite!($fixture, past:
            a_moment_lies_before_the_first_event_that_is_past_it
            a_moment_lies_where_it_does_although_events_have_come_late
            what_touches_a_row_is_read_by_partition_in_order
            refusals_are_read_past_what_was_accepted
        );
        $crate::conformance::view_store_suite!($fixture, openings:
            there_is_nothing_to_read_before_the_first_writer
            a_reader_goes_on_when_the_writer_is_gone
            a_store_goes_on_where_it_stood
            the_store_of_another_cluster_is_refused
            a_view_cannot_be_called_history
        );
    };
    ($fixture:path, $part:ident: $($rule:ident)+) => {
        mod $part {
            $(
                #[test]
                fn $rule() {
                    $crate::conformance::$part::$rule(&$fixture());
                }
            )+
        }
    };
}
pub(crate) use view_store_suite;
