//! A view's operators with what is known about their output, for EXPLAIN.

use super::ViewPlan;
use super::node::{Aggregate, Plan};
use super::properties::{Properties, StateBound};
use super::shape::preaggregates;
use crate::catalog::object::Emit;
use crate::functions::window::WindowKind;

/// One operator and what it reads.
#[derive(Clone, Debug)]
pub struct Described {
    /// Its place among the nodes of the running view; `None` for what is outside of it.
    pub node: Option<usize>,
    /// The operator's word.
    pub name: &'static str,
    /// What it does.
    pub what: String,
    /// Never retracts.
    pub append_only: bool,
    /// The columns that identify a row; none: there is one row.
    pub key: Option<Vec<String>>,
    /// Columns with a watermark.
    pub watermarks: Vec<String>,
    /// By which of its input's columns rows are divided among workers, where they change workers. None: all to one.
    pub exchange: Option<Vec<String>>,
    /// What bounds its state, where it has some.
    pub state: Option<&'static str>,
    /// How long it keeps a window, and by which column.
    pub kept: Option<String>,
    /// Names and types of its columns.
    pub columns: Vec<(String, String)>,
    /// By port.
    pub inputs: Vec<Described>,
}

impl Described {
    /// Its properties in one line.
    pub fn properties(&self) -> String {
        let mut parts = vec![if self.append_only { "append-only".to_owned() } else { "retracting".to_owned() }];
        if let Some(key) = &self.key {
            parts.push(if key.is_empty() { "one row".to_owned() } else { format!("key ({})", key.join(", ")) });
        }
        if !self.watermarks.is_empty() {
            parts.push(format!("watermark on {}", self.watermarks.join(", ")));
        }
        if let Some(exchange) = &self.exchange {
            parts.push(match &exchange[..] {
                [] => "exchange to one worker".to_owned(),
                columns => format!("exchange by {}", columns.join(", ")),
            });
        }
        parts.extend(self.state.map(|state| format!("state: {state}")));
        parts.extend(self.kept.iter().map(|kept| format!("kept: {kept}")));
        parts.join("; ")
    }
}

/// A view's operators, the view's output first.
pub fn explain(plan: &ViewPlan) -> Described {
    let mut described = node(&plan.root, &mut 0);
    described.kept = plan.retention.as_ref().map(|retention| {
        let column = plan.schema.field(retention.column).name();
        format!("{} behind the end of the window of {column}", duration(retention.after))
    });
    described
}

/// Numbers nodes as `operators::render` does: inputs first, what is outside of the view not at all.
fn node(plan: &Plan, next: &mut usize) -> Described {
    let inputs = plan.inputs().into_iter().map(|input| node(input, next)).collect();
    let number = match plan {
        Plan::Source(_) => None,
        _ => {
            // Below an aggregate there may be one that aggregates what is on one worker.
            *next += usize::from(matches!(plan, Plan::Aggregate(n) if preaggregates(n)));
            *next += 1;
            Some(*next - 1)
        }
    };
    let p = plan.properties();
    let name = |c: usize| p.schema.field(c).name().clone();
    let watermarked = p.columns.iter().enumerate().filter(|(_, c)| c.watermark.is_some());
    Described {
        node: number,
        name: plan.name(),
        what: describe(plan),
        append_only: p.append_only,
        key: p.key.as_ref().map(|key| key.iter().map(|&c| name(c)).collect()),
        watermarks: watermarked.map(|(i, _)| name(i)).collect(),
        exchange: exchange(plan),
        state: bound(p),
        kept: None,
        columns: p.schema.fields().iter().map(|f| (f.name().clone(), crate::data::types::sql_name(f))).collect(),
        inputs,
    }
}

/// By which columns of its first input rows are exchanged; those of another are equal to them.
fn exchange(plan: &Plan) -> Option<Vec<String>> {
    let by = plan.exchanges().into_iter().next()??;
    let schema = &plan.inputs().first()?.properties().schema;
    Some(by.into_iter().map(|c| schema.field(c).name().clone()).collect())
}

