//! `FROM t AS a(x)`: fewer names than columns rename the first ones.

use datafusion::error::Result as DfResult;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::sql::sqlparser::ast::{Cte, Ident, SelectItem, SetExpr, TableAlias, TableAliasColumnDef, TableFactor};

use super::names::column_name;

/// DataFusion's hook for table factors: it wants all names or none.
#[derive(Debug)]
pub(super) struct Aliases;

impl RelationPlanner for Aliases {
    fn plan_relation(
        &self,
        mut relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> DfResult<RelationPlanning> {
        let Some(mut alias) = names(&mut relation).and_then(|alias| alias.take_if(|a| !a.columns.is_empty())) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let plan = context.plan(relation)?;
        let rest = plan.schema().fields().iter().skip(alias.columns.len());
        alias.columns.extend(rest.map(|field| column(field.name())));
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, Some(alias)))))
    }
}

/// The alias of what keeps its columns' names without one.
fn names(relation: &mut TableFactor) -> Option<&mut Option<TableAlias>> {
    match relation {
        TableFactor::Table { alias, args: None, .. } | TableFactor::Derived { alias, .. } => Some(alias),
        _ => None,
    }
}

fn column(name: &str) -> TableAliasColumnDef {
    TableAliasColumnDef { name: Ident::with_quote('"', name), data_type: None }
}

/// `WITH q(a) AS (SELECT 1, 2)`: the names that are not given, where the query tells them.
pub(super) fn complete(cte: &mut Cte) {
    let given = cte.alias.columns.len();
    if given == 0 {
        return;
    }
    let SetExpr::Select(select) = cte.query.body.as_ref() else { return };
    let name = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) => Some(column_name(expr)),
        SelectItem::ExprWithAlias { alias, .. } => Some(crate::sql::parser::cursor::fold(alias)),
        _ => None,
    };
    if let Some(names) = select.projection.iter().map(name).collect::<Option<Vec<_>>>() {
        cte.alias.columns.extend(names.iter().skip(given).map(|name| column(name)));
    }
}
