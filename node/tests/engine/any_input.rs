//! Whatever reaches an engine, in whatever order: it never panics, it answers every client exactly once, and when all is
//! over nothing is left behind.
//!
//! Inputs are drawn from a seed, which a failure prints; [`run`] with that seed repeats it. The store's answers are drawn,
//! too, but honest: each request is answered once, in order.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use kvorum_antientropy::{Answer, LEAVES, Question, Refusal, Sum};
use kvorum_node::engine::{ClientId, Effect, Engine, EngineOptions, Input, Now};
use kvorum_node::peer_message::{
    FetchOutcome, PeerEntry, PeerHold, PeerMessage, PeerPage, PeerScan, ReplicaRefusal,
    ReplicateOutcome, ScanOutcome,
};
use kvorum_protocol::mergeable::{self, Operation};
use kvorum_protocol::message::topology::LayoutHash;
use kvorum_protocol::message::{
    BatchGet, BatchPut, BucketSettings, Delete, Get, KeptCopy, LayoutLabel, List, MergeRule,
    Nothing, Put, PutItem, Repair, RepairTarget, Replacing, Request, RequestError, RequestOptions,
    Response, Testimony, Update, Way, Why,
};
use kvorum_protocol::{
    Actor, Change, Context, EncodedSet, Key, MintRefusal, OperationId, Record, RecordKey, Replaces,
    Space, Stamping, VersionSet,
};
use kvorum_ring::{ClassId, KeyHash, NodeId, PartitionId};
use kvorum_store::{
    Apply, ContentsKey, ContentsPage, Inspected, Inspection, MintedDot, PoisonReason, ReadError,
    ScanPage, StoreEvent, StoreRefusal, StoreRequest, Token,
};

use crate::cluster::{bucket, key, node_id, view_of};

const NODES: u64 = 4;
const SEEDS: u64 = 150;
const INPUTS: u64 = 250;

/// The merge rules of the bucket, by seed.
const RULES: [MergeRule; 4] =
    [MergeRule::Siblings, MergeRule::Counter, MergeRule::Set, MergeRule::LossyLww];

/// SplitMix64, so that a seed means the same for ever.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }
}

/// Says which seed failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {}: run({}) repeats it", self.0, self.0);
        }
    }
}

struct World {
    dice: Dice,
    now: Now,
    engine: Engine,
    requests: u64,
    answered: BTreeSet<u64>,
    store: VecDeque<StoreRequest>,
    /// Applied, and not durable yet.
    unsynced: VecDeque<Token>,
    /// Tokens that the engine has used towards peers.
    tokens: Vec<u64>,
    is_poisoned: bool,
    /// Everybody has fallen silent: nothing is held for others any more.
    is_ending: bool,
    /// Everything that the engine wanted done.
    effects: blake3::Hasher,
}

impl World {
    fn new(seed: u64) -> World {
        let mut dice = Dice(seed);
        let options = EngineOptions {
            max_requests: 40,
            max_replica_tasks: 20,
            exchange_every_ms: 2_000,
            ..EngineOptions::default()
        };
        let mut view = view_of(NODES as usize, 8);
        let rule = RULES[seed as usize % RULES.len()];
        view.buckets.insert(bucket(), BucketSettings { rule, ..BucketSettings::default() });
        let engine = Engine::new(node_id(0), options, dice.next(), Arc::new(view));
        World {
            dice,
            now: Now { mono_ns: 1_000_000_000, wall_ms: 1_700_000_000_000 },
            engine,
            requests: 0,
            answered: BTreeSet::new(),
            store: VecDeque::new(),
            unsynced: VecDeque::new(),
            tokens: vec![0, 7],
            is_poisoned: false,
            is_ending: false,
            effects: blake3::Hasher::new(),
        }
    }

    fn handle(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        while let Some(effect) = self.engine.poll_effect() {
            self.effects.update(format!("{effect:?}").as_bytes());
            match effect {
                Effect::Reply { request_id, .. } => {
                    assert!(request_id <= self.requests, "an answer to nobody");
                    assert!(self.answered.insert(request_id), "a second answer to {request_id}");
                }
                Effect::Send { to, message } => {
                    assert!(to != node_id(0), "a node does not send to itself");
                    self.tokens.extend(token_of(&message));
                }
                Effect::Store(request) => self.store.push_back(request),
            }
        }
    }

