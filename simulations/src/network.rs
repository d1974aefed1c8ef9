//! Links between nodes: when a message arrives, if it does.
//!
//! Peer messages are simulated whole. A link is one direction of one connection: its messages stay in order, unless they
//! are drawn to be reordered, as messages on streams of their own or across a reconnection would be. A connection that
//! breaks loses a suffix of what was on its way. The faults of a link are rules with an end: cut (what is sent or arrives
//! meanwhile is lost), clogged (all of it arrives when the clog ends, in one burst), degraded, slow.
//!
//! The model is wider than QUIC: a stream that lives never loses one message from its middle. A system that stands more
//! than the real network does no harm to the search, and the engine promises nothing about messages anyway.

use crate::plan::NetworkPlan;
use crate::streams::{Purpose, Stream};

/// A message's journey as decided at its sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When it arrives, in virtual nanoseconds.
    pub at_ns: u64,
    /// The connection that it travels on.
    pub connection: u32,
}

/// The copies of a message that will arrive: none, one or two.
pub type Arrivals = [Option<Arrival>; 2];

/// The rates of a link's own faults, each of a million messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Lost.
    pub loss_ppm: u32,
    /// Delivered twice.
    pub duplicate_ppm: u32,
    /// Allowed to overtake and be overtaken.
    pub reorder_ppm: u32,
}

#[derive(Debug)]
struct Link {
    delay: Stream,
    fault: Stream,
    last_arrival_ns: u64,
    connection: u32,
    /// Until when messages of the connection before this one still arrive: what was ahead of the break.
    old_until_ns: u64,
    cut_until_ns: u64,
    clogged_until_ns: u64,
    degraded: Rates,
    degraded_until_ns: u64,
}

/// All links of a cluster.
#[derive(Debug)]
pub struct Network {
    nodes: u16,
    usual: Rates,
    minimum_ns: u64,
    mean_ns: u64,
    links: Vec<Link>,
    /// For each node: how many times slower its links are, and until when.
    slow: Vec<(u64, u64)>,
    overtakes: u64,
}

impl Network {
    /// The links of `nodes` nodes, all sound.
    pub fn new(seed: u64, nodes: u16, plan: &NetworkPlan) -> Self {
        let links = (0..u64::from(nodes) * u64::from(nodes))
            .map(|link| Link {
                delay: Stream::new(seed, Purpose::LinkDelay, link),
                fault: Stream::new(seed, Purpose::LinkFault, link),
                last_arrival_ns: 0,
                connection: 0,
                old_until_ns: 0,
                cut_until_ns: 0,
                clogged_until_ns: 0,
                degraded: Rates::default(),
                degraded_until_ns: 0,
            })
            .collect();
        Self {
            nodes,
            usual: Rates {
                loss_ppm: plan.loss_ppm,
                duplicate_ppm: plan.duplicate_ppm,
                reorder_ppm: plan.reorder_ppm,
            },
            minimum_ns: plan.minimum_us * 1_000,
            mean_ns: plan.mean_us * 1_000,
            links,
            slow: vec![(1, 0); usize::from(nodes)],
            overtakes: 0,
        }
    }

    fn link(&mut self, from: u16, to: u16) -> &mut Link {
        let index = usize::from(from) * usize::from(self.nodes) + usize::from(to);
        &mut self.links[index]
    }

    fn slowness(&self, node: u16, now_ns: u64) -> u64 {
        let (factor, until_ns) = self.slow[usize::from(node)];
        if now_ns < until_ns { factor } else { 1 }
    }

    /// Sends a message and says when its copies arrive.
    pub fn send(&mut self, now_ns: u64, from: u16, to: u16) -> Arrivals {
        self.journey(now_ns, from, to, true)
    }

    /// Sends a datagram, which keeps no order with anything, and says when its copies arrive.
    pub fn send_datagram(&mut self, now_ns: u64, from: u16, to: u16) -> Arrivals {
        self.journey(now_ns, from, to, false)
    }

