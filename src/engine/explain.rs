//! EXPLAIN: what a query, or a view, is made of; with ANALYZE, what it did.
//!
//! * of a SELECT: DataFusion's plan; ANALYZE runs it, and shows what each operator counted;
//! * of a view, planned or running, and of SUBSCRIBE: the incremental operators, with keys, watermarks, what is divided
//!   among workers and what bounds the state; ANALYZE shows what the operators of a running view have done since it
//!   began: the figures of `highwater.operators`.

use std::fmt::Write;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use datafusion::physical_plan::{EmptyRecordBatchStream, ExecutionPlan, displayable, execute_stream};
use futures::StreamExt;
use serde_json::{Map, Value, json};

use super::aside::Pace;
use super::ddl::find_any;
use super::outcome::{Column, Outcome};
use super::query;
use super::session::Session;
use super::show::{text_columns, texts};
use super::stream::Guard;
use crate::catalog::object::Kind;
use crate::data::text::datetime::{TIMESTAMP_FIRST, TIMESTAMP_LAST, write_timestamp};
use crate::data::{EventTime, PartitionWatermark, WatermarkVector};
use crate::error::{Error, Result, SqlState};
use crate::plan::{self, Described, ViewPlan};
use crate::runtime::{OperatorStatus, ReadMode, Status};
use crate::sql::statement::{Explain, ExplainOptions, Explained, Name, Select};

/// EXPLAIN's column.
pub(super) fn columns() -> Vec<Column> {
    text_columns(&["QUERY PLAN"])
}

/// One operator, ready to be printed.
struct Node {
    title: String,
    /// Below the title.
    lines: Vec<String>,
    facts: Map<String, Value>,
    inputs: Vec<Node>,
}

/// What is printed around the operators.
#[derive(Default)]
struct Report {
    before: Vec<String>,
    after: Vec<String>,
    facts: Map<String, Value>,
}

impl Session {
    pub(super) async fn explain(&self, explain: &Explain, guard: Guard) -> Result<Outcome> {
        let options = &explain.options;
        let (node, report) = match &explain.what {
            Explained::Query(select) => self.explain_query(select, options, guard).await?,
            Explained::View(create) => {
                let planned = guard.wait(self.plan_create(create)).await?;
                (described(&plan::explain(&planned.view), options, &[]), Report::default())
            }
            Explained::Subscribe(subscribe) => match &subscribe.relation {
                Some(name) if self.is_view(name) => guard.wait(self.explain_running(name, options)).await?,
                _ => {
                    let planned = guard.wait(self.plan_subscription(subscribe)).await?;
                    (described(&plan::explain(&planned.view), options, &[]), Report::default())
                }
            },
            Explained::Running(name) => guard.wait(self.explain_running(name, options)).await?,
        };
        let lines = if options.json { json_lines(node, report)? } else { text_lines(&node, report) };
        texts(columns(), lines.into_iter().map(|l| vec![Some(l)]).collect(), "EXPLAIN")
    }

    fn is_view(&self, name: &Name) -> bool {
        let snapshot = self.shared.engine.catalog.snapshot();
        find_any(&snapshot, name).is_ok_and(|o| matches!(o.kind, Kind::MaterializedView(_)))
    }

    async fn explain_query(&self, select: &Select, options: &ExplainOptions, guard: Guard) -> Result<(Node, Report)> {
        let started = Instant::now();
        let (bound, query) = guard.wait(self.closed_select(select)).await?;
        let mut report = Report::default();
        if let Some(epoch) = query.as_of {
            report.before.push(format!("As of epoch {epoch}"));
            report.facts.insert("As Of".to_owned(), json!(epoch.0));
        }
        if options.verbose {
            report.before.extend(bound.plan.display_indent().to_string().lines().map(str::to_owned));
            report.before.push(String::new());
        }
        let ready = guard.wait(query::prepare(&self.shared, query, None)).await?;
        let planned = Arc::new(OnceLock::new());
        let (told, analyze) = (Arc::clone(&planned), options.analyze);
        let task = self.shared.engine.executor().task();
        // Planned and run by one job, for the plan asks whether its own is still wanted.
        let rows = self.shared.rows_aside(Pace::Ahead, move |ended| async move {
            let physical = ready.physical(ended).await?;
            let (plan, _) = told.get_or_init(|| (physical, started.elapsed()));
            Ok(match analyze {
                true => execute_stream(Arc::clone(plan), task)?,
                false => Box::pin(EmptyRecordBatchStream::new(plan.schema())),
            })
        });
        guard
            .wait(async {
                let mut rows = rows.await?;
                while let Some(batch) = rows.next().await {
                    batch?;
                }
                Ok(())
            })
            .await?;
        let (physical, planning) = planned.get().ok_or_else(|| Error::internal("a query was run without a plan"))?;
        if options.analyze && options.summary {
            report.time("Planning Time", *planning);
            report.time("Execution Time", started.elapsed().saturating_sub(*planning));
        }
        Ok((batch(physical, options), report))
    }

