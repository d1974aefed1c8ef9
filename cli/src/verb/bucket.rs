//! `kv bucket create|set|show|ls`: the buckets and their settings.

use kvorum_client::{Client, OperationError, Topology};
use kvorum_protocol::MergeRule;
use kvorum_protocol::message::{Bucket, BucketSettings};
use serde_json::{Value, json};

use crate::args::bucket::{BucketVerb, SettingsArguments};
use crate::cluster::connect::connect;
use crate::cluster::explain;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::output::table::{Align, Table};

/// Runs one of the bucket verbs.
pub(super) async fn run(verb: BucketVerb, output: Output) -> Outcome<ExitCode> {
    match verb {
        BucketVerb::Create { settings, rule } => create(&settings, rule, output).await,
        BucketVerb::Set(options) => set(&options, output).await,
        BucketVerb::Show { name, connection } => {
            let client = connect(&connection, output).await?;
            let shown = client.show_bucket(name.clone()).await;
            let shown =
                shown.map_err(|error| failed(&client, &format!("show bucket {name}"), &error))?;
            one(&client, &shown.buckets, output)
        }
        BucketVerb::Ls { connection } => {
            let client = connect(&connection, output).await?;
            let list = client.list_buckets().await;
            let list = list.map_err(|error| failed(&client, "list the buckets", &error))?;
            all(&client.topology(), &list.buckets, output)
        }
    }
}

async fn create(options: &SettingsArguments, rule: MergeRule, output: Output) -> Outcome<ExitCode> {
    let client = connect(&options.connection, output).await?;
    let settings = changed(BucketSettings { rule, ..BucketSettings::default() }, options);
    let made = client.create_bucket(options.name.clone(), settings).await;
    let made =
        made.map_err(|error| failed(&client, &format!("create bucket {}", options.name), &error))?;
    one(&client, &made.buckets, output)
}

async fn set(options: &SettingsArguments, output: Output) -> Outcome<ExitCode> {
    if options.r.is_none() && options.w.is_none() {
        return Err(Failure::usage("nothing to change: give -r or -w"));
    }
    let client = connect(&options.connection, output).await?;
    let doing = format!("change bucket {}", options.name);
    let shown = client.show_bucket(options.name.clone()).await;
    let shown = shown.map_err(|error| failed(&client, &doing, &error))?;
    let Some(known) = shown.buckets.first() else {
        return Err(Failure::new(
            ExitCode::NotFound,
            format!("there is no bucket {}", options.name),
        ));
    };
    let settings = changed(known.settings.clone(), options);
    let changed = client.set_bucket(options.name.clone(), settings).await;
    let changed = changed.map_err(|error| failed(&client, &doing, &error))?;
    one(&client, &changed.buckets, output)
}

fn failed(client: &Client, doing: &str, error: &OperationError) -> Failure {
    explain::operation(doing, error, &client.topology())
}

/// The settings with what the options say about them.
fn changed(known: BucketSettings, options: &SettingsArguments) -> BucketSettings {
    BucketSettings { r: options.r.or(known.r), w: options.w.or(known.w), ..known }
}

fn one(client: &Client, buckets: &[Bucket], output: Output) -> Outcome<ExitCode> {
    if output.is_json() {
        let Some(bucket) = buckets.first() else {
            return Err(Failure::unavailable("an empty answer"));
        };
        output.json(&bucket_json(bucket, &client.topology()))?;
        return Ok(ExitCode::Success);
    }
    all(&client.topology(), buckets, output)
}

fn all(topology: &Topology, buckets: &[Bucket], output: Output) -> Outcome<ExitCode> {
    if output.is_json() {
        let list: Vec<Value> = buckets.iter().map(|bucket| bucket_json(bucket, topology)).collect();
        output.json(&json!({ "buckets": list }))?;
        return Ok(ExitCode::Success);
    }
    let mut table = Table::new(&[
        ("bucket", Align::Left),
        ("rule", Align::Left),
        ("n", Align::Right),
        ("r", Align::Right),
        ("w", Align::Right),
    ]);
    let style = output.style();
    for bucket in buckets {
        let n = copies(bucket, topology);
        let quorum = |set: Option<u8>| match (set, n) {
            (Some(number), _) => number.to_string(),
            (None, Some(n)) => style.dim(&(n / 2 + 1).to_string()),
            (None, None) => style.dim("majority"),
        };
        table.row(vec![
            style.name(bucket.name.as_str()),
            bucket.settings.rule.name().to_owned(),
            n.map_or_else(|| "?".to_owned(), |n| n.to_string()),
            quorum(bucket.settings.r),
            quorum(bucket.settings.w),
        ]);
    }
    output.table(&table)?;
    Ok(ExitCode::Success)
}

/// How many copies the bucket's class keeps.
fn copies(bucket: &Bucket, topology: &Topology) -> Option<u8> {
    topology
        .layout
        .classes()
        .find(|class| class.id() == bucket.settings.class)
        .map(|class| class.n())
}

fn bucket_json(bucket: &Bucket, topology: &Topology) -> Value {
    let settings = &bucket.settings;
    json!({
        "name": bucket.name.as_str(), "rule": settings.rule.name(), "class": settings.class.0,
        "n": copies(bucket, topology), "r": settings.r, "w": settings.w,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use kvorum_protocol::message::BucketSettings;

    use super::changed;
    use crate::args::bucket::BucketVerb;
    use crate::args::{Arguments, Verb};

    #[test]
    fn what_is_not_named_stays_as_it_is() {
        let arguments =
            Arguments::try_parse_from(["kv", "bucket", "set", "shop", "-w", "3"]).expect("parses");
        let Verb::Bucket(BucketVerb::Set(options)) = arguments.verb else { panic!("another verb") };
        let known =
            BucketSettings { r: Some(1), w: Some(2), ttl_ms: Some(5), ..BucketSettings::default() };
        let expected = BucketSettings { w: Some(3), ..known.clone() };
        assert_eq!(changed(known, &options), expected);
    }
}
