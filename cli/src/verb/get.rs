//! `kv get`: one value, byte for byte, on standard output.
//!
//! Siblings are never guessed away: with more than one value, standard output stays empty, the siblings are listed on
//! standard error, and the exit code says so.

use kvorum_client::Client;
use kvorum_client::bucket::Reply;
use kvorum_protocol::message::{GetDone, GetValue};
use serde_json::{Value, json};

use crate::args::value::{GetArguments, Selection};
use crate::cluster::connect::connect;
use crate::cluster::explain::{self, key_text, quoted};
use crate::encoding::base64;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::style::Style;
use crate::output::table::{Align, Table};
use crate::output::{Output, units};

/// Columns of a value that are shown in the list of siblings.
const PREVIEW_CHARACTERS: usize = 48;

/// Reads the key and writes what was asked for.
pub(super) async fn run(options: &GetArguments, output: Output) -> Outcome<ExitCode> {
    let selection = options.selection(output.is_json())?;
    let client = connect(&options.connection, output).await?;
    let bucket = client.bucket_named(options.key.bucket.clone());
    let mut request = bucket.get(options.key.key.to_bytes()).deadline(options.connection.timeout);
    if let Some(r) = options.r {
        request = request.r(r);
    }
    if options.quorum.strict {
        request = request.strict();
    }
    let key = key_text(&options.key.key);
    let read = request.send().await;
    let read = read
        .map_err(|error| explain::operation(&format!("get {key}"), &error, &client.topology()))?;
    remark(&client, &read, output);
    match choose(&read.values, selection) {
        Chosen::Nothing => Err(not_found(&key, &read)),
        Chosen::OutOfRange => {
            let there = units::plural(read.values.len() as u64, "sibling");
            Err(Failure::new(ExitCode::NotFound, format!("{key} has only {there}")))
        }
        Chosen::One(value) if output.is_json() => {
            let mut document = about(&key, &read);
            merge(&mut document, value_json(value));
            output.json(&document)?;
            Ok(ExitCode::Success)
        }
        Chosen::One(value) => {
            output.raw(&value.value)?;
            Ok(ExitCode::Success)
        }
        Chosen::All => {
            output.json(&all(&key, &read))?;
            Ok(ExitCode::Success)
        }
        Chosen::Conflict => conflict(&key, &read, output),
    }
}

/// What a selection gives.
#[derive(Debug, PartialEq)]
enum Chosen<'a> {
    Nothing,
    OutOfRange,
    One(&'a GetValue),
    All,
    Conflict,
}

fn choose(values: &[GetValue], selection: Selection) -> Chosen<'_> {
    match (values, selection) {
        ([], _) => Chosen::Nothing,
        (_, Selection::All) => Chosen::All,
        (values, Selection::Sibling(number)) => {
            values.get(number).map_or(Chosen::OutOfRange, Chosen::One)
        }
        ([value], Selection::Only) => Chosen::One(value),
        (_, Selection::Only) => Chosen::Conflict,
    }
}

fn not_found(key: &str, read: &Reply<GetDone>) -> Failure {
    if read.complete {
        return Failure::new(ExitCode::NotFound, format!("{key} is not there"))
            .detail("complete", true);
    }
    Failure::new(
        ExitCode::NotFound,
        format!("{key} was not found, but not every node that could know was heard"),
    )
    .advise("It may exist. kv status shows what is down; --strict asks the owners only.")
    .detail("complete", false)
}

fn remark(client: &Client, read: &Reply<GetDone>, output: Output) {
    output.detail(&format!(
        "{} and {} answered ({} needed), coordinator {}, {}",
        units::plural(u64::from(read.owners), "owner"),
        units::plural(u64::from(read.fallbacks), "fallback"),
        read.needed,
        client.topology().name_of(read.node),
        units::plural(u64::from(read.attempts), "attempt"),
    ));
    if let Some(context) = &read.context {
        output.detail(&format!("context {context}"));
    }
}

/// Siblings where one value was asked for: nothing on standard output, everything on standard error.
fn conflict(key: &str, read: &Reply<GetDone>, output: Output) -> Outcome<ExitCode> {
    if output.is_json() {
        let mut error = Failure::new(ExitCode::Conflict, conflict_message(key, read)).to_json();
        if let Some(fields) = error.get_mut("error") {
            merge(fields, all(key, read));
        }
        output.remark(&error.to_string());
        return Err(Failure::silent(ExitCode::Conflict));
    }
    let style = output.remark_style();
    output.remark(&format!("{} {}", style.bad("kv:"), conflict_message(key, read)));
    for line in siblings_table(&read.values, style).lines(style) {
        output.remark(&format!("    {line}"));
    }
    let name = quoted(key);
    output.remark(&format!("    kv get {name} --sibling 1             reads one of them"));
    output.remark(&format!("    kv put {name} VALUE --resolve         replaces them all"));
    Err(Failure::silent(ExitCode::Conflict))
}

