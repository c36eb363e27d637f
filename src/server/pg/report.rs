//! What the server says besides rows: errors, notices, descriptions, readiness.

use arrow::datatypes::Field;
use pgwire::messages::PgWireBackendMessage as Backend;
use pgwire::messages::data::{FieldDescription, ParameterDescription, RowDescription};
use pgwire::messages::response::{
    CommandComplete, ErrorResponse, NoticeResponse, ReadyForQuery, TransactionStatus as Status,
};
use pgwire::messages::startup::ParameterStatus;

use super::Format;
use crate::data::types::pg_type;
use crate::engine::outcome::{Column, Notice, TransactionStatus};
use crate::error::Error;

/// An ErrorResponse. `offset` is where the failed statement starts in the query string, in characters.
pub fn error(error: &Error, severity: &str, offset: usize) -> Backend {
    Backend::ErrorResponse(ErrorResponse::new(fields(error, severity, offset)))
}

/// A NoticeResponse.
pub fn notice(notice: &Notice) -> Backend {
    Backend::NoticeResponse(NoticeResponse::new(fields(&notice.error, notice.severity, 0)))
}

fn fields(error: &Error, severity: &str, offset: usize) -> Vec<(u8, String)> {
    let parts = error.parts();
    // A zero byte would end the field early and garble the rest.
    let clean = |text: &str| text.replace('\0', "");
    let mut fields = vec![
        (b'S', severity.to_owned()),
        (b'V', severity.to_owned()),
        (b'C', parts.code.0.to_owned()),
        (b'M', clean(&parts.message)),
    ];
    fields.extend(parts.detail.as_deref().map(|text| (b'D', clean(text))));
    fields.extend(parts.hint.as_deref().map(|text| (b'H', clean(text))));
    fields.extend(parts.position.map(|position| (b'P', (position + offset).to_string())));
    fields
}

/// `SELECT 3` and the like.
pub fn complete(tag: String) -> Backend {
    Backend::CommandComplete(CommandComplete::new(tag))
}

/// ReadyForQuery.
pub fn ready(status: TransactionStatus) -> Backend {
    Backend::ReadyForQuery(ReadyForQuery::new(match status {
        TransactionStatus::Idle => Status::Idle,
        TransactionStatus::InBlock => Status::Transaction,
        TransactionStatus::Failed => Status::Error,
    }))
}

/// A setting's value.
pub fn parameter(name: String, value: String) -> Backend {
    Backend::ParameterStatus(ParameterStatus::new(name, value))
}

/// The types of a statement's parameters.
pub fn parameters(types: &[Field]) -> Backend {
    Backend::ParameterDescription(ParameterDescription::new(types.iter().map(|t| pg_type(t).oid).collect()))
}

/// The columns of a result.
pub fn columns(columns: &[Column], formats: &[Format]) -> Backend {
    let describe = |(column, format): (&Column, &Format)| {
        let pg = pg_type(&column.field);
        let (table, attribute) = column.origin;
        let name = column.field.name().replace('\0', "");
        FieldDescription::new(name, table as i32, attribute, pg.oid, pg.length, pg.typmod, format.code())
    };
    Backend::RowDescription(RowDescription::new(columns.iter().zip(formats).map(describe).collect()))
}
