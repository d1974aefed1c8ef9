//! `kv ls`: keys in order, page by page.

use kvorum_protocol::Key;
use kvorum_protocol::limits::LIST_PAGE_ITEMS;
use kvorum_protocol::message::ListItem;
use serde_json::{Value, json};

use crate::args::value::ListArguments;
use crate::cluster::connect::connect;
use crate::cluster::explain::{self, key_text, quoted};
use crate::encoding::base64;
use crate::exit_code::ExitCode;
use crate::failure::Outcome;
use crate::output::{Output, units};

/// Lists the keys.
pub(super) async fn run(options: &ListArguments, output: Output) -> Outcome<ExitCode> {
    let client = connect(&options.connection, output).await?;
    let bucket = client.bucket_named(options.bucket.clone());
    let mut after = options.after.clone();
    let mut left = options.limit as usize;
    let mut keys: Vec<Value> = Vec::new();
    let mut uncovered = 0;
    while left > 0 {
        let mut request = bucket
            .list(options.prefix.clone())
            .limit(left.min(LIST_PAGE_ITEMS) as u32)
            .deadline(options.connection.timeout);
        if let Some(after) = &after {
            request = request.after(after.clone());
        }
        if options.partial {
            request = request.partial();
        }
        let page = request.send().await;
        let page =
            page.map_err(|error| explain::operation("list keys", &error, &client.topology()))?;
        left = left.saturating_sub(page.items.len());
        uncovered = uncovered.max(page.uncovered.len());
        if output.is_json() {
            keys.extend(page.items.iter().map(item_json));
        } else {
            print(&page.items, output)?;
        }
        after = page.answer.next;
        if after.is_none() {
            break;
        }
    }
    end(options, keys, after.as_ref(), uncovered, output)?;
    Ok(ExitCode::Success)
}

/// Says what there is beyond the list.
fn end(
    options: &ListArguments,
    keys: Vec<Value>,
    next: Option<&Key>,
    uncovered: usize,
    output: Output,
) -> Outcome<()> {
    if output.is_json() {
        let next = next.map(key_text);
        return output.json(&json!({
            "bucket": options.bucket.to_string(), "keys": keys, "next": next, "uncovered_partitions": uncovered,
        }));
    }
    if uncovered > 0 {
        let partitions = units::plural(uncovered as u64, "partition");
        output.remark(&format!("kv: {partitions} could not be asked: keys may be missing"));
    }
    if let Some(next) = next {
        output.remark(&format!("kv: there may be more: --after {}", quoted(&key_text(next))));
    }
    Ok(())
}

fn print(items: &[ListItem], output: Output) -> Outcome<()> {
    if items.is_empty() {
        return Ok(());
    }
    let style = output.style();
    let lines = items.iter().map(|item| {
        let mut line = key_text(&item.key);
        // Without -v a line is a key and nothing else: another program may read it.
        if output.is_verbose() {
            line.push_str(&style.dim(&format!("  {}", units::bytes(item.value_bytes))));
            if item.siblings > 1 {
                line.push_str(&style.warn(&format!("  {} siblings", item.siblings)));
            }
        }
        line
    });
    output.line(&lines.collect::<Vec<String>>().join("\n"))
}

/// A key: as text when it is text, always as base64.
fn item_json(item: &ListItem) -> Value {
    let bytes = item.key.as_bytes();
    json!({
        "key": std::str::from_utf8(bytes).ok(), "key_base64": base64(bytes), "siblings": item.siblings,
        "bytes": item.value_bytes,
    })
}
