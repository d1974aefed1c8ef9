//! All figures of a node as one text.
//!
//! The order is the one of `node/METRICS.md`: process, certificates, requests, engine, store, hints, disk, peers, their
//! breakers.

use kvorum_store::ShardStats;

use crate::engine::EngineStats;
use crate::runtime::cluster::{Figures, PeerFigures};
use crate::runtime::metrics::exposition::{Exposition, Kind};

use Kind::{Counter, Gauge, Histogram};

/// A number of anything as a sample.
fn number(value: impl TryInto<u64>) -> f64 {
    // Beyond 2^53 a float rounds; no counter of ours gets there.
    value.try_into().map_or(f64::INFINITY, |value| value as f64)
}

/// Writes everything that a node knows of itself.
pub(crate) fn expose(figures: &Figures) -> String {
    let mut out = Exposition::default();
    process(&mut out, figures);
    figures.meters.credentials.expose(&mut out, figures.node.certificate_expires_at_ms);
    figures.meters.faults.expose(&mut out);
    figures.meters.requests.expose(&mut out);
    engine(&mut out, figures);
    store(&mut out, &figures.store);
    hints(&mut out, figures);
    disk(&mut out, figures);
    peers(&mut out, figures);
    breakers(&mut out, &figures.peers);
    out.finish()
}

fn process(out: &mut Exposition, figures: &Figures) {
    let node = &figures.node;
    out.family("kvorum_build_info", Gauge, "Always 1; the labels say what runs.");
    let id = node.node.to_string();
    out.sample(&[("version", &node.version), ("node", &id)], 1);
    let help = "Times that this node has been started.";
    out.single("kvorum_starts_total", Counter, help, number(node.run));
    let help = "Seconds since this process began.";
    out.single("kvorum_uptime_seconds", Gauge, help, node.uptime_ms as f64 / 1e3);
    let help = "Processor seconds of this process, in user mode and in the kernel.";
    out.single("process_cpu_seconds_total", Counter, help, figures.process.cpu_seconds);
    if let Some(bytes) = figures.process.resident_bytes {
        let help = "Bytes of this process in memory.";
        out.single("process_resident_memory_bytes", Gauge, help, number(bytes));
    }
}

fn engine(out: &mut Exposition, figures: &Figures) {
    let engine = &figures.engine;
    let mut one = |name, kind, help, value| out.single(name, kind, help, value);
    one("kvorum_clients", Gauge, "Client connections.", number(figures.clients));
    let help = "Client requests at work.";
    one("kvorum_requests_at_work", Gauge, help, number(engine.requests));
    let help = "Requests of peers at work.";
    one("kvorum_replica_requests_at_work", Gauge, help, number(engine.replica_tasks));
    let help = "Client requests for data that may be at work at a time.";
    one("kvorum_admission_limit", Gauge, help, number(figures.gate.limit));
    let help = "Client requests for data that were let in and are not answered.";
    one("kvorum_admission_inside", Gauge, help, number(figures.gate.inside));
    let help = "Client requests that were not let in and were answered as overloaded.";
    one("kvorum_admission_refused_total", Counter, help, number(figures.gate.refused));
    let help = "Those among them for which there was room, but not for more of one tenant.";
    one("kvorum_admission_over_share_total", Counter, help, number(figures.gate.over_share));
    let help = "Client requests over the limit of their token on requests at work.";
    one("kvorum_token_over_in_flight_total", Counter, help, number(figures.gate.over_in_flight));
    let help = "Client requests over the rate of their token.";
    one("kvorum_token_over_rate_total", Counter, help, number(figures.gate.over_rate));
    let help = "Client requests over the limit of their connection on requests at work.";
    let over = number(figures.gate.over_connection);
    one("kvorum_connection_over_in_flight_total", Counter, help, over);
    let help = "Requests of clients and peers whose deadline had passed before anybody looked.";
    one("kvorum_expired_unstarted_total", Counter, help, number(figures.gate.expired));
    let help = "Client requests refused before anything happened.";
    one("kvorum_requests_refused_total", Counter, help, number(engine.refused));
    let help = "Client requests passed on to another node.";
    one("kvorum_requests_forwarded_total", Counter, help, number(engine.forwarded));
    let help =
        "Client requests passed on to a later owner while the breaker of an earlier one was open.";
    one("kvorum_requests_passed_over_total", Counter, help, number(engine.passed_over));
    let help = "Puts and deletes applied at their quorum.";
    one("kvorum_writes_applied_total", Counter, help, number(engine.writes_applied));
    let help = "Puts and deletes that ended with an owner not known to hold them.";
    one("kvorum_writes_left_behind_total", Counter, help, number(engine.writes_left_behind));
    let help = "Writes of lossy-lww buckets refused, because the clocks of too few owners agreed with this node's.";
    one("kvorum_clock_refusals_total", Counter, help, number(engine.clocks_refused));
    let help = "Digests of other owners' records that a read found equal to its own record's.";
    one("kvorum_read_digests_agreed_total", Counter, help, number(engine.digests_agreed));
    let help = "Digests that differed, so that the record itself was asked for.";
    one("kvorum_read_digests_differed_total", Counter, help, number(engine.digests_differed));
    let help = "Records sent to owners, or merged here, because a read found a copy stale.";
    one("kvorum_read_repairs_total", Counter, help, number(engine.repairs));
    exchanges(out, engine);
}

