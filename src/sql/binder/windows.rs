//! TUMBLE and HOP in FROM, in RisingWave's and in Flink's spelling (`group_windows` has Calcite's); `generate_series`.
//!
//! ```sql
//! TUMBLE(t, ts, INTERVAL '10' SECOND [, offset])          HOP(t, ts, slide, size [, offset])
//! TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), size [, offset])) TABLE(HOP(DATA => TABLE t, TIMECOL => DESCRIPTOR(ts), ..))
//! ```

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Extension, LogicalPlan, LogicalPlanBuilder, cast, col};
use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, SetExpr, TableAlias, TableFactor,
};

use super::typing::{plain, type_name};
use crate::error::{Error, Result, SqlState};
use crate::sql::interval::constant_micros;
use crate::sql::parser::cursor::fold;
use crate::sql::window::{WindowAssign, WindowKind};

/// The name under which `generate_series` comes back to DataFusion's planner.
pub(super) const SERIES: &str = "generate_series rows";

/// DataFusion's hook for table factors.
#[derive(Debug)]
pub(super) struct Windows;

impl RelationPlanner for Windows {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> DfResult<RelationPlanning> {
        let (call, alias) = match &relation {
            TableFactor::Table { name, args: Some(args), alias, .. } => {
                if name_of(name) == "generate_series" {
                    return series(relation.clone(), alias.clone(), context);
                }
                match Call::new(name, &args.args, false)? {
                    Some(call) => (call, alias.clone()),
                    None => return Ok(RelationPlanning::Original(Box::new(relation))),
                }
            }
            TableFactor::TableFunction { expr: Expr::Function(function), alias } => {
                let FunctionArguments::List(list) = &function.args else {
                    return Ok(RelationPlanning::Original(Box::new(relation)));
                };
                match Call::new(&function.name, &list.args, true)? {
                    Some(call) => (call, alias.clone()),
                    None => return Ok(RelationPlanning::Original(Box::new(relation))),
                }
            }
            _ => return Ok(RelationPlanning::Original(Box::new(relation))),
        };
        let input = context.plan(table_factor(&call.table)?)?;
        let plan = assign(input, &call)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

pub(super) fn name_of(name: &ObjectName) -> String {
    match name.0.as_slice() {
        [one] => one.as_ident().map(fold).unwrap_or_default(),
        _ => String::new(),
    }
}

/// A call of a window function, understood.
struct Call {
    table: Expr,
    time: Vec<Ident>,
    kind: WindowKind,
    flink: bool,
}

fn invalid(message: impl Into<String>, hint: &str) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message).with_hint(hint)
}

const TUMBLE: &str = "Use TUMBLE(t, ts, size [, offset]), for example TUMBLE(t, ts, INTERVAL '10' SECOND).";
const HOP: &str =
    "Use HOP(t, ts, slide, size [, offset]), for example HOP(t, ts, INTERVAL '5' SECOND, INTERVAL '10' SECOND).";

impl Call {
    /// `None`: not one of ours.
    fn new(name: &ObjectName, args: &[FunctionArg], flink: bool) -> Result<Option<Self>> {
        let name = name_of(name);
        let (names, hint): (&[&str], _) = match name.as_str() {
            "tumble" => (&["data", "timecol", "size", "offset"], TUMBLE),
            "hop" => (&["data", "timecol", "slide", "size", "offset"], HOP),
            "cumulate" => return Err(Error::unsupported("CUMULATE", "Use TUMBLE or HOP.")),
            "session" => return Err(Error::unsupported("SESSION", "Use TUMBLE or HOP.")),
            _ => return Ok(None),
        };
        let values = positions(&name, args, names, hint)?;
        let mut values = values.into_iter();
        let mut need = || values.next().flatten();
        let wrong = || invalid(format!("{}: wrong number of arguments", name.to_uppercase()), hint);
        let table = need().ok_or_else(wrong)?;
        let time = time_column(&need().ok_or_else(wrong)?, hint)?;
        let micros = |e: Option<Expr>| constant_micros(&e.ok_or_else(wrong)?);
        let kind = if name == "tumble" {
            let size = micros(need())?;
            WindowKind::Tumble { size, offset: need().map_or(Ok(0), |e| constant_micros(&e))? }
        } else {
            let (slide, size) = (micros(need())?, micros(need())?);
            WindowKind::Hop { slide, size, offset: need().map_or(Ok(0), |e| constant_micros(&e))? }
        };
        check(&name.to_uppercase(), kind)?;
        Ok(Some(Self { table, time, kind, flink }))
    }
}

