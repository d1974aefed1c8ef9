//! One value of every message and stored thing, for the tests of the encoding.

#![allow(dead_code)] // Each test target uses a part.

pub(crate) mod why;

use bytes::Bytes;
use kvorum_protocol::codec::Surplus;
use kvorum_protocol::mergeable::{
    Event, FieldChange, Joined, JoinedField, Operation, Stamped, State,
};
use kvorum_protocol::message::{
    AccessRefusal, HintsAsk, HintsDone, ListedToken, Needed, TargetHints, TokenCreate, TokenRevoke,
    TokenTerms, Tokens,
};
use kvorum_protocol::message::{
    ArgumentKind, BatchGet, BatchGetDone, BatchPut, BatchPutDone, Bucket, BucketRequest, BucketSet,
    BucketSettings, Buckets, Delete, Diag, DiagSection, Diagnosis, Features, Get, GetDone,
    GetOutcome, GetValue, Greeting, Hello, LayoutLabel, LimitKind, List, ListDone, ListItem,
    NodeStatus, Nothing, OwnerCause, OwnerFailure, PeerStatus, Put, PutDone, PutItem, PutOutcome,
    Replacing, Request, RequestError, RequestOptions, Response, StatusDone, TaskStatus,
    TopologyDone, TopologyNode, Welcome,
};
use kvorum_protocol::message::{MergedDone, Update, UpdateDone, Why};
use kvorum_protocol::message::{Repair, RepairDone, RepairHolding, RepairTarget, RepairedOwner};
use kvorum_protocol::{AccessToken, Grant, Rights, TokenId};
use kvorum_protocol::{
    Actor, BucketName, Change, Clock, Context, ContextError, ContextKeys, Dot, EncodedSet, Key,
    Mark, OperationId, Record, RecordKey, Replaces, Run, SetDigest, Space, VersionSet,
};
use kvorum_ring::{ClassId, KeyHash, NodeId, PartitionCount, PartitionId};

