//! Requests about the cluster, answered by the node that is asked.

use std::fmt::Write;

use kvorum_gossip::FactKey;
use kvorum_protocol::limits;
use kvorum_protocol::message::topology::LayoutHash;
use kvorum_protocol::message::{
    ArgumentKind, Bucket, Buckets, DiagSection, Diagnosis, HintsDone, LayoutLabel, LimitKind,
    NodeStatus, PeerStatus, StatusDone, TargetHints, TaskStatus, TopologyDone, TopologyNode,
};
use kvorum_protocol::{BucketName, BucketSettings, Request, RequestError, Response};
use kvorum_ring::{ClassId, NodeId, Preference};

use crate::engine::ExchangeProgress;
use crate::runtime::access::Caller;
use crate::runtime::cluster::Cluster;
use crate::runtime::cluster::figures::Figures;
use crate::runtime::listener::ClientNumber;
use crate::runtime::metrics;
use crate::runtime::recent;

impl Cluster {
    /// Answers a request that is not about data, of a caller who may make it. The answer comes as an output, at once or
    /// when it is durable.
    pub(crate) fn request(
        &mut self,
        (client, caller): (ClientNumber, Caller),
        request_id: u64,
        request: Request,
        figures: &Figures,
    ) {
        let answer = match request {
            Request::Topology(_) => self.topology(figures),
            Request::Status(_) => Ok(self.status(figures)),
            Request::Diag(diag) => Ok(self.diagnose(&diag.sections, figures)),
            Request::Hints(_) => Ok(self.hints(figures)),
            Request::BucketList(_) => Ok(self.buckets(caller)),
            Request::BucketShow(asked) => self.show(asked.name),
            Request::BucketCreate(set) => {
                return self.change(client, request_id, set.bucket, Cluster::check_create);
            }
            Request::BucketSet(set) => {
                return self.change(client, request_id, set.bucket, Cluster::check_set);
            }
            Request::TokenList(_) => Ok(self.tokens()),
            Request::TokenCreate(create) => return self.create_token(client, request_id, create),
            Request::TokenRevoke(revoke) => return self.revoke_token(client, request_id, revoke),
            // The driver gives requests for data to the engine.
            _ => Err(RequestError::InvalidArgument { argument: ArgumentKind::UnknownRequest }),
        };
        self.reply(client, request_id, answer.unwrap_or_else(|error| Response::Error { error }));
    }

    fn change(
        &mut self,
        client: ClientNumber,
        request_id: u64,
        bucket: Bucket,
        check: fn(&Cluster, Bucket) -> Result<Bucket, RequestError>,
    ) {
        let bucket = match check(self, bucket) {
            Ok(bucket) => bucket,
            Err(error) => return self.reply(client, request_id, Response::Error { error }),
        };
        let written =
            self.facts.write(FactKey::bucket(bucket.name.as_str()), bucket.settings.to_bytes());
        if written.is_none() {
            return self.reply(
                client,
                request_id,
                Response::Error { error: too_many_buckets(self.view.buckets.len()) },
            );
        }
        self.settle();
        let bucket = Bucket { name: bucket.name.detached(), ..bucket };
        self.reply_when_saved(
            client,
            request_id,
            Response::Buckets(Buckets { buckets: vec![bucket] }),
        );
    }

    fn check_create(&self, bucket: Bucket) -> Result<Bucket, RequestError> {
        if self.view.buckets.contains_key(&bucket.name) {
            return Err(RequestError::BucketExists);
        }
        if self.view.buckets.len() >= limits::BUCKETS {
            return Err(too_many_buckets(self.view.buckets.len()));
        }
        self.check_quorums(&bucket.settings)?;
        Ok(bucket)
    }

    fn check_set(&self, mut bucket: Bucket) -> Result<Bucket, RequestError> {
        let held = self.view.buckets.get(&bucket.name).ok_or(RequestError::NoSuchBucket)?;
        if (held.class, held.rule) != (bucket.settings.class, bucket.settings.rule) {
            return Err(RequestError::InvalidArgument { argument: ArgumentKind::FixedSetting });
        }
        self.check_quorums(&bucket.settings)?;
        if bucket.settings.surplus.is_empty() {
            // A client of an earlier version does not know what it would take away.
            bucket.settings.surplus = held.surplus.clone();
        }
        Ok(bucket)
    }

