//! [`crate::plan::ViewPlan`] -> [`Graph`].

use std::collections::BTreeMap;
use std::sync::Arc;

use super::aggregate::{AggregateOperator, layout};
use super::checked::{Promise, checked};
use super::filter::FilterOperator;
use super::join::JoinOperator;
use super::preaggregate::PreaggregateOperator;
use super::project::ProjectOperator;
use super::union::UnionOperator;
use super::unnest::UnnestOperator;
use super::window::WindowOperator;
use super::{Exchange, Graph, Node, Operator, Stop, Upstream, Worker};
use crate::error::Result;
use crate::plan::{Aggregate, Plan, Scalar, ViewPlan, preaggregates, shaped};

/// The dataflow of a view. Its last node gives rows of the view's schema.
pub fn render(plan: &ViewPlan) -> Result<Graph> {
    let mut graph = Graph {
        nodes: vec![],
        constants: vec![],
        append_only: plan.append_only,
        key: plan.key.clone(),
        consolidated: consolidated(&plan.root),
        retention: plan.retention.clone(),
        recasts: BTreeMap::new(),
        stop: Stop::default(),
    };
    let last = render_node(&shaped(&plan.root), &mut graph);
    // The view's columns have the names that the query gave them; a view of a bare relation has no node of its own.
    let schema = plan.schema.clone();
    let name = "View".to_owned();
    let promise = Promise {
        name: name.clone(),
        schema: schema.clone(),
        append_only: plan.append_only,
        inputs: vec![(schema.clone(), plan.append_only)],
    };
    let named = schema.clone();
    graph.nodes.push(Node {
        name,
        inputs: vec![(last, Exchange::Pipeline)],
        schema,
        closing: None,
        build: Arc::new(move |_| Ok(checked(Box::new(UnionOperator::new(named.clone())), &promise))),
    });
    Ok(graph)
}

/// Whether a plan sends each row at most once in an epoch: aggregates send the difference between what a group was and
/// what it is, and what is above them leaves different rows different.
fn consolidated(plan: &Plan) -> bool {
    match plan {
        Plan::Aggregate(_) => true,
        Plan::Filter(n) => consolidated(&n.input),
        Plan::Project(n) => {
            let mut kept: Vec<usize> = n.scalars.0.iter().filter_map(Scalar::as_column).collect();
            kept.extend(n.scalars.0.iter().filter_map(Scalar::as_spelled).flat_map(|(key, spelling)| [key, spelling]));
            consolidated(&n.input) && (0..n.input.properties().columns.len()).all(|c| kept.contains(&c))
        }
        Plan::Source(_) | Plan::Values(_) | Plan::Unnest(_) | Plan::Union(_) | Plan::Window(_) | Plan::Join(_) => false,
    }
}

/// Adds a plan's nodes; gives where its rows come from.
fn render_node(plan: &Plan, graph: &mut Graph) -> Upstream {
    if let Plan::Source(source) = plan {
        return Upstream::Object(source.object);
    }
    let mut inputs: Vec<Upstream> = plan.inputs().into_iter().map(|input| render_node(input, graph)).collect();
    if let Plan::Aggregate(n) = plan
        && preaggregates(n)
    {
        inputs = inputs.into_iter().map(|input| preaggregate(n, input, graph)).collect();
    }
    let exchanges = plan.exchanges().into_iter().map(|by| by.map_or(Exchange::Pipeline, Exchange::Key));
    let properties = plan.properties();
    let of = |input: &&Plan| (input.properties().schema.clone(), input.properties().append_only);
    let promise = Promise {
        name: plan.name().to_owned(),
        schema: properties.schema.clone(),
        append_only: properties.append_only,
        inputs: plan.inputs().iter().map(of).collect(),
    };
    if let Plan::Values(values) = plan {
        graph.constants.push((graph.nodes.len(), 0, values.rows.clone()));
    }
    let (owned, stop) = (plan.clone(), graph.stop.clone());
    graph.nodes.push(Node {
        name: plan.name().to_owned(),
        inputs: inputs.into_iter().zip(exchanges).collect(),
        schema: properties.schema.clone(),
        closing: match plan {
            Plan::Aggregate(n) => AggregateOperator::closing(n),
            _ => None,
        },
        build: Arc::new(move |worker| {
            Ok(checked(build(&owned, worker, &stop.of_this_life())?, &promise.among(&owned, worker)?))
        }),
    });
    Upstream::Node(graph.nodes.len() - 1)
}

/// Adds the node below an aggregate that aggregates what is on one worker; alone, a worker lets the rows pass.
fn preaggregate(n: &Aggregate, input: Upstream, graph: &mut Graph) -> Upstream {
    let rows = n.input.properties().clone();
    let owned = n.clone();
    let name = "Preaggregate";
    graph.nodes.push(Node {
        name: name.to_owned(),
        inputs: vec![(input, Exchange::Pipeline)],
        schema: rows.schema.clone(),
        closing: None,
        build: Arc::new(move |worker| {
            let mut promise = Promise {
                name: name.to_owned(),
                schema: rows.schema.clone(),
                append_only: rows.append_only,
                inputs: vec![(rows.schema.clone(), rows.append_only)],
            };
            if worker.peers == 1 {
                return Ok(checked(Box::new(UnionOperator::new(rows.schema.clone())), &promise));
            }
            promise.schema = layout(&owned, false).parts()?;
            promise.append_only = true;
            Ok(checked(Box::new(PreaggregateOperator::new(&owned)?), &promise))
        }),
    });
    Upstream::Node(graph.nodes.len() - 1)
}

impl Promise {
    /// Among several workers an aggregate takes parts.
    fn among(&self, plan: &Plan, worker: &Worker) -> Result<Self> {
        let mut promise = self.clone();
        if let Plan::Aggregate(n) = plan
            && worker.peers > 1
            && preaggregates(n)
        {
            promise.inputs = vec![(layout(n, false).parts()?, true)];
        }
        Ok(promise)
    }
}

/// One operator on one worker.
fn build(plan: &Plan, worker: &Worker, stop: &Stop) -> Result<Box<dyn Operator>> {
    let name: Arc<str> = plan.name().into();
    Ok(match plan {
        Plan::Source(n) => Box::new(UnionOperator::new(n.properties.schema.clone())),
        Plan::Values(n) => Box::new(UnionOperator::new(n.properties.schema.clone())),
        Plan::Union(n) => Box::new(UnionOperator::new(n.properties.schema.clone())),
        Plan::Filter(n) => Box::new(FilterOperator::new(name, stop.clone(), n.predicate.clone())),
        Plan::Project(n) => {
            Box::new(ProjectOperator::new(name, stop.clone(), n.scalars.clone(), n.properties.schema.clone()))
        }
        Plan::Unnest(n) => {
            Box::new(UnnestOperator::new(n.columns.clone(), n.preserve_nulls, n.properties.schema.clone()))
        }
        Plan::Window(n) => Box::new(WindowOperator::new(name, n.clone())),
        Plan::Aggregate(n) => {
            let parts = worker.peers > 1 && preaggregates(n);
            Box::new(AggregateOperator::new(name, n, worker, parts)?)
        }
        Plan::Join(n) => Box::new(JoinOperator::new(n)?),
    })
}
