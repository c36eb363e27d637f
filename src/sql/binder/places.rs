//! [`Places`]: where names, calls and constants stand in a statement: what errors are pointed at with.

use std::ops::ControlFlow;

use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::ast::{self, JoinConstraint, JoinOperator, Spanned, Visit, Visitor};
use datafusion::sql::sqlparser::tokenizer::{Location, Span};

use super::errors::worded;
use super::syntax::last_ident;
use crate::error::{Error, SqlState};
use crate::sql::parser::cursor::{Source, fold};
use crate::sql::statement::Text;

/// See the module.
pub(super) struct Places<'a> {
    source: Source<'a>,
    /// 0-based offset of the text in the statement.
    offset: usize,
    /// Where the text begins, as spans count.
    start: Location,
    relations: Vec<(String, Span)>,
    /// Columns by their qualified names.
    columns: Vec<(Vec<String>, Span)>,
    calls: Vec<Call>,
    texts: Vec<(String, Span)>,
    /// `t AS a`.
    aliases: Vec<(String, String)>,
    /// Names that come with a list of columns: the name, how many columns, whether it is WITH's.
    lists: Vec<(String, usize, bool, Span)>,
    /// Columns of JOIN .. USING.
    using: Vec<String>,
    /// Explicit casts: the type as it is written, its own place if known, and the expression's.
    casts: Vec<(String, Span, Span)>,
    /// Places that must be boolean, by what PostgreSQL calls them.
    conditions: Vec<(&'static str, Span)>,
}

/// A function's call.
struct Call {
    name: String,
    span: Span,
    /// Per argument: whether it is a constant without a type.
    unknown: Vec<bool>,
}

impl<'a> Places<'a> {
    /// The names in a piece of syntax.
    pub(super) fn of<T: Visit>(text: &'a Text<T>) -> Self {
        Self::new(&text.text, text.offset, text.start).and(&text.tree)
    }

    /// No names yet of a statement, the spans of whose parts count in its text.
    pub(super) fn statement(text: &'a str) -> Self {
        Self::new(text, 0, Location::new(1, 1))
    }

    /// And the names of a part.
    pub(super) fn and<T: Visit>(mut self, part: &T) -> Self {
        let _ = part.visit(&mut self);
        self
    }

    fn new(text: &'a str, offset: usize, start: Location) -> Self {
        Self {
            source: Source::new(text),
            offset,
            start,
            relations: vec![],
            columns: vec![],
            calls: vec![],
            texts: vec![],
            aliases: vec![],
            lists: vec![],
            using: vec![],
            casts: vec![],
            conditions: vec![],
        }
    }

    /// 0-based offset in the text of its own.
    fn own(&self, at: Location) -> Option<usize> {
        let line = at.line.checked_sub(self.start.line)? + 1;
        let column = if line == 1 { at.column.checked_sub(self.start.column)? + 1 } else { at.column };
        Some(self.source.offset(Location::new(line, column)))
    }

    /// 1-based position in the statement.
    pub(super) fn at(&self, span: Span) -> Option<usize> {
        if span.start.line == 0 {
            return None;
        }
        self.own(span.start).map(|own| own + self.offset + 1)
    }

    /// The position of the first `word` behind a span, if only white space and closing signs are before it.
    pub(super) fn behind(&self, span: Span, word: &str) -> Option<usize> {
        if span.end.line == 0 {
            return None;
        }
        let from = self.own(span.end)?;
        let rest = self.source.slice(from, from + 200);
        let lower = rest.to_ascii_lowercase();
        let byte = lower.find(&word.to_ascii_lowercase())?;
        Some(from + rest[..byte].chars().count() + self.offset + 1)
    }

    /// The position of a sign that stands directly before a span.
    pub(super) fn before(&self, span: Span, sign: char) -> Option<usize> {
        let from = self.at(span)?.checked_sub(self.offset + 1)?;
        let before = self.source.slice(0, from);
        let characters = before.trim_end().strip_suffix(sign)?.chars().count();
        Some(characters + self.offset + 1)
    }