    fn check_quorums(&self, settings: &BucketSettings) -> Result<(), RequestError> {
        let invalid = |argument| RequestError::InvalidArgument { argument };
        let class = self.view.layout.classes().find(|class| class.id() == settings.class);
        let n = class.ok_or(invalid(ArgumentKind::Class))?.n();
        let fits = |quorum: Option<u8>| quorum.is_none_or(|quorum| (1..=n).contains(&quorum));
        if !fits(settings.r) {
            return Err(invalid(ArgumentKind::ReadQuorum));
        }
        if !fits(settings.w) {
            return Err(invalid(ArgumentKind::WriteQuorum));
        }
        Ok(())
    }

    /// All buckets that the caller may know of.
    fn buckets(&self, caller: Caller) -> Response {
        let bucket = |(name, settings): (&BucketName, &BucketSettings)| Bucket {
            name: name.clone(),
            settings: settings.clone(),
        };
        let seen = self.view.buckets.iter().filter(|(name, _)| self.access.sees(caller, name));
        Response::Buckets(Buckets { buckets: seen.map(bucket).collect() })
    }

    fn show(&self, name: BucketName) -> Result<Response, RequestError> {
        let settings = self.view.buckets.get(&name).ok_or(RequestError::NoSuchBucket)?.clone();
        Ok(Response::Buckets(Buckets { buckets: vec![Bucket { name, settings }] }))
    }

    fn topology(&self, figures: &Figures) -> Result<Response, RequestError> {
        let view = &self.view;
        let nodes = view.members.iter().map(|member| TopologyNode {
            id: member.id,
            name: member.name.clone(),
            zone: member.zone.to_string(),
            weight: member.weight.get(),
            peer_address: member.peer_addr.clone(),
            client_address: member.client_addr.clone(),
            admin_address: member.admin_addr.clone(),
            up: figures.is_up(member.id),
        });
        let name = view.layout.name();
        let layout =
            rmp_serde::to_vec(view.layout.as_ref()).map_err(|_| RequestError::WrongLayout)?;
        let done = TopologyDone {
            cluster_name: view.cluster_name.clone(),
            node: self.me,
            nodes: nodes.collect(),
            layout_name: LayoutLabel {
                lineage: name.lineage,
                version: name.version,
                hash: LayoutHash(name.hash),
            },
            layout: layout.into(),
            partitions: view.layout.partitions().get(),
        };
        Ok(Response::Topology(done))
    }

    fn status(&self, figures: &Figures) -> Response {
        let peers = figures.peers.iter().map(|peer| PeerStatus {
            node: peer.node,
            name: self.name_of(peer.node),
            up: peer.up,
            p95_us: peer.answers.p95_us.unwrap_or(0),
        });
        let exchanging = figures.peers.iter().filter_map(|peer| {
            let ExchangeProgress { done, shared } = peer.answers.exchange?;
            let name = format!("exchange of partitions with {}", self.name_of(peer.node));
            Some(TaskStatus { name, done: done.into(), total: shared.into(), paused: false })
        });
        let tasks = exchanging.collect();
        let node = NodeStatus { name: self.name_of(self.me), ..figures.node.clone() };
        let (degraded, below_quorum) = self.partitions_in_trouble(figures);
        let peers = peers.collect();
        let done = StatusDone { node, peers, tasks, below_quorum, degraded };
        Response::Status(done)
    }

    fn hints(&self, figures: &Figures) -> Response {
        let (engine, held) = (&figures.engine, &figures.store.hints);
        let target = |target: &kvorum_store::TargetHints| TargetHints {
            node: target.target,
            name: self.name_of(target.target),
            up: figures.is_up(target.target),
            keys: target.keys as u64,
            bytes: target.bytes as u64,
            bearing: target.bearing as u64,
            oldest_ms: target.oldest_ms,
        };
        Response::Hints(HintsDone {
            paused: engine.hints_paused,
            keys: held.keys as u64,
            unread: held.unread as u64,
            bearing: held.bearing as u64,
            bearing_bytes: held.bearing_bytes as u64,
            spare_bytes: held.spare_bytes as u64,
            delivered: engine.hints_delivered,
            dropped: held.dropped,
            refused: held.refused,
            damaged: held.damaged,
            targets: figures.hinted.iter().map(target).collect(),
            unreadable: held.unreadable as u64,
            unread_bytes: held.unread_bytes as u64,
            spare_refused: held.spare_refused,
        })
    }

