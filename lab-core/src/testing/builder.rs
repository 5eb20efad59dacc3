//! The conformance suite of [`Builder`](crate::builder::Builder), and [`FakeBuilder`].

mod fake;
#[expect(clippy::missing_panics_doc, reason = "a behaviour that does not hold panics, as a test does")]
mod suite;

pub use fake::{BuilderCall, FakeBuilder};
pub use suite::*;

/// Checks a builder. The expression is a future that gives a [`Subject`](crate::testing::Subject) of `dyn Builder`; the
/// builder must be able to provide the default version of PocketBase.
#[macro_export]
macro_rules! builder_conformance {
    ($make:expr) => {
        $crate::conformance_tests!(builder, $make;
            plan_only_reads,
            the_same_tree_gives_the_same_plan,
            a_plan_says_why,
            an_unrecognised_tree_fails_and_says_what_was_looked_for,
            a_tree_that_states_nonsense_is_invalid,
            a_build_writes_the_release_into_output,
            a_build_writes_nothing_elsewhere,
            a_cancelled_build_ends_within_a_second,
            a_build_without_time_ends_as_timed_out,
            the_release_holds_no_link_that_leads_outside,
        );
    };
}
