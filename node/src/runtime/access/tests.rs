//! Tokens as facts: who is let in, what a token allows, and that nothing undoes a revocation.

use bytes::Bytes;
use kvorum_gossip::{Fact, FactKey, FactSet, FactVersion};
use kvorum_protocol::codec::{self, Tagged};
use kvorum_protocol::message::{
    AccessRefusal, BatchGet, BatchPut, Bucket, BucketRequest, BucketSet, Delete, Diag, Get,
    HintsAsk, List, Needed, Nothing, Put, Repair, RepairTarget, Replacing, Revocation, TokenCreate,
    TokenRevoke, TokenTerms, Why,
};
use kvorum_protocol::{
    AccessToken, BucketName, BucketSettings, Key, OperationId, Request, RequestError,
    RequestOptions, Rights, ShownToken, TokenId,
};
use kvorum_ring::{ClassId, KeyHash, NodeId, PartitionId};

use super::{AccessTokens, Caller, Shown};

const NOW_MS: u64 = 1_800_000_000_000;

fn token(id: u64) -> AccessToken {
    AccessToken::new(TokenId(id), [id as u8; 32])
}

fn terms(id: u64, grants: &[&str], expires_at_ms: Option<u64>) -> TokenTerms {
    TokenTerms {
        name: "test".parse().unwrap(),
        digest: token(id).digest(),
        grants: grants.iter().map(|grant| grant.parse().unwrap()).collect(),
        created_at_ms: NOW_MS - 1,
        expires_at_ms,
        in_flight: None,
        rate: None,
    }
}

fn made(terms: &TokenTerms, id: u64, lamport: u64) -> Fact {
    let version = FactVersion { lamport, node: NodeId(1) };
    Fact::new(FactKey::token(id), version, codec::encode(terms))
}

fn revoked(id: u64, lamport: u64, body: impl Into<Bytes>) -> Fact {
    Fact::new(FactKey::revocation(id), FactVersion { lamport, node: NodeId(2) }, body)
}

fn known(facts: &[Fact]) -> AccessTokens {
    let mut set = FactSet::default();
    facts.iter().for_each(|fact| {
        set.merge(fact.clone());
    });
    AccessTokens::of(&set)
}

fn admit(tokens: &AccessTokens, token: &AccessToken, now_ms: u64) -> Result<Caller, AccessRefusal> {
    tokens.admit(Shown::Nothing, &token.into(), now_ms)
}

fn bucket(name: &str) -> BucketName {
    name.parse().unwrap()
}

/// One request of every kind, about this bucket where it is about one.
fn requests(name: &str) -> Vec<Request> {
    let (bucket, key) = (bucket(name), Key::new("k").unwrap());
    let options = RequestOptions::new(OperationId(1));
    let replaces = Replacing::Latest;
    let settings = Bucket { name: bucket.clone(), settings: BucketSettings::default() };
    let list = List {
        bucket: bucket.clone(),
        prefix: Bytes::new(),
        after: None,
        limit: 1,
        partial: false,
        options: options.clone(),
    };
    let (create, set) = (BucketSet { bucket: settings.clone() }, BucketSet { bucket: settings });
    vec![
        Request::Put(Put {
            bucket: bucket.clone(),
            key: key.clone(),
            value: Bytes::new(),
            replaces: replaces.clone(),
            options: options.clone(),
            expires_at_ms: None,
        }),
        Request::Delete(Delete {
            bucket: bucket.clone(),
            key: key.clone(),
            replaces,
            options: options.clone(),
        }),
        Request::BatchPut(BatchPut {
            bucket: bucket.clone(),
            items: Vec::new(),
            options: options.clone(),
        }),
        Request::Get(Get { bucket: bucket.clone(), key: key.clone(), options: options.clone() }),
        Request::List(list.clone()),
        Request::Why(Why { bucket: bucket.clone(), key: key.clone(), options: options.clone() }),
        Request::Conflicts(list),
        Request::BatchGet(BatchGet {
            bucket: bucket.clone(),
            keys: Vec::new(),
            options: options.clone(),
        }),
        Request::Repair(Repair {
            target: RepairTarget::Key { bucket: bucket.clone(), key: key.clone() },
            options: options.clone(),
        }),
        Request::Repair(Repair {
            target: RepairTarget::Partition {
                class: ClassId(0),
                partition: PartitionId(0),
                from: KeyHash(0),
            },
            options,
        }),
        Request::BucketCreate(create),
        Request::BucketSet(set),
        Request::BucketShow(BucketRequest { name: bucket }),
        Request::BucketList(Nothing {}),
        Request::Topology(Nothing {}),
        Request::Status(Nothing {}),
        Request::Diag(Diag { sections: Vec::new() }),
        Request::Hints(HintsAsk { paused: None }),
        Request::TokenCreate(TokenCreate { id: TokenId(9), terms: terms(9, &["*:read"], None) }),
        Request::TokenList(Nothing {}),
        Request::TokenRevoke(TokenRevoke { id: TokenId(9), revoked_at_ms: 1 }),
    ]
}

/// The tags of what a token with these grants may ask about bucket `shop`.
fn allowed(grants: &[&str]) -> Vec<u32> {
    let tokens = known(&[made(&terms(1, grants, None), 1, 1)]);
    let caller = admit(&tokens, &token(1), NOW_MS).unwrap();
    let all = requests("shop");
    let may = |request: &&Request| tokens.check(caller, request, NOW_MS).is_ok();
    all.iter().filter(may).map(Tagged::tag).collect()
}

