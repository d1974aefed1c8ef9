//! P22: the same plan takes the same course.
//!
//! A run that cannot be repeated cannot be debugged, so another trace hash is a failure of its own.

use crate::violation::{Property, Violation};

/// Judges the trace hashes of two runs of one plan.
pub fn check(first: u64, second: u64) -> Result<(), Violation> {
    if first == second {
        return Ok(());
    }
    Err(Violation::new(
        Property::P22,
        format!("two runs of one plan took two courses: {first:016x} and {second:016x}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn two_courses_are_caught() {
        assert_eq!(check(1, 1), Ok(()));
        assert!(check(1, 2).is_err());
    }
}