fn exchanges(out: &mut Exposition, engine: &EngineStats) {
    let mut counter = |name, help, value| out.single(name, Counter, help, value);
    let help = "Exchanges with other owners that this node asked for and that came to their end.";
    counter("kvorum_exchanges_total", help, number(engine.exchanges));
    let help = "Records that other owners took in exchanges that this node asked for.";
    counter("kvorum_exchange_given_total", help, number(engine.exchange_given));
    let help = "Records that this node took in exchanges that it asked for.";
    counter("kvorum_exchange_taken_total", help, number(engine.exchange_taken));
    let help = "Keys that an exchange could not make equal; the next one tries again.";
    counter("kvorum_exchange_failures_total", help, number(engine.exchange_failures));
    let help = "Questions of exchanges that another owner refused to answer.";
    counter("kvorum_exchange_refusals_total", help, number(engine.exchange_refusals));
    let help =
        "Keys that all owners were asked for, because a repair was ordered that this node led.";
    counter("kvorum_repair_compared_total", help, number(engine.ordered_compared));
    let help = "Copies of records that owners lacked then, and have durably.";
    counter("kvorum_repair_given_total", help, number(engine.ordered_given));
}

fn store(out: &mut Exposition, store: &ShardStats) {
    let mut gauge = |name, help, value| out.single(name, Gauge, help, value);
    let help = "Keys that the index names, those of deleted values included.";
    gauge("kvorum_store_keys", help, number(store.keys));
    gauge("kvorum_store_segments", "Segments of the log.", number(store.segments));
    let help = "Preallocated segments in stock.";
    gauge("kvorum_store_spare_segments", help, number(store.spares));
    gauge("kvorum_store_log_bytes", "Bytes written in all segments.", number(store.log_bytes));
    let help = "Bytes of the log that hold the newest version of their key.";
    gauge("kvorum_store_live_bytes", help, number(store.live_bytes));
    let help = "Keys whose newest version the index does not name yet.";
    gauge("kvorum_store_index_backlog", help, number(store.index_backlog));
    let help = "Keys that may still join the backlog before writes are refused as overloaded.";
    gauge("kvorum_store_record_credits", help, number(store.record_credits));
    let help = "Bytes that wait for their sync.";
    gauge("kvorum_store_pending_bytes", help, number(store.pending_bytes));
    let help = "Operations that wait for a read from the disk.";
    gauge("kvorum_store_queued_operations", help, number(store.queued));
    gauge("kvorum_store_table_keys", "Keys held in memory.", number(store.table_keys));
    gauge("kvorum_store_table_bytes", "Bytes held in memory, about.", number(store.table_bytes));
    let help = "1 while the disk has no room for another segment.";
    gauge("kvorum_store_disk_full", help, number(store.disk_full));
    let help = "1 while the log has lost something and absences here count for no quorum.";
    gauge("kvorum_store_refilling", help, number(store.refilling));
    let help = "1 while the index is being rebuilt.";
    gauge("kvorum_store_rebuilding", help, number(store.rebuilding));
    let help = "Partitions that hold something and whose hash trees are not known.";
    gauge("kvorum_store_trees_unknown", help, number(store.trees_unknown));
    let mut counter = |name, help, value| out.single(name, Counter, help, value);
    let help = "Partitions whose hash trees were counted from the index.";
    counter("kvorum_store_trees_counted_total", help, number(store.trees_counted));
    let help = "Records whose values were hashed because an exchange asked for hash trees.";
    counter("kvorum_store_trees_digested_total", help, number(store.trees_digested));
    let help = "Batches synced; records / batches is how many writes share a sync.";
    counter("kvorum_store_batches_total", help, number(store.batches));
    counter("kvorum_store_records_total", "Records synced.", number(store.entries));
    counter("kvorum_store_appended_bytes_total", "Bytes appended.", number(store.bytes));
    let help = "Records that compaction moved.";
    counter("kvorum_store_compacted_records_total", help, number(store.moved));
}