#[test]
fn every_right_allows_its_requests_and_no_others() {
    // Listing buckets, topology and status are for every token.
    let with = |tags: &[u32]| [tags, &[33, 20, 21]].concat();
    assert_eq!(allowed(&["shop:read"]), with(&[11, 13, 28, 29, 15, 32]));
    assert_eq!(allowed(&["shop:write"]), with(&[10, 12, 14, 24, 32]));
    assert_eq!(allowed(&["shop:admin"]), with(&[30, 31, 32]));
    assert_eq!(allowed(&["other:read,write,admin"]), with(&[]));
    let everything = allowed(&["*:read,write,admin"]);
    assert_eq!(
        everything,
        with(&[10, 12, 14, 11, 13, 28, 29, 15, 24, 30, 31, 32]),
        "but not the operator's"
    );

    let tokens = known(&[]);
    let all = requests("shop");
    assert!(all.iter().all(|request| tokens.check(Caller::Operator, request, NOW_MS).is_ok()));
}

#[test]
fn a_refusal_says_what_is_needed() {
    let tokens = known(&[made(&terms(1, &["shop:read"], None), 1, 1)]);
    let caller = admit(&tokens, &token(1), NOW_MS).unwrap();
    let all = requests("shop");
    let needed = Needed::Rights { bucket: bucket("shop"), rights: Rights::WRITE };
    let refused = tokens.check(caller, &all[0], NOW_MS);
    assert_eq!(refused, Err(RequestError::Forbidden { needed }));
    let refused = tokens.check(caller, all.last().unwrap(), NOW_MS).unwrap_err();
    assert_eq!(refused, RequestError::Forbidden { needed: Needed::Operator });
    assert!(tokens.sees(caller, &bucket("shop")) && !tokens.sees(caller, &bucket("other")));
}

#[test]
fn only_the_very_secret_lets_in() {
    let tokens = known(&[made(&terms(1, &["*:read"], None), 1, 1)]);
    assert_eq!(admit(&tokens, &token(1), NOW_MS), Ok(Caller::Token(TokenId(1))));
    for bit in 0..256 {
        let mut secret = [1; 32];
        secret[bit / 8] ^= 1 << (bit % 8);
        let forged = AccessToken::new(TokenId(1), secret);
        assert_eq!(admit(&tokens, &forged, NOW_MS), Err(AccessRefusal::Wrong), "bit {bit}");
    }
    // What nodes store is no token either, nor is another token's secret under this id.
    let stored = AccessToken::new(TokenId(1), token(1).digest().0);
    let borrowed = AccessToken::new(TokenId(2), [1; 32]);
    for wrong in [stored, borrowed, token(2)] {
        assert_eq!(admit(&tokens, &wrong, NOW_MS), Err(AccessRefusal::Wrong));
    }
}

#[test]
fn without_a_token_the_certificate_decides_and_with_one_the_token_alone() {
    let tokens = known(&[made(&terms(1, &["*:read"], None), 1, 1)]);
    let nothing = &ShownToken::NOTHING;
    assert_eq!(tokens.admit(Shown::Certificate, nothing, NOW_MS), Ok(Caller::Operator));
    assert_eq!(tokens.admit(Shown::Development, nothing, NOW_MS), Ok(Caller::Operator));
    assert_eq!(tokens.admit(Shown::Nothing, nothing, NOW_MS), Err(AccessRefusal::Nothing));
    for shown in [Shown::Certificate, Shown::Development, Shown::Nothing] {
        let admitted = tokens.admit(shown, &(&token(1)).into(), NOW_MS);
        assert_eq!(admitted, Ok(Caller::Token(TokenId(1))));
        assert_eq!(tokens.admit(shown, &(&token(2)).into(), NOW_MS), Err(AccessRefusal::Wrong));
    }
}

#[test]
fn an_expired_token_is_refused_in_the_greeting_and_at_the_next_request() {
    let tokens = known(&[made(&terms(1, &["*:read"], Some(NOW_MS)), 1, 1)]);
    let caller = admit(&tokens, &token(1), NOW_MS - 1).unwrap();
    let topology = Request::Topology(Nothing {});
    assert_eq!(tokens.check(caller, &topology, NOW_MS - 1), Ok(()));
    let expired = AccessRefusal::Expired;
    assert_eq!(admit(&tokens, &token(1), NOW_MS), Err(expired));
    let refused = tokens.check(caller, &topology, NOW_MS);
    assert_eq!(refused, Err(RequestError::Unauthenticated { reason: expired }));
}

#[test]
fn nothing_undoes_a_revocation_in_whatever_order_it_comes() {
    let body = codec::encode(&Revocation { revoked_at_ms: NOW_MS });
    let terms = terms(1, &["*:read"], None);
    // The token is written again, with the highest version there can be; the revocation has the lowest.
    let facts = [made(&terms, 1, 5), revoked(1, 1, body), made(&terms, 1, 1 << 48)];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let tokens = known(&order.map(|index| facts[index].clone()));
        assert_eq!(admit(&tokens, &token(1), NOW_MS), Err(AccessRefusal::Revoked), "{order:?}");
        assert_eq!(tokens.listed(TokenId(1)).unwrap().revoked_at_ms, Some(NOW_MS));
        let refused = tokens.check(Caller::Token(TokenId(1)), &requests("shop")[0], NOW_MS);
        let reason = AccessRefusal::Revoked;
        assert_eq!(refused, Err(RequestError::Unauthenticated { reason }));
    }
    // A revocation that cannot be read is one.
    let tokens = known(&[facts[0].clone(), revoked(1, 1, "damaged")]);
    assert_eq!(admit(&tokens, &token(1), NOW_MS), Err(AccessRefusal::Revoked));
    // Terms that cannot be read let nobody in.
    let version = FactVersion { lamport: 1, node: NodeId(1) };
    let tokens = known(&[Fact::new(FactKey::token(1), version, "damaged")]);
    assert_eq!(admit(&tokens, &token(1), NOW_MS), Err(AccessRefusal::Wrong));
}
