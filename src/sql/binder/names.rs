//! The names of result columns, as PostgreSQL chooses them.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Expr, Ident, Query, Select, SelectItem, SetExpr};

use super::syntax::last_name;
use crate::sql::parser::cursor::fold;

/// Separates a name from what makes it unique inside a plan: DataFusion wants the names of a projection to differ,
/// PostgreSQL does not. No identifier contains it.
const UNIQUE: char = '\u{7f}';

/// A name that differs from its equals: the n-th, from 1.
pub(super) fn unique(name: &str, n: usize) -> String {
    format!("{name}{UNIQUE}{n}")
}

/// The name as the client sees it.
pub fn visible(name: &str) -> &str {
    name.split(UNIQUE).next().unwrap_or(name)
}

/// Columns that ORDER BY names with their table, and none of which it names without.
pub(super) fn sorted_columns(query: &Query) -> Vec<String> {
    let Some(ast::OrderBy { kind: ast::OrderByKind::Expressions(keys), .. }) = &query.order_by else { return vec![] };
    let (mut qualified, mut bare) = (Vec::new(), Vec::new());
    for key in keys {
        let _ = ast::visit_expressions(&key.expr, |e| {
            match e {
                Expr::CompoundIdentifier(parts) => qualified.extend(parts.last().map(fold)),
                Expr::Identifier(name) => bare.push(fold(name)),
                _ => {}
            }
            ControlFlow::<()>::Continue(())
        });
    }
    qualified.retain(|name| !bare.contains(name));
    qualified
}

/// Gives result columns their names, unique ones. `sorted`: names that a result which is no column must not have, for ORDER BY means the column.
pub(super) fn name_columns(body: &mut SetExpr, sorted: &[String]) {
    match body {
        SetExpr::Select(select) => name_select(select, sorted),
        SetExpr::SetOperation { left, right, .. } => {
            name_columns(left, &[]);
            name_columns(right, &[]);
        }
        _ => {}
    }
}

fn name_select(select: &mut Select, sorted: &[String]) {
    let wildcard =
        select.projection.iter().any(|i| !matches!(i, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }));
    let mut seen: HashMap<String, usize> = HashMap::new();
    for item in &mut select.projection {
        let (name, column) = match item {
            SelectItem::ExprWithAlias { alias, .. } => (fold(alias), None),
            SelectItem::UnnamedExpr(expr) => {
                let column = match expr {
                    Expr::Identifier(_) | Expr::CompoundIdentifier(_) => Some(expr.to_string()),
                    _ => None,
                };
                (column_name(expr), column)
            }
            _ => continue,
        };
        // Columns of different relations may share a name; the same column twice may not.
        let count = seen.entry(column.clone().unwrap_or_else(|| name.clone())).or_insert(0);
        *count += if *count == 0 && column.is_none() && sorted.contains(&name) { 2 } else { 1 };
        let n = *count;
        match item {
            SelectItem::ExprWithAlias { alias, .. } if n > 1 => {
                *alias = Ident::with_quote('"', unique(&name, n));
            }
            SelectItem::ExprWithAlias { .. } => {}
            SelectItem::UnnamedExpr(expr) => {
                if column.is_some() && n == 1 && !wildcard {
                    continue;
                }
                let n = if column.is_some() && wildcard { n + 1 } else { n };
                let name = if n > 1 { unique(&name, n) } else { name };
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', name) };
            }
            _ => {}
        }
    }
}

/// `?column?` where nothing better is known.
pub(super) fn column_name(expr: &Expr) -> String {
    figure(expr).map_or_else(|| "?column?".to_owned(), |(name, _)| name)
}

