//! Real QUIC over loopback: who is let in, and what then travels.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use kvorum_protocol::CertificateFault;
use kvorum_ring::NodeId;
use quinn::{Connection, ConnectionError, Endpoint};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;

use crate::identity::{
    self, ALPN_PEER, AUTHORITY_FILE, CERTIFICATE_FILE, CERTIFICATE_VALID, ClusterAuthority,
    Credentials, Issued, KEY_FILE, write_private,
};
use crate::runtime::clock::Clock;
use crate::runtime::error::Listener;
use crate::runtime::faults::{Faults, Gate, Whose};
use crate::runtime::peers::accept::{Acceptor, accept};
use crate::runtime::peers::close::CloseCode;
use crate::runtime::peers::dial::Dialler;
use crate::runtime::peers::event::{Channel, Link, Members, PeerEvent, Purpose};
use crate::runtime::security::Security;
use crate::runtime::strangers::Strangers;
use crate::runtime::transport;

const LOW: NodeId = NodeId(1);
const HIGH: NodeId = NodeId(2);
const STRANGER: NodeId = NodeId(0);

/// Runs a test on the kind of runtime that a node has.
fn run(test: impl Future<Output = ()>) {
    Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .unwrap()
        .block_on(test);
}

fn authority() -> ClusterAuthority {
    ClusterAuthority::create("test", SystemTime::now()).unwrap()
}

fn credentials(authority: &ClusterAuthority, issued: &Issued) -> Credentials {
    let directory = tempfile::tempdir().unwrap();
    let write = |name, content: &str| {
        write_private(&directory.path().join(name), content.as_bytes()).unwrap()
    };
    write(AUTHORITY_FILE, authority.certificate_pem());
    write(CERTIFICATE_FILE, &issued.certificate_pem);
    write(KEY_FILE, &issued.key_pem);
    Credentials::load(directory.path()).unwrap()
}

