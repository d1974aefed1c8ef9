//! Why a key holds what it holds, asked of three real nodes while one of them is away and after; and siblings found, shown and
//! resolved.

use std::time::Duration;

use serde_json::Value;

use crate::dev::{Dev, directory};
use crate::until::until;

/// How long nodes may take to see who is gone, and owners to learn what they missed.
const PATIENCE: Duration = Duration::from_secs(60);

fn why(dev: &Dev, key: &str) -> (Option<i32>, Value) {
    let told = dev.kv(&["key", "why", key, "--json"]);
    (told.code, told.json())
}

fn finding<'a>(told: &'a Value, kind: &str) -> Option<&'a Value> {
    told["findings"].as_array()?.iter().find(|finding| finding["kind"] == kind)
}

/// Two siblings under `key`.
fn quarrel(dev: &Dev, key: &str) {
    dev.kv(&["put", key, "milk"]).expect(0);
    dev.kv(&["put", key, "eggs", "--sibling"]).expect(0);
}

#[test]
fn an_owner_that_was_killed_is_named_with_the_reason_until_it_has_what_it_missed() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);
    let names = dev.node_names();
    assert_eq!(why(&dev, "cart").0, Some(1), "nobody holds anything");

    dev.kv(&["put", "cart", "milk"]).expect(0);
    let agreed = until("all owners have it", PATIENCE, || {
        let (code, told) = why(&dev, "cart");
        (code == Some(0)).then_some(told)
    });
    assert_eq!(agreed["verdict"], "agree", "{agreed}");
    assert_eq!(agreed["testimonies"].as_array().map(Vec::len), Some(3));
    let text = dev.kv(&["key", "why", "cart"]).expect(0).text();
    assert!(text.starts_with("all 3 owners agree: 1 version"), "{text}");

    dev.kill_node(2);
    until("the others see that it is gone", PATIENCE, || {
        let (code, told) = why(&dev, "cart");
        let cause = &finding(&told, "silent")?["cause"];
        (code == Some(12) && cause == "unreachable").then_some(())
    });
    dev.kv(&["put", "cart", "eggs", "--timeout", "20s"]).expect(0);

    // Alone it holds what it held, and nobody tells it of more: exchanges need the others to be seen again.
    let again = Dev::reopen(home.path(), Some(&names[2]));
    let behind = until("it is seen again, with or without what it missed", PATIENCE, || {
        let (code, told) = why(&dev, "cart");
        match code {
            Some(12) => None,
            _ => Some((code, told)),
        }
    });
    if let (Some(16), told) = &behind {
        let lack = &finding(told, "behind").expect("somebody is behind")["lacks"][0];
        assert_eq!(lack["reason"]["kind"], "left_behind", "{lack}");
        assert_eq!(lack["reason"]["cause"], "unreachable", "{lack}");
    } else {
        assert_eq!(behind.0, Some(0), "{}", behind.1);
    }
    let healed = until("it has what it missed", PATIENCE, || {
        let (code, told) = why(&dev, "cart");
        (code == Some(0)).then_some(told)
    });
    let of_third = healed["testimonies"].as_array().and_then(|told| {
        told.iter().find(|told| told["node"]["name"] == names[2].as_str()).cloned()
    });
    let events = of_third.expect("it testifies")["events"].clone();
    let merged = |event: &Value| event["kind"] == "merged";
    assert!(events.as_array().is_some_and(|events| events.iter().any(merged)), "{events}");
    let others = healed["testimonies"].to_string();
    assert!(others.contains("left_behind"), "whoever wrote it remembers: {others}");
    drop(again);
}

#[test]
fn siblings_are_listed_shown_and_resolved_and_nothing_is_chosen_unasked() {
    let home = directory();
    let dev = Dev::start(home.path(), 3);
    dev.kv(&["put", "calm", "v"]).expect(0);
    for key in ["a", "b", "c", "d"] {
        quarrel(&dev, key);
    }
    dev.kv(&["bucket", "create", "counts", "--rule", "counter"]).expect(0);
    dev.kv(&["counter", "add", "hits", "1", "--bucket", "counts"]).expect(0);

    let listed = |dev: &Dev| -> Vec<String> {
        let found = dev.kv(&["conflicts", "ls", "--json"]).expect(0).json();
        let keys = found["conflicts"].as_array().expect("a list").clone();
        keys.iter().map(|one| one["key"].as_str().expect("text").to_owned()).collect()
    };
    let all = ["a", "b", "c", "d"];
    // A page is one owner's word, and the write may be on its way to that owner.
    until("every owner has the siblings", PATIENCE, || (listed(&dev) == all).then_some(()));
    let some = dev.kv(&["conflicts", "ls", "default", "--limit", "2", "--json"]).expect(0).json();
    assert_eq!(
        (some["conflicts"].as_array().map(Vec::len), &some["more"]),
        (Some(2), &Value::Bool(true))
    );
    assert_eq!(why(&dev, "a").0, Some(4), "they agree on siblings");

    let shown = dev.kv(&["conflicts", "show", "a", "--json"]).expect(0).json();
    let siblings = shown["siblings"].as_array().expect("a list").clone();
    let written = siblings.iter().map(|one| one["written_at_ms"].as_u64().expect("remembered"));
    assert!(written.max() >= siblings[0]["written_at_ms"].as_u64());
    let milk = siblings.iter().find(|one| one["value"] == "milk").expect("milk");
    let dot = milk["dot"].as_str().expect("a dot");

    dev.kv(&["conflicts", "resolve", "a"]).expect(2);
    dev.kv(&["conflicts", "resolve", "a", "--pick", "9"]).expect(4);
    dev.kv(&["conflicts", "resolve", "a", "--pick", dot]).expect(0);
    assert_eq!(dev.kv(&["get", "a"]).expect(0).text(), "milk");
    dev.kv(&["conflicts", "resolve", "b", "--newest"]).expect(0);
    assert_eq!(dev.kv(&["get", "b"]).expect(0).text(), "eggs");
    dev.kv_with_input(&["conflicts", "resolve", "c", "--stdin"], b"both").expect(0);
    assert_eq!(dev.kv(&["get", "c"]).expect(0).text(), "both");

    // What comes between showing and resolving stays.
    let context = dev.kv(&["conflicts", "show", "d", "--json"]).expect(0).json()["context"].clone();
    dev.kv(&["put", "d", "bread", "--sibling"]).expect(0);
    let context = context.as_str().expect("a context");
    dev.kv(&["conflicts", "resolve", "d", "--value", "milk,eggs", "--context", context]).expect(0);
    let left = dev.kv(&["conflicts", "show", "d", "--json"]).expect(0).json();
    let values = left["siblings"].as_array().expect("a list").iter();
    let mut values: Vec<&str> = values.filter_map(|one| one["value"].as_str()).collect();
    values.sort_unstable();
    assert_eq!(values, ["bread", "milk,eggs"]);

    dev.kv(&["conflicts", "show", "nothing"]).expect(1);
    let calm = dev.kv(&["conflicts", "resolve", "calm", "--value", "w"]).expect(0);
    assert!(calm.stderr.contains("nothing to resolve"), "{}", calm.stderr);
    assert_eq!(dev.kv(&["get", "calm"]).expect(0).text(), "v");
    dev.stop();
}
