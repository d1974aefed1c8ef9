//! An owner that fails again and again is asked last, and always asked when nobody else is left.

use kvorum_node::engine::PeerStats;
use kvorum_node::limits::{BREAKER_FAILURES, BREAKER_FIRST_MS, BREAKER_PATIENCE_MS};
use kvorum_node::peer_message::PeerMessage;
use kvorum_protocol::message::{Replacing, Request, RequestError, Response};

use crate::cluster::{Cluster, Flight, error, get_done, key, values};

/// A cluster where a key is stored, and a node that does not own it.
struct Scene {
    cluster: Cluster,
    owners: Vec<usize>,
    stranger: usize,
}

impl Scene {
    fn new() -> Scene {
        let mut cluster = Cluster::new(5);
        let key = key("k");
        let (owners, stranger) = (cluster.owners(&key), cluster.stranger(&key));
        cluster.put(owners[0], &key, "v", Replacing::Latest);
        Scene { cluster, owners, stranger }
    }

    /// What the first owner's breaker says.
    fn breaker(&self) -> PeerStats {
        let owner = self.cluster.nodes[self.owners[0]].id;
        self.cluster.nodes[self.stranger].engine.peer_stats(owner)
    }

    fn passed_over(&self) -> u64 {
        self.cluster.nodes[self.stranger].engine.stats().passed_over
    }

    /// Asks for the key with three seconds to go, and tells who was asked first. Nothing is delivered yet.
    fn ask(&mut self) -> (u64, usize) {
        let mut get = self.cluster.get_request(&key("k"));
        get.options.deadline_ms = 3_000;
        let request = self.cluster.ask(self.stranger, Request::Get(get));
        (request, self.cluster.in_flight.last().expect("it is passed on").to)
    }

    /// Asks, and lets the one that was asked answer.
    fn read(&mut self) -> usize {
        let (request, asked) = self.ask();
        self.cluster.settle();
        let answer = self.cluster.reply(request).cloned().expect("the owner is well");
        assert_eq!(values(&get_done(answer)), ["v"]);
        asked
    }

    /// The first owner swallows as many reads as it takes, all of which another owner answers.
    fn open(&mut self) {
        self.cluster.cuts.push((self.stranger, self.owners[0]));
        let reads: Vec<(u64, usize)> = (0..BREAKER_FAILURES).map(|_| self.ask()).collect();
        self.cluster.settle();
        self.cluster.pass_ms(1_000);
        for (request, asked) in reads {
            assert_eq!(asked, self.owners[0]);
            assert!(matches!(self.cluster.reply(request), Some(Response::Get(_))));
        }
        assert!(self.breaker().breaker_open);
    }
}

#[test]
fn an_owner_that_swallows_requests_is_passed_over_by_reads_and_writes_and_probed_once_in_a_while() {
    let mut scene = Scene::new();
    scene.open();
    assert_eq!(scene.passed_over(), 0);
    assert_eq!(scene.read(), scene.owners[1]);
    scene.cluster.put(scene.stranger, &key("k"), "v", Replacing::Latest);
    assert_eq!(scene.passed_over(), 2);
    scene.cluster.pass_ms(BREAKER_FIRST_MS);
    let (probe, asked) = scene.ask();
    assert_eq!(asked, scene.owners[0]);
    scene.cluster.settle();
    assert_eq!(scene.read(), scene.owners[1], "one probe is enough");
    assert_eq!(scene.breaker().breaker_opened, 1);
    scene.cluster.pass_ms(1_000);
    assert!(matches!(scene.cluster.reply(probe), Some(Response::Get(_))), "another owner answered");
    assert_eq!(scene.breaker().breaker_opened, 2);
    scene.cluster.pass_ms(BREAKER_FIRST_MS - 1);
    assert_eq!(scene.read(), scene.owners[1], "it is asked last for longer than before");
}

#[test]
fn an_owner_that_recovers_is_asked_first_again_after_one_probe() {
    let mut scene = Scene::new();
    scene.open();
    scene.cluster.cuts.clear();
    scene.cluster.pass_ms(BREAKER_FIRST_MS);
    assert_eq!(scene.read(), scene.owners[0]);
    let expected = PeerStats { breaker_open: false, breaker_opened: 1, ..scene.breaker() };
    assert_eq!(scene.breaker(), expected);
    assert_eq!(scene.read(), scene.owners[0]);
}

#[test]
fn an_owner_that_was_connected_to_anew_is_probed_at_once() {
    let mut scene = Scene::new();
    scene.open();
    scene.cluster.cuts.clear();
    scene.cluster.kill(scene.owners[0]);
    scene.cluster.restart(scene.owners[0]);
    assert_eq!(scene.read(), scene.owners[0]);
    assert!(!scene.breaker().breaker_open);
}

#[test]
fn the_only_owner_left_is_asked_whatever_it_did_before() {
    let mut scene = Scene::new();
    scene.open();
    scene.cluster.cuts.clear();
    scene.cluster.kill(scene.owners[1]);
    scene.cluster.kill(scene.owners[2]);
    let mut get = scene.cluster.get_request(&key("k"));
    get.options.r = Some(1);
    let answer = scene.cluster.call(scene.stranger, Request::Get(get));
    assert_eq!(values(&get_done(answer)), ["v"]);
    assert!(!scene.breaker().breaker_open, "its answer counts although it was no probe");
    assert_eq!(scene.passed_over(), 0);
}

