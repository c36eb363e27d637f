//! Syntax over arrays and sets: subscripts, `= ANY (array)`, `ARRAY(query)`, WITH ORDINALITY, and the functions of JSON that give rows, which
//! are functions that give arrays with UNNEST round them.

use datafusion::sql::sqlparser::ast::{
    self, AccessExpr, BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr,
    Ident, Query, Select, SelectItem, SetExpr, Subscript, TableAlias, TableAliasColumnDef, TableFactor, Value,
};

use super::prepare::wrapped;
use super::syntax::{argument, arguments_mut, call, last_name, text};
use crate::error::{Error, Result, SqlState};
use crate::functions::ARRAY_OF_ROWS;
use crate::sql::parser::cursor::fold;
use crate::sql::parser::tokens::STAR;

/// The functions that give rows of one column, and what the column is called in FROM.
const SETS: [(&str, &str); 7] = [
    ("generate_series", "generate_series"),
    ("jsonb_array_elements", "value"),
    ("jsonb_array_elements_text", "value"),
    ("json_array_elements", "value"),
    ("json_array_elements_text", "value"),
    ("jsonb_object_keys", "jsonb_object_keys"),
    ("json_object_keys", "json_object_keys"),
];

/// Those that give rows of a key and a value: the functions of keys and of values.
const EACH: [(&str, &str, &str); 4] = [
    ("jsonb_each", "jsonb_object_keys", "jsonb_each_values"),
    ("jsonb_each_text", "jsonb_object_keys", "jsonb_each_values_text"),
    ("json_each", "json_object_keys", "json_each_values"),
    ("json_each_text", "json_object_keys", "json_each_values_text"),
];

/// Whether a function gives rows of one column.
pub(super) fn is_set(name: &str) -> bool {
    SETS.iter().any(|(set, _)| *set == name)
}

/// `unnest(generate_series(..))` means its values, as does `generate_series(..)` alone.
pub(super) fn series_once(function: &mut Function, name: &str) {
    if name == "unnest" || name == super::lateral::ELEMENTS.name {
        arguments_mut(function).for_each(series_alone);
    }
}

fn series_alone(expr: &mut Expr) {
    if let Some(series) = series_of(expr) {
        *expr = series;
    }
}

/// The call of generate_series in an unnest of it.
fn series_of(expr: &Expr) -> Option<Expr> {
    let Expr::Function(outer) = expr else { return None };
    let named = |f: &Function, name: &str| last_name(&f.name).is_some_and(|n| n == name);
    let FunctionArguments::List(list) = &outer.args else { return None };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(inner @ Expr::Function(f)))]
            if named(outer, "unnest") && named(f, "generate_series") =>
        {
            Some(inner.clone())
        }
        _ => None,
    }
}

/// `f(..)` and `unnest(..) WITH ORDINALITY` in FROM.
pub(super) fn in_from(factor: &mut TableFactor) -> Result<()> {
    match factor {
        TableFactor::Table { name, args: Some(args), alias, with_ordinality, .. } => {
            let function = last_name(name).unwrap_or_default();
            let values = || -> Vec<Expr> { args.args.iter().filter_map(argument).cloned().collect() };
            // Its rows come one after another, unless it takes parameters.
            if function == "generate_series" && !*with_ordinality && !values().iter().any(is_parameter) {
                return Ok(());
            }
            let (lists, columns) = if let Some((set, column)) = SETS.iter().find(|(set, _)| *set == function) {
                (vec![call(set, values())], vec![*column])
            } else if let Some((_, keys, items)) = EACH.iter().find(|(each, ..)| *each == function) {
                (vec![call(keys, values()), call(items, values())], vec!["key", "value"])
            } else if *with_ordinality {
                let hint = "Number the rows with row_number() OVER ().";
                return Err(Error::unsupported(format!("WITH ORDINALITY of {function}()"), hint));
            } else {
                return Ok(());
            };
            *factor = unnest(lists, alias.take(), &function, columns, *with_ordinality);
        }
        TableFactor::UNNEST { alias, array_exprs, with_ordinality, .. } => {
            array_exprs.iter_mut().for_each(series_alone);
            if !*with_ordinality {
                if let Some(alias) = alias.as_mut().filter(|alias| !alias.columns.is_empty()) {
                    let rest = array_exprs.len().saturating_sub(alias.columns.len());
                    alias.columns.extend(std::iter::repeat_n(column(Ident::new("unnest")), rest));
                }
                return Ok(());
            }
            let columns = vec!["unnest"; array_exprs.len()];
            *factor = unnest(std::mem::take(array_exprs), alias.take(), "unnest", columns, true);
        }
        _ => {}
    }
    Ok(())
}

