//! Second stage: two clients write one key concurrently, both values survive, a third write resolves them.

use kvorum_client::OperationError;
use kvorum_protocol::Context;
use serde::Serialize;

use super::{Session, broken};
use crate::cluster::explain;
use crate::failure::{Failure, Outcome};
use crate::progress::Step;

const KEY: &str = "demo/cart";

/// What the stage leaves behind.
#[derive(Debug)]
pub(super) struct Siblings {
    /// The key that was written.
    pub(super) key: &'static str,
    /// What is said about it.
    pub(super) report: SiblingsReport,
}

/// The values on the way.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SiblingsReport {
    /// Both values, as one read saw them.
    pub(super) siblings: Vec<String>,
    /// The one value at the end.
    pub(super) resolved: String,
}

/// Makes two siblings with one old context and replaces both with a put that has read both.
pub(super) async fn make_and_resolve(session: &Session) -> Outcome<Siblings> {
    let step = Step::begin(session.output, "write concurrently", 5);
    let bucket = &session.bucket;
    let failed = |error: OperationError| {
        explain::operation("write the cart", &error, &session.client.topology())
    };
    bucket.put(KEY, "milk").send().await.map_err(failed)?;
    let (_, context) = read(session).await?;
    step.advance(1);
    let eggs = bucket.put(KEY, "milk, eggs").context(context.clone());
    let bread = bucket.put(KEY, "milk, bread").context(context);
    let (eggs, bread) = tokio::join!(eggs.send(), bread.send());
    eggs.map_err(failed)?;
    bread.map_err(failed)?;
    step.advance(2);
    let (mut siblings, both) = read(session).await?;
    siblings.sort();
    if siblings != ["milk, bread", "milk, eggs"] {
        return Err(broken(format!(
            "two concurrent writes left {siblings:?} instead of two siblings"
        )));
    }
    step.advance(1);
    let merged = "milk, bread, eggs";
    bucket.put(KEY, merged).context(both).send().await.map_err(failed)?;
    let (resolved, _) = read(session).await?;
    if resolved != [merged] {
        return Err(broken(format!("a write that had read both siblings left {resolved:?}")));
    }
    step.end("two clients, one old context: both values survive");
    session.say(&format!("siblings: {:?} and {:?}", siblings[0], siblings[1]));
    session.say(&format!("a write with the context of both leaves {merged:?}"));
    let report = SiblingsReport { siblings, resolved: merged.to_owned() };
    Ok(Siblings { key: KEY, report })
}

/// The values of the key, and the context that covers them.
async fn read(session: &Session) -> Outcome<(Vec<String>, Context)> {
    let read = session.bucket.get(KEY).send().await;
    let read = read
        .map_err(|error| explain::operation("read the cart", &error, &session.client.topology()))?;
    let values = read.values.iter().map(|value| String::from_utf8_lossy(&value.value).into_owned());
    let context: Option<Context> = read.context.clone();
    let context = context
        .ok_or_else(|| -> Failure { broken("a read of what was just written has no context") })?;
    Ok((values.collect(), context))
}