    fn step(&mut self) {
        match self.dice.below(13) {
            0..=2 => {
                self.requests += 1;
                let (request_id, request) = (self.requests, self.request());
                self.handle(Input::Client { client: ClientId(1), request_id, request });
            }
            3..=4 => self.answer_of_the_store(),
            5..=8 => {
                let (from, message) = (self.peer(), self.message());
                self.handle(Input::Peer { from, message });
            }
            9 => {
                let node = self.peer();
                let is_lost = self.dice.one_in(3);
                self.handle(if is_lost {
                    Input::PeerDown { node }
                } else {
                    Input::PeerUp { node }
                });
            }
            10 => {
                let passed_ms = self.dice.below(3_000);
                self.now = Now {
                    mono_ns: self.now.after_ms(passed_ms),
                    wall_ms: self.now.wall_ms + passed_ms,
                };
                self.handle(Input::Tick);
            }
            11 => {
                let paused = self.dice.one_in(3);
                self.handle(Input::HintsPaused(paused));
            }
            _ if self.dice.one_in(200) => {
                self.is_poisoned = true;
                (self.store, self.unsynced) = (VecDeque::new(), VecDeque::new());
                let reason = PoisonReason::Index(kvorum_store::IndexError::Io);
                self.handle(Input::Store(StoreEvent::Poisoned { reason }));
            }
            _ => self.handle(Input::ClientGone { client: ClientId(1) }),
        }
    }

    fn peer(&mut self) -> NodeId {
        node_id(1 + self.dice.below(NODES - 1) as usize)
    }

    fn key(&mut self) -> Key {
        key(self.dice.pick(&["a", "b", "c", "d"]))
    }

    fn record(&mut self) -> RecordKey {
        let key = self.key();
        RecordKey::new(ClassId(0), view_of(NODES as usize, 8).layout.partitions(), bucket(), key)
    }

    fn options(&mut self) -> RequestOptions {
        RequestOptions {
            r: self.dice.pick(&[None, Some(1), Some(3), Some(0), Some(9)]),
            w: self.dice.pick(&[None, Some(1), Some(3), Some(9)]),
            strict: self.dice.one_in(3),
            retry: self.dice.one_in(3),
            deadline_ms: self.dice.pick(&[1, 100, 5_000, 60_000, 0, u32::MAX]),
            ..RequestOptions::new(OperationId(self.dice.below(50).into()))
        }
    }

    fn replacing(&mut self) -> Replacing {
        let forged = Replacing::Context { context: Context::from_bytes(vec![1; 64]) };
        self.dice.pick(&[Replacing::Latest, Replacing::Nothing, forged])
    }

    fn request(&mut self) -> Request {
        let (bucket, key, options, replaces) =
            (bucket(), self.key(), self.options(), self.replacing());
        let value = Bytes::from_static(b"v");
        if self.dice.one_in(4) {
            let change = self.operation();
            return Request::Update(Update { bucket, key, change, options });
        }
        match self.dice.below(12) {
            11 => Request::Conflicts(List {
                bucket,
                prefix: Bytes::new(),
                after: None,
                limit: self.dice.pick(&[0, 3]),
                partial: self.dice.one_in(2),
                options,
            }),
            10 => Request::Why(Why { bucket, key, options }),
            0..=2 => {
                Request::Put(Put { bucket, key, value, replaces, options, expires_at_ms: None })
            }
            3..=4 => Request::Get(Get { bucket, key, options }),
            5 => Request::Delete(Delete { bucket, key, replaces, options }),
            6 => {
                let limit = self.dice.pick(&[0, 1, 3, 1_000]);
                let partial = self.dice.one_in(2);
                Request::List(List {
                    bucket,
                    prefix: Bytes::new(),
                    after: None,
                    limit,
                    partial,
                    options,
                })
            }
            7 => {
                let items = (0..self.dice.below(5)).map(|number| PutItem {
                    key: key.clone(),
                    value: value.clone(),
                    replaces: replaces.clone(),
                    operation: OperationId(number.into()),
                    expires_at_ms: None,
                });
                Request::BatchPut(BatchPut { bucket, items: items.collect(), options })
            }
            8 => {
                let (class, partition) = (ClassId(0), PartitionId(self.dice.below(9) as u32));
                let from = KeyHash(self.dice.pick(&[0, u128::MAX]));
                let target = self.dice.pick(&[
                    RepairTarget::Key { bucket, key },
                    RepairTarget::Partition { class, partition, from },
                ]);
                Request::Repair(Repair { target, options })
            }
            _ if self.dice.one_in(4) => Request::Status(Nothing {}),
            _ => Request::BatchGet(BatchGet { bucket, keys: vec![key; 3], options }),
        }
    }

