//! Our dialect: sqlparser's PostgreSQL, plus `TABLE t` as a function argument, jsonb's `?` and BETWEEN SYMMETRIC, and EMIT, ALLOW, LATE and AS OF
//! not taken for aliases where a clause of ours begins.

use std::any::TypeId;

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

/// See the module.
#[derive(Debug)]
pub(super) struct HighwaterDialect;

const POSTGRES: PostgreSqlDialect = PostgreSqlDialect {};

/// Whether the word that was just consumed begins one of our clauses, and so is no alias.
fn begins_clause(parser: &Parser<'_>) -> bool {
    let (Token::Word(word), Token::Word(next)) = (&parser.get_current_token().token, &parser.peek_token_ref().token)
    else {
        return false;
    };
    let is = |first: &str, second: &[&str]| {
        word.quote_style.is_none()
            && word.value.eq_ignore_ascii_case(first)
            && second.iter().any(|s| next.value.eq_ignore_ascii_case(s))
    };
    is("emit", &["on", "changes"]) || is("allow", &["lateness"]) || is("as", &["of"]) || is("late", &["rows"])
}

/// Whether `?` comes next: jsonb's operator, which the tokenizer takes for a placeholder.
fn is_question(parser: &Parser<'_>) -> bool {
    matches!(&parser.peek_token_ref().token, Token::Placeholder(text) if text == "?")
}

/// `?`, `?|` and `?&`, behind their left side.
fn question(parser: &mut Parser<'_>, left: &ast::Expr, precedence: u8) -> Result<ast::Expr, ParserError> {
    parser.advance_token();
    let op = match parser.peek_token_ref().token {
        Token::Pipe => ast::BinaryOperator::QuestionPipe,
        Token::Ampersand => ast::BinaryOperator::QuestionAnd,
        _ => ast::BinaryOperator::Question,
    };
    if op != ast::BinaryOperator::Question {
        parser.advance_token();
    }
    let right = Box::new(parser.parse_subexpr(precedence)?);
    Ok(ast::Expr::BinaryOp { left: Box::new(left.clone()), op, right })
}

/// `[NOT] BETWEEN SYMMETRIC` comes next, or ASYMMETRIC: whether it is NOT, and whether it is symmetric.
fn symmetry(parser: &Parser<'_>) -> Option<(bool, bool)> {
    let is = |n: usize, word: &str| matches!(&parser.peek_nth_token_ref(n).token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word));
    let negated = is(0, "not");
    let at = usize::from(negated);
    let symmetric = is(at + 1, "symmetric");
    (is(at, "between") && (symmetric || is(at + 1, "asymmetric"))).then_some((negated, symmetric))
}

/// `x BETWEEN SYMMETRIC a AND b` is `(x BETWEEN a AND b OR x BETWEEN b AND a)`.
fn between(
    parser: &mut Parser<'_>,
    left: &ast::Expr,
    (negated, symmetric): (bool, bool),
    precedence: u8,
) -> Result<ast::Expr, ParserError> {
    (0..2 + usize::from(negated)).for_each(|_| parser.advance_token());
    let low = parser.parse_subexpr(precedence)?;
    parser.expect_keyword_is(Keyword::AND)?;
    let high = parser.parse_subexpr(precedence)?;
    let one = |low: &ast::Expr, high: &ast::Expr| {
        let (low, high) = (Box::new(low.clone()), Box::new(high.clone()));
        Box::new(ast::Expr::Between { expr: Box::new(left.clone()), negated, low, high })
    };
    if !symmetric {
        return Ok(*one(&low, &high));
    }
    let op = if negated { ast::BinaryOperator::And } else { ast::BinaryOperator::Or };
    let both = ast::Expr::BinaryOp { left: one(&low, &high), op, right: one(&high, &low) };
    Ok(ast::Expr::Nested(Box::new(both)))
}

