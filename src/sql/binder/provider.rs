//! [`Provider`]: what DataFusion's SQL planner asks: relations, functions, types, operators.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::TableReference;
use datafusion::config::ConfigOptions;
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, Expr, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TableSource, Volatility, WindowUDF,
};
use datafusion::scalar::ScalarValue;

use super::aliases::Aliases;
use super::operators::Operators;
use super::typing::{no_function, plain, type_name};
use super::windows::Windows;
use super::{Binder, query};
use crate::catalog::object::{Kind, Object};
use crate::catalog::{Relation, Resolved, Snapshot};
use crate::data::ObjectId;
use crate::error::Error;
use crate::functions::{registry, zoned};
use crate::sql::types::PgTypes;

/// Plain views name plain views; deeper than this is a mistake.
const VIEW_DEPTH_MAX: usize = 64;

/// One statement's view of the catalog.
pub(super) struct Provider<'a> {
    pub(super) binder: Binder<'a>,
    /// The statement's own view of the catalog: a plain view may see tables as they were.
    own: &'a Arc<Snapshot>,
    planners: Vec<Arc<dyn ExprPlanner>>,
    relation_planners: Vec<Arc<dyn RelationPlanner>>,
    /// Objects named so far, plain views included.
    pub(super) depends: RefCell<Vec<ObjectId>>,
    /// Types of columns of VALUES whose values are not alike.
    pub(super) columns: RefCell<Vec<FieldRef>>,
    depth: usize,
    /// Whether a materialized view is planned: what it reads, plain views too, has to be a function of the rows.
    pub(super) in_view: Cell<bool>,
}

impl<'a> Provider<'a> {
    pub(super) fn new(binder: Binder<'a>) -> Self {
        Self::at_depth(binder, binder.snapshot, 0)
    }

    fn at_depth(binder: Binder<'a>, own: &'a Arc<Snapshot>, depth: usize) -> Self {
        let ours: Arc<dyn ExprPlanner> = Arc::new(Operators::new(&binder.session.time_zone));
        let planners = std::iter::once(ours).chain(registry().planners.iter().cloned()).collect();
        let relation_planners: Vec<Arc<dyn RelationPlanner>> = vec![Arc::new(Windows), Arc::new(Aliases)];
        let (depends, columns, in_view) = (RefCell::default(), RefCell::default(), Cell::new(false));
        Self { binder, own, planners, relation_planners, depends, columns, depth, in_view }
    }

    fn resolve(&self, name: &TableReference) -> crate::error::Result<Resolved> {
        match name.schema() {
            Some(schema) => self.binder.snapshot.resolve(Some(schema), name.table()),
            None => self.binder.relation(None, name.table()),
        }
    }

    fn user(&self, object: &Arc<Object>) -> crate::error::Result<Arc<dyn TableSource>> {
        let mut depends = self.depends.borrow_mut();
        if !depends.contains(&object.id) {
            depends.push(object.id);
        }
        drop(depends);
        match &object.kind {
            Kind::View(view) => {
                if self.depth >= VIEW_DEPTH_MAX {
                    return Err(Error::new(
                        crate::error::SqlState::PROGRAM_LIMIT_EXCEEDED,
                        "views are nested too deeply",
                    ));
                }
                let snapshot = self.binder.snapshot.as_seen(&view.seen);
                let inner = Provider::at_depth(Binder::new(&snapshot, self.binder.session), self.own, self.depth + 1);
                inner.in_view.set(self.in_view.get());
                let plan = query::inlined_view(&inner, &view.query, &object.schema)?;
                for id in inner.depends.into_inner() {
                    if !self.depends.borrow().contains(&id) {
                        self.depends.borrow_mut().push(id);
                    }
                }
                Ok(Arc::new(Inlined { schema: object.schema.clone(), plan }))
            }
            Kind::Table(_) if self.depth > 0 => self.table_in_view(object),
            Kind::Table(_) | Kind::Source(_) | Kind::MaterializedView(_) => Ok(Arc::new(Relation::new(object.clone()))),
            Kind::Sink(_) => {
                let message = format!("\"{}\" is a sink", object.name);
                Err(Error::new(crate::error::SqlState::WRONG_OBJECT_TYPE, message)
                    .with_hint("Read the table or view that it writes; or its files, by a source."))
            }
        }
    }

