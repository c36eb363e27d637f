//! What the session is: its settings, user, database and server.

use std::time::Duration;

use datafusion::common::ScalarValue;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Declared, NULL, Type, bool_at, boolean, bytes, int, int_at, oid, text, text_at};
use crate::catalog::system::Environment;
use crate::config::SERVER_VERSION;
use crate::data::EventTime;
use crate::error::{Error, Result, SqlState};

use Type::{Bool, Float, Int, Name, Oid, Text, Texts, Timestamptz};

pub(super) const FUNCTIONS: &[Declared] = &[
    Declared::new("current_setting", &[Text, Bool], Text, current_setting).optional(1),
    Declared::new("set_config", &[Text, Text, Bool], Text, set_config).called_on_null().acts(),
    Declared::new("pg_backend_pid", &[], Int, |e, _| Ok(int(e.pid()))),
    Declared::new("current_user", &[], Name, |e, _| Ok(text(e.user()))),
    Declared::new("session_user", &[], Name, |e, _| Ok(text(e.user()))),
    Declared::new("current_role", &[], Name, |e, _| Ok(text(e.user()))),
    Declared::new("user", &[], Name, |e, _| Ok(text(e.user()))),
    Declared::new("current_database", &[], Name, |e, _| Ok(text(e.database()))),
    Declared::new("current_catalog", &[], Name, |e, _| Ok(text(e.database()))),
    Declared::new("current_schema", &[], Name, |_, _| Ok(text("public"))),
    Declared::new("current_schemas", &[Bool], Texts, current_schemas),
    Declared::new("version", &[], Text, |_, _| Ok(text(version()))),
    Declared::new("pg_postmaster_start_time", &[], Timestamptz, |e, _| Ok(instant(e.started()))),
    Declared::new("pg_conf_load_time", &[], Timestamptz, |e, _| Ok(instant(e.started()))),
    Declared::new("pg_is_in_recovery", &[], Bool, |_, _| Ok(boolean(false))),
    Declared::new("pg_my_temp_schema", &[], Oid, |_, _| Ok(oid(0))),
    Declared::new("pg_is_other_temp_schema", &[Oid], Bool, |_, _| Ok(boolean(false))),
    Declared::new("pg_client_encoding", &[], Name, |_, _| Ok(text("UTF8"))),
    Declared::new("getdatabaseencoding", &[], Name, |_, _| Ok(text("UTF8"))),
    Declared::new("inet_server_addr", &[], Text, |_, _| Ok(NULL)),
    Declared::new("inet_server_port", &[], Int, |_, _| Ok(NULL)),
    Declared::new("inet_client_addr", &[], Text, |_, _| Ok(NULL)),
    Declared::new("inet_client_port", &[], Int, |_, _| Ok(NULL)),
    Declared::new("pg_cancel_backend", &[Int], Bool, |e, row| Ok(boolean(e.signal(pid(row), false)))).acts(),
    Declared::new("pg_terminate_backend", &[Int], Bool, |e, row| Ok(boolean(e.signal(pid(row), true)))).acts(),
    Declared::new("pg_advisory_unlock_all", &[], Text, |_, _| Ok(text(""))).acts(),
    Declared::waiting("pg_sleep", &[Float], Text, sleep),
    Declared::waiting("advance_watermark", &[Text, Timestamptz], Timestamptz, advance_watermark),
    Declared::new("txid_current", &[], Type::Bigint, |e, _| Ok(bytes(e.epoch() as i64))),
];

/// What `version()` says.
fn version() -> String {
    format!("PostgreSQL {SERVER_VERSION} (Highwater {})", env!("CARGO_PKG_VERSION"))
}

fn instant(micros: i64) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()))
}

fn pid(row: &[ScalarValue]) -> i32 {
    int_at(row, 0).and_then(|p| i32::try_from(p).ok()).unwrap_or(0)
}

fn current_setting(environment: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    let name = text_at(row, 0);
    match environment.setting(name) {
        Some(value) => Ok(text(value)),
        None if bool_at(row, 1) => Ok(NULL),
        None => {
            let message = format!("unrecognized configuration parameter \"{name}\"");
            Err(Error::new(SqlState::UNDEFINED_OBJECT, message))
        }
    }
}

fn set_config(environment: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    environment.set_setting(text_at(row, 0), text_at(row, 1), bool_at(row, 2)).map(text)
}

fn current_schemas(_: &dyn Environment, row: &[ScalarValue]) -> Result<ScalarValue> {
    let names = if bool_at(row, 0) { vec!["pg_catalog", "public"] } else { vec!["public"] };
    let values: Vec<ScalarValue> = names.into_iter().map(text).collect();
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&values, &Type::Text.data_type())))
}

fn sleep(environment: &dyn Environment, row: &[ScalarValue]) -> BoxFuture<'static, Result<ScalarValue>> {
    let seconds = match row.first() {
        Some(ScalarValue::Float64(Some(seconds))) => seconds.max(0.0),
        _ => 0.0,
    };
    let sleep = environment.sleep(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    async move { sleep.await.map(|()| text("")) }.boxed()
}

fn advance_watermark(environment: &dyn Environment, row: &[ScalarValue]) -> BoxFuture<'static, Result<ScalarValue>> {
    let to = match row.get(1) {
        Some(ScalarValue::TimestampMicrosecond(Some(to), _)) => EventTime(*to),
        _ => EventTime::MIN,
    };
    let advance = environment.advance_watermark(text_at(row, 0), to);
    async move { advance.await.map(|EventTime(now)| instant(now)) }.boxed()
}
