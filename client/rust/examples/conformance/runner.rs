//! Carries out steps, and remembers contexts and operations by the names that a case gives them.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use kvorum_client::{Bucket, Client, Config, Endpoint, OperationError};
use kvorum_protocol::message::{PutItem, Replacing};
use kvorum_protocol::{BucketSettings, Context, Key, OperationId};
use serde_json::json;

use crate::cases::{Item, Ready, Step, value_of};
use crate::expected::{Outcome, compare};
use crate::raw::{self, decoded};

/// A step that says nothing else must end within this.
const PATIENCE: Duration = Duration::from_secs(15);

/// One cluster, and what its cases remember.
pub(crate) struct Runner {
    client: Client,
    ready: Ready,
    contexts: BTreeMap<String, Context>,
    operations: BTreeMap<String, OperationId>,
}

impl Runner {
    pub(crate) fn new(client: Client, ready: Ready) -> Runner {
        Runner { client, ready, contexts: BTreeMap::new(), operations: BTreeMap::new() }
    }

    /// Carries out a step and compares what came of it with what was expected.
    pub(crate) async fn step(&mut self, step: &Step) -> Result<(), String> {
        let Some(expected) = &step.expect else {
            self.trouble(step);
            return Ok(());
        };
        // A batch of one item many times is one step, anything else is repeated.
        let times = if step.items.is_some() { 1 } else { step.times.unwrap_or(1) };
        for _ in 0..times {
            let begun = Instant::now();
            let mut outcome = self.outcome(step).await;
            while step.eventually
                && begun.elapsed() < PATIENCE
                && compare(&outcome, expected).is_err()
            {
                outcome = self.outcome(step).await;
            }
            compare(&outcome, expected)?;
            let patience = expected.within_ms.map_or(PATIENCE, Duration::from_millis);
            if begun.elapsed() > patience {
                return Err(format!("took {:?}", begun.elapsed()));
            }
            if let Some(name) = &step.save {
                let context = match outcome {
                    Outcome::Written(done) => done.context,
                    Outcome::Read(done) => done.context,
                    _ => None,
                };
                self.contexts.insert(name.clone(), context.ok_or("no context to save")?);
            }
        }
        Ok(())
    }

    /// What came of a step. With a token it is done over a client that shows it.
    async fn outcome(&mut self, step: &Step) -> Outcome {
        let Some(token) = &step.token else {
            return self.request(step).await.unwrap_or_else(Outcome::from);
        };
        let endpoints = self.ready.endpoints.iter();
        let endpoints = endpoints.map(|text| text.parse::<Endpoint>().expect("an endpoint"));
        let config = Config::new(endpoints).token(token.parse().expect("a token"));
        match Client::connect(config).await {
            Err(error) => error.into(),
            Ok(bearer) => {
                let own = std::mem::replace(&mut self.client, bearer);
                let outcome = self.request(step).await.unwrap_or_else(Outcome::from);
                self.client = own;
                outcome
            }
        }
    }

    async fn request(&mut self, step: &Step) -> Result<Outcome, OperationError> {
        let name = step.bucket.as_deref().unwrap_or("default");
        let bucket = self.client.bucket(name).expect("a bucket's name");
        let key = || value_of(&step.write.key);
        match step.op.as_str() {
            "put" => self.put(&bucket, step).await,
            "delete" => self.delete(&bucket, step).await,
            "get" => {
                let mut get = bucket.get(key());
                get = step.r.into_iter().fold(get, |get, r| get.r(r));
                get = if step.strict { get.strict() } else { get };
                get.send().await.map(|reply| Outcome::Read(reply.answer))
            }
            "list" => list(&bucket, step).await,
            "put_batch" => {
                let items = step.items.iter().flatten().map(|item| self.item(item));
                let items: Vec<PutItem> = items.collect();
                let items = vec![items; step.times.unwrap_or(1)].concat();
                let batch = bucket.put_batch(items);
                let batch = step.w.into_iter().fold(batch, |batch, w| batch.w(w));
                let done = batch.send().await?.answer.outcomes;
                Ok(Outcome::Batch(done.into_iter().map(Outcome::from).collect()))
            }
            "get_batch" => {
                let keys = step.keys.iter().flatten();
                let keys = keys.map(|text| Key::new(value_of(text)).expect("a key")).collect();
                let batch = bucket.get_batch(keys);
                let batch = if step.strict { batch.strict() } else { batch };
                let done = batch.send().await?.answer.outcomes;
                Ok(Outcome::Batch(done.into_iter().map(Outcome::from).collect()))
            }
            "create_bucket" => {
                let name = name.parse().expect("a bucket's name");
                let rule = decoded(&json!([step.rule.unwrap_or(1)]));
                let settings = BucketSettings { rule, ..BucketSettings::default() };
                self.client.create_bucket(name, settings).await?;
                Ok(Outcome::Done)
            }
            "update" => self.update(&bucket, step).await,
            "read" => {
                let read = bucket.read(key());
                let read = if step.strict { read.strict() } else { read };
                read.send().await.map(|reply| Outcome::Merged(reply.answer))
            }
            "send" => {
                let frame = step.frame.as_ref().expect("a frame");
                Ok(raw::send(&self.ready.endpoints[0], frame).expect("an answer").into())
            }
            other => panic!("an unknown step: {other}"),
        }
    }

