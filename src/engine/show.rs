//! SHOW and DESCRIBE: facts as rows of text.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::ddl::{find_any, kind_word};
use super::outcome::{Column, Outcome};
use super::session::Session;
use super::stream::once;
use super::{introspect, settings};
use crate::catalog::Snapshot;
use crate::catalog::object::{ConnectorOptions, Kind, Object, Watermark};
use crate::catalog::pg_catalog::{clauses, open_ended, quote_ident};
use crate::data::text::interval::duration_text;
use crate::data::types::sql_name;
use crate::error::{Error, Result, SqlState};
use crate::sql::statement::{RelationKind, Show};

/// The names of SHOW's columns.
pub(super) fn show_columns(show: &Show) -> Result<Vec<Column>> {
    let names: Vec<&str> = match show {
        Show::Setting(name) => vec![settings::find(name)?.name],
        Show::All => vec!["name", "setting", "description"],
        Show::Relations(_) => vec!["name"],
        Show::Columns(_) => vec!["name", "type", "nullable", "key", "default"],
        Show::Create(..) => vec!["name", "create_statement"],
    };
    Ok(text_columns(&names))
}

pub(super) fn text_columns(names: &[&str]) -> Vec<Column> {
    names.iter().map(|n| Column { field: Field::new(*n, DataType::Utf8, true), origin: (0, 0) }).collect()
}

/// Rows of text under the columns given.
pub(super) fn texts(columns: Vec<Column>, rows: Vec<Vec<Option<String>>>, tag: &'static str) -> Result<Outcome> {
    let schema = Arc::new(Schema::new(columns.iter().map(|c| c.field.clone()).collect::<Vec<_>>()));
    let column = |i: usize| -> ArrayRef {
        Arc::new(StringArray::from_iter(rows.iter().map(|r| r.get(i).and_then(Option::as_deref))))
    };
    let batch = RecordBatch::try_new(schema, (0..columns.len()).map(column).collect())?;
    Ok(Outcome::Rows { columns, rows: once(batch), tag })
}

impl Session {
    pub(super) async fn show(&self, show: &Show) -> Result<Outcome> {
        let rows = match show {
            Show::Setting(name) => {
                let system = self.shared.engine.runtime.settings();
                vec![vec![Some(introspect::value_of(&self.shared, &system, settings::find(name)?))]]
            }
            Show::All => {
                let system = self.shared.engine.runtime.settings();
                let value = |d: &settings::Definition| Some(introspect::value_of(&self.shared, &system, d));
                let row = |d: &settings::Definition| vec![Some(d.name.into()), value(d), Some(d.description.into())];
                settings::ALL.iter().map(row).collect()
            }
            Show::Relations(kind) => self.relations(*kind),
            Show::Columns(name) => {
                let snapshot = self.shared.engine.catalog.snapshot();
                columns(&*find_any(&snapshot, name)?)
            }
            Show::Create(kind, name) => {
                let snapshot = self.shared.engine.catalog.snapshot();
                let object = find_any(&snapshot, name)?;
                if object.kind_name() != kind_word(*kind) {
                    let message = format!("\"{}\" is not a {}", object.name, kind_word(*kind));
                    return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message));
                }
                vec![vec![Some(object.name.clone()), Some(definition(&snapshot, &object))]]
            }
        };
        texts(show_columns(show)?, rows, "SHOW")
    }

    fn relations(&self, kind: RelationKind) -> Vec<Vec<Option<String>>> {
        let snapshot = self.shared.engine.catalog.snapshot();
        let wanted = snapshot.objects().chain(snapshot.sinks()).filter(|o| o.kind_name() == kind_word(kind));
        let mut names: Vec<String> = wanted.map(|o| o.name.clone()).collect();
        names.sort_unstable();
        names.into_iter().map(|n| vec![Some(n)]).collect()
    }
}