/// Arguments in order, named ones put where they belong.
fn positions(name: &str, args: &[FunctionArg], names: &[&str], hint: &str) -> Result<Vec<Option<Expr>>> {
    let mut values: Vec<Option<Expr>> = vec![None; names.len()];
    let wrong = |message: String| invalid(message, hint);
    for (n, arg) in args.iter().enumerate() {
        let (at, value) = match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => (Some(n), e),
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(e), .. } => {
                (names.iter().position(|known| known.eq_ignore_ascii_case(&name.value)), e)
            }
            FunctionArg::ExprNamed { name: Expr::Identifier(name), arg: FunctionArgExpr::Expr(e), .. } => {
                (names.iter().position(|known| known.eq_ignore_ascii_case(&name.value)), e)
            }
            _ => (None, &Expr::Identifier(Ident::new(""))),
        };
        let slot = at.and_then(|at| values.get_mut(at));
        let slot = slot.ok_or_else(|| unknown_argument(name, arg, names, hint))?;
        if slot.replace(value.clone()).is_some() {
            let given = named(arg).unwrap_or_else(|| names[at.unwrap_or(n)].to_owned());
            return Err(wrong(format!("{}: argument \"{given}\" is given twice", name.to_uppercase())));
        }
    }
    Ok(values)
}

/// The name before `=>`.
fn named(arg: &FunctionArg) -> Option<String> {
    match arg {
        FunctionArg::Named { name, .. } | FunctionArg::ExprNamed { name: Expr::Identifier(name), .. } => {
            Some(fold(name))
        }
        FunctionArg::ExprNamed { .. } | FunctionArg::Unnamed(_) => None,
    }
}

fn unknown_argument(name: &str, arg: &FunctionArg, names: &[&str], hint: &str) -> Error {
    let window = name.to_uppercase();
    let Some(given) = named(arg) else { return invalid(format!("{window}: wrong number of arguments"), hint) };
    let near = names.iter().map(|known| (strsim::damerau_levenshtein(known, &given), *known)).min();
    let message = format!("{window}: unknown argument \"{given}\"");
    match near.filter(|(distance, known)| 2 * distance <= known.len()) {
        Some((_, near)) => invalid(message, &format!("Perhaps you meant {}.", near.to_uppercase())),
        None => invalid(message, &format!("Its arguments are {}.", names.join(", ").to_uppercase())),
    }
}

/// `ts`, `t.ts`, `DESCRIPTOR(ts)`.
fn time_column(expr: &Expr, hint: &str) -> Result<Vec<Ident>> {
    match expr {
        Expr::Identifier(ident) => Ok(vec![ident.clone()]),
        Expr::CompoundIdentifier(idents) => Ok(idents.clone()),
        Expr::Function(f) if name_of(&f.name) == "descriptor" => match &f.args {
            FunctionArguments::List(list) => match list.args.as_slice() {
                [FunctionArg::Unnamed(FunctionArgExpr::Expr(inner))] => time_column(inner, hint),
                _ => Err(invalid("DESCRIPTOR names one column", hint)),
            },
            _ => Err(invalid("DESCRIPTOR names one column", hint)),
        },
        other => Err(invalid(format!("the time column must be a column, not {other}"), hint)),
    }
}

pub(super) fn check(name: &str, kind: WindowKind) -> Result<()> {
    let (slide, size) = (kind.slide(), kind.size());
    if size <= 0 {
        return Err(invalid(format!("{name}: size must be positive"), "For example, INTERVAL '10' SECOND."));
    }
    if slide <= 0 {
        return Err(invalid(format!("{name}: slide must be positive"), "For example, INTERVAL '5' SECOND."));
    }
    if size % slide != 0 {
        let hint = "Choose a size that is a whole number of slides.";
        return Err(invalid(format!("{name}: size must be a multiple of slide"), hint));
    }
    let windows = size / slide;
    if windows > WINDOWS_PER_ROW_MAX {
        let message = format!("{name}: a row would be in {windows} windows");
        let hint = format!("At most {WINDOWS_PER_ROW_MAX}: choose a longer slide.");
        return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).with_hint(hint));
    }
    Ok(())
}

/// Windows that one row may be in.
const WINDOWS_PER_ROW_MAX: i64 = 100_000;

