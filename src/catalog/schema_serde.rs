//! serde for Arrow schemas: as the bytes of an Arrow IPC schema message, which keep field metadata.

use arrow::datatypes::SchemaRef;
use arrow::ipc::convert::IpcSchemaEncoder;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::sync::Arc;

pub(super) fn serialize<S: Serializer>(schema: &SchemaRef, serializer: S) -> Result<S::Ok, S::Error> {
    let builder = IpcSchemaEncoder::new().schema_to_fb(schema);
    builder.finished_data().serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SchemaRef, D::Error> {
    let bytes = Vec::<u8>::deserialize(deserializer)?;
    let message = arrow::ipc::root_as_schema(&bytes).map_err(D::Error::custom)?;
    Ok(Arc::new(arrow::ipc::convert::fb_to_schema(message)))
}
