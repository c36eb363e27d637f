//! What binding gives.

use std::sync::Arc;

use arrow::datatypes::Field;
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::catalog::object::Object;
use crate::data::ObjectId;

/// A bound query: analyzed, not optimized. Scans are over [`crate::catalog::Relation`] and
/// [`crate::catalog::SystemRelation`].
#[derive(Clone, Debug)]
pub struct BoundQuery {
    /// Its columns stand in the order of `columns`, under names of their own.
    pub plan: LogicalPlan,
    /// Result columns: PostgreSQL's names (not always different ones), types, metadata.
    pub columns: Vec<Field>,
    /// Per column: oid of the relation and attribute number (from 1) it comes from, or zeros.
    pub origins: Vec<(u32, i16)>,
    /// Types of `$1`, ..; fill them in with `plan.with_param_values`.
    pub parameters: Vec<Field>,
    /// Objects read or named, plain views included, without repetition.
    pub depends: Vec<ObjectId>,
}

/// A bound view: the plan that `plan::lower` takes.
#[derive(Clone, Debug)]
pub struct BoundView {
    /// Analyzed and rewritten by the fixed list of rules. Its columns have the names of `columns`.
    pub plan: LogicalPlan,
    /// The view's columns; names differ.
    pub columns: Vec<Field>,
    /// Objects read or named, plain views included, without repetition.
    pub depends: Vec<ObjectId>,
}

/// RETURNING.
#[derive(Clone, Debug)]
pub struct Returning {
    /// Over the schema of [`Local`], or the plan's RETURNING columns where there is a plan.
    pub exprs: Vec<Expr>,
    /// Names and types.
    pub columns: Vec<Field>,
}

/// A bound INSERT.
#[derive(Clone, Debug)]
pub struct BoundInsert {
    /// Into what.
    pub target: Arc<Object>,
    /// Rows with all of the target's columns, in order, cast as assignments and with defaults filled in; NOT NULL is not
    /// yet checked.
    pub source: LogicalPlan,
    /// ON CONFLICT.
    pub on_conflict: Option<ConflictAction>,
    /// RETURNING, over the target's columns.
    pub returning: Option<Returning>,
    /// Types of `$1`, ..
    pub parameters: Vec<Field>,
    /// Objects that the source reads.
    pub depends: Vec<ObjectId>,
}

/// What ON CONFLICT does.
#[derive(Clone, Debug)]
pub enum ConflictAction {
    /// DO NOTHING.
    Nothing,
    /// DO UPDATE. Expressions are over the old row's columns, then those of the row proposed (qualifier `excluded`):
    /// twice the target's width.
    Update {
        /// Per column of the target: its new value; `None`: unchanged.
        assignments: Vec<Option<Expr>>,
        /// WHERE.
        filter: Option<Expr>,
    },
}

/// A change that looks at the target's row alone: expressions over the target's columns, qualified by the target's name
/// or alias. It can be evaluated at the head, row by row.
#[derive(Clone, Debug)]
pub struct Local {
    /// WHERE.
    pub filter: Option<Expr>,
    /// Per column: its new value; `None`: unchanged. Empty for DELETE.
    pub assignments: Vec<Option<Expr>>,
    /// The schema of these expressions: the target's columns.
    pub schema: datafusion::common::DFSchemaRef,
}

/// A bound UPDATE.
#[derive(Clone, Debug)]
pub struct BoundUpdate {
    /// What.
    pub target: Arc<Object>,
    /// When nothing but the target's row is looked at.
    pub local: Option<Local>,
    /// Otherwise (FROM, subqueries), and always correct: per changed row the target's old columns, then the new ones, then
    /// those of RETURNING. A row that matches several times comes several times: the first counts.
    pub plan: LogicalPlan,
    /// RETURNING; `exprs` are over the *new* row in the local form.
    pub returning: Option<Returning>,
    /// Types of `$1`, ..
    pub parameters: Vec<Field>,
    /// Objects that it reads besides the target.
    pub depends: Vec<ObjectId>,
}

/// A bound DELETE.
#[derive(Clone, Debug)]
pub struct BoundDelete {
    /// From what.
    pub target: Arc<Object>,
    /// When nothing but the target's row is looked at.
    pub local: Option<Local>,
    /// Otherwise, and always correct: per deleted row the target's columns, then those of RETURNING. A row that matches
    /// several times comes several times: the first counts.
    pub plan: LogicalPlan,
    /// RETURNING; `exprs` are over the old row in the local form.
    pub returning: Option<Returning>,
    /// Types of `$1`, ..
    pub parameters: Vec<Field>,
    /// Objects that it reads besides the target.
    pub depends: Vec<ObjectId>,
}