    fn operation(&mut self) -> Operation {
        let elements = vec![Bytes::from_static(b"e")];
        self.dice.pick(&[
            Operation::Increment { by: 1 },
            Operation::Decrement { by: u64::MAX },
            Operation::Add { elements: elements.clone() },
            Operation::Remove { elements },
            Operation::Clear,
        ])
    }

    /// A set of plain values, states and stamped values, which need not be those of one rule: peers may send anything.
    fn set(&mut self) -> EncodedSet {
        let mut set = VersionSet::empty();
        for _ in 0..=self.dice.below(3) {
            let bytes = Bytes::from_static(b"v");
            let change = match self.dice.below(8) {
                0..=1 => Change::Delete,
                2..=3 => Change::Operation(Box::new(self.operation())),
                4 => {
                    let wall_ms = self.now.wall_ms;
                    Change::Stamped(Box::new(Stamping { bytes, wall_ms, expires_at_ms: None }))
                }
                _ => Change::Value { bytes, expires_at_ms: None },
            };
            let replaces = self.dice.pick(&[Replaces::Latest, Replaces::Nothing]);
            let (actor, operation) =
                (Actor(self.dice.below(3)), OperationId(self.dice.below(50).into()));
            if let Ok(minted) = set.mint(actor, replaces, change, operation) {
                set = minted.set;
            }
        }
        EncodedSet::new(&set)
    }

    fn refusal(&mut self) -> ReplicaRefusal {
        self.dice.pick(&[
            ReplicaRefusal::Overloaded { retry_after_ms: 1 },
            ReplicaRefusal::DiskFull,
            ReplicaRefusal::NotAnOwner,
            ReplicaRefusal::Refilling,
            ReplicaRefusal::Other(77),
        ])
    }

    /// Something to be kept for an owner, which may be none, here or where it does not belong.
    fn hold(&mut self, token: u64, deadline_ms: u32) -> PeerMessage {
        let key = self.record().in_space(self.dice.pick(&[Space::Hinted, Space::Owned]));
        let (set, spare) = (self.set(), self.dice.one_in(2));
        let held = Box::new(PeerHold { key, set, targets: vec![self.peer()], spare });
        PeerMessage::Hold { token, held, deadline_ms }
    }

    fn delivered(&mut self, token: u64, reason: ReplicaRefusal) -> PeerMessage {
        let refused = ReplicateOutcome::Refused { reason };
        let outcome = self.dice.pick(&[ReplicateOutcome::Durable, refused]);
        PeerMessage::Delivered { token, outcome, credit: self.dice.below(100) as u32 }
    }

    /// A request or an answer of a peer, which may fit nothing that was asked.
    fn fetched(&mut self, token: u64, reason: ReplicaRefusal) -> PeerMessage {
        let held = FetchOutcome::Held { set: self.set() };
        let digest = FetchOutcome::Digest { digest: self.set().digest() };
        let refused = FetchOutcome::Refused { reason };
        let (absent, damaged) = (FetchOutcome::Absent, FetchOutcome::Damaged);
        let outcome = self.dice.pick(&[held, digest, refused, absent, damaged]);
        let (refilling, handovers) = (self.dice.one_in(3), self.dice.below(3));
        PeerMessage::Fetched { token, outcome, refilling, handovers }
    }

