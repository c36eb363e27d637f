//! Which functions take about as long as what they are given is large.

/// Functions that neither make much out of little nor look long at it.
#[rustfmt::skip]
const QUICK: &[&str] = &[
    "abs", "add", "and", "array_length", "btrim", "cardinality", "cast", "ceil", "char_length", "character_length",
    "clock_timestamp", "coalesce", "concat", "cos", "current_date", "current_timestamp", "date_add_days", "date_bin", "date_difference",
    "date_part", "date_trunc", "divide", "exp", "extract", "floor", "gen_random_uuid", "greatest", "interval_divide",
    "interval_multiply", "jsonb_array_element", "jsonb_array_element_text", "jsonb_contained", "jsonb_contains",
    "jsonb_exists", "jsonb_object_field", "jsonb_object_field_text", "jsonb_typeof", "least", "left", "length", "ln",
    "log", "lower", "ltrim", "make_date", "md5", "mod", "modulo", "multiply", "named_struct", "negate", "now",
    "nullif", "octet_length", "or", "position", "power", "quote_ident", "quote_literal", "random", "record_field",
    "right", "round", "row", "rtrim", "sign", "sin", "sqrt", "starts_with", "strpos", "substr", "substring", "subtract",
    "trunc", "upper",
];

/// Whether a function is known to be one of them.
pub fn is_quick(function: &str) -> bool {
    QUICK.contains(&function)
}
