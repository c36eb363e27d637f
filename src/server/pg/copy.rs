//! COPY: rows out, one message each, and rows in.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::{BufMut, BytesMut};
use futures::stream::BoxStream;
use pgwire::messages::PgWireBackendMessage as Backend;
use pgwire::messages::copy::{CopyDone, CopyInResponse, CopyOutResponse};

use super::connection::{Connection, Stop, unpanicked, watched};
use super::copy_in::Decoder;
use super::encode::{self, COPY_BINARY_HEADER, COPY_BINARY_TRAILER};
use super::frontend::{Message, violation};
use super::rows::RowStream;
use super::socket::End;
use crate::data::text::{Column, TimeZone};
use crate::engine::outcome::{CopyFormat, CopySink};
use crate::error::{Error, Result, SqlState};

impl Connection {
    /// COPY .. TO STDOUT. Tells the command's tag.
    pub(super) async fn copy_out(
        &mut self,
        schema: SchemaRef,
        rows: BoxStream<'static, Result<RecordBatch>>,
        format: CopyFormat,
    ) -> Result<String, Stop> {
        let zone = self.zone();
        let (overall, columns) = codes(&schema, &format);
        self.writer.put(Backend::CopyOutResponse(CopyOutResponse::new(overall, columns.len() as i16, columns)));
        if format.header && !format.binary {
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            let mut line = String::new();
            encode::write_header(&names, &format, &mut line);
            copy_data(&mut self.writer.buffer, line.as_bytes());
        }
        let mut rows = RowStream::new(rows, self.session.cancel_token());
        let mut sent = 0u64;
        let mut line = Line { format: &format, zone: &zone, text: String::new(), bytes: BytesMut::new() };
        // Binary: the header shares a message with the first row, as PostgreSQL's clients expect.
        line.bytes.put_slice(COPY_BINARY_HEADER);
        while let Some((batch, _)) = self.next_batch(&mut rows).await? {
            let columns = batch.columns().iter().zip(schema.fields());
            let columns: Vec<Column> =
                columns.map(|(array, field)| Column::new(array.as_ref(), field)).collect::<Result<_>>()?;
            for row in 0..batch.num_rows() {
                copy_data(&mut self.writer.buffer, line.write(&columns, row)?);
                line.bytes.clear();
                if self.writer.is_full() {
                    self.flush(Some(&rows.cancel)).await?;
                }
            }
            sent += batch.num_rows() as u64;
        }
        if format.binary {
            line.bytes.put_slice(COPY_BINARY_TRAILER);
            copy_data(&mut self.writer.buffer, &line.bytes);
        }
        self.writer.put(Backend::CopyDone(CopyDone::new()));
        self.metrics.rows_sent.inc_by(sent);
        Ok(format!("COPY {sent}"))
    }

    /// COPY .. FROM STDIN. Tells the command's tag.
    pub(super) async fn copy_in(
        &mut self,
        schema: SchemaRef,
        format: CopyFormat,
        mut sink: Box<dyn CopySink>,
    ) -> Result<String, Stop> {
        let (overall, columns) = codes(&schema, &format);
        self.writer.put(Backend::CopyInResponse(CopyInResponse::new(overall, columns.len() as i16, columns)));
        let mut decoder = Decoder::new(schema, format, self.zone());
        match self.copy_rows(&mut decoder, sink.as_mut()).await {
            Ok(()) => {
                let cancel = self.session.cancel_token();
                let rows = watched(&mut self.reader, || cancel.cancel(), sink.finish()).await?;
                Ok(format!("COPY {rows}"))
            }
            Err(stop) => {
                match &stop {
                    Stop::Error(error) => sink.fail(error.message()),
                    Stop::End(_) => sink.fail("the client is gone"),
                }
                Err(stop)
            }
        }
    }

    /// Takes messages until CopyDone and hands their rows on.
    async fn copy_rows(&mut self, decoder: &mut Decoder, sink: &mut dyn CopySink) -> Result<(), Stop> {
        let cancel = self.session.cancel_token();
        loop {
            let (tag, message) = tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(self.ended().into()),
                message = self.next() => message?,
            };
            match message? {
                Message::CopyData(data) => {
                    decoder.push(&data);
                    self.hand_on(decoder, sink).await?;
                }
                Message::CopyDone => {
                    decoder.end();
                    return self.hand_on(decoder, sink).await;
                }
                Message::CopyFail(reason) => {
                    let message = format!("COPY from stdin failed: {reason}");
                    return Err(Error::new(SqlState::QUERY_CANCELED, message).into());
                }
                // Some clients send a Sync together with the Execute that begins the COPY.
                Message::Flush | Message::Sync => {}
                Message::Terminate => return Err(End::Gone.into()),
                _ => {
                    return Err(violation(format!("unexpected message type 0x{tag:02X} during COPY from stdin")).into());
                }
            }
        }
    }

    async fn hand_on(&mut self, decoder: &mut Decoder, sink: &mut dyn CopySink) -> Result<(), Stop> {
        let cancel = self.session.cancel_token();
        while let Some(batch) = unpanicked(|| decoder.batch())? {
            watched(&mut self.reader, || cancel.cancel(), sink.rows(batch)).await?;
        }
        Ok(())
    }
}

/// The format codes that announce a COPY.
fn codes(schema: &SchemaRef, format: &CopyFormat) -> (i8, Vec<i16>) {
    let code = i16::from(format.binary);
    (i8::from(format.binary), vec![code; schema.fields().len()])
}

/// Appends a CopyData message.
fn copy_data(out: &mut BytesMut, data: &[u8]) {
    out.put_u8(b'd');
    out.put_i32(4 + data.len() as i32);
    out.put_slice(data);
}

/// Writes rows one by one into a buffer that is used again.
struct Line<'a> {
    format: &'a CopyFormat,
    zone: &'a TimeZone,
    text: String,
    bytes: BytesMut,
}

impl Line<'_> {
    fn write(&mut self, columns: &[Column], row: usize) -> Result<&[u8]> {
        if self.format.binary {
            encode::write_copy_binary(columns, row, &mut self.bytes)?;
            return Ok(&self.bytes);
        }
        self.text.clear();
        if self.format.csv {
            encode::write_copy_csv(columns, row, self.format, self.zone, &mut self.text);
        } else {
            encode::write_copy_text(columns, row, self.format, self.zone, &mut self.text);
        }
        Ok(self.text.as_bytes())
    }
}