    /// A member's name; empty when it is none.
    fn name_of(&self, node: NodeId) -> String {
        let member = self.view.members.iter().find(|member| member.id == node);
        member.map_or_else(String::new, |member| member.name.clone())
    }

    /// Partitions of the default class with an owner down, and with fewer owners up than a majority.
    fn partitions_in_trouble(&self, figures: &Figures) -> (u32, u32) {
        let layout = &self.view.layout;
        let rows = layout.partitions().partitions();
        let rows = rows.filter_map(|partition| layout.preference(ClassId::default(), partition));
        let up_of = |row: Preference<'_>| {
            (row.owners().filter(|owner| figures.is_up(*owner)).count(), row.owners().len())
        };
        rows.map(up_of).fold((0, 0), |(degraded, below), (up, owners)| {
            (degraded + u32::from(up < owners), below + u32::from(up <= owners / 2))
        })
    }

    fn diagnose(&self, wanted: &[String], figures: &Figures) -> Response {
        let sections = [
            ("node", self.describe_node(figures)),
            ("peers", describe_peers(figures)),
            ("store", describe_store(figures)),
            ("engine", format!("{:#?}\n", figures.engine)),
            ("facts", self.describe_facts()),
            ("settings", without_comments(&self.settings)),
            ("recent errors", recent::lines()),
            ("metrics", metrics::expose(figures)),
        ];
        let is_wanted =
            |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
        let section = |(name, text): (&str, String)| DiagSection { name: name.to_owned(), text };
        let sections =
            sections.into_iter().filter(|(name, _)| is_wanted(name)).map(section).collect();
        Response::Diag(Diagnosis { sections })
    }

    fn describe_node(&self, figures: &Figures) -> String {
        let NodeStatus { version, run, uptime_ms, requests, .. } = &figures.node;
        format!(
            "id {}\ncluster {}\nversion {version}\nrun {run}\nuptime {uptime_ms} ms\nrequests {requests}\nclients {}\n",
            self.me, self.name, figures.clients
        )
    }

    fn describe_facts(&self) -> String {
        let facts = self.facts.set();
        let layout = &self.view.layout;
        format!(
            "facts {}\ndigest {:?}\nsaved {} of {} changes\nlayout {}\npartitions {}\nmembers {}\nbuckets {}\naccess tokens {}\n",
            facts.len(),
            facts.digest(),
            self.saved,
            self.generation,
            layout.name(),
            layout.partitions().get(),
            self.view.members.len(),
            self.view.buckets.len(),
            self.access.len(),
        )
    }
}

/// The lines that set something.
fn without_comments(settings: &str) -> String {
    let lines = settings.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.fold(String::new(), |text, line| text + line + "\n")
}

fn describe_peers(figures: &Figures) -> String {
    let mut out = format!("irregularities {}\n", figures.detection.irregularities);
    for peer in &figures.peers {
        let rtt = peer.rtt_us.map_or_else(|| "no connection".to_owned(), |rtt| format!("{rtt} us"));
        let line = (peer.node, peer.up, peer.alive, peer.dropped);
        writeln!(out, "{} up={} alive={} dropped={} rtt={rtt}", line.0, line.1, line.2, line.3)
            .expect("writing to memory does not fail");
    }
    out
}

fn describe_store(figures: &Figures) -> String {
    let NodeStatus { keys, log_bytes, live_bytes, index_backlog, refilling, .. } = figures.node;
    format!(
        "keys {keys}\nlog {log_bytes} bytes\nlive {live_bytes} bytes\nindex backlog {index_backlog}\nrefilling {refilling}\n"
    )
}

fn too_many_buckets(held: usize) -> RequestError {
    let limit = limits::BUCKETS as u64;
    RequestError::TooLarge { what: LimitKind::Buckets, size: held as u64 + 1, limit }
}
