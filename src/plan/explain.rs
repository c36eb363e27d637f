//! EXPLAIN of a view: the operators with what is known about their output.
//!
//! One line per operator, the view's output first, inputs indented below it:
//! `Operator: what it does  [properties]`.

use super::ViewPlan;
use super::node::{Aggregate, Plan};
use super::properties::{Properties, StateBound};
use crate::catalog::object::Emit;
use crate::functions::window::WindowKind;

/// The lines of EXPLAIN.
pub fn explain(plan: &ViewPlan) -> Vec<String> {
    let mut lines = vec![];
    node(&plan.root, 0, &mut lines);
    lines
}

fn node(plan: &Plan, depth: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    lines.push(format!("{indent}{}: {}", plan.name(), describe(plan)));
    lines.push(format!("{indent}    {}", properties(plan.properties())));
    for input in plan.inputs() {
        node(input, depth + 1, lines);
    }
}

fn describe(plan: &Plan) -> String {
    let column = |input: &Plan, c: usize| input.properties().schema.field(c).name().clone();
    match plan {
        Plan::Source(n) => n.name.to_string(),
        Plan::Values(n) => format!("{} rows", n.rows.num_rows()),
        Plan::Filter(n) => n.predicate.text().to_owned(),
        Plan::Project(n) => n.scalars.text(),
        Plan::Unnest(n) => {
            let lists = n.columns.iter().filter(|(_, list)| *list);
            lists.map(|(c, _)| column(&n.input, *c)).collect::<Vec<_>>().join(", ")
        }
        Plan::Union(n) => format!("all rows of {} inputs", n.inputs.len()),
        Plan::Window(n) => {
            let mut text = format!("{}, size {}", column(&n.input, n.time), duration(n.kind.size()));
            if let WindowKind::Hop { slide, .. } = n.kind {
                text += &format!(", slide {}", duration(slide));
            }
            if n.kind.offset() != 0 {
                text += &format!(", offset {}", duration(n.kind.offset()));
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

fn properties(p: &Properties) -> String {
    let name = |c: usize| p.schema.field(c).name().clone();
    let mut parts = vec![if p.append_only { "append-only".to_owned() } else { "retracting".to_owned() }];
    if let Some(key) = &p.key {
        let columns: Vec<String> = key.iter().map(|&c| name(c)).collect();
        parts.push(if columns.is_empty() { "one row".to_owned() } else { format!("key ({})", columns.join(", ")) });
    }
    let watermarks: Vec<String> =
        p.columns.iter().enumerate().filter(|(_, c)| c.watermark.is_some()).map(|(i, _)| name(i)).collect();
    if !watermarks.is_empty() {
        parts.push(format!("watermark on {}", watermarks.join(", ")));
    }
    match p.state {
        StateBound::Stateless => {}
        StateBound::Constant => parts.push("state: one row".to_owned()),
        StateBound::Windows => parts.push("state: bounded by the watermark".to_owned()),
        StateBound::Keys => parts.push("state: every group, unbounded".to_owned()),
        StateBound::Rows => parts.push("state: every row, unbounded".to_owned()),
    }
    parts.join("; ")
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