    fn journey(&mut self, now_ns: u64, from: u16, to: u16, in_stream: bool) -> Arrivals {
        let factor = self.slowness(from, now_ns) * self.slowness(to, now_ns);
        let (minimum, mean, usual) = (self.minimum_ns * factor, self.mean_ns * factor, self.usual);
        let link = self.link(from, to);
        let rates = if now_ns < link.degraded_until_ns { link.degraded } else { usual };
        // All four draws are always taken, so that one message's fate does not move the next one's.
        let lost = link.fault.chance(rates.loss_ppm);
        let doubled = link.fault.chance(rates.duplicate_ppm);
        let reordered = link.fault.chance(rates.reorder_ppm);
        let delays = [link.delay.exponential(minimum, mean), link.delay.exponential(minimum, mean)];
        if lost || now_ns < link.cut_until_ns {
            return [None, None];
        }
        let mut at_ns = (now_ns + delays[0]).max(link.clogged_until_ns);
        let overtakes = in_stream && reordered && at_ns < link.last_arrival_ns;
        if in_stream && !reordered {
            at_ns = at_ns.max(link.last_arrival_ns);
            link.last_arrival_ns = at_ns;
        }
        let connection = link.connection;
        self.overtakes += u64::from(overtakes);
        let second = doubled.then(|| Arrival { at_ns: at_ns + delays[1], connection });
        [Some(Arrival { at_ns, connection }), second]
    }

    /// How many messages were sent so that they overtake an earlier one.
    pub const fn overtakes(&self) -> u64 {
        self.overtakes
    }

    /// Whether a message that travelled on `connection` is delivered at the moment of its arrival.
    pub fn delivers(&mut self, now_ns: u64, from: u16, to: u16, connection: u32) -> bool {
        let link = self.link(from, to);
        let alive = link.connection == connection
            || (link.connection == connection + 1 && now_ns < link.old_until_ns);
        alive && now_ns >= link.cut_until_ns
    }

    /// The connection that messages from `from` to `to` travel on now.
    pub fn connection(&mut self, from: u16, to: u16) -> u32 {
        self.link(from, to).connection
    }

    /// Whether messages from `from` to `to` vanish.
    pub fn is_cut(&mut self, now_ns: u64, from: u16, to: u16) -> bool {
        now_ns < self.link(from, to).cut_until_ns
    }

    /// Lets everything from `from` to `to` vanish until `until_ns`.
    pub fn cut(&mut self, from: u16, to: u16, until_ns: u64) {
        let link = self.link(from, to);
        link.cut_until_ns = link.cut_until_ns.max(until_ns);
    }

    /// Holds everything from `from` to `to` back until `until_ns`.
    pub fn clog(&mut self, from: u16, to: u16, until_ns: u64) {
        let link = self.link(from, to);
        link.clogged_until_ns = link.clogged_until_ns.max(until_ns);
    }

    /// Gives the link from `from` to `to` other rates until `until_ns`.
    pub fn degrade(&mut self, from: u16, to: u16, rates: Rates, until_ns: u64) {
        let link = self.link(from, to);
        (link.degraded, link.degraded_until_ns) = (rates, until_ns);
    }

    /// Makes all links of `node` `factor` times slower until `until_ns`.
    pub fn slow_node(&mut self, node: u16, factor: u32, until_ns: u64) {
        self.slow[usize::from(node)] = (u64::from(factor.max(1)), until_ns);
    }

    /// Breaks the connection between two nodes. In each direction a suffix of what was on its way is lost.
    pub fn reset(&mut self, now_ns: u64, left: u16, right: u16) {
        for (from, to) in [(left, right), (right, left)] {
            let window = 2 * (self.minimum_ns + self.mean_ns);
            let link = self.link(from, to);
            link.old_until_ns = now_ns + link.fault.below(window);
            link.connection += 1;
        }
    }

    /// Breaks all connections of a process that died: what was on its way to it is lost, and of what it had sent a suffix.
    pub fn process_died(&mut self, now_ns: u64, node: u16) {
        for peer in (0..self.nodes).filter(|peer| *peer != node) {
            self.reset(now_ns, node, peer);
            self.link(peer, node).old_until_ns = 0;
        }
    }

