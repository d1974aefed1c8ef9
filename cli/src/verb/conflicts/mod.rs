//! `kv conflicts ls|show|resolve`: the keys that hold siblings, what these are, and one value in their place.

mod resolve;
mod show;

use kvorum_client::Client;
use kvorum_protocol::limits::LIST_PAGE_ITEMS;
use kvorum_protocol::message::ListItem;
use kvorum_protocol::{BucketName, MergeRule};
use serde_json::{Value, json};

use crate::args::conflicts::{ConflictsArguments, ConflictsVerb};
use crate::cluster::connect::connect;
use crate::cluster::explain::{self, key_text};
use crate::encoding::base64;
use crate::exit_code::ExitCode;
use crate::failure::Outcome;
use crate::output::table::{Align, Table};
use crate::output::{Output, units};

/// Runs one of the verbs.
pub(super) async fn run(verb: ConflictsVerb, output: Output) -> Outcome<ExitCode> {
    match verb {
        ConflictsVerb::Ls(options) => list(&options, output).await,
        ConflictsVerb::Show { key, connection } => show::run(&key, &connection, output).await,
        ConflictsVerb::Resolve(options) => resolve::run(&options, output).await,
    }
}

/// What was found, and what is missing of it.
#[derive(Default)]
struct Found {
    keys: Vec<(BucketName, ListItem)>,
    uncovered: usize,
    more: bool,
}

async fn list(options: &ConflictsArguments, output: Output) -> Outcome<ExitCode> {
    let client = connect(&options.connection, output).await?;
    let buckets = match &options.bucket {
        Some(bucket) => vec![bucket.clone()],
        None => keeping_siblings(&client).await?,
    };
    let mut found = Found::default();
    for bucket in buckets {
        gather(&client, &bucket, options, &mut found).await?;
    }
    print(&found, output)?;
    Ok(if found.uncovered > 0 { ExitCode::SomeSilent } else { ExitCode::Success })
}

/// The buckets in which versions can stand side by side, as far as the caller may know of them.
async fn keeping_siblings(client: &Client) -> Outcome<Vec<BucketName>> {
    let told = client.list_buckets().await;
    let told =
        told.map_err(|error| explain::operation("list buckets", &error, &client.topology()))?;
    let keeps = told.answer.buckets.into_iter();
    let keeps = keeps.filter(|bucket| bucket.settings.rule == MergeRule::Siblings);
    Ok(keeps.map(|bucket| bucket.name).collect())
}

async fn gather(
    client: &Client,
    name: &BucketName,
    options: &ConflictsArguments,
    found: &mut Found,
) -> Outcome<()> {
    let bucket = client.bucket_named(name.clone());
    let mut after = None;
    loop {
        let left = (options.limit as usize).saturating_sub(found.keys.len());
        if left == 0 {
            found.more = true;
            return Ok(());
        }
        let limit = left.min(LIST_PAGE_ITEMS) as u32;
        let page = bucket.conflicts(options.prefix.clone(), after, limit, options.partial).await;
        let page = page.map_err(|error| {
            explain::operation(&format!("list conflicts of {name}"), &error, &client.topology())
        })?;
        found.uncovered = found.uncovered.max(page.uncovered.len());
        found.keys.extend(page.answer.items.into_iter().map(|item| (name.clone(), item)));
        after = page.answer.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

fn print(found: &Found, output: Output) -> Outcome<()> {
    if output.is_json() {
        let keys: Vec<Value> = found.keys.iter().map(conflict_json).collect();
        return output.json(&json!({
            "conflicts": keys, "more": found.more, "uncovered_partitions": found.uncovered,
        }));
    }
    let style = output.style();
    let mut table = Table::new(&[
        ("bucket", Align::Left),
        ("key", Align::Left),
        ("siblings", Align::Right),
        ("bytes", Align::Right),
    ]);
    for (bucket, item) in &found.keys {
        table.row(vec![
            bucket.to_string(),
            style.name(&key_text(&item.key)),
            item.siblings.to_string(),
            units::count(item.value_bytes),
        ]);
    }
    match found.keys.is_empty() {
        true => output.remark("kv: no key holds siblings"),
        false => output.table(&table)?,
    }
    if found.uncovered > 0 {
        let partitions = units::plural(found.uncovered as u64, "partition");
        output.remark(&format!("kv: {partitions} could not be asked: conflicts may be missing"));
    }
    if found.more {
        output.remark("kv: there may be more: --limit");
    }
    Ok(())
}

fn conflict_json((bucket, item): &(BucketName, ListItem)) -> Value {
    let bytes = item.key.as_bytes();
    json!({
        "bucket": bucket.to_string(), "key": std::str::from_utf8(bytes).ok(),
        "key_base64": base64(bytes), "siblings": item.siblings, "bytes": item.value_bytes,
    })
}