    /// An error pointed at a span.
    pub(super) fn pointed(&self, error: Error, span: Span) -> Error {
        match self.at(span) {
            Some(position) => error.with_position(position),
            None => error,
        }
    }

    fn relation(&self, name: &str) -> Option<usize> {
        self.relations.iter().find(|(n, _)| n == name).and_then(|(_, s)| self.at(*s))
    }

    /// Where a column is named; without a table, if `bare`.
    pub(super) fn column(&self, name: &str, bare: bool) -> Option<usize> {
        let named = |(n, _): &&(Vec<String>, Span)| n.last().is_some_and(|l| l == name);
        let found = self.columns.iter().filter(named);
        found.filter(|(n, _)| !bare || n.len() == 1).find_map(|(_, s)| self.at(*s))
    }

    /// Where a column of a table is named.
    pub(super) fn qualified(&self, table: &str, name: &str) -> Option<usize> {
        let named = |n: &[String]| matches!(n, [.., t, c] if t == table && (c == name || c == "*"));
        self.columns.iter().find(|(n, _)| named(n)).and_then(|(_, s)| self.at(*s))
    }

    fn function(&self, name: &str) -> Option<usize> {
        self.calls.iter().find(|c| c.name == name).and_then(|c| self.at(c.span))
    }

    /// Types of a call's arguments, with `unknown` where one is a constant without a type.
    pub(super) fn argument_types(&self, name: &str, types: Vec<String>) -> Vec<String> {
        let Some(call) = self.calls.iter().find(|c| c.name == name && c.unknown.len() == types.len()) else {
            return types;
        };
        types.into_iter().zip(&call.unknown).map(|(t, u)| if *u { "unknown".to_owned() } else { t }).collect()
    }

    /// The alias that hides a table's name.
    pub(super) fn alias_of(&self, table: &str) -> Option<&str> {
        self.aliases.iter().find(|(name, alias)| name == table && alias != table).map(|(_, alias)| alias.as_str())
    }

    /// The alias or WITH query that is given so many column names; whether it is WITH's.
    pub(super) fn listed(&self, columns: usize) -> Option<(&str, bool, Option<usize>)> {
        let found = self.lists.iter().find(|(_, n, ..)| *n == columns);
        found.map(|(name, _, with, span)| (name.as_str(), *with, self.at(*span)))
    }

    /// Whether a column is named in JOIN .. USING, and in which of two tables, the first or not, it is looked for.
    pub(super) fn using(&self, name: &str) -> bool {
        self.using.iter().any(|n| n == name)
    }

    /// The first table of FROM.
    pub(super) fn first_relation(&self) -> Option<&str> {
        self.relations.first().map(|(name, _)| self.alias_of(name).unwrap_or(name))
    }

    /// The error of an expression's value, pointed at the expression where nothing better is known.
    pub(super) fn error_in(&self, error: DataFusionError, tree: &ast::Expr) -> Error {
        let error = self.error(error);
        let whole = error.parts().position.is_none() && error.code() == SqlState::DATATYPE_MISMATCH;
        if whole { self.pointed(error, tree.span()) } else { error }
    }

    /// The error a client sees.
    pub(super) fn error(&self, error: DataFusionError) -> Error {
        let error = worded(error, self);
        if error.parts().position.is_some() {
            return error;
        }
        match self.position(&error) {
            Some(position) => error.with_position(position),
            None => error,
        }
    }

