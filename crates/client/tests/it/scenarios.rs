//! The same scenarios on the fake gateway and on the real one, with the same outcome.
//!
//! A scenario is a function that is given a stage, and says how it must come out. On the fake it is played twice: in memory,
//! where time is paused, and over sockets.

mod connection;
mod events;
mod presence;
mod publishing;
mod stage;
mod tokens;

use stage::Stage;

macro_rules! scenarios {
    ($($module:ident: $($name:ident,)+;)+) => {
        mod on_the_fake {
            $($(#[tokio::test(start_paused = true)]
            async fn $name() {
                super::$module::$name(&super::Stage::fake()).await;
            })+)+
        }

        mod on_the_fake_over_sockets {
            $($(#[tokio::test]
            async fn $name() {
                super::$module::$name(&super::Stage::fake_over_sockets().await).await;
            })+)+
        }

        mod on_the_real_one {
            $($(#[tokio::test]
            async fn $name() {
                super::$module::$name(&super::Stage::real().await).await;
            })+)+
        }

        const NAMES: &[&str] = &[$($(stringify!($name)),+),+];
    };
}

scenarios! {
    events:
        an_event_of_several_rooms_comes_once_and_in_order,
        an_event_goes_to_the_rooms_of_its_type,
        an_event_says_who_when_and_where,
        a_room_that_is_left_says_nothing,
        a_kind_of_room_that_does_not_exist_is_denied,
        a_room_that_is_not_granted_is_denied_and_the_others_are_joined,
        a_user_is_always_in_the_own_room_and_never_in_anothers,
        a_room_too_many_is_denied,
        a_second_subscription_goes_on_from_where_the_room_is,
        a_stored_position_is_gone_on_from,
        a_position_of_another_stream_is_a_gap,
        what_is_not_kept_any_more_is_a_gap,
    ;
    connection:
        behind_a_lost_connection_everything_comes_once_and_in_order,
        behind_a_long_absence_the_gap_is_told_and_the_room_goes_on,
        a_shared_event_is_recovered_once_and_counts_in_both_rooms,
        a_connection_that_breaks_again_and_again_loses_and_doubles_nothing,
        a_publish_over_a_lost_connection_is_carried_out_once,
        whoever_is_sent_away_stays_away,
        a_drain_is_told_and_the_client_comes_back,
        a_client_that_closes_ends_its_subscriptions,
        a_rate_limit_refuses_with_a_hint,
    ;
    tokens:
        a_wrong_token_ends_the_client,
        a_provider_is_asked_once_more_for_a_token_that_is_refused,
        a_fresh_token_opens_what_a_wrong_one_did_not,
        a_token_is_renewed_and_rooms_that_it_does_not_grant_are_left,
        another_users_token_renews_nothing,
        a_token_that_ran_out_is_replaced_by_coming_back,
    ;
    publishing:
        a_publish_needs_its_grant_for_the_type_or_for_all,
        an_event_that_is_not_as_its_type_wants_it_is_refused_with_the_place,
        the_same_id_again_publishes_nothing,
        an_event_that_is_too_large_is_refused,
        a_publisher_without_rights_is_refused,
        a_publisher_with_a_wrong_token_is_refused_after_another,
        a_publisher_speaks_for_others_only_with_the_right_to_publish_everything,
        a_batch_has_an_outcome_for_each_event,
        a_notification_reaches_its_user_alone,
        many_calls_at_once_keep_their_order,
    ;
    presence:
        users_see_each_other_come_change_and_leave,
        a_reconnection_is_not_noticed_by_the_others,
        who_does_not_come_back_is_gone_after_a_while,
        who_leaves_before_closing_is_gone_at_once,
        presence_that_is_not_granted_is_denied_and_the_room_is_not,
        typing_reaches_the_others_and_ends_when_it_is_said,
        typing_ends_by_itself,
        typing_ends_with_its_connection,
        typing_needs_to_be_in_the_issue,
    ;
}

#[test]
fn there_are_twenty_five_scenarios_and_more() {
    assert!(NAMES.len() >= 25, "{}", NAMES.len());
}
