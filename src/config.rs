//! Every setting and every limit, with default and unit.