    fn message(&mut self) -> PeerMessage {
        let tokens = self.tokens.clone();
        let token = self.dice.pick(&tokens);
        let (reason, deadline_ms) = (self.refusal(), self.dice.pick(&[0, 1, 5_000]));
        if self.dice.one_in(8) {
            let wall_ms = self.now.wall_ms + self.dice.pick(&[0, 500, 5_000]);
            let (clock, ask) =
                (PeerMessage::Clock { token, wall_ms }, PeerMessage::AskClock { token });
            return self.dice.pick(&[clock.clone(), clock, ask]);
        }
        match self.dice.below(20) {
            18 => PeerMessage::Explain { token, key: self.record(), deadline_ms },
            19 => self.explained(token, reason),
            15..=17 => self.exchanged(token),
            0 => self.replicate(token, deadline_ms),
            12 => self.hold(token, deadline_ms),
            13 => PeerMessage::Deliver { token, key: self.record(), set: self.set(), deadline_ms },
            14 => self.delivered(token, reason),
            1..=3 => {
                let refused = ReplicateOutcome::Refused { reason };
                let durable = ReplicateOutcome::Durable;
                let outcome = self.dice.pick(&[durable.clone(), durable, refused]);
                PeerMessage::Replicated { token, outcome, held_for: self.dice.below(5) as u8 }
            }
            4 => self.fetch(token, deadline_ms),
            5..=6 => self.fetched(token, reason),
            7 => {
                let hops = self.dice.below(4) as u8;
                PeerMessage::Forward {
                    token: self.dice.next(),
                    hops,
                    request: Box::new(self.request()),
                    deadline_ms,
                }
            }
            8 => {
                let error = Response::Error { error: RequestError::Stopping };
                let response = self.dice.pick(&[Response::Done(Nothing {}), error]);
                PeerMessage::Forwarded { token, response: Box::new(response) }
            }
            9 => {
                let partitions = vec![self.record().partition];
                let (bucket, prefix) = (bucket(), Bytes::new());
                let range = PeerScan {
                    class: ClassId(0),
                    partitions,
                    bucket,
                    prefix,
                    after: None,
                    limit: 9,
                    siblings_only: false,
                };
                PeerMessage::Scan { token, scan: 0, range: Box::new(range), deadline_ms }
            }
            _ => {
                let entries = vec![PeerEntry { key: self.key(), siblings: 1, value_bytes: 1 }];
                let page = ScanOutcome::Page(PeerPage {
                    entries,
                    more: self.dice.one_in(2),
                    through: None,
                });
                let outcome =
                    self.dice.pick(&[page, ScanOutcome::Damaged, ScanOutcome::Refused { reason }]);
                PeerMessage::Scanned { token, scan: self.dice.below(5) as u32, outcome }
            }
        }
    }

    /// Part of an exchange, which may be none that was begun.
    fn exchanged(&mut self, token: u64) -> PeerMessage {
        let number = self.dice.below(9) as u32;
        if self.dice.one_in(3) {
            return PeerMessage::Ask { token, number, question: Box::new(self.question()) };
        }
        PeerMessage::Answered { token, number, answer: Box::new(self.answer()) }
    }

    fn sum(&mut self) -> Sum {
        Sum(self.dice.below(3).into())
    }

    fn contents(&mut self) -> ContentsPage {
        let key = self.record();
        let tag = self.dice.pick(&[None, Some(1)]);
        let keys = vec![ContentsKey { hash: key.key_hash(), key, tag }];
        ContentsPage { keys, more: self.dice.one_in(9) }
    }

    fn question(&mut self) -> Question {
        let key = self.record();
        let (class, partition, scope) = (key.class, key.partition, self.dice.below(2));
        match self.dice.below(4) {
            0 => {
                let (first, count) = (self.dice.below(9) as u32, self.dice.below(9) as u32);
                Question::Range { class, scope, first, count, sum: self.sum() }
            }
            1 => Question::Leaves { class, partition, scope, leaves: Bytes::from(vec![0; 256]) },
            2 => {
                let (from, through) = (KeyHash(0), KeyHash(u128::MAX));
                let keys = Bytes::from(vec![0; self.dice.pick(&[0, 24, 23])]);
                Question::Contents { class, partition, scope, leaves: 1, from, through, keys }
            }
            _ => {
                let set = self.set();
                let digest = Sum(set.live_digest().0);
                Question::Offer { key, clock: set.clock().clone(), digest }
            }
        }
    }

    fn answer(&mut self) -> Answer {
        match self.dice.below(7) {
            0 => Answer::Equal,
            1..=2 => Answer::Parts { sums: (0..8).map(|_| self.sum()).collect() },
            3 => Answer::Leaves { leaves: self.dice.below(3) as u16 },
            4 => {
                let extra = vec![(bucket(), self.key())];
                let (lacking, differing) = (vec![0], vec![self.dice.below(2) as u32]);
                Answer::Contents { lacking, differing, extra, through: KeyHash(u128::MAX) }
            }
            5 => {
                let set = self.set();
                Answer::Offered {
                    set: self.dice.pick(&[None, Some(set)]),
                    wants: self.dice.one_in(2),
                }
            }
            _ => Answer::Refused { reason: Refusal::Busy },
        }
    }

