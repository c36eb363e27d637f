//! What a database shows, and what it is to show.

use std::collections::BTreeSet;

use super::super::{Client, Rows};
use super::Known;
use crate::error::SqlState;

/// What is known, as it is shown.
pub(super) fn shown(known: &Known) -> Vec<String> {
    let mut all: Vec<String> = vec![];
    let relations = ["t", "j", "late", "bid"].iter().take(known.tables).copied();
    all.extend(relations.chain(known.views.iter().copied()).map(str::to_owned));
    all.extend(known.has_sink.then(|| "ks".to_owned()));
    all.extend(known.paused.iter().map(|name| format!("{name} is paused")));
    all.sort();
    if known.tables > 0 {
        let mut rows: Vec<String> = known.t.iter().map(|(k, (g, v))| format!("{k} {g} {v}")).collect();
        rows.sort();
        all.push(format!("{} columns", 3 + known.columns));
        all.extend(rows);
    }
    if known.tables > 1 {
        all.push(format!("{0} {0} {0}", known.j));
    }
    all
}

/// The same of what there is; by few statements, and simple ones: it is done often.
pub(super) async fn look(client: &mut Client) -> Result<Vec<String>, String> {
    let mut all = vec![];
    for view in ask(client, "SELECT name, status FROM highwater.views").await? {
        let (name, status) = view.split_once(' ').unwrap_or((&view, ""));
        all.push(name.to_owned());
        all.extend((status == "paused").then(|| format!("{name} is paused")));
    }
    let sources = ask(client, "SELECT name FROM highwater.sources").await?;
    all.extend(sources.into_iter().find(|name| name == "bid"));
    all.extend(ask(client, "SELECT name FROM highwater.sinks").await?);
    let (t, j) = (rows(client, "t", "*").await?, rows(client, "j", "n").await?);
    let late = rows(client, "late", "n").await?;
    let tables = [("t", t.is_some()), ("j", j.is_some()), ("late", late.is_some())];
    all.extend(tables.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name.to_owned()));
    all.sort();
    if let Some(rows) = t {
        all.push(format!("{} columns", rows.columns));
        // Others were added.
        let own = |row: &String| row.splitn(4, ' ').take(3).collect::<Vec<_>>().join(" ");
        let mut rows: Vec<String> = rows.texts.iter().map(own).collect();
        rows.sort();
        all.extend(rows);
    }
    if let Some(rows) = j {
        let numbers = rows.texts.iter().map(|n| n.parse::<usize>().map_err(|e| format!("{n}: {e}")));
        let numbers: Vec<usize> = numbers.collect::<Result<_, _>>()?;
        let (distinct, next) =
            (numbers.iter().collect::<BTreeSet<_>>().len(), numbers.iter().max().map_or(0, |n| n + 1));
        all.push(format!("{} {distinct} {next}", numbers.len()));
    }
    Ok(all)
}

async fn ask(client: &mut Client, sql: &str) -> Result<Vec<String>, String> {
    client.sorted(sql).await.map_err(|e| format!("{sql}: {e}"))
}

/// What a table has; `None`: it is not there.
async fn rows(client: &mut Client, table: &str, columns: &str) -> Result<Option<Rows>, String> {
    match client.rows(&format!("SELECT {columns} FROM {table}")).await {
        Ok(rows) => Ok(Some(rows)),
        Err(error) if error.code() == SqlState::UNDEFINED_TABLE => Ok(None),
        Err(error) => Err(format!("{table}: {error}")),
    }
}
