//! `kv counter`, `kv set`, `kv register`, `kv map`: values that merge by themselves.
//!
//! Standard output carries what a script wants: a number, elements, a value. What is no text is told as JSON.

use bytes::Bytes;
use kvorum_client::Client;
use kvorum_client::bucket::Reply;
use kvorum_protocol::mergeable::{Joined, JoinedField};
use kvorum_protocol::message::{MergedDone, UpdateDone};
use serde_json::{Map, Value, json};

use crate::args::merged::{Merged, ReadArguments};
use crate::args::value::{KeyArguments, WriteArguments};
use crate::cluster::connect::connect;
use crate::cluster::explain::{self, key_text};
use crate::encoding::base64;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::table::{Align, Table};
use crate::output::{Output, units};

/// Does what is to be done.
pub(super) async fn run(merged: Merged, output: Output) -> Outcome<ExitCode> {
    match merged {
        Merged::Read(options) => read(&options, output).await,
        Merged::Update { key, change, write } => {
            let client = connect(&write.connection, output).await?;
            let bucket = client.bucket_named(key.bucket.clone());
            let mut request =
                bucket.update(key.key.to_bytes(), change).deadline(write.connection.timeout);
            let WriteArguments { w, quorum, operation, retry, .. } = write;
            request = w.into_iter().fold(request, |request, w| request.w(w));
            request = if quorum.strict { request.strict() } else { request };
            request = operation.into_iter().fold(request, |request, id| request.operation(id));
            request = if retry { request.retry() } else { request };
            let doing = format!("change {}", key_text(&key.key));
            let reply = request.send().await;
            let reply =
                reply.map_err(|error| explain::write(&doing, &error, &client.topology()))?;
            report(&client, &reply, output)
        }
    }
}

async fn read(options: &ReadArguments, output: Output) -> Outcome<ExitCode> {
    let client = connect(&options.connection, output).await?;
    let KeyArguments { key, bucket } = &options.key;
    let bucket = client.bucket_named(bucket.clone());
    let mut request = bucket.read(key.to_bytes()).deadline(options.connection.timeout);
    request = options.r.into_iter().fold(request, |request, r| request.r(r));
    request = if options.quorum.strict { request.strict() } else { request };
    let key = key_text(key);
    let read = request.send().await;
    let read = read
        .map_err(|error| explain::operation(&format!("read {key}"), &error, &client.topology()))?;
    output.detail(&format!(
        "{} and {} answered ({} needed), coordinator {}",
        units::plural(u64::from(read.owners), "owner"),
        units::plural(u64::from(read.fallbacks), "fallback"),
        read.needed,
        client.topology().name_of(read.node),
    ));
    match &read.value {
        None => Err(not_found(&key, &read)),
        Some(value) if output.is_json() => {
            let mut document = shown(value);
            document.insert("key".to_owned(), json!(key));
            document.insert(
                "context".to_owned(),
                json!(read.context.as_ref().map(ToString::to_string)),
            );
            document.insert("complete".to_owned(), json!(read.complete));
            let (owners, fallbacks, needed) = (read.owners, read.fallbacks, read.needed);
            let answered = json!({ "owners": owners, "fallbacks": fallbacks, "needed": needed });
            document.insert("answered".to_owned(), answered);
            output.json(&document)?;
            Ok(ExitCode::Success)
        }
        Some(value) => print(&key, value, output),
    }
}

fn not_found(key: &str, read: &Reply<MergedDone>) -> Failure {
    let failure = match read.complete {
        true => Failure::new(ExitCode::NotFound, format!("{key} is not there")),
        false => Failure::new(
            ExitCode::NotFound,
            format!("{key} was not found, but not every node that could know was heard"),
        ),
    };
    failure.detail("complete", read.complete)
}

fn print(key: &str, value: &Joined, output: Output) -> Outcome<ExitCode> {
    match value {
        Joined::Counter { negative, magnitude } => output.line(&number(*negative, *magnitude))?,
        Joined::Set { elements } => {
            for element in elements {
                output.raw(element)?;
                output.raw(b"\n")?;
            }
        }
        Joined::Register { values } => match &values[..] {
            [] => return Err(Failure::new(ExitCode::NotFound, format!("{key} has no value"))),
            [value] => output.raw(value)?,
            several => {
                let there = units::plural(several.len() as u64, "value");
                let message = format!("{key} has {there} that were assigned concurrently");
                return Err(Failure::new(ExitCode::Conflict, message)
                    .advise("--json shows them; kv register set replaces them all."));
            }
        },
        Joined::Map { fields } => output.table(&table(fields))?,
        Joined::Other(kind) => {
            return Err(Failure::usage(format!(
                "a value of kind {kind}, which this kv does not know"
            )));
        }
    }
    Ok(ExitCode::Success)
}