    fn position(&self, error: &Error) -> Option<usize> {
        let message = error.message();
        let quoted = message.split('"').nth(1).map(|n| n.rsplit('.').next().unwrap_or(n).to_owned());
        match error.code() {
            // A window's table is an argument, which reads as a column.
            SqlState::UNDEFINED_TABLE => {
                quoted.and_then(|n| self.relation(&n).or_else(|| self.column(&n, false)).or_else(|| self.text(&n)))
            }
            SqlState::UNDEFINED_COLUMN | SqlState::GROUPING_ERROR => quoted.and_then(|n| self.column(&n, false)),
            SqlState::UNDEFINED_FUNCTION => {
                let name = message.strip_prefix("function ").and_then(|m| m.split(['(', ' ']).next());
                name.and_then(|n| self.function(n))
            }
            SqlState::UNDEFINED_OBJECT => {
                let name = quoted?;
                let cast = self.casts.iter().find(|(t, ..)| *t == name);
                cast.and_then(|(_, own, _)| self.at(*own)).or_else(|| self.text(&name))
            }
            SqlState::CANNOT_COERCE => match self.casts.as_slice() {
                [(_, _, of)] => self.behind(*of, "::"),
                _ => None,
            },
            SqlState::DATATYPE_MISMATCH => {
                let whose = message.strip_prefix("argument of ")?.split(" must be").next()?;
                let mut places = self.conditions.iter().filter(|(w, _)| *w == whose);
                places.next().filter(|_| places.next().is_none()).and_then(|(_, span)| self.at(*span))
            }
            SqlState::INVALID_TEXT_REPRESENTATION
            | SqlState::INVALID_DATETIME_FORMAT
            | SqlState::DATETIME_FIELD_OVERFLOW
            | SqlState::INTERVAL_FIELD_OVERFLOW
            | SqlState::NUMERIC_VALUE_OUT_OF_RANGE => {
                let text = message.split_once('"').and_then(|(_, m)| m.rsplit_once('"')).map(|(t, _)| t);
                text.and_then(|text| self.text(text))
            }
            _ => None,
        }
    }

    fn text(&self, text: &str) -> Option<usize> {
        self.texts.iter().find(|(t, _)| t == text).and_then(|(_, span)| self.at(*span))
    }

    pub(super) fn condition(&mut self, whose: &'static str, expr: &ast::Expr) {
        if !is_boolean(expr) {
            self.conditions.push((whose, expr.span()));
        }
    }

    fn alias(&mut self, alias: &ast::TableAlias, with: bool) {
        if !alias.columns.is_empty() {
            self.lists.push((fold(&alias.name), alias.columns.len(), with, alias.name.span));
        }
    }

    fn join(&mut self, operator: &JoinOperator) {
        let constraint = match operator {
            JoinOperator::Join(c)
            | JoinOperator::Inner(c)
            | JoinOperator::Left(c)
            | JoinOperator::LeftOuter(c)
            | JoinOperator::Right(c)
            | JoinOperator::RightOuter(c)
            | JoinOperator::FullOuter(c) => c,
            _ => return,
        };
        match constraint {
            JoinConstraint::On(condition) => self.condition("JOIN/ON", condition),
            JoinConstraint::Using(columns) => {
                self.using.extend(columns.iter().filter_map(|c| c.0.last()?.as_ident()).map(fold));
            }
            JoinConstraint::Natural | JoinConstraint::None => {}
        }
    }

    fn call(&mut self, f: &ast::Function) {
        let idents: Vec<&ast::Ident> = f.name.0.iter().filter_map(|p| p.as_ident()).collect();
        let (Some(first), Some(last)) = (idents.first(), idents.last()) else { return };
        let unknown = match &f.args {
            ast::FunctionArguments::List(list) => list.args.iter().map(is_unknown).collect(),
            _ => vec![],
        };
        self.calls.push(Call { name: fold(last), span: first.span, unknown });
    }

    fn cast(&mut self, expr: &ast::Expr, data_type: &ast::DataType) {
        let (name, own) = match data_type {
            ast::DataType::Custom(name, _) => match last_ident(name) {
                Some(ident) => (fold(ident), ident.span),
                None => (String::new(), Span::empty()),
            },
            other => (other.to_string().to_lowercase(), Span::empty()),
        };
        self.casts.push((name, own, expr.span()));
    }
}

fn is_unknown(arg: &ast::FunctionArg) -> bool {
    let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::Value(v))) = arg else { return false };
    matches!(v.value, ast::Value::SingleQuotedString(_) | ast::Value::Null)
}

