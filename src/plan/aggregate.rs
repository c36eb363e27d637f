//! Aggregate calls of a logical plan -> [`super::AggregateCall`].
