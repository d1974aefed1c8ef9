//! What `kv` tells the shell: one enum, one meaning for each number, the same for every verb.
//!
//! A script decides by this number alone: 3 means that nothing was applied and the command may simply be run again,
//! 6 means that something may have been applied, and that only a retry under the printed operation id is safe.
//! The numbers are promised: a new meaning takes a new number, and none is ever reused.

/// The exit code of a `kv` process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum ExitCode {
    /// Done, and everything asked for is true.
    Success = 0,
    /// The key or the bucket does not exist.
    NotFound = 1,
    /// The arguments or a file named by them make no sense; nothing was sent.
    Usage = 2,
    /// No node, or too few nodes, could be reached. Nothing was applied.
    Unavailable = 3,
    /// Siblings where one value was asked for, or a context that does not fit.
    Conflict = 4,
    /// The cluster understood and said no, or one side does not accept the other's certificate. Nothing was applied.
    Refused = 5,
    /// The outcome is unknown, or the write was applied on fewer nodes than asked. The operation id is printed.
    Unknown = 6,
    /// Bytes that do not verify, or an acknowledged write that cannot be found.
    Damaged = 7,
    /// `kv status`: every partition has its quorum, but not every owner is there.
    Degraded = 10,
    /// `kv status`: some partition has lost its quorum.
    BelowQuorum = 11,
    /// `kv stats`, `kv top --once`, `kv hints`, `kv key why`, `kv conflicts`: some node did not answer. What the others said is printed.
    SomeSilent = 12,
    /// `kv bench overload`: the nodes did not come through it as they should.
    OverloadFailed = 13,
    /// `kv repair`: some owner is not known to hold what the others hold.
    NotRepaired = 14,
    /// `kv key why`: some owner lacks something that others hold.
    OwnersDiffer = 16,
    /// `kv sim`: the simulated node, or the simulator, panicked.
    SimulationCrash = 20,
    /// `kv sim`: a safety property was violated.
    SimulationSafety = 21,
    /// `kv sim`: something did not happen in bounded time.
    SimulationLiveness = 22,
    /// `kv sim`: one seed gave two different traces.
    SimulationNotDeterministic = 23,
    /// `kv sim swarm`: no property was violated, and a rare state was missed by so many seeds that the swarm proves little.
    SimulationMissed = 24,
}

impl ExitCode {
    /// Every code, in order: help and tests walk over it.
    pub(crate) const ALL: [ExitCode; 19] = [
        ExitCode::Success,
        ExitCode::NotFound,
        ExitCode::Usage,
        ExitCode::Unavailable,
        ExitCode::Conflict,
        ExitCode::Refused,
        ExitCode::Unknown,
        ExitCode::Damaged,
        ExitCode::Degraded,
        ExitCode::BelowQuorum,
        ExitCode::SomeSilent,
        ExitCode::OverloadFailed,
        ExitCode::NotRepaired,
        ExitCode::OwnersDiffer,
        ExitCode::SimulationCrash,
        ExitCode::SimulationSafety,
        ExitCode::SimulationLiveness,
        ExitCode::SimulationNotDeterministic,
        ExitCode::SimulationMissed,
    ];

    /// The number that the shell sees.
    pub(crate) fn number(self) -> u8 {
        self as u8
    }

    /// The code's name in `--json` output: stable, one word or snake case.
    pub(crate) fn name(self) -> &'static str {
        match self {
            ExitCode::Success => "ok",
            ExitCode::NotFound => "not_found",
            ExitCode::Usage => "usage",
            ExitCode::Unavailable => "unavailable",
            ExitCode::Conflict => "conflict",
            ExitCode::Refused => "refused",
            ExitCode::Unknown => "unknown",
            ExitCode::Damaged => "damaged",
            ExitCode::Degraded => "degraded",
            ExitCode::BelowQuorum => "below_quorum",
            ExitCode::SomeSilent => "some_silent",
            ExitCode::OverloadFailed => "overload_failed",
            ExitCode::NotRepaired => "not_repaired",
            ExitCode::OwnersDiffer => "owners_differ",
            ExitCode::SimulationCrash => "simulation_crash",
            ExitCode::SimulationSafety => "simulation_safety",
            ExitCode::SimulationLiveness => "simulation_liveness",
            ExitCode::SimulationNotDeterministic => "simulation_not_deterministic",
            ExitCode::SimulationMissed => "simulation_missed",
        }
    }

    /// What the code means, in a line of help.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            ExitCode::Success => "ok",
            ExitCode::NotFound => "not found",
            ExitCode::Usage => "wrong usage; nothing was sent",
            ExitCode::Unavailable => "unavailable; nothing was applied",
            ExitCode::Conflict => "conflict: siblings, or a context that does not fit",
            ExitCode::Refused => "refused; nothing was applied",
            ExitCode::Unknown => {
                "outcome unknown, or applied on fewer nodes than asked (the operation id is printed)"
            }
            ExitCode::Damaged => "damaged data",
            ExitCode::Degraded => "status: degraded",
            ExitCode::BelowQuorum => "status: below quorum",
            ExitCode::SomeSilent => "stats, top, hints, key why: some node did not answer",
            ExitCode::OverloadFailed => {
                "bench overload: a criterion does not hold, or the run shows nothing"
            }
            ExitCode::NotRepaired => "repair: some owner is not known to hold what the others hold",
            ExitCode::OwnersDiffer => "key why: some owner lacks something that others hold",
            ExitCode::SimulationCrash => "sim: crash",
            ExitCode::SimulationSafety => "sim: safety violated",
            ExitCode::SimulationLiveness => "sim: liveness violated",
            ExitCode::SimulationNotDeterministic => "sim: not deterministic",
            ExitCode::SimulationMissed => {
                "sim swarm: a rare state was missed; the search is at fault"
            }
        }
    }

    /// The table of all codes, as the help of `kv` prints it.
    pub(crate) fn table() -> String {
        let mut text = String::from("Exit codes:\n");
        for code in ExitCode::ALL {
            text.push_str(&format!("  {:>2}  {}\n", code.number(), code.meaning()));
        }
        text
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> std::process::ExitCode {
        std::process::ExitCode::from(code.number())
    }
}

#[cfg(test)]
mod tests {
    use super::ExitCode;

    #[test]
    fn the_numbers_are_the_ones_that_scripts_were_promised() {
        let numbers: Vec<u8> = ExitCode::ALL.iter().map(|code| code.number()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 16, 20, 21, 22, 23, 24]);
    }

    #[test]
    fn every_code_has_its_own_name_and_line_of_help() {
        let mut names: Vec<&str> = ExitCode::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ExitCode::ALL.len());
        assert_eq!(ExitCode::table().lines().count(), ExitCode::ALL.len() + 1);
    }
}