fn table(fields: &[JoinedField]) -> Table {
    let mut table =
        Table::new(&[("field", Align::Left), ("kind", Align::Left), ("value", Align::Left)]);
    for JoinedField { name, value } in fields {
        let (kind, text) = match value {
            Joined::Counter { negative, magnitude } => ("counter", number(*negative, *magnitude)),
            Joined::Set { elements } => ("set", listed(elements)),
            Joined::Register { values } => ("register", listed(values)),
            Joined::Map { .. } | Joined::Other(_) => ("?", String::new()),
        };
        table.row(vec![text_of(name), kind.to_owned(), text]);
    }
    table
}

fn listed(values: &[Bytes]) -> String {
    values.iter().map(text_of).collect::<Vec<String>>().join(", ")
}

/// Bytes as text on one line; escaped where they are none.
fn text_of(bytes: &Bytes) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.chars().flat_map(char::escape_debug).collect(),
        Err(_) => bytes.escape_ascii().to_string(),
    }
}

fn number(negative: bool, magnitude: u64) -> String {
    format!("{}{magnitude}", if negative { "-" } else { "" })
}

/// A value as JSON: its kind, and what it holds. A number beyond what JSON numbers hold exactly is told as text, too.
fn shown(value: &Joined) -> Map<String, Value> {
    let document = match value {
        Joined::Counter { negative, magnitude } => {
            let text = number(*negative, *magnitude);
            json!({ "kind": "counter", "value": text.parse::<i64>().ok(), "text": text })
        }
        Joined::Set { elements } => {
            json!({ "kind": "set", "elements": elements.iter().map(bytes_json).collect::<Vec<_>>() })
        }
        Joined::Register { values } => {
            json!({ "kind": "register", "values": values.iter().map(bytes_json).collect::<Vec<_>>() })
        }
        Joined::Map { fields } => {
            let field = |field: &JoinedField| {
                let mut document = shown(&field.value);
                document.insert("field".to_owned(), bytes_json(&field.name));
                Value::Object(document)
            };
            json!({ "kind": "map", "fields": fields.iter().map(field).collect::<Vec<_>>() })
        }
        Joined::Other(kind) => json!({ "kind": kind }),
    };
    match document {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// Bytes: always as base64, and as text when they are text.
fn bytes_json(bytes: &Bytes) -> Value {
    json!({ "text": std::str::from_utf8(bytes).ok(), "base64": base64(bytes) })
}

/// Says that a change is durable; of a counter, what it is now.
fn report(client: &Client, reply: &Reply<UpdateDone>, output: Output) -> Outcome<ExitCode> {
    let coordinator = client.topology().name_of(reply.node);
    if !reply.retry_checked {
        output.remark("kv: it could not be checked whether this operation had been applied before");
    }
    if output.is_json() {
        let mut document = reply.value.as_ref().map(shown).unwrap_or_default();
        document.insert("operation".to_owned(), json!(reply.operation.to_string()));
        document.insert("dot".to_owned(), json!(reply.dot.to_string()));
        document.insert(
            "acknowledged".to_owned(),
            json!({
                "owners": reply.acked_owners, "fallbacks": reply.acked_fallbacks, "needed": reply.needed,
            }),
        );
        document.insert("coordinator".to_owned(), json!(coordinator));
        document.insert("attempts".to_owned(), json!(reply.attempts));
        document.insert("retry_checked".to_owned(), json!(reply.retry_checked));
        output.json(&document)?;
        return Ok(ExitCode::Success);
    }
    output.detail(&format!(
        "durable on {} and {} ({} needed), coordinator {coordinator}, {}",
        units::plural(u64::from(reply.acked_owners), "owner"),
        units::plural(u64::from(reply.acked_fallbacks), "fallback"),
        reply.needed,
        units::plural(u64::from(reply.attempts), "attempt"),
    ));
    output.detail(&format!("operation {}", reply.operation));
    if let Some(Joined::Counter { negative, magnitude }) = &reply.value {
        output.line(&number(*negative, *magnitude))?;
    }
    Ok(ExitCode::Success)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kvorum_protocol::mergeable::{Joined, JoinedField};
    use serde_json::json;

    use super::{listed, shown, text_of};

    #[test]
    fn a_number_that_json_cannot_hold_is_told_as_text() {
        let most = Joined::Counter { negative: true, magnitude: u64::MAX };
        let document = shown(&most);
        assert_eq!(document["value"], json!(null));
        assert_eq!(document["text"], json!("-18446744073709551615"));
        let small = Joined::Counter { negative: true, magnitude: 5 };
        assert_eq!(shown(&small)["value"], json!(-5));
    }

    #[test]
    fn what_is_no_text_is_escaped_in_tables_and_base64_in_json() {
        assert_eq!(text_of(&Bytes::from_static(b"\xff\n")), r"\xff\n");
        assert_eq!(listed(&["a".into(), "b\nc".into()]), r"a, b\nc");
        let value = Joined::Set { elements: vec![Bytes::from_static(&[0xff, 0])] };
        let fields = vec![JoinedField { name: "f".into(), value }];
        let document = shown(&Joined::Map { fields });
        assert_eq!(document["fields"][0]["field"]["text"], "f");
        assert_eq!(document["fields"][0]["elements"][0], json!({ "text": null, "base64": "/wA=" }));
    }
}
