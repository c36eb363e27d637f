//! Every counter and gauge, declared in one place.
