//! Two tokens on one node: what one of them may take, and that the other one is served beside its flood.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use kvorum_protocol::{AccessToken, RequestError, Response, TokenId};

use crate::access::{bearer, create_limited};
use crate::client::Client;
use crate::nodes::{TestNode, eventually, started};

fn made(node: &TestNode, id: u64, limits: [Option<u32>; 2]) -> AccessToken {
    let token = AccessToken::new(TokenId(id), [id as u8; 32]);
    let create = create_limited(&token, &["default:read,write"], limits);
    let made = node.client().ask(&create);
    let Response::Tokens(made) = made else { panic!("a token, not {made:?}") };
    assert_eq!([made.tokens[0].in_flight, made.tokens[0].rate], limits);
    token
}

fn connected(node: &TestNode, token: &AccessToken) -> Client {
    bearer(node, token).expect("it is let in")
}

/// How many were done. The others were refused as too much, and told when to come again.
fn done(answers: &[Response]) -> usize {
    let is_done = |answer: &&Response| match answer {
        Response::Put(_) => true,
        Response::Error { error: RequestError::Overloaded { retry_after_ms: 1.. } } => false,
        other => panic!("done or too much, not {other:?}"),
    };
    answers.iter().filter(is_done).count()
}

#[test]
fn one_tokens_flood_over_its_limit_leaves_every_request_of_another_one_answered() {
    const FLOOD: u64 = 1_000;
    let cluster = started(1);
    let node = &cluster.nodes[0];
    let (flooding, other) = (made(node, 1, [Some(2), None]), made(node, 2, [None, None]));
    let (is_over, mut other) = (AtomicBool::new(false), connected(node, &other));
    thread::scope(|scope| {
        let floods = [(), ()].map(|()| {
            let mut client = connected(node, &flooding);
            let is_over = &is_over;
            scope.spawn(move || {
                let (mut asked, mut done_of_them) = (0, 0);
                while !is_over.load(Ordering::Relaxed) || asked == 0 {
                    done_of_them += done(&client.flood(b"one of many", FLOOD));
                    asked += FLOOD as usize;
                }
                (asked, done_of_them)
            })
        });
        for number in 0..100 {
            let put = other.put("default", "beside it", b"one of few", 1 << 64 | number);
            assert!(matches!(put, Response::Put(_)), "{put:?}");
        }
        is_over.store(true, Ordering::Relaxed);
        for flood in floods {
            let (asked, done) = flood.join().expect("the flood was answered");
            assert!(done < asked, "all {asked} were let in");
        }
    });
    // A place is free again.
    let mut client = connected(node, &flooding);
    eventually("an answer", || (done(&client.flood(b"one more", 1)) == 1).then_some(()));
}

#[test]
fn a_token_begins_no_more_than_its_rate_over_all_of_its_connections() {
    const RATE: u64 = 20;
    let cluster = started(1);
    let node = &cluster.nodes[0];
    let token = made(node, 1, [None, Some(RATE as u32)]);
    let began = Instant::now();
    let mut all = 0;
    for _ in 0..3 {
        // Coming back does not bring another second's burst.
        all += done(&connected(node, &token).flood(b"one of many", 3 * RATE)) as u64;
        all += done(&connected(node, &token).flood(b"one of many", 3 * RATE)) as u64;
    }
    let may = RATE + (began.elapsed().as_secs_f64() * RATE as f64).ceil() as u64;
    assert!((RATE..=may).contains(&all), "{all} of at most {may}");
    // Requests about the cluster are not counted, and with time there is more.
    let mut client = connected(node, &token);
    client.status();
    eventually("more", || (done(&client.flood(b"later", 1)) == 1).then_some(()));
}
