//! `demo`: a server with a running example.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::StreamExt;

use crate::engine::outcome::Outcome;
use crate::engine::{Engine, Startup};
use crate::error::Result;

/// What the demo creates.
pub const SCRIPT: &str = include_str!("../../examples/demo.sql");

/// Runs a script of statements in a session of its own.
pub async fn run(engine: &Arc<Engine>, script: &str) -> Result<()> {
    let startup = Startup { user: "demo".to_owned(), database: "highwater".to_owned(), ..Startup::default() };
    let mut session = engine.connect(startup)?;
    for statement in session.parse(script)? {
        let prepared = session.prepare(&statement, &[]).await?;
        match session.execute(&prepared, Vec::new()).await? {
            Outcome::Rows { mut rows, .. } | Outcome::CopyOut { mut rows, .. } => {
                while let Some(batch) = rows.next().await {
                    batch?;
                }
            }
            Outcome::CopyIn { sink, .. } => sink.fail("the script has no data"),
            Outcome::Done { .. } | Outcome::Empty => {}
        }
    }
    Ok(())
}

/// What to type next.
pub fn guide(address: SocketAddr) -> String {
    let url = format!("postgres://{address}/highwater");
    format!(
        r#"
Bids at an auction house are flowing in; one in fifty is late. In another terminal:

  psql {url}

  SELECT * FROM sales_10s ORDER BY window_start DESC, channel LIMIT 8;    -- windows that have closed
  SELECT * FROM hot_auctions ORDER BY window_end DESC, bids DESC LIMIT 5; -- right at any moment
  COPY (SUBSCRIBE sales_10s) TO STDOUT;   -- changes as they come: a late bid is a -1 and a +1; Ctrl-C ends it
  SELECT name, late_accepted, late_rejected FROM highwater.views;
  SELECT count(*) FROM too_late;          -- the bids that came too late for every window

Ctrl-C here stops the server."#
    )
}