/// `TABLE t`, as a subquery: the planner of windows sees through it.
fn table_argument(parser: &mut Parser<'_>) -> Result<ast::Expr, ParserError> {
    let name = parser.parse_object_name(false)?;
    let table = ast::TableFactor::Table {
        name,
        alias: None,
        args: None,
        with_hints: vec![],
        version: None,
        with_ordinality: false,
        partitions: vec![],
        json_path: None,
        sample: None,
        index_hints: vec![],
    };
    let wildcard = ast::SelectItem::Wildcard(ast::WildcardAdditionalOptions::default());
    let select = ast::Select {
        select_token: AttachedToken::empty(),
        optimizer_hints: vec![],
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: vec![wildcard],
        exclude: None,
        into: None,
        from: vec![ast::TableWithJoins { relation: table, joins: vec![] }],
        lateral_views: vec![],
        prewhere: None,
        selection: None,
        connect_by: vec![],
        group_by: ast::GroupByExpr::Expressions(vec![], vec![]),
        cluster_by: vec![],
        distribute_by: vec![],
        sort_by: vec![],
        having: None,
        named_window: vec![],
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: ast::SelectFlavor::Standard,
    };
    Ok(ast::Expr::Subquery(Box::new(ast::Query {
        with: None,
        body: Box::new(ast::SetExpr::Select(Box::new(select))),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: vec![],
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: vec![],
    })))
}

#[rustfmt::skip]
impl Dialect for HighwaterDialect {
    fn dialect(&self) -> TypeId { TypeId::of::<PostgreSqlDialect>() }

    fn parse_prefix(&self, parser: &mut Parser<'_>) -> Option<Result<ast::Expr, ParserError>> {
        let is_word = matches!(parser.peek_nth_token_ref(1).token, Token::Word(_));
        if is_word && parser.parse_keyword(Keyword::TABLE) { Some(table_argument(parser)) } else { None }
    }

    fn is_table_factor_alias(&self, explicit: bool, kw: &Keyword, parser: &mut Parser<'_>) -> bool {
        explicit || (!begins_clause(parser) && self.is_table_alias(kw, parser))
    }

    fn is_select_item_alias(&self, explicit: bool, kw: &Keyword, parser: &mut Parser<'_>) -> bool {
        explicit || (!begins_clause(parser) && self.is_column_alias(kw, parser))
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> { POSTGRES.identifier_quote_style(identifier) }
    fn is_delimited_identifier_start(&self, ch: char) -> bool { POSTGRES.is_delimited_identifier_start(ch) }
    fn is_identifier_start(&self, ch: char) -> bool { POSTGRES.is_identifier_start(ch) }
    fn is_identifier_part(&self, ch: char) -> bool { POSTGRES.is_identifier_part(ch) }
    fn supports_unicode_string_literal(&self) -> bool { true }
    fn is_reserved_for_identifier(&self, kw: Keyword) -> bool { POSTGRES.is_reserved_for_identifier(kw) }
    fn is_custom_operator_part(&self, ch: char) -> bool { POSTGRES.is_custom_operator_part(ch) }
    fn parse_infix(
        &self,
        parser: &mut Parser<'_>,
        left: &ast::Expr,
        precedence: u8,
    ) -> Option<Result<ast::Expr, ParserError>> {
        if let Some(how) = symmetry(parser) {
            return Some(between(parser, left, how, self.prec_value(Precedence::Between)));
        }
        is_question(parser).then(|| question(parser, left, precedence))
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        if is_question(parser) {
            return Some(Ok(self.prec_value(Precedence::PgOther)));
        }
        POSTGRES.get_next_precedence(parser)
    }
    fn prec_value(&self, prec: Precedence) -> u8 { POSTGRES.prec_value(prec) }
    fn supports_filter_during_aggregation(&self) -> bool { true }
    fn supports_group_by_expr(&self) -> bool { true }
    fn allow_extract_custom(&self) -> bool { true }
    fn allow_extract_single_quotes(&self) -> bool { true }
    fn supports_named_fn_args_with_colon_operator(&self) -> bool { true }
    // Names are identifiers: with expressions for names every argument is parsed twice, nested calls 2^depth times.
    fn supports_named_fn_args_with_expr_name(&self) -> bool { false }
    fn supports_empty_projections(&self) -> bool { true }
    fn supports_nested_comments(&self) -> bool { true }
    fn supports_string_escape_constant(&self) -> bool { true }
    fn supports_numeric_literal_underscores(&self) -> bool { true }
    fn supports_array_typedef_with_brackets(&self) -> bool { true }
    // For the type STRUCT<..>; the literal STRUCT(..) is refused.
    fn supports_struct_literal(&self) -> bool { true }
    fn supports_notnull_operator(&self) -> bool { true }
    fn supports_interval_options(&self) -> bool { true }
    fn supports_insert_table_alias(&self) -> bool { true }
    fn supports_bitwise_shift_operators(&self) -> bool { true }
    fn supports_comma_separated_trim(&self) -> bool { true }
}
