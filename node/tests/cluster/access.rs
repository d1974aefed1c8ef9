//! Access tokens on whole nodes: made on one they hold on all, revoked on one they hold nowhere.

use kvorum_protocol::message::{
    AccessRefusal, ArgumentKind, Needed, Nothing, TokenCreate, TokenRevoke, TokenTerms, Tokens,
};
use kvorum_protocol::{AccessToken, OperationId, Request, RequestError, Response, Rights, TokenId};

use crate::client::{Client, values};
use crate::nodes::{TestNode, eventually, started};

fn token() -> AccessToken {
    AccessToken::new(TokenId(7), [7; 32])
}

pub(crate) fn create(token: &AccessToken, grants: &[&str]) -> Request {
    create_limited(token, grants, [None, None])
}

/// With limits on requests in flight and on their rate.
pub(crate) fn create_limited(
    token: &AccessToken,
    grants: &[&str],
    [in_flight, rate]: [Option<u32>; 2],
) -> Request {
    let terms = TokenTerms {
        name: "shop".parse().unwrap(),
        digest: token.digest(),
        grants: grants.iter().map(|grant| grant.parse().unwrap()).collect(),
        created_at_ms: 1,
        expires_at_ms: None,
        in_flight,
        rate,
    };
    Request::TokenCreate(TokenCreate { id: token.id(), terms })
}

fn revoke(token: &AccessToken) -> Request {
    Request::TokenRevoke(TokenRevoke { id: token.id(), revoked_at_ms: 2 })
}

pub(crate) fn bearer(node: &TestNode, token: &AccessToken) -> Result<Client, RequestError> {
    eventually("a node that listens", || Client::with_token(node.config.listen.clients, token).ok())
}

#[track_caller]
fn error(response: Response) -> RequestError {
    match response {
        Response::Error { error } => error,
        other => panic!("an error, not {other:?}"),
    }
}

#[test]
fn a_token_made_on_one_node_holds_on_all_and_revoked_on_one_it_holds_nowhere_not_even_on_open_connections()
 {
    let mut cluster = started(3);
    let made = cluster.nodes[0].client().ask(&create(&token(), &["default:read,write"]));
    assert!(matches!(made, Response::Tokens(_)), "{made:?}");
    let mut open: Vec<Client> = cluster
        .nodes
        .iter()
        .map(|node| eventually("the token", || bearer(node, &token()).ok()))
        .collect();
    for (number, client) in (1..).zip(&mut open) {
        let put = client.put("default", "greeting", b"hello", number);
        assert!(matches!(put, Response::Put(_)), "{put:?}");
        assert_eq!(values(&client.get("greeting")), [b"hello"]);
        // What it may not do changes nothing.
        let needed = Needed::Rights { bucket: "other".parse().unwrap(), rights: Rights::WRITE };
        let refused = error(client.put("other", "greeting", b"hello", 100 + number));
        assert_eq!(refused, RequestError::Forbidden { needed: needed.clone() });
        // Of a retry that says nothing about the attempt before.
        let refused = error(client.retry_put("other", "greeting", b"hello", 200 + number));
        let forbidden = RequestError::Forbidden { needed };
        assert_eq!(refused, forbidden.of_retry(OperationId(200 + number)));
        let refused =
            error(client.ask(&create(&AccessToken::new(TokenId(8), [8; 32]), &["*:read"])));
        assert_eq!(refused, RequestError::Forbidden { needed: Needed::Operator });
    }

    // One node is away while the token is revoked on another one.
    cluster.nodes[1].stop().unwrap();
    drop(open.remove(1));
    let revoked = cluster.nodes[2].client().ask(&revoke(&token()));
    let Response::Tokens(Tokens { tokens }) = revoked else { panic!("{revoked:?}") };
    assert_eq!(tokens[0].revoked_at_ms, Some(2));
    let reason = AccessRefusal::Revoked;
    for client in &mut open {
        eventually("the revocation, on an open connection", || {
            match client.ask(&Request::Topology(Nothing {})) {
                Response::Error { error } => Some(error),
                _ => None,
            }
        });
        let refused = error(client.put("default", "greeting", b"too late", 9));
        assert_eq!(refused, RequestError::Unauthenticated { reason });
    }
    cluster.nodes[1].start();
    for node in &cluster.nodes {
        eventually("the revocation, in a greeting", || match bearer(node, &token()) {
            Ok(_) => None,
            Err(refused) => Some(refused == RequestError::Unauthenticated { reason }),
        });
        assert_eq!(values(&node.client().get("greeting")), [b"hello"], "nothing was applied");
    }

    // It is on disk: a node that knows nobody else yet refuses, too.
    cluster.nodes.iter_mut().for_each(|node| node.stop().unwrap());
    cluster.nodes[1].start();
    cluster.nodes[1].client();
    assert!(bearer(&cluster.nodes[1], &token()).is_err());
}

#[test]
fn tokens_are_made_once_revoked_once_and_only_with_rights_that_there_are() {
    let cluster = started(1);
    let mut client = cluster.nodes[0].client();
    assert_eq!(error(client.ask(&revoke(&token()))), RequestError::NoSuchToken);
    let refused = error(client.ask(&create(&token(), &[])));
    assert!(matches!(refused, RequestError::InvalidArgument { .. }), "{refused}");
    let refused = error(client.ask(&create(&token(), &["*:read"; 33])));
    assert!(matches!(refused, RequestError::TooLarge { .. }), "{refused}");
    for _ in 0..2 {
        let made = client.ask(&create(&token(), &["*:read"]));
        assert!(matches!(made, Response::Tokens(_)), "{made:?}");
    }
    // The same id with other rights is another token.
    let refused = error(client.ask(&create(&token(), &["*:write"])));
    assert!(matches!(refused, RequestError::InvalidArgument { .. }), "{refused}");
    for _ in 0..2 {
        let revoked = client.ask(&revoke(&token()));
        assert!(matches!(revoked, Response::Tokens(_)), "{revoked:?}");
    }
    for limits in [[Some(0), None], [None, Some(0)]] {
        let unlimited = AccessToken::new(TokenId(8), [8; 32]);
        let refused = error(client.ask(&create_limited(&unlimited, &["*:read"], limits)));
        let argument = ArgumentKind::TokenLimit;
        assert_eq!(refused, RequestError::InvalidArgument { argument });
    }
    client.ask(&create(&token(), &["*:read"]));
    assert!(bearer(&cluster.nodes[0], &token()).is_err(), "made again it stays revoked");
    let Response::Tokens(Tokens { tokens }) = client.ask(&Request::TokenList(Nothing {})) else {
        panic!("tokens")
    };
    assert_eq!(tokens.len(), 1);
}