/// DESCRIBE.
fn columns(object: &Object) -> Vec<Vec<Option<String>>> {
    let default = |i: usize| match &object.kind {
        Kind::Table(table) => table.defaults.get(i).cloned().flatten(),
        Kind::Source(_) | Kind::View(_) | Kind::MaterializedView(_) | Kind::Sink(_) => None,
    };
    let nullable = |f: &Field| f.is_nullable() || matches!(object.kind, Kind::View(_) | Kind::MaterializedView(_));
    let row = |(i, field): (usize, &Arc<Field>)| {
        let key = object.primary_key().contains(&i).then(|| "primary key".to_owned());
        let nullable = if nullable(field) { "YES" } else { "NO" };
        vec![Some(field.name().clone()), Some(sql_name(field)), Some(nullable.into()), key, default(i)]
    };
    object.schema.fields().iter().enumerate().map(row).collect()
}

/// The statement that would create the object again.
fn definition(snapshot: &Snapshot, object: &Object) -> String {
    let quoted = quote_ident(&object.name);
    match &object.kind {
        Kind::MaterializedView(view) => {
            // A renamed view keeps the text that made it; its name is today's.
            let clauses = clauses(snapshot, view);
            let columns: Vec<String> = object.schema.fields().iter().map(|f| quote_ident(f.name())).collect();
            let columns = columns.join(", ");
            let kept =
                view.retention.map_or_else(String::new, |r| format!(" WITH (retention = '{}')", duration_text(r)));
            format!("CREATE MATERIALIZED VIEW {quoted} ({columns}){kept} AS {}{clauses}", open_ended(&view.query))
        }
        Kind::View(view) => format!("CREATE VIEW {quoted} AS {}", view.query),
        Kind::Table(table) => {
            let append_only = if table.append_only { " APPEND ONLY" } else { "" };
            let body = body(object, &table.defaults, table.watermark.as_ref());
            let connector = table.connector.as_ref().map_or(String::new(), |connector| options(connector, "PLAIN"));
            format!("CREATE TABLE {quoted} ({body}){append_only}{connector}")
        }
        Kind::Source(source) => {
            let body = body(object, &[], source.watermark.as_ref());
            format!("CREATE SOURCE {quoted} ({body}){}", options(&source.connector, "PLAIN"))
        }
        Kind::Sink(sink) => {
            let input = snapshot.get(sink.input).map_or_else(String::new, |input| quote_ident(&input.name));
            format!("CREATE SINK {quoted} FROM {input}{}", options(&sink.connector, &sink.format))
        }
    }
}

fn body(object: &Object, defaults: &[Option<String>], watermark: Option<&Watermark>) -> String {
    let mut items = Vec::new();
    for (i, field) in object.schema.fields().iter().enumerate() {
        let mut item = format!("{} {}", quote_ident(field.name()), sql_name(field));
        if !field.is_nullable() {
            item.push_str(" NOT NULL");
        }
        if let Some(Some(default)) = defaults.get(i) {
            item.push_str(&format!(" DEFAULT {default}"));
        }
        items.push(item);
    }
    if !object.primary_key().is_empty() {
        items.push(format!("PRIMARY KEY ({})", crate::catalog::pg_catalog::key_columns(object)));
    }
    if let Some(watermark) = watermark {
        let column = quote_ident(object.schema.field(watermark.column).name());
        items.push(format!("WATERMARK FOR {column} AS {}", watermark.expression));
    }
    items.join(", ")
}

fn options(connector: &ConnectorOptions, format: &str) -> String {
    let quote = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let mut options = vec![format!("connector = {}", quote(&connector.connector))];
    options.extend(connector.options.iter().map(|(k, v)| format!("{k} = {}", quote(v))));
    let mut text = format!(" WITH ({})", options.join(", "));
    if let Some(encode) = &connector.encode {
        text.push_str(&format!(" FORMAT {format} ENCODE {encode}"));
        if !connector.encode_options.is_empty() {
            let options: Vec<String> =
                connector.encode_options.iter().map(|(k, v)| format!("{k} = {}", quote(v))).collect();
            text.push_str(&format!(" ({})", options.join(", ")));
        }
    }
    text
}