    async fn explain_running(&self, name: &Name, options: &ExplainOptions) -> Result<(Node, Report)> {
        let engine = &self.shared.engine;
        let object = find_any(&engine.catalog.snapshot(), name)?;
        if !matches!(object.kind, Kind::MaterializedView(_)) {
            let message = format!("\"{}\" is not a materialized view", object.name);
            let hint = "EXPLAIN ANALYZE SELECT .. shows how a query of it runs.";
            return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint(hint));
        }
        let (planner, view) = (engine.clone(), object.clone());
        let planned = self.bind_aside(move |binder| planner.replan(binder, &view)).await?;
        if !options.analyze {
            return Ok((described(&plan::explain(&planned.view), options, &[]), Report::default()));
        }
        engine.runtime.snapshot(ReadMode::Acknowledged).await?;
        let status = engine.runtime.status().await?;
        let operators: Vec<&OperatorStatus> = status.operators.iter().filter(|o| o.view == object.id).collect();
        let node = described(&plan::explain(&planned.view), options, &operators);
        Ok((node, running(&planned.view, &status, object.id)))
    }
}

impl Report {
    fn time(&mut self, what: &str, time: std::time::Duration) {
        let ms = time.as_secs_f64() * 1000.0;
        self.after.push(format!("{what}: {ms:.3} ms"));
        self.facts.insert(what.to_owned(), json!((ms * 1000.0).round() / 1000.0));
    }
}

/// DataFusion's plan.
fn batch(plan: &Arc<dyn ExecutionPlan>, options: &ExplainOptions) -> Node {
    let text = displayable(plan.as_ref()).one_line().to_string().trim().to_owned();
    let mut facts = Map::new();
    facts.insert("Node Type".to_owned(), json!(plan.name()));
    facts.insert("Details".to_owned(), json!(text));
    let mut actual = Vec::new();
    if let Some(metrics) = plan.metrics().filter(|_| options.analyze) {
        if let Some(rows) = metrics.output_rows() {
            actual.push(format!("rows={rows}"));
            facts.insert("Actual Rows".to_owned(), json!(rows));
        }
        if let Some(nanos) = metrics.elapsed_compute().filter(|_| options.timing) {
            let ms = nanos as f64 / 1e6;
            actual.push(format!("time={ms:.3} ms"));
            facts.insert("Actual Total Time".to_owned(), json!(ms));
        }
    }
    let actual = if actual.is_empty() { String::new() } else { format!("  (actual {})", actual.join(" ")) };
    let inputs = plan.children().into_iter().map(|input| batch(input, options)).collect();
    Node { title: format!("{text}{actual}"), lines: vec![], facts, inputs }
}

/// A view's operator, with what its instances on the workers have done.
fn described(operator: &Described, options: &ExplainOptions, running: &[&OperatorStatus]) -> Node {
    let mut lines = vec![operator.properties()];
    let mut facts = Map::new();
    facts.insert("Node Type".to_owned(), json!(operator.name));
    facts.insert("Details".to_owned(), json!(operator.what));
    facts.insert("Append Only".to_owned(), json!(operator.append_only));
    facts.insert("Watermarks".to_owned(), json!(operator.watermarks));
    let optional = [("Key", &operator.key), ("Exchange", &operator.exchange)];
    for (name, columns) in optional.into_iter().filter_map(|(name, columns)| Some((name, columns.as_ref()?))) {
        facts.insert(name.to_owned(), json!(columns));
    }
    if let Some(state) = operator.state {
        facts.insert("State".to_owned(), json!(state));
    }
    if options.verbose {
        let columns: Vec<String> = operator.columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
        lines.push(format!("Output: {}", columns.join(", ")));
        facts.insert("Output".to_owned(), json!(columns));
    }
    let own = |o: &&&OperatorStatus| operator.node == Some(o.node) && o.name == operator.name;
    let own: Vec<&OperatorStatus> = running.iter().filter(own).copied().collect();
    match &own[..] {
        [] if !options.analyze || operator.node.is_none() => {}
        [] => lines.push("no figures yet".to_owned()),
        own => figures(own, &mut lines, &mut facts),
    }
    let inputs = operator.inputs.iter().map(|input| described(input, options, running)).collect();
    Node { title: format!("{}: {}", operator.name, operator.what), lines, facts, inputs }
}

