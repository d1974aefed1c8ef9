//! `kv conflicts resolve`: one value in the place of siblings.
//!
//! The write carries the context of the read that found them, so that it replaces just these. Nothing is chosen for anybody: the
//! newest is taken only on request, and only when every writer's clock is known.

use kvorum_protocol::message::GetValue;
use serde_json::json;

use super::show::{Shown, look};
use crate::args::conflicts::{Resolution, ResolveArguments};
use crate::cluster::connect::connect;
use crate::cluster::explain::{self, key_text};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, units};
use crate::verb::put;

/// Resolves.
pub(super) async fn run(options: &ResolveArguments, output: Output) -> Outcome<ExitCode> {
    let resolution = options.resolution();
    let given = match &resolution {
        Resolution::Value(source) => Some(put::read_value(source)?),
        Resolution::Pick(_) | Resolution::Newest => None,
    };
    let client = connect(&options.write.connection, output).await?;
    let shown = look(&client, &options.key).await?;
    let name = key_text(&options.key.key);
    if let ([_], None) = (&shown.read.values[..], &options.context) {
        if output.is_json() {
            output.json(&json!({ "key": name, "resolved": false, "siblings": 1 }))?;
        } else {
            output.remark(&format!("kv: {name} holds one version: there is nothing to resolve"));
        }
        return Ok(ExitCode::Success);
    }
    let chosen = match &resolution {
        Resolution::Pick(pick) => Some(picked(&shown.read.values, pick)?),
        Resolution::Newest => Some(newest(&shown)?),
        Resolution::Value(_) => None,
    };
    let value = chosen.map(|chosen| chosen.value.to_vec()).or(given).unwrap_or_default();
    let context = options.context.clone().or_else(|| shown.read.context.clone());
    let Some(context) = context else {
        return Err(Failure::new(ExitCode::Conflict, format!("{name} was read without a context")));
    };
    let bucket = client.bucket_named(options.key.bucket.clone());
    let mut request = bucket.put(options.key.key.to_bytes(), value).context(context);
    if let Some(at_ms) = chosen.and_then(|chosen| chosen.expires_at_ms) {
        request = request.expires_at_ms(at_ms);
    }
    let reply = put::with_options(request, &options.write).send().await;
    let reply = reply
        .map_err(|error| explain::write(&format!("resolve {name}"), &error, &client.topology()))?;
    output.detail(&format!(
        "{} replaced by one",
        units::plural(reply.replaced.len() as u64, "sibling")
    ));
    put::report(&client, &reply, "resolution", output)
}

/// The sibling of a dot, or of a number in the list.
fn picked<'a>(values: &'a [GetValue], pick: &str) -> Outcome<&'a GetValue> {
    let by_dot = values.iter().find(|value| value.dot.to_string() == pick);
    let number = pick.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    let found = by_dot.or_else(|| values.get(number?));
    found.ok_or_else(|| {
        let there = units::plural(values.len() as u64, "sibling");
        Failure::new(ExitCode::Conflict, format!("no sibling {pick} among {there}"))
            .advise("kv conflicts show lists them: by number and by dot.")
    })
}

/// The sibling that was written last, if that is known of all.
fn newest(shown: &Shown) -> Outcome<&GetValue> {
    let written = |value: &GetValue| shown.of(value).and_then(|sibling| sibling.written_at_ms);
    if let Some(unknown) = shown.read.values.iter().find(|value| written(value).is_none()) {
        let what = format!("nobody remembers when sibling {} was written", unknown.dot);
        return Err(Failure::new(ExitCode::Conflict, what).advise(
            "Pick one: kv conflicts resolve KEY --pick DOT. Nodes remember recent writes.",
        ));
    }
    let newest = shown.read.values.iter().max_by_key(|value| written(value));
    newest.ok_or_else(|| Failure::new(ExitCode::NotFound, "there is nothing".to_owned()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kvorum_protocol::message::GetValue;
    use kvorum_protocol::{Actor, Dot};

    use super::picked;
    use crate::exit_code::ExitCode;

    #[test]
    fn a_sibling_is_picked_by_its_dot_or_its_number_from_one() {
        let value = |counter| GetValue {
            dot: Dot::new(Actor(7), counter),
            value: Bytes::new(),
            expires_at_ms: None,
        };
        let values = [value(1), value(2)];
        assert_eq!(picked(&values, "2"), Ok(&values[1]));
        assert_eq!(picked(&values, &values[0].dot.to_string()), Ok(&values[0]));
        for wrong in ["0", "3", "x", "0000000000000007:9"] {
            assert_eq!(picked(&values, wrong).unwrap_err().code(), ExitCode::Conflict, "{wrong}");
        }
    }
}