fn conflict_message(key: &str, read: &Reply<GetDone>) -> String {
    format!(
        "{key} has {} that were written concurrently",
        units::plural(read.values.len() as u64, "sibling")
    )
}

/// The siblings as a table: number, size, dot, a preview.
pub(super) fn siblings_table(values: &[GetValue], style: Style) -> Table {
    let mut table = Table::new(&[
        ("#", Align::Right),
        ("bytes", Align::Right),
        ("dot", Align::Left),
        ("value", Align::Left),
    ]);
    for (number, value) in values.iter().enumerate() {
        table.row(vec![
            (number + 1).to_string(),
            units::count(value.value.len() as u64),
            style.dim(&value.dot.to_string()),
            preview(&value.value),
        ]);
    }
    table
}

/// The beginning of a value on one line: text with its control characters escaped, anything else said to be binary.
pub(super) fn preview(value: &[u8]) -> String {
    let head = &value[..value.len().min(4 * PREVIEW_CHARACTERS)];
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The cut may have split a character; what stands before it is text.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return "(binary)".to_owned(),
    };
    let mut shown: String =
        text.chars().take(PREVIEW_CHARACTERS).flat_map(char::escape_debug).collect();
    if text.chars().count() > PREVIEW_CHARACTERS || head.len() < value.len() {
        shown.push('…');
    }
    shown
}

/// What is said about a read, whatever values it found.
fn about(key: &str, read: &Reply<GetDone>) -> Value {
    json!({
        "key": key, "context": read.context.as_ref().map(ToString::to_string), "complete": read.complete,
        "answered": { "owners": read.owners, "fallbacks": read.fallbacks, "needed": read.needed },
    })
}

fn all(key: &str, read: &Reply<GetDone>) -> Value {
    let siblings: Vec<Value> = read.values.iter().map(value_json).collect();
    let mut document = about(key, read);
    merge(&mut document, json!({ "siblings": siblings }));
    document
}

/// A value: always as base64, and as text when it is text.
pub(super) fn value_json(value: &GetValue) -> Value {
    json!({
        "value": std::str::from_utf8(&value.value).ok(), "value_base64": base64(&value.value),
        "bytes": value.value.len(), "dot": value.dot.to_string(), "expires_at_ms": value.expires_at_ms,
    })
}

/// Adds the fields of one JSON object to another.
pub(super) fn merge(document: &mut Value, more: Value) {
    if let (Value::Object(fields), Value::Object(more)) = (document, more) {
        fields.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kvorum_protocol::message::GetValue;
    use kvorum_protocol::{Actor, Dot};

    use super::{Chosen, choose, preview, value_json};
    use crate::args::value::Selection;

    fn value(text: &'static [u8]) -> GetValue {
        GetValue {
            dot: Dot::new(Actor(7), 1),
            value: Bytes::from_static(text),
            expires_at_ms: None,
        }
    }

    #[test]
    fn siblings_are_a_conflict_unless_one_or_all_are_asked_for() {
        let two = [value(b"a"), value(b"b")];
        assert_eq!(choose(&two, Selection::Only), Chosen::Conflict);
        assert_eq!(choose(&two, Selection::All), Chosen::All);
        assert_eq!(choose(&two, Selection::Sibling(1)), Chosen::One(&two[1]));
        assert_eq!(choose(&two, Selection::Sibling(2)), Chosen::OutOfRange);
        assert_eq!(choose(&two[..1], Selection::Only), Chosen::One(&two[0]));
        assert_eq!(choose(&[], Selection::All), Chosen::Nothing);
    }

    #[test]
    fn a_preview_stays_on_one_line_and_says_when_it_is_cut() {
        assert_eq!(preview(b"a\nb"), r"a\nb");
        assert_eq!(preview(&[0xff, 0xfe]), "(binary)");
        assert_eq!(preview("ä".repeat(300).as_bytes()), format!("{}…", "ä".repeat(48)));
        assert_eq!(preview(b""), "");
    }

    #[test]
    fn bytes_that_are_not_text_are_in_json_as_base64() {
        let document = value_json(&value(&[0xff, 0]));
        assert_eq!(
            (document["value"].as_str(), document["value_base64"].as_str()),
            (None, Some("/wA="))
        );
        assert_eq!(value_json(&value(b"hi"))["value"], "hi");
    }
}