    /// A table that a plain view names: with the columns that it had when the view was created.
    fn table_in_view(&self, seen: &Arc<Object>) -> crate::error::Result<Arc<dyn TableSource>> {
        let own = self.own.get(seen.id).unwrap_or(seen);
        let source: Arc<dyn TableSource> = Arc::new(Relation::new(own.clone()));
        if own.schema == seen.schema && own.shape() == seen.shape() {
            return Ok(source);
        }
        let (then, now) = (seen.shape(), own.shape());
        let scan = LogicalPlanBuilder::scan(own.name.as_str(), source, None)?;
        let column = |(number, field): (u16, &Arc<Field>)| {
            let expr = match now.numbers.position(number, own.schema.fields().len()) {
                Some(at) => Expr::Column(scan.schema().qualified_field(at).into()),
                // It has gone: nobody reads it.
                None => Expr::Literal(ScalarValue::try_from(field.data_type())?, None),
            };
            Ok(expr.alias(field.name()))
        };
        let columns = then.all().zip(seen.schema.fields()).map(column).collect::<Result<Vec<_>>>()?;
        let plan = scan.project(columns)?.build()?;
        Ok(Arc::new(Inlined { schema: seen.schema.clone(), plan }))
    }
}

impl Binder<'_> {
    /// What a name means: `pg_catalog` first, then the search path.
    pub(super) fn relation(&self, schema: Option<&str>, name: &str) -> crate::error::Result<Resolved> {
        match self.snapshot.resolve(schema, name) {
            Err(missing) if schema.is_none() => {
                let path = self.session.search_path.iter().filter(|s| !matches!(s.as_str(), "public" | "$user"));
                let found = path.filter_map(|s| self.snapshot.resolve(Some(s), name).ok()).next();
                found.ok_or(missing)
            }
            other => other,
        }
    }
}

/// Names that the planner itself knows.
const SYNTAX: [&str; 6] = ["unnest", "unnest_outer", "make_map", "map", "grouping", "row"];

/// What stands for a function that there is none of: it can say of which types.
fn missing(name: &str) -> Option<Arc<ScalarUDF>> {
    let registry = registry();
    let known = registry.aggregate.contains_key(name)
        || registry.window.contains_key(name)
        || registry.higher_order.contains_key(name)
        || SYNTAX.contains(&name);
    (!known).then(|| Arc::new(ScalarUDF::new_from_impl(Missing::new(name))))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Missing {
    name: String,
    signature: Signature,
}

impl Missing {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Missing {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let types: Vec<String> = types.iter().map(|t| type_name(&plain(t))).collect();
        Err(no_function(&self.name, &types).into())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let unknown = |n: usize| matches!(args.scalar_arguments.get(n), Some(Some(ScalarValue::Utf8(_))));
        let types = args.arg_fields.iter().enumerate();
        let types: Vec<String> =
            types.map(|(n, f)| if unknown(n) { "unknown".to_owned() } else { type_name(f) }).collect();
        Err(no_function(&self.name, &types).into())
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(no_function(&self.name, &[]).into())
    }
}

/// A plain view: DataFusion puts its plan where it is named.
struct Inlined {
    schema: SchemaRef,
    plan: LogicalPlan,
}

impl TableSource for Inlined {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }
}

/// Options of planning: PostgreSQL's order of NULLs, decimals for `1.5`, no views of text.
pub(in crate::sql) fn options() -> &'static ConfigOptions {
    static OPTIONS: OnceLock<ConfigOptions> = OnceLock::new();
    OPTIONS.get_or_init(|| {
        let mut options = ConfigOptions::new();
        options.sql_parser.parse_float_as_decimal = true;
        options.sql_parser.enable_ident_normalization = true;
        options.sql_parser.map_string_types_to_utf8view = false;
        options.sql_parser.support_varchar_with_length = true;
        options.sql_parser.default_null_ordering = "nulls_max".into();
        options.sql_parser.collect_spans = true;
        options
    })
}

impl ContextProvider for Provider<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        match self.resolve(&name)? {
            Resolved::System(system) => Ok(system),
            Resolved::User(object) => Ok(self.user(&object)?),
        }
    }

    fn get_table_function_source(&self, name: &str, args: Vec<Expr>) -> Result<Arc<dyn TableSource>> {
        super::table_functions::source(name, args, &self.binder.session.time_zone).map_err(DataFusionError::from)
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relation_planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(PgTypes))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let session = &self.binder.session;
        session
            .functions
            .get(name)
            .cloned()
            .or_else(|| super::stand_in::find(name))
            .or_else(|| super::values::function(name, &self.columns.borrow()))
            .or_else(|| super::moment::function(name))
            .or_else(|| super::group_windows::function(name))
            .or_else(|| zoned(name, &session.time_zone))
            .or_else(|| registry().scalar.get(name).cloned())
            .or_else(|| missing(name))
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        registry().higher_order.get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        registry().aggregate.get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        registry().window.get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        options()
    }

    fn udf_names(&self) -> Vec<String> {
        registry().scalar.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        vec![]
    }

    fn udaf_names(&self) -> Vec<String> {
        vec![]
    }

    fn udwf_names(&self) -> Vec<String> {
        vec![]
    }
}