/// Whether an expression is boolean by its looks.
fn is_boolean(expr: &ast::Expr) -> bool {
    use ast::{BinaryOperator as Op, Expr};
    match expr {
        Expr::BinaryOp { op, .. } => {
            !matches!(op, Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo | Op::StringConcat)
        }
        Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::InList { .. }
        | Expr::InSubquery { .. }
        | Expr::Between { .. }
        | Expr::Like { .. }
        | Expr::ILike { .. }
        | Expr::Exists { .. }
        | Expr::UnaryOp { op: ast::UnaryOperator::Not, .. } => true,
        Expr::Value(v) => matches!(v.value, ast::Value::Boolean(_)),
        Expr::Nested(inner) => is_boolean(inner),
        _ => false,
    }
}

impl Visitor for Places<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|w| &w.cte_tables) {
            self.alias(&cte.alias, true);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &ast::Select) -> ControlFlow<()> {
        if let Some(filter) = &select.selection {
            self.condition("WHERE", filter);
        }
        if let Some(filter) = &select.having {
            self.condition("HAVING", filter);
        }
        for item in &select.projection {
            if let ast::SelectItem::QualifiedWildcard(ast::SelectItemQualifiedWildcardKind::ObjectName(name), _) = item
                && let Some(table) = last_ident(name)
            {
                self.columns.push((vec![fold(table), "*".to_owned()], table.span));
            }
        }
        select.from.iter().flat_map(|f| &f.joins).for_each(|j| self.join(&j.join_operator));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &ast::TableFactor) -> ControlFlow<()> {
        match factor {
            ast::TableFactor::Table { name, alias: Some(alias), args: None, .. } => {
                if let Some(table) = last_ident(name) {
                    self.aliases.push((fold(table), fold(&alias.name)));
                }
                self.alias(alias, false);
            }
            ast::TableFactor::Table { name, alias, args: Some(args), .. } => {
                if let Some(ident) = last_ident(name) {
                    let unknown = args.args.iter().map(is_unknown).collect();
                    self.calls.push(Call { name: fold(ident), span: ident.span, unknown });
                }
                alias.iter().for_each(|a| self.alias(a, false));
            }
            ast::TableFactor::Derived { alias: Some(alias), .. }
            | ast::TableFactor::UNNEST { alias: Some(alias), .. } => {
                self.alias(alias, false);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ast::ObjectName) -> ControlFlow<()> {
        let idents: Vec<&ast::Ident> = name.0.iter().filter_map(|p| p.as_ident()).collect();
        if let (Some(first), Some(last)) = (idents.first(), idents.last()) {
            self.relations.push((fold(last), first.span));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        use ast::{BinaryOperator, Expr, UnaryOperator};
        match expr {
            Expr::Identifier(ident) => self.columns.push((vec![fold(ident)], ident.span)),
            Expr::CompoundIdentifier(idents) => {
                if let Some(first) = idents.first() {
                    self.columns.push((idents.iter().map(fold).collect(), first.span));
                }
            }
            Expr::Value(ast::ValueWithSpan { value: ast::Value::SingleQuotedString(text), span }) => {
                self.texts.push((text.clone(), *span));
            }
            Expr::TypedString(ast::TypedString { value, .. }) => {
                if let ast::Value::SingleQuotedString(text) = &value.value {
                    self.texts.push((text.clone(), value.span));
                }
            }
            Expr::Function(f) => self.call(f),
            Expr::Cast { expr, data_type, .. } => self.cast(expr, data_type),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => self.condition("NOT", expr),
            Expr::IsTrue(e) => self.condition("IS TRUE", e),
            Expr::IsFalse(e) => self.condition("IS FALSE", e),
            Expr::IsNotTrue(e) => self.condition("IS NOT TRUE", e),
            Expr::IsNotFalse(e) => self.condition("IS NOT FALSE", e),
            Expr::IsUnknown(e) => self.condition("IS UNKNOWN", e),
            Expr::IsNotUnknown(e) => self.condition("IS NOT UNKNOWN", e),
            Expr::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), left, right } => {
                let whose = if *op == BinaryOperator::And { "AND" } else { "OR" };
                self.condition(whose, left);
                self.condition(whose, right);
            }
            Expr::Case { operand: None, conditions, .. } => {
                conditions.iter().for_each(|c| self.condition("CASE/WHEN", &c.condition));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