    fn replicate(&mut self, token: u64, deadline_ms: u32) -> PeerMessage {
        let (key, set, way) = (self.record(), self.set(), Way::ReadRepair);
        PeerMessage::Replicate { token, key, set, deadline_ms, way }
    }

    fn fetch(&mut self, token: u64, deadline_ms: u32) -> PeerMessage {
        let (key, digest_only) = (self.record(), self.dice.one_in(2));
        PeerMessage::Fetch { token, key, digest_only, deadline_ms }
    }

    fn explained(&mut self, token: u64, reason: ReplicaRefusal) -> PeerMessage {
        let testimony = Box::new(Testimony {
            node: node_id(self.dice.below(NODES) as usize),
            now_ms: self.now.wall_ms,
            up_ms: 9,
            remembers_ms: 9,
            layout: LayoutLabel { lineage: 1, version: 1, hash: LayoutHash([0; 32]) },
            refilling: self.dice.one_in(2),
            owned: KeptCopy::Absent,
            hinted: KeptCopy::Absent,
            leaf: None,
            peers: Vec::new(),
            events: Vec::new(),
        });
        let refused = PeerMessage::NotExplained { token, reason };
        self.dice.pick(&[PeerMessage::Explained { token, testimony }, refused])
    }

    fn inspection(&mut self, space: Space) -> Inspection {
        let record = Record::new(self.record().in_space(space), self.set());
        let kinds = [Inspected::Absent, Inspected::Damaged, Inspected::Record(record.into())];
        Inspection {
            space,
            found: self.dice.pick(&kinds),
            sequence: Some(5),
            is_synced: self.dice.one_in(2),
            was_in_memory: true,
            location: None,
            is_indexed: false,
            held_ms: None,
        }
    }

    /// Lets the store answer its oldest request, or make something durable.
    fn answer_of_the_store(&mut self) {
        if self.dice.one_in(2)
            && let Some(token) = self.unsynced.pop_front()
        {
            return self.handle(Input::Store(StoreEvent::Durable { token }));
        }
        let Some(request) = self.store.pop_front() else { return };
        let token = request.token();
        if self.dice.one_in(8) {
            let reason = self.dice.pick(&[StoreRefusal::Closing, StoreRefusal::DiskFull]);
            return self.handle(Input::Store(StoreEvent::Refused { token, reason }));
        }
        let refilling = self.dice.one_in(6);
        let event = match request {
            StoreRequest::Apply { change, .. } | StoreRequest::Hold { change, .. } => {
                self.unsynced.push_back(token);
                self.applied(token, change)
            }
            StoreRequest::Read { .. } => {
                let held = Ok(Some(self.set()));
                let result = self.dice.pick(&[held, Ok(None), Err(ReadError::Damaged)]);
                StoreEvent::Read { token, result, refilling }
            }
            StoreRequest::Inspect { key, .. } => {
                let inspection = Box::new(self.inspection(key.space));
                StoreEvent::Inspected { token, inspection, refilling }
            }
            StoreRequest::Scan { .. } => {
                let result =
                    self.dice.pick(&[Ok(ScanPage::default()), Err(ReadError::IndexDamaged)]);
                StoreEvent::Scanned { token, result, refilling }
            }
            StoreRequest::Roots { partitions, .. } => {
                let roots = partitions.iter().map(|_| self.sum()).collect();
                StoreEvent::Roots { token, roots: self.dice.pick(&[Some(roots), None]) }
            }
            StoreRequest::Leaves { .. } => {
                let leaves = Box::new([(); LEAVES].map(|()| self.sum()));
                StoreEvent::Leaves { token, leaves: self.dice.pick(&[Some(leaves), None]) }
            }
            StoreRequest::Contents { .. } => {
                let page = self.contents();
                let result = self.dice.pick(&[Ok(page), Err(ReadError::IndexDamaged)]);
                StoreEvent::Contents { token, result }
            }
            StoreRequest::Release { .. } => return self.unsynced.push_back(token),
            StoreRequest::ListHints { .. } => {
                let (some, more) = (self.dice.below(3) as usize, self.dice.one_in(2));
                let keys = match self.is_ending {
                    true => Vec::new(),
                    false => vec![self.record().in_space(Space::Hinted); some],
                };
                let more = more && !keys.is_empty();
                StoreEvent::Hints {
                    token,
                    keys,
                    more,
                    unread: !self.is_ending && self.dice.one_in(4),
                }
            }
            StoreRequest::Remove { .. } => unreachable!("an engine removes nothing"),
        };
        self.handle(Input::Store(event));
    }

