//! URLs of places for checkpoints, and what a bucket's errors say in one line.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::prefix::PrefixStore;
use object_store::{ClientConfigKey, ObjectStore, RetryConfig};

use crate::config::{BUCKET_CONNECT_S, BUCKET_REQUEST_S, BUCKET_RETRY_S};
use crate::error::{Error, Result, SqlState};

/// What a URL names.
pub(super) enum Kind {
    Folder(PathBuf),
    Bucket(Arc<dyn ObjectStore>),
}

fn invalid(message: String) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
        .with_hint("write s3://BUCKET/PREFIX for a bucket, or file:///FOLDER")
}

/// Errors: `22023`.
pub(super) fn open(url: &str) -> Result<Kind> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(invalid(format!("\"{url}\" is no URL of a place for checkpoints")));
    };
    match scheme {
        "file" if rest.starts_with('/') => Ok(Kind::Folder(Path::new(rest).to_owned())),
        "file" => Err(invalid(format!("\"{url}\" does not name a folder from the root on"))),
        "s3" => {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                return Err(invalid(format!("\"{url}\" names no bucket")));
            }
            Ok(Kind::Bucket(Arc::new(PrefixStore::new(s3(bucket)?, prefix.trim_matches('/')))))
        }
        _ => Err(invalid(format!("there are no checkpoints at \"{scheme}://\""))),
    }
}

/// As the AWS_* variables of the environment say.
fn s3(bucket: &str) -> Result<impl ObjectStore> {
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    let endpoints = [AmazonS3ConfigKey::Endpoint, AmazonS3ConfigKey::S3Endpoint];
    if endpoints.iter().any(|key| builder.get_config_value(key).is_some_and(|url| url.starts_with("http://"))) {
        builder = builder.with_allow_http(true);
    }
    for (key, seconds) in
        [(ClientConfigKey::ConnectTimeout, BUCKET_CONNECT_S), (ClientConfigKey::Timeout, BUCKET_REQUEST_S)]
    {
        builder = builder.with_config(AmazonS3ConfigKey::Client(key), format!("{seconds}s"));
    }
    // Those who write checkpoints try again themselves.
    let retry_timeout = Duration::from_secs(BUCKET_RETRY_S);
    builder = builder.with_retry(RetryConfig { max_retries: 3, retry_timeout, ..RetryConfig::default() });
    builder.build().map_err(|error| invalid(format!("bucket \"{bucket}\" cannot be used: {}", words(&error))))
}

/// What a server said: its code, and words.
fn told(error: &object_store::Error) -> Option<(String, String)> {
    let all = error.to_string();
    let tag = |tag: &str| {
        let (_, rest) = all.split_once(&format!("<{tag}>"))?;
        rest.split_once(&format!("</{tag}>")).map(|(text, _)| text.trim_end_matches('.').to_owned())
    };
    Some((tag("Code")?, tag("Message")?))
}

/// What went wrong, on one line: what the server said, or else the deepest cause.
pub(super) fn words(error: &object_store::Error) -> String {
    if let Some((code, message)) = told(error) {
        return format!("{message} ({code})");
    }
    let mut deepest: &dyn std::error::Error = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    let (all, deepest) = (error.to_string(), deepest.to_string());
    if all.contains("HTTP error") {
        return format!("the server cannot be reached: {deepest}");
    }
    let first = all.lines().next().unwrap_or_default().trim_end_matches([':', ' ']);
    if first.contains(&deepest) { first.to_owned() } else { format!("{first}: {deepest}") }
}

/// What sort of wrong it is.
pub(super) fn code(error: &object_store::Error) -> SqlState {
    use object_store::Error as E;
    let told = told(error).map(|(code, _)| code);
    match (told.as_deref(), error) {
        (Some("NoSuchBucket" | "NoSuchKey"), _) | (_, E::NotFound { .. }) => SqlState::UNDEFINED_FILE,
        (
            Some("AccessDenied" | "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "InvalidToken"),
            _,
        )
        | (_, E::PermissionDenied { .. } | E::Unauthenticated { .. }) => SqlState::INSUFFICIENT_PRIVILEGE,
        _ => SqlState::IO_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        assert!(matches!(open("file:///a/b"), Ok(Kind::Folder(path)) if path == Path::new("/a/b")));
        for bad in ["/a/b", "file://a", "s3://", "s3:///prefix", "ftp://a/b"] {
            let error = open(bad).err().map(|error| error.code());
            assert_eq!(error, Some(SqlState::INVALID_PARAMETER_VALUE), "{bad}");
        }
    }

    #[test]
    fn what_a_server_says_is_one_line() {
        let source = "<Error>\n<Code>NoSuchBucket</Code>\n<Message>There is none.</Message></Error>".into();
        let error = object_store::Error::Generic { store: "S3", source };
        assert_eq!((words(&error).as_str(), code(&error)), ("There is none (NoSuchBucket)", SqlState::UNDEFINED_FILE));
    }
}