    /// Ends all faults, the usual rates too: from here on every message arrives once and in order.
    pub fn heal(&mut self) {
        self.usual = Rates::default();
        for link in &mut self.links {
            (link.cut_until_ns, link.clogged_until_ns, link.degraded_until_ns) = (0, 0, 0);
        }
        self.slow.fill((1, 0));
    }
}

#[cfg(test)]
mod tests {
    use super::{Arrival, Network, Rates};
    use crate::plan::NetworkPlan;

    fn network(loss_ppm: u32, duplicate_ppm: u32, reorder_ppm: u32) -> Network {
        let plan =
            NetworkPlan { minimum_us: 100, mean_us: 1_000, loss_ppm, duplicate_ppm, reorder_ppm };
        Network::new(5, 3, &plan)
    }

    fn arrivals(network: &mut Network, messages: u64) -> Vec<u64> {
        (0..messages)
            .filter_map(|n| network.send(n * 1_000, 0, 1)[0])
            .map(|arrival| arrival.at_ns)
            .collect()
    }

    #[test]
    fn a_sound_link_delivers_everything_in_order() {
        let times = arrivals(&mut network(0, 0, 0), 1_000);
        assert_eq!(times.len(), 1_000);
        assert!(times.is_sorted());
    }

    #[test]
    fn a_datagram_holds_nobody_up() {
        let mut network = network(0, 0, 0);
        network.slow_node(0, 1_000, 10);
        assert!(network.send_datagram(0, 0, 1)[0].is_some_and(|late| late.at_ns >= 100_000_000));
        assert!(network.send(10, 0, 1)[0].is_some_and(|soon| soon.at_ns < 100_000_000));
    }

    #[test]
    fn rates_lose_double_and_reorder() {
        assert!((600..800).contains(&arrivals(&mut network(300_000, 0, 0), 1_000).len()));
        assert!(!arrivals(&mut network(0, 0, 500_000), 1_000).is_sorted());
        let mut doubling = network(0, 500_000, 0);
        let doubled = (0..1_000).filter(|n| doubling.send(*n, 0, 1)[1].is_some()).count();
        assert!((400..600).contains(&doubled));
    }

    #[test]
    fn a_cut_is_one_way_and_ends() {
        let mut network = network(0, 0, 0);
        network.cut(0, 1, 5_000);
        assert_eq!(network.send(0, 0, 1), [None, None]);
        assert!(network.send(0, 1, 0)[0].is_some());
        assert!(network.send(5_000, 0, 1)[0].is_some());
        network.cut(1, 0, 9_000);
        assert!(!network.delivers(8_000, 1, 0, 0) && network.delivers(9_000, 1, 0, 0));
    }

    #[test]
    fn a_clog_delivers_in_one_burst_and_in_order() {
        let mut network = network(0, 0, 0);
        network.clog(0, 1, 1_000_000_000);
        let times = arrivals(&mut network, 10);
        assert!(times.iter().all(|at| *at == 1_000_000_000));
    }

    #[test]
    fn a_broken_connection_loses_a_suffix_and_a_dead_process_hears_nothing() {
        let mut network = network(0, 0, 0);
        let Some(Arrival { connection, .. }) = network.send(0, 0, 1)[0] else {
            panic!("lost on a sound link")
        };
        network.reset(100, 0, 1);
        let window = 2 * 1_100_000;
        assert!(!network.delivers(100 + window, 0, 1, connection));
        assert_eq!(network.connection(0, 1), connection + 1);
        network.process_died(200, 1);
        let current = network.connection(0, 1);
        assert!(
            !network.delivers(200, 0, 1, current - 1),
            "the message was for the process that died"
        );
    }

    #[test]
    fn healing_ends_every_rule() {
        let mut network = network(1_000_000, 0, 0);
        network.cut(0, 1, u64::MAX);
        network.degrade(0, 2, Rates { loss_ppm: 1_000_000, ..Rates::default() }, u64::MAX);
        network.slow_node(0, 100, u64::MAX);
        network.heal();
        assert!(network.send(0, 0, 1)[0].is_some() && network.send(0, 0, 2)[0].is_some());
    }
}
