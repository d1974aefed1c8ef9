//! `kv conflicts show`: the siblings of a key side by side.

use kvorum_client::Client;
use kvorum_client::bucket::Reply;
use kvorum_protocol::explain::{Explanation, Sibling, explain};
use kvorum_protocol::message::{GetDone, GetValue, WriteMode};
use serde_json::{Value, json};

use crate::args::connection::ConnectionArguments;
use crate::args::value::KeyArguments;
use crate::cluster::connect::connect;
use crate::cluster::explain::{self, key_text, quoted};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::table::{Align, Table};
use crate::output::{Output, units};
use crate::verb::get;

/// A key's siblings, and what is known of how they came to be.
pub(super) struct Shown {
    pub(super) read: Reply<GetDone>,
    /// None when nobody could be asked.
    explanation: Option<Explanation>,
}

impl Shown {
    /// What is known of one of the values.
    pub(super) fn of(&self, value: &GetValue) -> Option<&Sibling> {
        let siblings = &self.explanation.as_ref()?.siblings.0;
        siblings.iter().find(|sibling| sibling.version.dot == value.dot)
    }
}

/// Reads the key, and asks why it holds what it holds.
pub(super) async fn look(client: &Client, key: &KeyArguments) -> Outcome<Shown> {
    let bucket = client.bucket_named(key.bucket.clone());
    let name = key_text(&key.key);
    let read = bucket.get(key.key.to_bytes()).send().await;
    let read = read
        .map_err(|error| explain::operation(&format!("read {name}"), &error, &client.topology()))?;
    if read.values.is_empty() {
        return Err(Failure::new(ExitCode::NotFound, format!("{name} holds nothing")));
    }
    // Without it the siblings are shown all the same.
    let why = bucket.why(key.key.to_bytes()).await;
    Ok(Shown { read, explanation: why.ok().map(|why| explain(&why.answer)) })
}

/// Shows them.
pub(super) async fn run(
    key: &KeyArguments,
    connection: &ConnectionArguments,
    output: Output,
) -> Outcome<ExitCode> {
    let client = connect(connection, output).await?;
    let shown = look(&client, key).await?;
    if output.is_json() {
        let siblings: Vec<Value> =
            shown.read.values.iter().map(|value| sibling_json(&client, &shown, value)).collect();
        output.json(&json!({
            "key": key_text(&key.key), "bucket": key.bucket.to_string(),
            "context": shown.read.context.as_ref().map(ToString::to_string), "siblings": siblings,
        }))?;
        return Ok(ExitCode::Success);
    }
    let style = output.style();
    let mut table = Table::new(&[
        ("#", Align::Right),
        ("dot", Align::Left),
        ("bytes", Align::Right),
        ("written", Align::Left),
        ("by", Align::Left),
        ("replacing", Align::Left),
        ("value", Align::Left),
    ]);
    for (number, value) in shown.read.values.iter().enumerate() {
        let (written, by, mode) = wrote(&client, shown.of(value));
        table.row(vec![
            (number + 1).to_string(),
            style.dim(&value.dot.to_string()),
            units::count(value.value.len() as u64),
            written,
            by,
            mode,
            get::preview(&value.value),
        ]);
    }
    output.table(&table)?;
    if shown.read.values.len() > 1 {
        let name = quoted(&key_text(&key.key));
        output.remark(&format!("kv: kv conflicts resolve {name} --pick 1 keeps one of them"));
    }
    Ok(ExitCode::Success)
}

/// When a sibling was written, by whom, and what it said that it replaces.
fn wrote(client: &Client, sibling: Option<&Sibling>) -> (String, String, String) {
    let unknown = || "unknown".to_owned();
    let written = sibling.and_then(|sibling| sibling.written_at_ms);
    let by = sibling.and_then(|sibling| sibling.writer);
    let mode = sibling.and_then(|sibling| sibling.mode);
    (
        written.map_or_else(unknown, units::time_of_day),
        by.map_or_else(unknown, |node| client.topology().name_of(node)),
        mode.map_or("unknown", mode_text).to_owned(),
    )
}

fn mode_text(mode: WriteMode) -> &'static str {
    match mode {
        WriteMode::Latest => "the latest",
        WriteMode::Beside => "nothing",
        WriteMode::Context => "what was read",
        WriteMode::Other(_) => "unknown",
    }
}

fn sibling_json(client: &Client, shown: &Shown, value: &GetValue) -> Value {
    let sibling = shown.of(value);
    let mut document = get::value_json(value);
    let known = json!({
        "operation": sibling.map(|sibling| sibling.version.operation.to_string()),
        "written_at_ms": sibling.and_then(|sibling| sibling.written_at_ms),
        "writer": sibling
            .and_then(|sibling| sibling.writer)
            .map(|node| client.topology().name_of(node)),
    });
    get::merge(&mut document, known);
    document
}
