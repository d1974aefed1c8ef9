//! The ways to misbehave, how often each is tried, and what became of it.

use std::fmt;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::hostile::doors::Port;

/// A way to misbehave.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    Datagrams,
    RawBytes,
    LeftHandshakes,
    WrongVersions,
    WrongTokens,
    WritesOfReaders,
    Nonsense,
    WrongContexts,
    Silence,
    SlowGreetings,
    SlowFrames,
    HeavyFrames,
    UnreadAnswers,
    EarlyPuts,
    Replays,
}

/// What is known of a kind.
pub(super) struct Description {
    pub(super) kind: Kind,
    pub(super) what: &'static str,
    /// Of a hundred attacks.
    pub(super) share: usize,
    /// Where it can be tried.
    pub(super) ports: &'static [Port],
    /// Whether nodes have to say no to it in so many words at least once, or leave it unheard.
    pub(super) meets_refusals: bool,
}

/// Where a client's greeting is understood.
const CLIENTS: &[Port] = &[Port::Plain, Port::Tls, Port::Quic];

/// Where clients come over TCP.
const TCP: &[Port] = &[Port::Plain, Port::Tls];

/// Where there are handshakes.
const SECURE: &[Port] = &[Port::Tls, Port::Quic, Port::Peers];

/// How many kinds there are.
const COUNT: usize = 15;

/// All kinds.
#[rustfmt::skip]
pub(super) const KINDS: [Description; COUNT] = [
    described(Kind::Datagrams, "20 packets that are no QUIC, or look like it", 8, &[Port::Quic, Port::Peers], false),
    described(Kind::RawBytes, "what is neither TLS nor a frame", 8, TCP, false),
    described(Kind::LeftHandshakes, "a handshake, and gone", 8, SECURE, false),
    described(Kind::WrongVersions, "greetings of other versions", 8, &Port::ALL, true),
    described(Kind::WrongTokens, "tokens that are guessed, revoked or missing", 12, &[Port::Tls, Port::Quic], true),
    described(Kind::WritesOfReaders, "a put with a token that may read", 5, &[Port::Tls], true),
    described(Kind::Nonsense, "frames cut, bent, too long, too deep, lying, repeated", 20, &Port::ALL, true),
    described(Kind::WrongContexts, "contexts of another key, forged, empty", 12, CLIENTS, true),
    described(Kind::Silence, "a connection that says nothing", 4, TCP, false),
    described(Kind::SlowGreetings, "a greeting byte by byte", 4, CLIENTS, false),
    described(Kind::SlowFrames, "a frame byte by byte, and gone", 4, CLIENTS, false),
    described(Kind::HeavyFrames, "up to 4 MiB of a frame, and no more", 2, CLIENTS, false),
    described(Kind::UnreadAnswers, "1,000 gets whose answers nobody reads", 1, CLIENTS, false),
    described(Kind::EarlyPuts, "a put before the handshake ended (0-RTT)", 2, &[Port::Tls, Port::Quic], true),
    described(Kind::Replays, "a recorded connection said again", 2, &[Port::Tls], false),
];

const fn described(
    kind: Kind,
    what: &'static str,
    share: usize,
    ports: &'static [Port],
    meets_refusals: bool,
) -> Description {
    Description { kind, what, share, ports, meets_refusals }
}

/// The order in which kinds are tried: a hundred of them, drawn once, again and again.
pub(super) fn order(draws: &mut StdRng) -> Vec<usize> {
    let shares = KINDS.iter().enumerate();
    let mut order: Vec<usize> =
        shares.flat_map(|(kind, described)| vec![kind; described.share]).collect();
    assert_eq!(order.len(), 100, "the shares are of a hundred");
    for last in (1..order.len()).rev() {
        order.swap(last, draws.random_range(0..=last));
    }
    order
}

/// What became of the attacks of one kind.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Tally {
    /// All of them.
    pub(super) made: u64,
    /// Of these, cut off by the node or given up.
    pub(super) cut_off: u64,
    /// What nodes said no to, or left unheard: several for one attack.
    pub(super) refusals: u64,
}

/// What became of all, by kind.
#[derive(Clone, Default, Debug)]
pub(super) struct Tallies([Tally; COUNT]);

impl Tallies {
    /// One attack has ended.
    pub(super) fn count(&mut self, kind: usize, refusals: u64, is_cut_off: bool) {
        let tally = &mut self.0[kind];
        tally.made += 1;
        tally.cut_off += u64::from(is_cut_off);
        tally.refusals += refusals;
    }

    /// How many attacks there were.
    pub(super) fn made(&self) -> u64 {
        self.0.iter().map(|tally| tally.made).sum()
    }

    /// Kinds that showed nothing: not tried, or never refused though that is their point.
    pub(super) fn shown_nothing(&self) -> Vec<Kind> {
        let pairs = KINDS.iter().zip(&self.0);
        let nothing = pairs.filter(|(described, tally)| {
            tally.made == 0 || described.meets_refusals && tally.refusals == 0
        });
        nothing.map(|(described, _)| described.kind).collect()
    }
}

impl fmt::Display for Tallies {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.made().max(1) as f64;
        let heads = ("attack", "made", "share", "refusals", "cut off");
        writeln!(
            formatter,
            "{:<55} {:>7} {:>6} {:>9} {:>8}",
            heads.0, heads.1, heads.2, heads.3, heads.4
        )?;
        for (Description { what, .. }, tally) in KINDS.iter().zip(&self.0) {
            let Tally { made, refusals, cut_off } = tally;
            let share = 100.0 * *made as f64 / all;
            writeln!(formatter, "{what:<55} {made:>7} {share:>5.1}% {refusals:>9} {cut_off:>8}")?;
        }
        Ok(())
    }
}