fn hints(out: &mut Exposition, figures: &Figures) {
    let (engine, held) = (&figures.engine, &figures.store.hints);
    let mut gauge = |name, help, value| out.single(name, Gauge, help, value);
    let help = "Keys that this node holds for owners that were away.";
    gauge("kvorum_hints", help, number(held.keys));
    let help = "Those of them that count as copies, because too few owners have them.";
    gauge("kvorum_hints_bearing", help, number(held.bearing));
    let help = "Those of them of which it is not known yet since the start whom they are for.";
    gauge("kvorum_hints_unread", help, number(held.unread));
    let help = "Those of them that cannot be read now; they are kept and tried again.";
    gauge("kvorum_hints_unreadable", help, number(held.unreadable));
    let help = "Deliveries to owners that are under way, with what leads them.";
    gauge("kvorum_hint_deliveries", help, number(engine.deliveries));
    let help = "Bytes that hints take, in the log and in memory, about.";
    out.family("kvorum_hint_bytes", Gauge, help);
    out.sample(&[("kind", "bearing")], number(held.bearing_bytes));
    out.sample(&[("kind", "spare")], number(held.spare_bytes));
    out.sample(&[("kind", "unread")], number(held.unread_bytes));
    let mut counter = |name, help, value| out.single(name, Counter, help, value);
    let help = "Hints that their owner has durably.";
    counter("kvorum_hints_delivered_total", help, number(engine.hints_delivered));
    let help = "Deliveries that failed and are tried again.";
    counter("kvorum_hints_undelivered_total", help, number(engine.hints_undelivered));
    let help = "Hints that were dropped for their age; enough owners have them.";
    counter("kvorum_hints_dropped_total", help, number(held.dropped));
    let help =
        "Hints that were given up because their bytes are damaged, or that the log has lost.";
    counter("kvorum_hints_damaged_total", help, number(held.damaged));
    let help = "Hints that a write needed and that were refused, because their room is used up.";
    counter("kvorum_hints_refused_total", help, number(held.refused));
    let help = "Hints that no write needed and that were not taken, because their room is used up.";
    counter("kvorum_spare_hints_refused_total", help, number(held.spare_refused));
    let help = "Times that this node, as a coordinator, called a fallback in for an owner.";
    counter("kvorum_fallbacks_called_total", help, number(engine.called_in));
    let help =
        "Gets that asked owners once more, because fallbacks may have handed over meanwhile.";
    counter("kvorum_second_looks_total", help, number(engine.second_looks));
    let help =
        "Times that no fallback was called in for a slow owner, because too many would have been.";
    counter("kvorum_slow_owners_spared_total", help, number(engine.slow_owners_spared));
    let help = "Writes that had their quorum only with fallbacks.";
    counter("kvorum_writes_with_fallbacks_total", help, number(engine.writes_with_fallbacks));
    let help = "Reads that asked fallbacks, because owners were away or nothing was found.";
    counter("kvorum_reads_of_fallbacks_total", help, number(engine.fallbacks_asked));
}

fn disk(out: &mut Exposition, figures: &Figures) {
    let help = "Time of each sync of the log. `commit`: a batch of writes waits for it; `other`: new segments, the \
                manifest, directories.";
    out.family("kvorum_sync_seconds", Histogram, help);
    out.histogram(&[("purpose", "commit")], &figures.meters.syncs.commits);
    out.histogram(&[("purpose", "other")], &figures.meters.syncs.others);
}