    async fn put(&mut self, bucket: &Bucket, step: &Step) -> Result<Outcome, OperationError> {
        let mut put = bucket.put(value_of(&step.write.key), value_of(&step.write.value));
        put = match self.replaces(&step.write) {
            Replacing::Latest => put,
            Replacing::Nothing => put.sibling(),
            Replacing::Context { context } => put.context(context),
        };
        put = step.w.into_iter().fold(put, |put, w| put.w(w));
        put = self.operation(step).into_iter().fold(put, |put, id| put.operation(id));
        let deadline = step.deadline_ms.map(Duration::from_millis);
        put = deadline.into_iter().fold(put, |put, deadline| put.deadline(deadline));
        put = if step.strict { put.strict() } else { put };
        put = if step.retry { put.retry() } else { put };
        put.send().await.map(|reply| Outcome::Written(reply.answer))
    }

    async fn update(&mut self, bucket: &Bucket, step: &Step) -> Result<Outcome, OperationError> {
        let change = decoded(step.change.as_ref().expect("a change"));
        let mut update = bucket.update(value_of(&step.write.key), change);
        update = step.w.into_iter().fold(update, |update, w| update.w(w));
        update = self.operation(step).into_iter().fold(update, |update, id| update.operation(id));
        update = if step.retry { update.retry() } else { update };
        update.send().await.map(|reply| Outcome::Updated(reply.answer))
    }

    async fn delete(&mut self, bucket: &Bucket, step: &Step) -> Result<Outcome, OperationError> {
        let mut delete = bucket.delete(value_of(&step.write.key));
        if let Replacing::Context { context } = self.replaces(&step.write) {
            delete = delete.context(context);
        }
        delete = step.w.into_iter().fold(delete, |delete, w| delete.w(w));
        delete = self.operation(step).into_iter().fold(delete, |delete, id| delete.operation(id));
        delete = if step.retry { delete.retry() } else { delete };
        delete.send().await.map(|reply| Outcome::Written(reply.answer))
    }

    fn operation(&mut self, step: &Step) -> Option<OperationId> {
        let name = step.operation.clone()?;
        Some(*self.operations.entry(name).or_insert_with(Client::draw_operation))
    }

    fn replaces(&self, item: &Item) -> Replacing {
        let name = match item.replaces.as_deref() {
            None | Some("latest") => return Replacing::Latest,
            Some("none") => return Replacing::Nothing,
            Some(name) => name,
        };
        let mut bytes = self.contexts[name].to_vec();
        if item.alter {
            *bytes.last_mut().expect("a context is not empty") ^= 1;
        }
        Replacing::Context { context: Context::from_bytes(bytes) }
    }

    fn item(&self, item: &Item) -> PutItem {
        PutItem {
            key: Key::new(value_of(&item.key)).expect("a key"),
            value: value_of(&item.value),
            replaces: self.replaces(item),
            operation: Client::draw_operation(),
            expires_at_ms: None,
        }
    }

    /// Stops, continues or kills nodes, as a machine in trouble does.
    fn trouble(&self, step: &Step) {
        let coordinator = step.write.key.is_empty().then(String::new).unwrap_or_else(|| {
            let key = Key::new(value_of(&step.write.key)).expect("a key");
            let bucket = "default".parse().expect("a name");
            let place = self.client.topology().place_of(&bucket, &key).expect("a known bucket");
            place.owners[0].to_string()
        });
        let (name, is_meant): (&str, fn(bool) -> bool) = match step.op.as_str() {
            "pause_others" => ("STOP", |coordinates| !coordinates),
            "resume" => ("CONT", |_| true),
            "kill_coordinator" => ("KILL", |coordinates| coordinates),
            other => panic!("an unknown step: {other}"),
        };
        for node in self.ready.nodes.iter().filter(|node| is_meant(node.id == coordinator)) {
            // The shell's own `kill` needs no package and no unsafe code.
            let script = format!("kill -{name} {}", node.pid);
            let sent = Command::new("sh").args(["-c", &script]).status().expect("sh runs");
            assert!(sent.success(), "{script}");
        }
    }
}

async fn list(bucket: &Bucket, step: &Step) -> Result<Outcome, OperationError> {
    let prefix = value_of(step.prefix.as_ref().expect("a prefix"));
    let (mut items, mut after) = (Vec::new(), None);
    loop {
        let mut page = bucket.list(prefix.clone()).limit(step.limit.expect("a limit"));
        page = after.into_iter().fold(page, |page, key| page.after(key));
        let page = page.send().await?.answer;
        items.extend(page.items);
        match page.next {
            Some(key) => after = Some(key),
            None => return Ok(Outcome::Listed(items)),
        }
    }
}