/// A name, and whether it is a strong one: a column's or a function's, which a cast around it keeps.
fn figure(expr: &Expr) -> Option<(String, bool)> {
    let strong = |name: &str| Some((name.to_owned(), true));
    let weak = |name: &str| Some((name.to_owned(), false));
    match expr {
        Expr::Identifier(ident) => Some((fold(ident), true)),
        Expr::CompoundIdentifier(idents) => idents.last().map(|i| (fold(i), true)),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let field = access_chain.iter().rev().find_map(|a| match a {
                ast::AccessExpr::Dot(Expr::Identifier(i)) => Some((fold(i), true)),
                _ => None,
            });
            field.or_else(|| figure(root))
        }
        Expr::Function(f) => last_name(&f.name).map(|name| (name, true)),
        Expr::Cast { expr, data_type, .. } => match figure(expr) {
            Some((name, true)) => Some((name, true)),
            _ => Some((type_name(data_type), false)),
        },
        Expr::TypedString(t) => Some((type_name(&t.data_type), false)),
        Expr::Interval(_) => weak("interval"),
        Expr::Case { else_result, .. } => match else_result.as_deref().and_then(figure) {
            Some((name, true)) => Some((name, true)),
            _ => weak("case"),
        },
        Expr::Extract { .. } => strong("extract"),
        Expr::Position { .. } => strong("position"),
        Expr::Substring { .. } => strong("substring"),
        Expr::Overlay { .. } => strong("overlay"),
        Expr::Trim { trim_where, .. } => strong(match trim_where {
            Some(ast::TrimWhereField::Leading) => "ltrim",
            Some(ast::TrimWhereField::Trailing) => "rtrim",
            Some(ast::TrimWhereField::Both) | None => "btrim",
        }),
        Expr::Ceil { .. } => strong("ceil"),
        Expr::Floor { .. } => strong("floor"),
        Expr::AtTimeZone { .. } => strong("timezone"),
        Expr::Exists { .. } => strong("exists"),
        Expr::Array(_) => strong("array"),
        Expr::Tuple(_) => strong("row"),
        Expr::BinaryOp { op: ast::BinaryOperator::Overlaps, .. } => strong("overlaps"),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => figure(inner),
        Expr::Subquery(query) => first_column(&query.body),
        _ => None,
    }
}

fn first_column(body: &SetExpr) -> Option<(String, bool)> {
    match body {
        SetExpr::Select(select) => match select.projection.first()? {
            SelectItem::ExprWithAlias { alias, .. } => Some((fold(alias), true)),
            SelectItem::UnnamedExpr(expr) => figure(expr),
            _ => None,
        },
        SetExpr::Query(query) => first_column(&query.body),
        SetExpr::SetOperation { left, .. } => first_column(left),
        SetExpr::Values(_) => Some(("column1".to_owned(), true)),
        _ => None,
    }
}

/// PostgreSQL's internal name of a type: `int4` for integer.
pub(super) fn type_name(t: &ast::DataType) -> String {
    use ast::DataType as T;
    match t {
        T::Int(_) | T::Integer(_) | T::Int4(_) => "int4".into(),
        T::BigInt(_) | T::Int8(_) => "int8".into(),
        T::SmallInt(_) | T::Int2(_) => "int2".into(),
        T::Real | T::Float4 => "float4".into(),
        T::Double(_) | T::DoublePrecision | T::Float8 | T::Float(_) => "float8".into(),
        T::Boolean | T::Bool => "bool".into(),
        T::Numeric(_) | T::Decimal(_) | T::Dec(_) => "numeric".into(),
        T::Varchar(_) | T::CharacterVarying(_) | T::CharVarying(_) => "varchar".into(),
        T::Char(_) | T::Character(_) => "bpchar".into(),
        T::Timestamp(_, ast::TimezoneInfo::WithTimeZone | ast::TimezoneInfo::Tz) => "timestamptz".into(),
        T::Timestamp(..) => "timestamp".into(),
        T::Time(_, ast::TimezoneInfo::WithTimeZone | ast::TimezoneInfo::Tz) => "timetz".into(),
        T::Time(..) => "time".into(),
        T::Interval { .. } => "interval".into(),
        T::Array(ast::ArrayElemTypeDef::SquareBracket(item, _)) => type_name(item),
        T::Custom(name, _) => {
            let last = last_name(name).unwrap_or_default();
            match last.as_str() {
                "char" | "name" | "oid" | "text" => last,
                "int" => "int4".into(),
                _ => last,
            }
        }
        other => other.to_string().to_lowercase(),
    }
}