fn node(authority: &ClusterAuthority, node: NodeId) -> Credentials {
    credentials(authority, &authority.issue_node(node, SystemTime::now()).unwrap())
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A node's peer side, whatever its credentials.
struct Peer {
    endpoint: Endpoint,
    credentials: Credentials,
    events: mpsc::Receiver<PeerEvent>,
    dialler: Rc<Dialler>,
    members: watch::Sender<Members>,
    faults: Rc<Faults>,
}

fn peer(me: NodeId, process: u64, credentials: Credentials) -> Peer {
    let security = Security::of(&credentials).unwrap();
    let config = Some(security.peers.clone());
    let endpoint = transport::endpoint(Listener::Peers, loopback(), config).unwrap();
    let (sender, events) = mpsc::channel(64);
    let both = BTreeMap::from([(LOW, String::new()), (HIGH, String::new())]);
    let (members_sender, members) = watch::channel(both);
    let numbers = Rc::default();
    let faults: Rc<Faults> = Rc::default();
    let cluster = "test".to_owned();
    let acceptor = Acceptor {
        me,
        cluster: cluster.clone(),
        process,
        clock: Clock::start(),
        members: members.clone(),
        numbers: Rc::clone(&numbers),
        events: sender.clone(),
        strangers: Strangers::new(),
        faults: Rc::clone(&faults),
        accepted: RefCell::default(),
    };
    spawn_local(accept(endpoint.clone(), Rc::new(acceptor)));
    let endpoint_of_dialler = endpoint.clone();
    let dialler = Rc::new(Dialler {
        endpoint: endpoint_of_dialler,
        security: watch::channel(Rc::new(security)).1,
        faults: Rc::clone(&faults),
        cluster,
        process,
        clock: Clock::start(),
        members,
        numbers,
        events: sender,
    });
    Peer { endpoint, credentials, events, dialler, members: members_sender, faults }
}

impl Peer {
    fn address(&self) -> SocketAddr {
        self.endpoint.local_addr().unwrap()
    }

    fn dial(&self, peer: NodeId, at: &Peer) {
        self.dial_at(peer, at.address());
    }

    fn dial_at(&self, peer: NodeId, address: SocketAddr) {
        self.members.send_modify(|members| {
            members.insert(peer, address.to_string());
        });
        self.dialler.keep_connected(peer, 7);
    }

    async fn next(&mut self) -> PeerEvent {
        self.events.recv().await.unwrap()
    }

    /// Waits until all three connections are up; gives that of the requests.
    async fn all_up(&mut self) -> (NodeId, Link) {
        let mut up = BTreeSet::new();
        let mut requests = None;
        while up.len() < Purpose::ALL.len() {
            if let PeerEvent::Up { peer, purpose, link } = self.next().await {
                up.insert(purpose);
                if purpose == Purpose::Requests {
                    requests = Some((peer, link));
                }
            }
        }
        requests.unwrap()
    }

    async fn frame(&mut self) -> (NodeId, Channel, Vec<u8>) {
        loop {
            if let PeerEvent::Frame { peer, channel, frame, .. } = self.next().await {
                return (peer, channel, frame.to_vec());
            }
        }
    }
}

fn push(outgoing: &crate::runtime::outgoing::Outgoing, body: &[u8]) {
    assert!(outgoing.push(|out| {
        out.extend_from_slice(&(body.len() as u32).to_be_bytes());
        out.extend_from_slice(body);
        true
    }));
}

/// How the acceptor ends a connection of somebody with these credentials.
async fn ended(at: &Peer, asked_for: NodeId, with: &Credentials) -> ConnectionError {
    match connect(at, asked_for, with).await {
        Ok(connection) => connection.closed().await,
        Err(error) => error,
    }
}

async fn connect(
    at: &Peer,
    asked_for: NodeId,
    with: &Credentials,
) -> Result<Connection, ConnectionError> {
    let tls =
        transport::client(identity::dial(with, ALPN_PEER).unwrap(), transport::peer_transport())
            .unwrap();
    let endpoint = transport::endpoint(Listener::Peers, loopback(), None).unwrap();
    endpoint.connect_with(tls, at.address(), &asked_for.dns_name()).unwrap().await
}

#[test]
fn members_connect_once_for_each_purpose_and_frames_travel_both_ways() {
    run(async {
        let authority = authority();
        let (mut low, mut high) =
            (peer(LOW, 1, node(&authority, LOW)), peer(HIGH, 2, node(&authority, HIGH)));
        low.dial(HIGH, &high);
        let (to, outward) = low.all_up().await;
        let (from, inward) = high.all_up().await;
        assert_eq!((to, from), (HIGH, LOW));
        push(&outward.main, b"request");
        assert_eq!(high.frame().await, (LOW, Channel::Requests, b"request".to_vec()));
        push(inward.facts.as_ref().unwrap(), b"facts");
        assert_eq!(low.frame().await, (HIGH, Channel::Facts, b"facts".to_vec()));
    });
}

#[test]
fn a_lost_connection_is_reported_and_dialled_again() {
    run(async {
        let authority = authority();
        let (mut low, mut high) =
            (peer(LOW, 1, node(&authority, LOW)), peer(HIGH, 2, node(&authority, HIGH)));
        low.dial(HIGH, &high);
        let (_, link) = low.all_up().await;
        high.all_up().await;
        CloseCode::Protocol.close(&link.connection);
        let mut down = None;
        loop {
            match low.next().await {
                PeerEvent::Down { peer: HIGH, purpose: Purpose::Requests, id } => down = Some(id),
                PeerEvent::Up { purpose: Purpose::Requests, link: again, .. } => {
                    assert_eq!(down, Some(link.id));
                    assert!(again.id > link.id);
                    break;
                }
                _ => {}
            }
        }
    });
}

#[test]
fn a_node_of_a_foreign_authority_is_refused_by_both_sides() {
    run(async {
        let (ours, foreign) = (authority(), authority());
        let high = peer(HIGH, 2, node(&ours, HIGH));
        // Its root is ours, so it accepts the server; its certificate is foreign, and TLS on the server refuses it.
        let forged = {
            let issued = foreign.issue_node(LOW, SystemTime::now()).unwrap();
            credentials(&ours, &issued)
        };
        let error = ended(&high, HIGH, &forged).await;
        assert!(matches!(error, ConnectionError::ConnectionClosed(_)), "{error}");
        // It trusts the foreign root only: it refuses the server itself.
        let error = connect(&high, HIGH, &node(&foreign, LOW)).await.unwrap_err();
        assert!(matches!(error, ConnectionError::TransportError(_)), "{error}");
    });
}

#[test]
fn a_node_that_answers_for_another_is_refused_by_the_dialler() {
    run(async {
        let authority = authority();
        let high = peer(HIGH, 2, node(&authority, HIGH));
        let error = connect(&high, NodeId(3), &node(&authority, LOW)).await.unwrap_err();
        assert!(matches!(error, ConnectionError::TransportError(_)), "{error}");
    });
}

#[test]
fn a_client_certificate_is_refused_on_the_peers_port() {
    run(async {
        let authority = authority();
        let high = peer(HIGH, 2, node(&authority, HIGH));
        let client = credentials(&authority, &authority.issue_client(SystemTime::now()).unwrap());
        let error = ended(&high, HIGH, &client).await;
        assert!(CloseCode::Client.is_reason_of(&error), "{error}");
    });
}

#[test]
fn a_node_with_our_certificate_that_is_no_member_is_refused() {
    run(async {
        let authority = authority();
        let high = peer(HIGH, 2, node(&authority, HIGH));
        let error = ended(&high, HIGH, &node(&authority, STRANGER)).await;
        assert!(CloseCode::NotAMember.is_reason_of(&error), "{error}");
    });
}

#[test]
fn a_connection_of_another_protocol_is_refused() {
    run(async {
        let authority = authority();
        let high = peer(HIGH, 2, node(&authority, HIGH));
        let tls = identity::dial(&node(&authority, LOW), identity::ALPN_CLIENT).unwrap();
        let tls = transport::client(tls, transport::peer_transport()).unwrap();
        let endpoint = transport::endpoint(Listener::Peers, loopback(), None).unwrap();
        let connecting = endpoint.connect_with(tls, high.address(), &HIGH.dns_name()).unwrap();
        assert!(connecting.await.is_err());
    });
}

#[test]
fn of_two_processes_with_one_node_id_the_later_is_refused() {
    run(async {
        let authority = authority();
        let (mut low, high) =
            (peer(LOW, 1, node(&authority, LOW)), peer(HIGH, 2, node(&authority, HIGH)));
        low.dial(HIGH, &high);
        let (_, link) = low.all_up().await;
        let later = peer(LOW, 99, node(&authority, LOW));
        let connection = connect(&high, HIGH, &later.credentials).await.unwrap();
        let (mut send, _receive) = connection.open_bi().await.unwrap();
        let hello = super::greeting::PeerHello::new("test", 99, Purpose::Requests);
        hello.send(&mut send).await.unwrap();
        let error = connection.closed().await;
        assert!(CloseCode::Duplicate.is_reason_of(&error), "{error}");
        assert!(link.connection.close_reason().is_none(), "the earlier one goes on");
    });
}

#[test]
fn a_process_that_was_killed_does_not_keep_its_successor_out() {
    let authority = authority();
    let (low, low_again, high) =
        (node(&authority, LOW), node(&authority, LOW), node(&authority, HIGH));
    run(async move {
        let mut high = peer(HIGH, 2, high);
        let address = high.address();
        // A process of its own: connected once, and never heard of again.
        let (frozen, is_frozen) = tokio::sync::oneshot::channel();
        let (thaw, thawed) = std::sync::mpsc::sync_channel::<()>(1);
        let process = std::thread::spawn(move || {
            run(async move {
                let mut low = peer(LOW, 1, low);
                low.dial_at(HIGH, address);
                low.all_up().await;
                frozen.send(()).unwrap();
                // The whole runtime stands still until the test is over.
                let _ = thawed.recv();
            });
        });
        is_frozen.await.unwrap();
        high.all_up().await;
        let mut low = peer(LOW, 99, low_again);
        low.dial(HIGH, &high);
        low.all_up().await;
        drop(thaw);
        process.join().unwrap();
    });
}

#[test]
fn a_node_of_another_cluster_is_refused() {
    run(async {
        let authority = authority();
        let high = peer(HIGH, 2, node(&authority, HIGH));
        let connection = connect(&high, HIGH, &node(&authority, LOW)).await.unwrap();
        let (mut send, _receive) = connection.open_bi().await.unwrap();
        super::greeting::PeerHello::new("other", 1, Purpose::Requests)
            .send(&mut send)
            .await
            .unwrap();
        let error = connection.closed().await;
        assert!(CloseCode::OtherCluster.is_reason_of(&error), "{error}");
    });
}

#[test]
fn a_taken_port_is_an_error_that_names_it() {
    run(async {
        let authority = authority();
        let high = peer(HIGH, 2, node(&authority, HIGH));
        let error = transport::endpoint(Listener::Peers, high.address(), None).unwrap_err();
        assert!(error.to_string().contains(&high.address().to_string()), "{error}");
        assert!(matches!(error, crate::runtime::RunError::PortTaken { .. }));
    });
}

impl Peer {
    /// Waits until a fault has been counted.
    async fn met(&self, gate: Gate, whose: Whose, fault: CertificateFault) {
        let counted = async {
            while self.faults.count(gate, whose, fault) == 0 {
                tokio::task::yield_now().await;
            }
        };
        let patience = Duration::from_secs(30);
        let waited = tokio::time::timeout(patience, counted).await;
        assert!(waited.is_ok(), "not met: {gate:?} {whose:?} {fault:?}");
    }
}

/// TLS tells the other side by one number that a certificate is out of date, whichever way.
#[test]
fn both_sides_know_which_certificate_ended_a_handshake_and_why() {
    let authority = authority();
    let day = Duration::from_secs(24 * 3_600);
    let (past, future) = (SystemTime::now() - CERTIFICATE_VALID - day, SystemTime::now() + 3 * day);
    let issue = |authority: &ClusterAuthority, node, at| authority.issue_node(node, at).unwrap();
    let foreign = ClusterAuthority::create("test", SystemTime::now()).unwrap();
    use CertificateFault::{Expired, ForeignAuthority, NotYetValid, WrongName};
    let cases = |node| {
        [
            (issue(&authority, node, past), Expired, Expired),
            (issue(&authority, node, future), NotYetValid, Expired),
            (issue(&foreign, node, SystemTime::now()), ForeignAuthority, ForeignAuthority),
        ]
    };
    run(async {
        for (issued, known, heard) in cases(LOW) {
            let low = peer(LOW, 1, credentials(&authority, &issued));
            let high = peer(HIGH, 2, node(&authority, HIGH));
            low.dial(HIGH, &high);
            high.met(Gate::Peers, Whose::Theirs, known).await;
            low.met(Gate::Dialled, Whose::Ours, heard).await;
        }
        let other = issue(&authority, NodeId(3), SystemTime::now());
        for (issued, known, heard) in cases(HIGH).into_iter().chain([(other, WrongName, WrongName)])
        {
            let low = peer(LOW, 1, node(&authority, LOW));
            let high = peer(HIGH, 2, credentials(&authority, &issued));
            low.dial(HIGH, &high);
            low.met(Gate::Dialled, Whose::Theirs, known).await;
            high.met(Gate::Peers, Whose::Ours, heard).await;
        }
    });
}
