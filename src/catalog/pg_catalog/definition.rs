//! What follows AS in a view's CREATE statement: pg_get_viewdef, pg_views, pg_matviews, SHOW CREATE.

use std::borrow::Cow;

use super::quote_ident;
use crate::catalog::Snapshot;
use crate::catalog::object::{Emit, Kind, MaterializedView, Object};
use crate::data::text::interval::duration_text;

/// A view's query with the clauses behind it, as PostgreSQL's pg_get_viewdef prints it; `None` for what has no query.
pub fn view_definition(snapshot: &Snapshot, object: &Object) -> Option<String> {
    match &object.kind {
        Kind::View(view) => Some(format!(" {};", open_ended(&view.query))),
        Kind::MaterializedView(view) => Some(format!(" {}{};", open_ended(&view.query), clauses(snapshot, view))),
        Kind::Table(_) | Kind::Source(_) | Kind::Sink(_) => None,
    }
}

/// A query's text such that something may follow: a comment at its end would swallow it.
pub fn open_ended(query: &str) -> Cow<'_, str> {
    let query = query.trim_end();
    if query.contains("--") { format!("{query}\n").into() } else { query.into() }
}

/// EMIT, ALLOW LATENESS and LATE ROWS INTO, where they say other than the default; a space before each.
pub fn clauses(snapshot: &Snapshot, view: &MaterializedView) -> String {
    let mut clauses = String::new();
    match view.emit {
        Emit::OnUpdate => {}
        Emit::OnWindowClose => clauses.push_str(" EMIT ON WINDOW CLOSE"),
    }
    if let Some(micros) = view.lateness {
        clauses.push_str(&format!(" ALLOW LATENESS INTERVAL '{}'", duration_text(micros)));
    }
    // Its name is today's: it may have been renamed.
    if let Some(table) = view.late_into.and_then(|id| snapshot.get(id)) {
        clauses.push_str(&format!(" LATE ROWS INTO {}", quote_ident(&table.name)));
    }
    clauses
}