fn is_parameter(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => matches!(value.value, Value::Placeholder(_)),
        Expr::Cast { expr, .. } | Expr::Nested(expr) | Expr::UnaryOp { expr, .. } => is_parameter(expr),
        _ => false,
    }
}

/// UNNEST with PostgreSQL's names of its columns.
fn unnest(
    mut lists: Vec<Expr>,
    alias: Option<TableAlias>,
    function: &str,
    columns: Vec<&str>,
    ordinality: bool,
) -> TableFactor {
    let alone = lists.len() == 1 && !ordinality;
    let mut names: Vec<Ident> = columns.into_iter().map(Ident::new).collect();
    if ordinality {
        lists.push(call("array_ordinals", lists.clone()));
        names.push(Ident::new("ordinality"));
    }
    let alias = match alias {
        Some(alias) => {
            // The only column of a function without a name of its own is called as the table is.
            if alone && names[0].value != "value" {
                names[0] = alias.name.clone();
            }
            let given = alias.columns.iter().map(|c| c.name.clone());
            let names: Vec<Ident> = given.chain(names.into_iter().skip(alias.columns.len())).collect();
            TableAlias { columns: names.into_iter().map(column).collect(), ..alias }
        }
        None => TableAlias {
            explicit: true,
            name: Ident::new(function),
            columns: names.into_iter().map(column).collect(),
            at: None,
        },
    };
    TableFactor::UNNEST {
        alias: Some(alias),
        array_exprs: lists,
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: false,
    }
}

fn column(name: Ident) -> TableAliasColumnDef {
    TableAliasColumnDef { name, data_type: None }
}