fn peers(out: &mut Exposition, figures: &Figures) {
    let help =
        "Times that membership found its own timing broken: the process was not run for long.";
    out.single(
        "kvorum_membership_irregularities_total",
        Counter,
        help,
        number(figures.detection.irregularities),
    );
    let help = "How late this node was of late, 0 to 3: it gives suspects one time more than usual for each.";
    out.single("kvorum_membership_lateness", Gauge, help, number(figures.detection.lateness));
    let help = "Peers that did not answer and have some time left to say that they are alive.";
    out.single("kvorum_membership_suspects", Gauge, help, number(figures.detection.suspects));
    type Sample = fn(&PeerFigures) -> Option<f64>;
    let families: [(&str, Kind, &str, Sample); 9] = [
        ("kvorum_peer_up", Gauge, "1 while a peer can be asked.", |peer| Some(number(peer.up))),
        ("kvorum_peer_rtt_seconds", Gauge, "Round trip to a peer.", |peer| {
            peer.rtt_us.map(|us| us as f64 / 1e6)
        }),
        (
            "kvorum_peer_dropped_frames_total",
            Counter,
            "Messages to a peer that its full buffer did not take.",
            |peer| Some(number(peer.dropped)),
        ),
        ("kvorum_peer_pending_bytes", Gauge, "Bytes that wait to be written to a peer.", |peer| {
            Some(number(peer.traffic.pending_bytes))
        }),
        (
            "kvorum_peer_sent_bytes_total",
            Counter,
            "UDP bytes sent to a peer on the connections now open.",
            |peer| Some(number(peer.traffic.sent_bytes)),
        ),
        (
            "kvorum_peer_received_bytes_total",
            Counter,
            "UDP bytes received from a peer on the connections now open.",
            |peer| Some(number(peer.traffic.received_bytes)),
        ),
        (
            "kvorum_peer_sent_packets_total",
            Counter,
            "QUIC packets sent to a peer on the connections now open.",
            |peer| Some(number(peer.traffic.sent_packets)),
        ),
        (
            "kvorum_peer_lost_packets_total",
            Counter,
            "QUIC packets to a peer that were lost.",
            |peer| Some(number(peer.traffic.lost_packets)),
        ),
        (
            "kvorum_peer_congestion_events_total",
            Counter,
            "Times that QUIC slowed down for a peer.",
            |peer| Some(number(peer.traffic.congestion_events)),
        ),
    ];
    for (name, kind, help, sample) in families {
        out.family(name, kind, help);
        for peer in &figures.peers {
            if let Some(value) = sample(peer) {
                out.sample(&[("peer", &peer.node.to_string())], value);
            }
        }
    }
}

fn breakers(out: &mut Exposition, peers: &[PeerFigures]) {
    let help = "1 while a peer fails, so that requests are passed on to others before it.";
    out.family("kvorum_peer_breaker_open", Gauge, help);
    for peer in peers {
        let open = number(peer.answers.breaker_open);
        out.sample(&[("peer", &peer.node.to_string())], open);
    }
    let help = "Times that the breaker of a peer opened.";
    out.family("kvorum_peer_breaker_opened_total", Counter, help);
    for peer in peers {
        let opened = number(peer.answers.breaker_opened);
        out.sample(&[("peer", &peer.node.to_string())], opened);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::expose;
    use crate::runtime::cluster::Figures;

    /// The families of a text, by name and kind.
    fn families(text: &str) -> BTreeSet<&str> {
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types.filter_map(|line| line.split(' ').next()).collect()
    }

    #[test]
    fn every_family_is_explained_and_every_explanation_has_its_family() {
        let figures = Figures::sample();
        let text = expose(&figures);
        // The first table is about families; what comes after its section is about other figures.
        let page = include_str!("../../../METRICS.md");
        let rows = page.split("\n## ").next().unwrap_or_default().lines();
        let explained: BTreeSet<&str> =
            rows.filter_map(|row| row.strip_prefix("| `")?.split('`').next()).collect();
        let mut told = families(&text);
        // Elsewhere than on Linux nobody tells the memory.
        told.insert("process_resident_memory_bytes");
        assert_eq!(told, explained);
    }

    #[test]
    fn the_text_is_one_that_a_scraper_reads() {
        let mut figures = Figures::sample();
        figures.node.version = "1.0 \"x\"".to_owned();
        let text = expose(&figures);
        let (mut families, mut all) = (BTreeSet::new(), BTreeSet::new());
        let mut family = "";
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("# TYPE ") {
                family = name.split(' ').next().unwrap_or_default();
                assert!(families.insert(family), "{family} stands there twice");
            } else if !line.starts_with("# HELP ") {
                let (series, value) = line.rsplit_once(' ').expect("a value");
                assert!(series.starts_with(family), "{series} stands below {family}");
                assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
                assert!(all.insert(series), "{series} stands there twice");
            }
        }
        assert!(text.contains("kvorum_peer_up{peer=\"00000000000000000000000000000002\"} 1"));
    }
}