    fn applied(&mut self, token: Token, change: Apply) -> StoreEvent {
        let held = self.set();
        match change {
            Apply::Merge { set } => {
                let set = EncodedSet::new(&held.merge(&set));
                StoreEvent::Applied { token, set, minted: None, changed: true }
            }
            Apply::Update { operation, change, .. } if knows(&held, operation, &change) => {
                StoreEvent::Applied { token, set: held, minted: None, changed: false }
            }
            Apply::Update { replaces, change, operation } => {
                match held.mint(Actor(9), replaces, change, operation) {
                    Ok(minted) => {
                        let set = EncodedSet::new(&minted.set);
                        let minted = Some(MintedDot { dot: minted.dot, replaced: minted.replaced });
                        StoreEvent::Applied { token, set, minted, changed: true }
                    }
                    Err(refusal) => {
                        self.unsynced.pop_back();
                        let reason = match refusal {
                            MintRefusal::Operation(refusal) => StoreRefusal::Operation(refusal),
                            MintRefusal::TooManySiblings => StoreRefusal::TooManySiblings,
                            MintRefusal::NothingToDelete => StoreRefusal::NothingToDelete,
                        };
                        StoreEvent::Refused { token, reason }
                    }
                }
            }
        }
    }

    /// Everybody falls silent, the store answers what it was asked, and time runs out.
    fn end(&mut self) {
        for node in (1..NODES as usize).map(node_id) {
            self.handle(Input::PeerDown { node });
        }
        self.is_ending = true;
        // Deliveries that nobody acknowledges are given up in a few rounds.
        for _ in 0..20 {
            while !self.store.is_empty() || !self.unsynced.is_empty() {
                self.answer_of_the_store();
            }
            self.now = Now { mono_ns: self.now.after_ms(120_000), wall_ms: self.now.wall_ms };
            self.handle(Input::Tick);
        }
        assert_eq!(self.answered.len() as u64, self.requests, "every request is answered");
        let stats = self.engine.stats();
        let left = (stats.requests, stats.replica_tasks, stats.deliveries);
        assert_eq!(left, (0, 0, 0), "nothing is left behind");
        assert_eq!(self.engine.next_deadline(), None);
    }
}

/// Whether a store would take the update for one that came before.
fn knows(set: &VersionSet, operation: OperationId, change: &Change) -> bool {
    let is_mergeable = matches!(change, Change::Operation(_));
    set.find_operation(operation).is_some()
        || (is_mergeable && mergeable::remembering(set, operation).is_some())
}

fn token_of(message: &PeerMessage) -> Option<u64> {
    match message {
        PeerMessage::Replicate { token, .. }
        | PeerMessage::Fetch { token, .. }
        | PeerMessage::Hold { token, .. }
        | PeerMessage::Deliver { token, .. }
        | PeerMessage::Forward { token, .. }
        | PeerMessage::AskClock { token }
        | PeerMessage::Explain { token, .. }
        | PeerMessage::Ask { token, .. }
        | PeerMessage::Scan { token, .. } => Some(*token),
        _ => None,
    }
}

/// What one history came to.
#[derive(PartialEq, Eq, Debug)]
struct Ran {
    requests: u64,
    is_poisoned: bool,
    effects: blake3::Hash,
}

fn run(seed: u64) -> Ran {
    let _seed = Seed(seed);
    let mut world = World::new(seed);
    for _ in 0..INPUTS {
        world.step();
    }
    world.end();
    let (requests, is_poisoned) = (world.requests, world.is_poisoned);
    Ran { requests, is_poisoned, effects: world.effects.finalize() }
}

#[test]
fn every_client_is_answered_once_whatever_happens() {
    let ran: Vec<Ran> = (0..SEEDS).map(run).collect();
    assert!(ran.iter().any(|ran| ran.is_poisoned), "some stores must fail");
    assert!(ran.iter().any(|ran| !ran.is_poisoned && ran.requests > 50), "and some must not");
}

#[test]
fn the_same_inputs_have_the_same_effects() {
    for seed in 0..10 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}