/// The table argument as what may stand in FROM.
fn table_factor(expr: &Expr) -> Result<TableFactor> {
    let table = |idents: Vec<Ident>| TableFactor::Table {
        name: ObjectName::from(idents),
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
    match expr {
        Expr::Identifier(ident) => Ok(table(vec![ident.clone()])),
        Expr::CompoundIdentifier(idents) => Ok(table(idents.clone())),
        Expr::Nested(inner) => table_factor(inner),
        Expr::Subquery(query) => match bare_table(query) {
            Some(factor) => Ok(factor),
            None => Ok(TableFactor::Derived { lateral: false, subquery: query.clone(), alias: None, sample: None }),
        },
        other => Err(invalid(
            format!("the first argument of a window must be a table, not {other}"),
            "Name a table, source, view or CTE, or put a query in parentheses.",
        )),
    }
}

/// `TABLE t` comes as `SELECT * FROM t`.
fn bare_table(query: &ast::Query) -> Option<TableFactor> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let plain = query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none();
    match (select.projection.as_slice(), select.from.as_slice()) {
        ([ast::SelectItem::Wildcard(_)], [one])
            if plain && one.joins.is_empty() && select.selection.is_none() && select.distinct.is_none() =>
        {
            matches!(one.relation, TableFactor::Table { args: None, .. }).then(|| one.relation.clone())
        }
        _ => None,
    }
}

fn assign(input: LogicalPlan, call: &Call) -> DfResult<LogicalPlan> {
    let schema = input.schema();
    let Some((name, qualifier)) = call.time.split_last() else {
        return Err(Error::internal("no time column").into());
    };
    let (name, qualifier) = (fold(name), qualifier.last().map(fold));
    let matches = |q: Option<&datafusion::common::TableReference>, f: &str| {
        f == name && qualifier.as_ref().is_none_or(|want| q.is_some_and(|q| q.table() == want))
    };
    let Some(index) = schema.iter().position(|(q, f)| matches(q, f.name())) else {
        let message = format!("column \"{name}\" does not exist");
        return Err(Error::new(SqlState::UNDEFINED_COLUMN, message).into());
    };
    if !matches!(schema.field(index).data_type(), DataType::Timestamp(TimeUnit::Microsecond, _)) {
        let kind = type_name(schema.field(index));
        let message = format!("the time column \"{name}\" must be timestamp or timestamptz, not {kind}");
        return Err(Error::new(SqlState::DATATYPE_MISMATCH, message).with_hint("Cast it in a subquery.").into());
    }
    if let Some(taken) = schema.fields().iter().find(|f| ["window_start", "window_end"].contains(&f.name().as_str())) {
        let message = format!("column \"{}\" specified more than once", taken.name());
        return Err(Error::new(SqlState::DUPLICATE_COLUMN, message)
            .with_hint("The window's table has a column of that name; rename it in a subquery.")
            .into());
    }
    let node = WindowAssign::new(input, index, call.kind, call.flink)?;
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

/// `generate_series(a, b [, step])`: its column is called like its alias.
fn series(
    relation: TableFactor,
    alias: Option<TableAlias>,
    context: &mut dyn RelationPlannerContext,
) -> DfResult<RelationPlanning> {
    let TableFactor::Table {
        args,
        with_hints,
        version,
        with_ordinality,
        partitions,
        json_path,
        sample,
        index_hints,
        ..
    } = relation
    else {
        return Err(DataFusionError::Internal("a series is a table with arguments".into()));
    };
    let large = args.as_ref().is_some_and(|a| a.args.iter().any(is_bigint));
    let rows = TableFactor::Table {
        name: ObjectName::from(vec![Ident::with_quote('"', SERIES)]),
        alias: None,
        args,
        with_hints,
        version,
        with_ordinality,
        partitions,
        json_path,
        sample,
        index_hints,
    };
    let plan = context.plan(rows)?;
    let value = plan.schema().field(0).clone();
    let name = alias.as_ref().map_or_else(|| "generate_series".to_owned(), |a| fold(&a.name));
    let target = match value.data_type() {
        DataType::Int64 if !large => DataType::Int32,
        other => crate::functions::cast::canonical(other).unwrap_or_else(|| other.clone()),
    };
    let column = plan.schema().qualified_field(0);
    let source = col(datafusion::common::Column::from(column));
    let value = if plain(&target).data_type() == value.data_type() { source } else { cast(source, target) };
    let plan = LogicalPlanBuilder::from(plan).project(vec![value.alias(&name)])?.alias(name)?.build()?;
    Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
}

fn is_bigint(arg: &FunctionArg) -> bool {
    matches!(
        arg,
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Cast {
            data_type: ast::DataType::Int8(_) | ast::DataType::BigInt(_),
            ..
        }))
    )
}