fn bound(p: &Properties) -> Option<&'static str> {
    match p.state {
        StateBound::Stateless => None,
        StateBound::Constant => Some("one row"),
        StateBound::Windows => Some("bounded by the watermark"),
        StateBound::Keys => Some("every group, unbounded"),
        StateBound::Rows => Some("every row, unbounded"),
    }
}

fn describe(plan: &Plan) -> String {
    let column = |input: &Plan, c: usize| input.properties().schema.field(c).name().clone();
    match plan {
        Plan::Source(n) => match &n.watermark {
            Some(watermark) => format!("{}, watermark {watermark}", n.name),
            None => n.name.to_string(),
        },
        Plan::Values(n) => format!("{} rows", n.rows.num_rows()),
        Plan::Filter(n) => n.predicate.text().to_owned(),
        Plan::Project(n) => n.scalars.text(),
        Plan::Unnest(n) => {
            let lists = n.columns.iter().filter(|(_, list)| *list);
            lists.map(|(c, _)| column(&n.input, *c)).collect::<Vec<_>>().join(", ")
        }
        Plan::Union(n) => format!("all rows of {} inputs", n.inputs.len()),
        Plan::Window(n) => {
            let mut text = column(&n.input, n.time);
            text += &match n.kind {
                WindowKind::Tumble { size, .. } => format!(", size {}", duration(size)),
                WindowKind::Hop { slide, size, .. } => format!(", size {}, slide {}", duration(size), duration(slide)),
                WindowKind::Calendar { unit } => format!(", by {}", unit.name()),
            };
            if n.kind.offset() != 0 {
                text += &format!(", offset {}", duration(n.kind.offset()));
            }
            if n.keeps_nulls {
                text += ", keeps NULL";
            }
            text + &match n.lateness {
                Some(lateness) => format!(", lateness {}", duration(lateness)),
                None => ", takes every row however late".to_owned(),
            }
        }
        Plan::Aggregate(n) => aggregate(n),
        Plan::Join(n) => {
            let pair = |(l, r): &(usize, usize)| format!("{} = {}", column(&n.left, *l), column(&n.right, *r));
            n.on.iter().map(pair).collect::<Vec<_>>().join(" AND ")
        }
    }
}

fn aggregate(n: &Aggregate) -> String {
    let schema = &n.input.properties().schema;
    let groups = n.group.iter().map(|&g| schema.field(g).name().clone()).collect::<Vec<_>>().join(", ");
    let calls = n.calls.iter().map(|c| c.text.clone()).collect::<Vec<_>>().join(", ");
    let mut text = match (n.group.is_empty(), n.calls.is_empty()) {
        (true, _) => calls,
        (false, true) => groups,
        (false, false) => format!("{calls} group by {groups}"),
    };
    if let Some(windowed) = n.windowed.as_ref().filter(|_| n.properties.state == StateBound::Windows) {
        text += match n.emit {
            Emit::OnWindowClose => ", emit on window close",
            Emit::OnUpdate => ", emit on update",
        };
        text += &windowed.column.lateness.map(|l| format!(", lateness {}", duration(l))).unwrap_or_default();
    }
    text
}

/// Microseconds as SQL writes an interval.
fn duration(micros: i64) -> String {
    let (sign, rest) = if micros < 0 { ("-", micros.unsigned_abs()) } else { ("", micros.unsigned_abs()) };
    let units = [("day", 86_400_000_000), ("hour", 3_600_000_000), ("minute", 60_000_000), ("second", 1_000_000)];
    for (name, length) in units {
        if rest % length == 0 && rest > 0 {
            let n = rest / length;
            return format!("{sign}{n} {name}{}", if n == 1 { "" } else { "s" });
        }
    }
    if rest == 0 { "0".to_owned() } else { format!("{sign}{rest} us") }
}