/// What the instances of one operator have done.
fn figures(workers: &[&OperatorStatus], lines: &mut Vec<String>, facts: &mut Map<String, Value>) {
    let sum = |of: fn(&OperatorStatus) -> u64| workers.iter().map(|w| of(w)).sum::<u64>();
    let (rows_in, rows_out) = (sum(|w| w.rows_in), sum(|w| w.rows_out));
    let (rows, bytes) = (sum(|w| w.state_rows), sum(|w| w.state_bytes));
    let mut line = format!("rows in {rows_in}, rows out {rows_out}");
    for (name, value) in [("Rows In", rows_in), ("Rows Out", rows_out), ("State Rows", rows), ("State Bytes", bytes)] {
        facts.insert(name.to_owned(), json!(value));
    }
    if rows > 0 || bytes > 0 {
        let _ = write!(line, ", state of {rows} rows in {}", size(bytes));
    }
    let alarm = workers.iter().filter_map(|w| w.watermark).min();
    if let Some(EventTime(next)) = alarm.filter(|a| a.0 <= TIMESTAMP_LAST) {
        let next = instant(next);
        let _ = write!(line, ", woken by watermark {next}");
        facts.insert("Next Watermark".to_owned(), json!(next));
    }
    lines.push(line);
    if workers.len() > 1 && rows_in > 0 {
        let most = workers.iter().map(|w| w.rows_in).max().unwrap_or(0);
        let skew = most as f64 * workers.len() as f64 / rows_in as f64;
        let each: Vec<u64> = workers.iter().map(|w| w.rows_in).collect();
        let shown: Vec<String> = each.iter().map(u64::to_string).collect();
        lines.push(format!("per worker rows in {} (the most is {skew:.2} of the mean)", shown.join(" | ")));
        facts.insert("Worker Rows In".to_owned(), json!(each));
        facts.insert("Skew".to_owned(), json!((skew * 100.0).round() / 100.0));
    }
}

/// What is said of the whole view.
fn running(plan: &ViewPlan, status: &Status, view: crate::data::ObjectId) -> Report {
    let mut report = Report::default();
    let Some(view) = status.views.iter().find(|v| v.id == view) else { return report };
    let phase = view.phase.name();
    report.before.push(format!(
        "View {}: {phase} at epoch {}, {} rows in {}",
        view.name,
        view.epoch,
        view.rows,
        size(view.bytes)
    ));
    let counters = &view.counters;
    report.before.push(format!(
        "Late rows accepted {}, rejected {}, windows missed {}; failed rows {}",
        counters.late_accepted, counters.late_rejected, counters.windows_missed, counters.failed_rows
    ));
    for (name, value) in [
        ("Rows", view.rows),
        ("Bytes", view.bytes),
        ("Epoch", view.epoch.0),
        ("Late Accepted", counters.late_accepted),
        ("Late Rejected", counters.late_rejected),
        ("Windows Missed", counters.windows_missed),
        ("Failed Rows", counters.failed_rows),
        ("Expired Rows", counters.expired_rows),
    ] {
        report.facts.insert(name.to_owned(), json!(value));
    }
    report.facts.insert("Status".to_owned(), json!(phase));
    if let Some(closing) = &plan.closing {
        let mut vector = WatermarkVector::default();
        for w in &status.watermarks {
            let partition = crate::data::Partition { source: w.id, index: w.partition };
            vector.0.insert(partition, PartitionWatermark { watermark: w.watermark, idle: w.idle });
        }
        let now = match closing.at(&vector) {
            EventTime::MIN => "none yet".to_owned(),
            EventTime(now) => instant(now),
        };
        report.before.push(format!("Windows close by watermark {now}"));
        report.facts.insert("Watermark".to_owned(), json!(now));
    }
    report
}

/// A point of event time as text.
pub(super) fn instant(micros: i64) -> String {
    let mut text = String::new();
    // The bin of -infinity ends before all time.
    match write_timestamp(&mut text, if micros < TIMESTAMP_FIRST { i64::MIN } else { micros }) {
        Ok(()) => text,
        Err(_) => micros.to_string(),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..10_485_760 => format!("{} kB", bytes / 1024),
        _ => format!("{} MB", bytes / 1_048_576),
    }
}

fn text_lines(node: &Node, report: Report) -> Vec<String> {
    let mut lines = report.before;
    push_text(node, 0, &mut lines);
    lines.extend(report.after);
    lines
}

/// As PostgreSQL indents: an arrow before each input.
fn push_text(node: &Node, depth: usize, lines: &mut Vec<String>) {
    let arrow = if depth == 0 { String::new() } else { format!("{}->  ", " ".repeat(depth * 6 - 4)) };
    lines.push(format!("{arrow}{}", node.title));
    let indent = " ".repeat(depth * 6 + 2);
    lines.extend(node.lines.iter().map(|line| format!("{indent}{line}")));
    node.inputs.iter().for_each(|input| push_text(input, depth + 1, lines));
}

/// One value, as PostgreSQL shapes it.
fn json_lines(node: Node, report: Report) -> Result<Vec<String>> {
    let mut all = report.facts;
    all.insert("Plan".to_owned(), json_of(node));
    let text = serde_json::to_string_pretty(&json!([all])).map_err(|e| Error::internal(e.to_string()))?;
    Ok(vec![text])
}

fn json_of(node: Node) -> Value {
    let mut facts = node.facts;
    if !node.inputs.is_empty() {
        facts.insert("Plans".to_owned(), node.inputs.into_iter().map(json_of).collect());
    }
    Value::Object(facts)
}
