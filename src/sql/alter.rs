//! ALTER TABLE, ALTER MATERIALIZED VIEW .. PAUSE, and REBUILD, as they are said.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast;

use super::parser;
use super::statement::{ColumnDef, Expr, Name, RelationKind};
use crate::catalog::pg_catalog::quote_ident;
use crate::error::Result;

/// ALTER TABLE name action, ..
#[derive(Clone, Debug)]
pub struct AlterTable {
    /// What the object must be.
    pub kind: RelationKind,
    /// Which.
    pub name: Name,
    /// IF EXISTS.
    pub if_exists: bool,
    /// In order.
    pub actions: Vec<Action>,
}

/// ALTER MATERIALIZED VIEW .. PAUSE or RESUME.
#[derive(Clone, Debug)]
pub struct Pause {
    /// Which.
    pub name: Name,
    /// IF EXISTS.
    pub if_exists: bool,
    /// RESUME.
    pub resume: bool,
}

/// What ALTER TABLE does.
#[derive(Clone, Debug)]
pub enum Action {
    /// ADD COLUMN.
    Add {
        /// The column.
        column: Box<ColumnDef>,
        /// IF NOT EXISTS.
        if_not_exists: bool,
    },
    /// DROP COLUMN.
    Drop {
        /// Which.
        column: String,
        /// IF EXISTS.
        if_exists: bool,
        /// CASCADE.
        cascade: bool,
    },
    /// RENAME COLUMN; alone.
    Rename {
        /// Which.
        column: String,
        /// Its new name.
        to: String,
    },
    /// ALTER COLUMN SET DEFAULT; `None`: DROP DEFAULT.
    Default {
        /// Which.
        column: String,
        /// The expression.
        default: Option<Box<Expr>>,
    },
    /// ALTER COLUMN SET NOT NULL, DROP NOT NULL.
    NotNull {
        /// Which.
        column: String,
        /// SET.
        required: bool,
    },
}

impl Action {
    /// Its words.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Add { .. } => "ADD COLUMN",
            Self::Drop { .. } => "DROP COLUMN",
            Self::Rename { .. } => "RENAME COLUMN",
            Self::Default { default: Some(_), .. } => "ALTER COLUMN ... SET DEFAULT",
            Self::Default { default: None, .. } => "ALTER COLUMN ... DROP DEFAULT",
            Self::NotNull { required: true, .. } => "ALTER COLUMN ... SET NOT NULL",
            Self::NotNull { required: false, .. } => "ALTER COLUMN ... DROP NOT NULL",
        }
    }
}

/// An expression that is kept as text, over columns of which one has another name now.
pub(crate) fn renamed(text: &str, column: &str, to: &str) -> Result<String> {
    let mut tree = parser::reparse_expr(text)?.tree;
    let rename = |ident: &mut ast::Ident| {
        let name = if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() };
        if name == column {
            *ident = match quote_ident(to) {
                plain if plain == to => ast::Ident::new(to),
                _ => ast::Ident::with_quote('"', to),
            };
        }
    };
    let _ = ast::visit_expressions_mut(&mut tree, |expr| {
        match expr {
            ast::Expr::Identifier(ident) => rename(ident),
            ast::Expr::CompoundIdentifier(parts) => parts.last_mut().into_iter().for_each(rename),
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
    Ok(tree.to_string())
}

/// REBUILD MATERIALIZED VIEW.
#[derive(Clone, Debug)]
pub struct Rebuild {
    /// Its name.
    pub name: Name,
    /// FROM TIMESTAMP: the text, and where it stands.
    pub from: Option<(String, usize)>,
}