pub(crate) const OPERATION: OperationId = OperationId(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
pub(crate) const NODE: NodeId = NodeId(0xf0e0_d0c0_b0a0_9080_7060_5040_3020_1000);
pub(crate) const KEYS: ContextKeys = ContextKeys { current: [7; 32], previous: Some([6; 32]) };

pub(crate) fn bucket() -> BucketName {
    "default".parse().expect("a bucket name")
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(text.to_owned()).expect("a key")
}

pub(crate) fn clock() -> Clock {
    Clock::of([(Actor(1), 300), (Actor(0xfeed_face_cafe_beef), 2)])
}

pub(crate) fn context() -> Context {
    KEYS.seal(&bucket(), &key("greeting"), &clock())
}

pub(crate) fn value(text: &'static str) -> Change {
    Change::Value { bytes: Bytes::from_static(text.as_bytes()), expires_at_ms: None }
}

/// Two siblings, one of which replaced something, an expiry, and a delete that nothing replaced.
pub(crate) fn version_set() -> VersionSet {
    let known = Clock::of([(Actor(9), 1)]);
    let mut set = VersionSet::from_parts(known.clone(), Vec::new(), Vec::new(), Surplus::NONE)
        .expect("a valid set");
    let expiring = Change::Value {
        bytes: Bytes::from_static(b"expires"),
        expires_at_ms: Some(1_800_000_000_000),
    };
    let steps = [
        (Actor(0x1111_2222_3333_4444), Replaces::Latest, value("first")),
        (Actor(0x1111_2222_3333_4444), Replaces::Latest, value("second")),
        (Actor(0xaaaa_bbbb_cccc_dddd), Replaces::Nothing, expiring),
        (Actor(0xaaaa_bbbb_cccc_dddd), Replaces::Context(known), Change::Delete),
    ];
    for (number, (actor, replaces, change)) in steps.into_iter().enumerate() {
        set =
            set.mint(actor, replaces, change, OperationId(number as u128 + 1)).expect("minted").set;
    }
    set
}

pub(crate) fn record_key() -> RecordKey {
    RecordKey::new(ClassId(0), PartitionCount::default(), bucket(), key("greeting"))
}

pub(crate) fn record() -> Record {
    Record {
        mark: Some(Mark { actor: Actor(0xaaaa_bbbb_cccc_dddd), run: Run(3) }),
        hinted_for: vec![NODE, NodeId(5)],
        spare: true,
        ..Record::new(record_key().in_space(Space::Hinted), EncodedSet::new(&version_set()))
    }
}

/// One state of each kind, after a few operations of two actors that met once.
pub(crate) fn states() -> Vec<(&'static str, State)> {
    let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
    let change = |name, change| FieldChange { name: bytes(name), change };
    let elements = |texts: &[&'static str]| texts.iter().copied().map(bytes).collect();
    let fields = vec![
        change("logins", Operation::Increment { by: 3 }),
        change("name", Operation::Assign { value: bytes("Ada") }),
        change("tags", Operation::Add { elements: elements(&["new"]) }),
    ];
    let kinds = [
        (
            "counter-state-1",
            [
                Operation::Increment { by: 300 },
                Operation::Decrement { by: 1 },
                Operation::Increment { by: 7 },
            ],
        ),
        (
            "set-state-1",
            [
                Operation::Add { elements: elements(&["apple", "pear"]) },
                Operation::Remove { elements: elements(&["pear"]) },
                Operation::Add { elements: elements(&["plum"]) },
            ],
        ),
        (
            "register-state-1",
            [
                Operation::Assign { value: bytes("first") },
                Operation::Assign { value: bytes("second") },
                Operation::Assign { value: bytes("other") },
            ],
        ),
        (
            "map-state-1",
            [
                Operation::Fields { changes: fields },
                Operation::Fields { changes: vec![change("name", Operation::Clear)] },
                Operation::Fields {
                    changes: vec![change("logins", Operation::Decrement { by: 1 })],
                },
            ],
        ),
    ];
    let state = |operations: [Operation; 3]| {
        let [first, second, concurrent] = operations;
        let event = |actor, counter, operation| Event {
            dot: Dot::new(Actor(actor), counter),
            operation: OperationId(operation),
        };
        let begun = State::empty_for(&first).applied(event(1, 1, 1), &first).expect("applies");
        let one = begun.applied(event(1, 4, 2), &second).expect("applies");
        let other = begun.applied(event(u64::MAX, 1, 3), &concurrent).expect("applies");
        one.join(&other).expect("one kind")
    };
    kinds.into_iter().map(|(name, operations)| (name, state(operations))).collect()
}

pub(crate) fn stamped() -> Stamped {
    Stamped { at_ms: 1_800_000_000_000, value: Bytes::from_static(b"the last one") }
}

pub(crate) fn options() -> RequestOptions {
    RequestOptions {
        r: Some(2),
        strict: true,
        deadline_ms: 1_500,
        ..RequestOptions::new(OPERATION)
    }
}

pub(crate) fn put() -> Request {
    Request::Put(Put {
        bucket: bucket(),
        key: key("greeting"),
        value: Bytes::from_static(b"hello"),
        replaces: Replacing::Context { context: context() },
        options: options(),
        expires_at_ms: Some(1_800_000_000_000),
    })
}

pub(crate) fn get() -> Request {
    Request::Get(Get { bucket: bucket(), key: key("greeting"), options: options() })
}

pub(crate) fn bucket_settings() -> Bucket {
    let settings =
        BucketSettings { class: ClassId(1), r: Some(1), w: Some(3), ..BucketSettings::default() };
    Bucket { name: bucket(), settings }
}

pub(crate) fn token() -> AccessToken {
    AccessToken::new(TokenId(0x0123_4567_89ab_cdef), [0x5a; 32])
}

pub(crate) fn token_terms() -> TokenTerms {
    TokenTerms {
        name: "orders".parse().expect("a token's name"),
        digest: token().digest(),
        grants: vec![
            Grant { bucket: Some(bucket()), rights: Rights::READ | Rights::WRITE },
            Grant { bucket: None, rights: Rights::READ },
        ],
        created_at_ms: 1_790_000_000_000,
        expires_at_ms: Some(1_800_000_000_000),
        in_flight: Some(64),
        rate: Some(1_000),
    }
}

fn listed_token() -> ListedToken {
    let TokenTerms { name, grants, created_at_ms, expires_at_ms, in_flight, rate, .. } =
        token_terms();
    ListedToken {
        id: token().id(),
        name,
        grants,
        created_at_ms,
        expires_at_ms,
        revoked_at_ms: Some(1_795_000_000_000),
        in_flight,
        rate,
    }
}

pub(crate) fn requests() -> Vec<Request> {
    let items =
        [("a", Replacing::Latest), ("b", Replacing::Nothing)].map(|(name, replaces)| PutItem {
            key: key(name),
            value: Bytes::from_static(b"v"),
            replaces,
            operation: OPERATION,
            expires_at_ms: None,
        });
    vec![
        put(),
        get(),
        Request::Delete(Delete {
            bucket: bucket(),
            key: key("greeting"),
            replaces: Replacing::Latest,
            options: RequestOptions::new(OPERATION),
        }),
        Request::List(List {
            bucket: bucket(),
            prefix: Bytes::from_static(b"gre"),
            after: Some(key("green")),
            limit: 100,
            partial: true,
            options: options(),
        }),
        Request::BatchPut(BatchPut { bucket: bucket(), items: items.into(), options: options() }),
        Request::BatchGet(BatchGet {
            bucket: bucket(),
            keys: vec![key("a"), key("b")],
            options: options(),
        }),
        Request::Topology(Nothing {}),
        Request::Status(Nothing {}),
        Request::Diag(Diag { sections: vec!["store".to_owned()] }),
        Request::Repair(Repair {
            target: RepairTarget::Partition {
                class: ClassId(0),
                partition: PartitionId(4_095),
                from: KeyHash(0xfff << 116 | 1),
            },
            options: options(),
        }),
        Request::Repair(Repair {
            target: RepairTarget::Key { bucket: bucket(), key: key("greeting") },
            options: options(),
        }),
        Request::Hints(HintsAsk { paused: Some(true) }),
        Request::Why(Why { bucket: bucket(), key: key("greeting"), options: options() }),
        Request::Conflicts(List {
            bucket: bucket(),
            prefix: Bytes::from_static(b"gre"),
            after: None,
            limit: 100,
            partial: false,
            options: options(),
        }),
        Request::BucketCreate(BucketSet { bucket: bucket_settings() }),
        Request::BucketSet(BucketSet { bucket: bucket_settings() }),
        Request::BucketShow(BucketRequest { name: bucket() }),
        Request::BucketList(Nothing {}),
        Request::TokenCreate(TokenCreate { id: token().id(), terms: token_terms() }),
        Request::TokenList(Nothing {}),
        Request::TokenRevoke(TokenRevoke { id: token().id(), revoked_at_ms: 1_800_000_000_000 }),
        update(Operation::Increment { by: 300 }),
        update(every_change()),
    ]
}

pub(crate) fn update(change: Operation) -> Request {
    let bucket = "merged".parse().expect("a bucket name");
    Request::Update(Update { bucket, key: key("greeting"), change, options: options() })
}

/// Every operation that a field can have.
fn every_change() -> Operation {
    let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
    let change = |name, change| FieldChange { name: bytes(name), change };
    Operation::Fields {
        changes: vec![
            change("logins", Operation::Increment { by: 1 }),
            change("credit", Operation::Decrement { by: 70_000 }),
            change("tags", Operation::Add { elements: vec![bytes("new"), bytes("paid")] }),
            change("seen", Operation::Remove { elements: vec![bytes("offer")] }),
            change("name", Operation::Assign { value: bytes("Ada") }),
            change("mail", Operation::Clear),
        ],
    }
}

/// Every kind of value, a map of which holds the others.
pub(crate) fn merged_done() -> MergedDone {
    let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
    let field = |name, value| JoinedField { name: bytes(name), value };
    let fields = vec![
        field("credit", Joined::Counter { negative: true, magnitude: 70_000 }),
        field("name", Joined::Register { values: vec![bytes("Ada")] }),
        field("tags", Joined::Set { elements: vec![bytes("new"), bytes("paid")] }),
    ];
    MergedDone {
        value: Some(Joined::Map { fields }),
        context: Some(context()),
        complete: true,
        owners: 3,
        fallbacks: 0,
        needed: 2,
    }
}

pub(crate) fn update_done() -> UpdateDone {
    UpdateDone {
        dot: Dot::new(Actor(0x1111_2222_3333_4444), 3),
        acked_owners: 2,
        acked_fallbacks: 1,
        needed: 2,
        retry_checked: true,
        value: Some(Joined::Counter { negative: true, magnitude: 5 }),
    }
}

pub(crate) fn put_done() -> PutDone {
    PutDone {
        context: Some(context()),
        dot: Dot::new(Actor(0x1111_2222_3333_4444), 3),
        replaced: vec![Dot::new(Actor(1), 2)],
        acked_owners: 2,
        acked_fallbacks: 1,
        needed: 2,
        retry_checked: false,
    }
}

pub(crate) fn get_done() -> GetDone {
    let value = GetValue {
        dot: Dot::new(Actor(0x1111_2222_3333_4444), 3),
        value: Bytes::from_static(b"hello"),
        expires_at_ms: Some(1_800_000_000_000),
    };
    GetDone {
        values: vec![value],
        context: Some(context()),
        complete: true,
        owners: 3,
        fallbacks: 0,
        needed: 2,
    }
}

fn topology() -> TopologyDone {
    let node = TopologyNode {
        id: NODE,
        name: "n1".to_owned(),
        zone: "default".to_owned(),
        weight: 100,
        peer_address: "127.0.0.1:7400".to_owned(),
        client_address: "127.0.0.1:7401".to_owned(),
        admin_address: "127.0.0.1:7402".to_owned(),
        up: true,
    };
    let hash = kvorum_protocol::message::topology::LayoutHash([9; 32]);
    TopologyDone {
        cluster_name: "demo".to_owned(),
        node: NODE,
        nodes: vec![node],
        layout_name: LayoutLabel { lineage: 1, version: 2, hash },
        layout: Bytes::from_static(b"body"),
        partitions: 4_096,
    }
}

fn status() -> StatusDone {
    let node = NodeStatus {
        node: NODE,
        name: "n1".to_owned(),
        version: "0.1.0".to_owned(),
        run: 3,
        uptime_ms: 60_000,
        keys: 1_000_000,
        log_bytes: 1 << 30,
        live_bytes: 1 << 29,
        index_backlog: 17,
        refilling: false,
        requests: 12_345,
        hinted_keys: 2,
        certificate_expires_at_ms: 1_900_000_000_000,
    };
    let peer = PeerStatus { node: NodeId(5), name: "n2".to_owned(), up: false, p95_us: 900 };
    let task = TaskStatus { name: "compaction".to_owned(), done: 1, total: 4, paused: true };
    StatusDone { node, peers: vec![peer], tasks: vec![task], below_quorum: 1, degraded: 70_000 }
}

fn repair_done() -> RepairDone {
    let record = RepairHolding::Record { values: 2, bytes: 300, digest: SetDigest([7; 16]) };
    let owner = |node, before, given, cause| RepairedOwner {
        node,
        before,
        given,
        bytes: given * 300,
        cause,
    };
    RepairDone {
        owners: vec![
            owner(NODE, Some(record), 0, None),
            owner(NodeId(5), Some(RepairHolding::Nothing), 1, None),
            owner(NodeId(6), None, 0, Some(OwnerCause::Unreachable)),
        ],
        after: Some(record),
        compared: 1,
        differing: 1,
        left: 1,
        next: Some(KeyHash(0xfff << 116 | 2)),
    }
}

fn hints() -> HintsDone {
    let target = TargetHints {
        node: NodeId(5),
        name: "n2".to_owned(),
        up: false,
        keys: 3,
        bytes: 4_096,
        bearing: 1,
        oldest_ms: 90_000,
    };
    HintsDone {
        paused: true,
        keys: 3,
        unread: 0,
        bearing: 1,
        bearing_bytes: 1_024,
        spare_bytes: 3_072,
        delivered: 17,
        dropped: 2,
        refused: 5,
        damaged: 1,
        targets: vec![target],
        unreadable: 1,
        unread_bytes: 2_048,
        spare_refused: 6,
    }
}

pub(crate) fn errors() -> Vec<RequestError> {
    let causes = vec![
        OwnerFailure { node: NODE, cause: OwnerCause::TimedOut },
        OwnerFailure { node: NodeId(5), cause: OwnerCause::Other(77) },
    ];
    vec![
        RequestError::Unavailable { needed: 2, got: 1, causes: causes.clone() },
        RequestError::AppliedBelowW { needed: 2, got: 1, operation: OPERATION, causes },
        RequestError::OutcomeUnknown { operation: OPERATION },
        RequestError::Overloaded { retry_after_ms: 250 },
        RequestError::BadContext { reason: ContextError::Tag },
        RequestError::NoSuchBucket,
        RequestError::BucketExists,
        RequestError::InvalidArgument { argument: ArgumentKind::WriteQuorum },
        RequestError::TooLarge { what: LimitKind::Value, size: 2 << 20, limit: 1 << 20 },
        RequestError::TooManySiblings,
        RequestError::DeadlineExceeded,
        RequestError::WrongLayout,
        RequestError::Moved,
        RequestError::Damaged,
        RequestError::NotAllowed,
        RequestError::UnsupportedVersion { min: 1, max: 3 },
        RequestError::Uncovered { partitions: 12 },
        RequestError::DiskFull,
        RequestError::Stopping,
        RequestError::Unauthenticated { reason: AccessRefusal::Revoked },
        RequestError::Forbidden {
            needed: Needed::Rights { bucket: bucket(), rights: Rights::READ | Rights::WRITE },
        },
        RequestError::NoSuchToken,
        RequestError::WrongLayout.of_retry(OPERATION),
        RequestError::ClockSkew { skew_ms: 3_600_000 },
        RequestError::Other(200),
    ]
}

pub(crate) fn responses() -> Vec<Response> {
    let failed = RequestError::TooManySiblings;
    let item = ListItem { key: key("greeting"), siblings: 2, value_bytes: 10 };
    let section = DiagSection { name: "store".to_owned(), text: "one line\n".to_owned() };
    let mut responses: Vec<Response> =
        errors().into_iter().map(|error| Response::Error { error }).collect();
    responses.extend([
        Response::Done(Nothing {}),
        Response::Put(put_done()),
        Response::Get(get_done()),
        Response::List(ListDone {
            items: vec![item],
            next: Some(key("greeting")),
            uncovered: vec![PartitionId(4_095)],
        }),
        Response::BatchPut(BatchPutDone {
            outcomes: vec![
                PutOutcome::Done(put_done()),
                PutOutcome::Failed { error: failed.clone() },
            ],
        }),
        Response::BatchGet(BatchGetDone {
            outcomes: vec![GetOutcome::Done(get_done()), GetOutcome::Failed { error: failed }],
        }),
        Response::Topology(topology()),
        Response::Status(status()),
        Response::Diag(Diagnosis { sections: vec![section] }),
        Response::Repair(repair_done()),
        Response::Hints(hints()),
        Response::Why(why::why_done()),
        Response::Conflicts(ListDone {
            items: vec![ListItem { key: key("greeting"), siblings: 2, value_bytes: 10 }],
            next: None,
            uncovered: Vec::new(),
        }),
        Response::Buckets(Buckets { buckets: vec![bucket_settings()] }),
        Response::Tokens(Tokens { tokens: vec![listed_token()] }),
        Response::Update(update_done()),
        Response::Merged(merged_done()),
        Response::BatchGet(BatchGetDone {
            outcomes: vec![GetOutcome::Merged(MergedDone {
                value: None,
                context: None,
                complete: false,
                ..merged_done()
            })],
        }),
    ]);
    responses
}

pub(crate) fn greetings() -> Vec<Greeting> {
    vec![
        Greeting::Hello(Hello::current()),
        Greeting::Welcome(Welcome {
            protocol: 1,
            features: Features(5),
            node: NODE,
            cluster_name: "demo".to_owned(),
        }),
        Greeting::Refused { error: RequestError::UnsupportedVersion { min: 1, max: 1 } },
        Greeting::Hello(Hello::current().with_token(&token())),
    ]
}
