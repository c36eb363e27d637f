//! SQL functions that DataFusion lacks, or has otherwise than PostgreSQL.
//!
//! Uses: error, data

pub mod interval;
pub mod window;
