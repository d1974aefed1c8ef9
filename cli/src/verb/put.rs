//! `kv put`: store a value.

use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;

use kvorum_client::bucket::{PutRequest, Reply};
use kvorum_client::{Bucket, Client};
use kvorum_protocol::limits::INLINE_VALUE_BYTES;
use kvorum_protocol::message::PutDone;
use serde_json::json;

use crate::args::value::{Put, Replacing, Source, WriteArguments};
use crate::cluster::connect::connect;
use crate::cluster::explain::{self, key_text};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, units};

/// Stores the value.
pub(super) async fn run(options: Put, output: Output) -> Outcome<ExitCode> {
    let value = read_value(&options.source)?;
    let client = connect(&options.write.connection, output).await?;
    let bucket = client.bucket_named(options.key.bucket.clone());
    let request = bucket.put(options.key.key.to_bytes(), value);
    let request = with_options(request, &options.write);
    let doing = format!("put {}", key_text(&options.key.key));
    let request = match &options.replacing {
        Replacing::Latest => request,
        Replacing::Nothing => request.sibling(),
        Replacing::Context(context) => request.context(context.clone()),
        Replacing::WhatIsRead => resolving(&client, &bucket, &options, request, output).await?,
    };
    let reply = request.send().await;
    let reply = reply.map_err(|error| {
        let failure = explain::write(&doing, &error, &client.topology());
        match (failure.code(), &options.source) {
            (ExitCode::Unknown, Source::Stdin) => {
                failure.advise("Give it the same value on standard input.")
            }
            _ => failure,
        }
    })?;
    report(&client, &reply, "put", output)
}

pub(super) fn with_options(request: PutRequest, options: &WriteArguments) -> PutRequest {
    let mut request = request.deadline(options.connection.timeout);
    if let Some(w) = options.w {
        request = request.w(w);
    }
    if options.quorum.strict {
        request = request.strict();
    }
    if let Some(operation) = options.operation {
        request = request.operation(operation);
    }
    if options.retry { request.retry() } else { request }
}

/// Reads the key with all its siblings, so that the put replaces exactly those.
async fn resolving(
    client: &Client,
    bucket: &Bucket,
    options: &Put,
    request: PutRequest,
    output: Output,
) -> Outcome<PutRequest> {
    let get = bucket.get(options.key.key.to_bytes()).deadline(options.write.connection.timeout);
    let read = get.send().await;
    let doing = format!("read {} to resolve it", key_text(&options.key.key));
    let read = read.map_err(|error| explain::operation(&doing, &error, &client.topology()))?;
    if !read.complete && read.values.is_empty() {
        return Err(Failure::unavailable(
            "the read before the write was not complete; nothing was applied",
        ));
    }
    output.detail(&format!("replaces {}", units::plural(read.values.len() as u64, "sibling")));
    Ok(match read.answer.context {
        Some(context) => request.context(context),
        // Nothing was ever written here, so there is nothing to replace.
        None => request.sibling(),
    })
}

/// Says that a write is durable, and what it replaced.
pub(super) fn report(
    client: &Client,
    reply: &Reply<PutDone>,
    verb: &str,
    output: Output,
) -> Outcome<ExitCode> {
    let coordinator = client.topology().name_of(reply.node);
    let context = reply.context.as_ref().map(ToString::to_string);
    if !reply.retry_checked {
        output.remark("kv: it could not be checked whether this operation had been applied before");
    }
    if output.is_json() {
        let replaced: Vec<String> = reply.replaced.iter().map(ToString::to_string).collect();
        output.json(&json!({
            "operation": reply.operation.to_string(), "context": context, "dot": reply.dot.to_string(),
            "replaced": replaced, "acknowledged": {
                "owners": reply.acked_owners, "fallbacks": reply.acked_fallbacks, "needed": reply.needed,
            },
            "coordinator": coordinator, "attempts": reply.attempts, "retry_checked": reply.retry_checked,
        }))?;
        return Ok(ExitCode::Success);
    }
    output.detail(&format!(
        "{verb} durable on {} and {} ({} needed), coordinator {coordinator}, {}",
        units::plural(u64::from(reply.acked_owners), "owner"),
        units::plural(u64::from(reply.acked_fallbacks), "fallback"),
        reply.needed,
        units::plural(u64::from(reply.attempts), "attempt"),
    ));
    output.detail(&format!(
        "dot {}, replaced {}",
        reply.dot,
        units::plural(reply.replaced.len() as u64, "version")
    ));
    output.detail(&format!("operation {}", reply.operation));
    if let Some(context) = context {
        output.detail(&format!("context {context}"));
    }
    Ok(ExitCode::Success)
}

/// Reads the value; one over the limit is refused before it is read to its end.
pub(super) fn read_value(source: &Source) -> Outcome<Vec<u8>> {
    let limit = INLINE_VALUE_BYTES as u64 + 1;
    let mut value = Vec::new();
    match source {
        Source::Argument(bytes) => value.extend_from_slice(bytes.as_bytes()),
        Source::Stdin => {
            let read = io::stdin().lock().take(limit).read_to_end(&mut value);
            read.map_err(|error| Failure::usage(format!("cannot read standard input: {error}")))?;
        }
        Source::File(path) => {
            let read =
                fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut value));
            read.map_err(|error| Failure::file("read", path, &error))?;
        }
    }
    if value.len() > INLINE_VALUE_BYTES {
        let most = units::bytes(INLINE_VALUE_BYTES as u64);
        return Err(Failure::usage(format!(
            "the value is larger than {most}, the most that one key takes"
        )));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use kvorum_protocol::limits::INLINE_VALUE_BYTES;

    use super::read_value;
    use crate::args::value::Source;
    use crate::exit_code::ExitCode;

    #[test]
    fn a_value_is_read_byte_for_byte_and_one_byte_over_the_limit_is_refused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("value");
        let bytes: Vec<u8> = (0..INLINE_VALUE_BYTES).map(|at| at as u8).collect();
        fs::write(&path, &bytes).expect("written");
        assert_eq!(read_value(&Source::File(path.clone())), Ok(bytes.clone()));
        fs::write(&path, [bytes, vec![0]].concat()).expect("written");
        let failure = read_value(&Source::File(path)).expect_err("too large");
        assert_eq!(failure.code(), ExitCode::Usage);
    }
}