/// `left op ANY (array)` as a function of the element, the operator's text and the array.
pub(super) fn quantified(function: &str, left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Expr> {
    let symbol = match op {
        BinaryOperator::Eq => "=",
        BinaryOperator::NotEq => "<>",
        BinaryOperator::Lt => "<",
        BinaryOperator::LtEq => "<=",
        BinaryOperator::Gt => ">",
        BinaryOperator::GtEq => ">=",
        BinaryOperator::PGCustomBinaryOperator(parts) if parts.last().is_some_and(|p| p == "=") => "=",
        other => {
            let what = format!("{other} {} (array)", if function == "any_of" { "ANY" } else { "ALL" });
            return Err(Error::unsupported(what, "Use a comparison, or unnest the array."));
        }
    };
    let right = match right {
        Expr::Nested(inner) => inner.as_ref(),
        other => other,
    };
    Ok(call(function, vec![left.clone(), text(symbol), right.clone()]))
}

/// `a[1]`, `a[1][2]`, `a[1:2]`, `(a).b`, `(a[1]).b[2].c`: functions of the value and its subscripts or a field's name; `None`:
/// it is a column's name and nothing else.
pub(super) fn accesses(root: &Expr, chain: &[AccessExpr]) -> Result<Option<Expr>> {
    // `t.a[1]` has the column's name in its chain.
    let names: Vec<Ident> = match root {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => chain.iter().map_while(dotted).cloned().collect(),
        _ => vec![],
    };
    let mut rest = &chain[names.len()..];
    if rest.is_empty() {
        return Ok(None);
    }
    let mut value = match (root, names.is_empty()) {
        (Expr::Identifier(table), false) => Expr::CompoundIdentifier([vec![table.clone()], names].concat()),
        (Expr::CompoundIdentifier(parts), false) => Expr::CompoundIdentifier([parts.clone(), names].concat()),
        (root, _) => root.clone(),
    };
    while let Some(first) = rest.first() {
        if let Some(name) = dotted(first) {
            if name.value == STAR {
                return Err(Error::unsupported("(record).*", "Name the fields: (record).field."));
            }
            value = call("record_field", vec![value, text(&fold(name))]);
            rest = &rest[1..];
            continue;
        }
        let found: Vec<Subscript> = rest.iter().map_while(subscript).cloned().collect();
        if found.is_empty() {
            return Ok(None);
        }
        rest = &rest[found.len()..];
        value = subscripted(value, found)?;
    }
    Ok(Some(value))
}

fn dotted(access: &AccessExpr) -> Option<&Ident> {
    match access {
        AccessExpr::Dot(Expr::Identifier(name)) => Some(name),
        AccessExpr::Dot(_) | AccessExpr::Subscript(_) => None,
    }
}

fn subscript(access: &AccessExpr) -> Option<&Subscript> {
    match access {
        AccessExpr::Subscript(subscript) => Some(subscript),
        AccessExpr::Dot(_) => None,
    }
}

fn subscripted(value: Expr, subscripts: Vec<Subscript>) -> Result<Expr> {
    if subscripts.iter().all(|s| matches!(s, Subscript::Index { .. })) {
        let numbers = subscripts.into_iter().filter_map(|s| match s {
            Subscript::Index { index } => Some(index),
            Subscript::Slice { .. } => None,
        });
        return Ok(call("array_subscript", [vec![value], numbers.collect()].concat()));
    }
    let mut bounds = vec![value];
    for subscript in subscripts {
        match subscript {
            // Beside a slice, `[n]` is `[1:n]`.
            Subscript::Index { index } => bounds.extend([number("1"), index]),
            Subscript::Slice { stride: Some(_), .. } => {
                return Err(Error::new(SqlState::SYNTAX_ERROR, "syntax error at or near \":\""));
            }
            Subscript::Slice { lower_bound, upper_bound, stride: None } => bounds.extend([
                lower_bound.unwrap_or_else(|| number("1")),
                upper_bound.unwrap_or_else(|| number("2147483647")),
            ]),
        }
    }
    Ok(call("array_section", bounds))
}

fn number(digits: &str) -> Expr {
    Expr::Value(Value::Number(digits.into(), false).with_empty_span())
}

/// `ARRAY(query)`: its rows' only column, as an array.
pub(super) fn array_of(query: &Query) -> Result<Expr> {
    if let Some(list) = array_of_set(query) {
        return Ok(call("or_empty_array", vec![list]));
    }
    let template = "SELECT array_of_rows(c) AS \"array\" FROM (SELECT 1) AS x (c)";
    let mut outer = crate::sql::parser::reparse_query(template)?.tree;
    if let SetExpr::Select(select) = outer.body.as_mut() {
        if let Some(plain) = aggregated(query) {
            **select = plain;
        } else if let Some(from) = select.from.first_mut()
            && let TableFactor::Derived { subquery, .. } = &mut from.relation
        {
            **subquery = query.clone();
        }
    }
    Ok(call("or_empty_array", vec![Expr::Subquery(outer)]))
}

/// A plain SELECT of one expression with [`ARRAY_OF_ROWS`] round it, so that its outer columns stay where they are; ORDER BY
/// must be by that expression.
fn aggregated(query: &Query) -> Option<Select> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] = select.projection.as_slice() else {
        return None;
    };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    let set = expr.to_string().to_lowercase().contains("unnest(");
    if set || grouped || select.distinct.is_some() || select.having.is_some() || query.limit_clause.is_some() {
        return None;
    }
    let mut call = call(ARRAY_OF_ROWS, vec![expr.clone()]);
    if let Some(order) = &query.order_by {
        let ast::OrderByKind::Expressions(keys) = &order.kind else { return None };
        let [key] = keys.as_slice() else { return None };
        let ordinal = wrapped(&key.expr).unwrap_or(&key.expr).to_string() == "1";
        if !ordinal && key.expr != *expr {
            return None;
        }
        let key = ast::OrderByExpr { expr: expr.clone(), ..key.clone() };
        if let Expr::Function(function) = &mut call
            && let FunctionArguments::List(list) = &mut function.args
        {
            list.clauses.push(ast::FunctionArgumentClause::OrderBy(vec![key]));
        }
    }
    let mut plain = select.as_ref().clone();
    plain.projection = vec![SelectItem::ExprWithAlias { expr: call, alias: Ident::new("array") }];
    Some(plain)
}

/// `ARRAY(SELECT 'prefix' || x FROM unnest(list) x)` and `ARRAY(SELECT .. FROM pg_options_to_table(list))`, as psql
/// writes them over columns of the outer query: functions of the list.
fn array_of_set(query: &Query) -> Option<Expr> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] = select.projection.as_slice()
    else {
        return None;
    };
    let ([from], None) = (select.from.as_slice(), &select.selection) else { return None };
    let (name, list, alias) = match &from.relation {
        TableFactor::Table { name, args: Some(args), alias, .. } => match args.args.as_slice() {
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(list))] => (last_name(name)?, list, alias),
            _ => return None,
        },
        TableFactor::UNNEST { array_exprs, alias, .. } => match array_exprs.as_slice() {
            [list] => ("unnest".to_owned(), list, alias),
            _ => return None,
        },
        _ => return None,
    };
    let text = item.to_string().to_lowercase().replace("pg_catalog.", "");
    match name.as_str() {
        "pg_options_to_table" if text == "quote_ident(option_name) || ' ' || quote_literal(option_value)" => {
            Some(call("options_as_texts", vec![list.clone()]))
        }
        "unnest" => {
            let Expr::BinaryOp { left, op: BinaryOperator::StringConcat, right } = item else { return None };
            let same = alias.as_ref().is_some_and(|a| fold(&a.name) == right.to_string().to_lowercase());
            same.then(|| call("prefix_elements", vec![left.as_ref().clone(), list.clone()]))
        }
        _ => None,
    }
}
