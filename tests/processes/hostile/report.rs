//! What a run showed: a table, and a verdict.

use std::fmt;
use std::time::Duration;

use crate::hostile::kinds::Tallies;
use crate::hostile::workload::{GROUPS, Measured};

/// How much longer the slowest hundredth of normal operations may take beside attackers than without.
pub(super) const P99_RATIO_MAX: f64 = 2.0;

/// One phase of the normal clients.
pub(super) struct Phase {
    pub(super) name: &'static str,
    pub(super) groups: [Measured; 2],
    /// Processor time of all nodes.
    pub(super) nodes_cpu: Duration,
    /// How long it took.
    pub(super) time: Duration,
}

/// What the attackers did meanwhile.
pub(super) struct Attackers {
    pub(super) tallies: Tallies,
    /// For how long they attacked.
    pub(super) time: Duration,
    /// Connections that the crowd opened, and those of them that were open at the end.
    pub(super) crowd: (usize, usize),
    /// The most client connections that the nodes themselves counted at a time.
    pub(super) counted: usize,
    /// Processor time of their own thread.
    pub(super) cpu: Duration,
}

/// The most memory that a node took, in MiB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// Until the attack.
    pub(super) before: u64,
    /// In all.
    pub(super) in_all: u64,
}

/// All of it.
pub(super) struct Report {
    pub(super) saturation: Phase,
    pub(super) before: Phase,
    pub(super) beside: Phase,
    pub(super) after: Phase,
    pub(super) attackers: Attackers,
    pub(super) memory: Vec<Memory>,
}

impl Report {
    /// The p99 of each group beside attackers, as a multiple of the one before.
    pub(super) fn p99_ratios(&self) -> [f64; 2] {
        [0, 1].map(|group| {
            let p99 = |phase: &Phase| phase.groups[group].percentile_ms(99.0);
            p99(&self.beside) / p99(&self.before)
        })
    }

    /// Whether normal clients hardly noticed.
    pub(super) fn is_calm(&self) -> bool {
        self.p99_ratios().iter().all(|ratio| *ratio <= P99_RATIO_MAX)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["phase", "normal clients of", "ops/s", "p50 ms", "p99 ms", "p99.9", "longest"];
        let [phase, group, rest @ ..] = heads;
        write!(formatter, "{phase:<11} {group:<23}")?;
        rest.iter().try_for_each(|head| write!(formatter, " {head:>9}"))?;
        writeln!(formatter, "  CPU of the nodes")?;
        for phase in [&self.saturation, &self.before, &self.beside, &self.after] {
            for ((name, _), measured) in GROUPS.iter().zip(&phase.groups) {
                write!(formatter, "{:<11} {name:<23} {:>9.0}", phase.name, measured.rate())?;
                for percentile in [50.0, 99.0, 99.9, 100.0] {
                    write!(formatter, " {:>9.2}", measured.percentile_ms(percentile))?;
                }
                writeln!(formatter, "  {:.2} cores", cores(phase.nodes_cpu, phase.time))?;
            }
        }
        let Attackers { tallies, time, crowd, counted, cpu } = &self.attackers;
        let rate = tallies.made() as f64 / time.as_secs_f64();
        writeln!(formatter, "\n{tallies}")?;
        writeln!(
            formatter,
            "attackers: {rate:.0} attacks a second, {:.2} cores of their own; a crowd of {} connections, {} open at the \
             end; the nodes counted up to {counted} clients at once",
            cores(*cpu, *time),
            crowd.0,
            crowd.1,
        )?;
        for (node, Memory { before, in_all }) in (1..).zip(&self.memory) {
            writeln!(
                formatter,
                "memory of node {node}: {before} MiB before, at most {in_all} MiB"
            )?;
        }
        let [first, second] = self.p99_ratios();
        let calm = if self.is_calm() { "within" } else { "NOT WITHIN" };
        write!(
            formatter,
            "verdict: no crash, no state change; p99 beside attackers {first:.2} and {second:.2} times the one before: {calm} \
             {P99_RATIO_MAX} times",
        )
    }
}

fn cores(cpu: Duration, time: Duration) -> f64 {
    cpu.as_secs_f64() / time.as_secs_f64()
}