#[test]
fn a_read_that_the_others_lose_comes_to_an_owner_that_was_passed_over() {
    let mut scene = Scene::new();
    scene.open();
    scene.cluster.cuts = vec![(scene.stranger, scene.owners[1])];
    scene.cluster.kill(scene.owners[2]);
    // Its third of the time is over before the first owner is due for a probe.
    let mut get = scene.cluster.get_request(&key("k"));
    get.options.deadline_ms = u32::try_from(BREAKER_FIRST_MS).expect("it is small");
    let request = scene.cluster.ask(scene.stranger, Request::Get(get));
    assert_eq!(scene.cluster.in_flight.last().expect("it is passed on").to, scene.owners[1]);
    scene.cluster.settle();
    assert_eq!(scene.cluster.reply(request), None);
    scene.cluster.pass_ms(BREAKER_FIRST_MS / 3 + 1);
    assert!(matches!(scene.cluster.reply(request), Some(Response::Get(_))));
}

#[test]
fn an_owner_whose_breaker_is_open_is_no_hedge() {
    let mut scene = Scene::new();
    scene.open();
    for _ in 0..100 {
        let (_, asked) = scene.ask();
        assert_eq!(asked, scene.owners[1]);
        scene.cluster.now.mono_ns = scene.cluster.now.after_ms(1);
        scene.cluster.settle();
    }
    // The second owner is quick as a rule, and slow now: the third is asked, the first is not.
    let (request, _) = scene.ask();
    scene.cluster.in_flight.clear();
    scene.cluster.pass_ms(2);
    assert!(matches!(scene.cluster.reply(request), Some(Response::Get(_))));
    let hedged = scene.cluster.nodes[scene.stranger].engine.stats().hedged;
    assert_eq!(hedged, 1);
    // With the third one gone nobody is left to be a hedge, and the budget is kept for somebody who is.
    scene.cluster.kill(scene.owners[2]);
    let (request, asked) = scene.ask();
    assert_eq!(asked, scene.owners[1]);
    scene.cluster.in_flight.clear();
    scene.cluster.pass_ms(2);
    assert_eq!(scene.cluster.reply(request), None);
    assert_eq!(scene.cluster.nodes[scene.stranger].engine.stats().hedged, hedged);
}

#[test]
fn answers_that_another_owner_might_not_give_open_the_breaker_and_others_do_not() {
    for (refusal, opens) in [
        (RequestError::Overloaded { retry_after_ms: 50 }, true),
        (RequestError::Unavailable { needed: 2, got: 1, causes: Vec::new() }, true),
        (RequestError::NoSuchBucket, false),
    ] {
        let mut scene = Scene::new();
        for _ in 0..BREAKER_FAILURES {
            let (request, asked) = scene.ask();
            let forward = scene.cluster.in_flight.pop().expect("it is passed on");
            let PeerMessage::Forward { token, .. } = forward.message else { panic!("{forward:?}") };
            let response = Box::new(Response::Error { error: refusal.clone() });
            let message = PeerMessage::Forwarded { token, response };
            scene.cluster.in_flight.push(Flight { from: asked, to: scene.stranger, message });
            scene.cluster.settle();
            assert_eq!(error(scene.cluster.reply(request).cloned().expect("an answer")), refusal);
        }
        assert_eq!(scene.breaker().breaker_open, opens, "{refusal}");
        assert_eq!(scene.read(), scene.owners[usize::from(opens)]);
    }
}

#[test]
fn clients_without_patience_open_no_breaker() {
    let mut scene = Scene::new();
    for _ in 0..3 * BREAKER_FAILURES {
        let mut get = scene.cluster.get_request(&key("k"));
        get.options.deadline_ms = u32::try_from(BREAKER_PATIENCE_MS - 1).expect("it is small");
        let request = scene.cluster.ask(scene.stranger, Request::Get(get));
        scene.cluster.in_flight.clear();
        for _ in 0..3 {
            scene.cluster.pass_ms(BREAKER_PATIENCE_MS / 2);
            scene.cluster.in_flight.clear();
        }
        assert!(scene.cluster.reply(request).is_some());
    }
    assert_eq!(scene.breaker().breaker_opened, 0);
}

#[test]
fn writes_that_an_owner_swallows_open_its_breaker_at_their_deadline() {
    let mut scene = Scene::new();
    for _ in 0..BREAKER_FAILURES {
        let mut put = scene.cluster.put_request(&key("k"), "w", Replacing::Latest);
        put.options.deadline_ms = 200;
        scene.cluster.ask(scene.stranger, Request::Put(put));
    }
    scene.cluster.in_flight.clear();
    assert!(!scene.breaker().breaker_open);
    scene.cluster.pass_ms(200);
    assert!(scene.breaker().breaker_open);
    scene.cluster.put(scene.stranger, &key("k"), "w", Replacing::Latest);
    assert_eq!(scene.cluster.nodes[scene.owners[1]].engine.stats().writes_applied, 1);
}

#[test]
fn an_answer_after_the_owners_share_of_the_time_is_no_merit() {
    let mut scene = Scene::new();
    for _ in 0..BREAKER_FAILURES {
        let (request, asked) = scene.ask();
        assert_eq!(asked, scene.owners[0]);
        let held = scene.cluster.in_flight.split_off(0);
        scene.cluster.pass_ms(1_000);
        assert!(scene.cluster.reply(request).is_some(), "the second owner answered");
        scene.cluster.in_flight = held;
        scene.cluster.settle();
    }
    assert!(scene.breaker().breaker_open);
}
