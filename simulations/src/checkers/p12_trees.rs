//! P12: the hash tree that an owner kept is that of its records, and exchanges between owners come to rest.
//!
//! A tree that is off makes two equal owners differ for ever, or two different ones look equal. The first shows as repairs
//! without end, the second as records that never meet; both show here at the tree itself.

use crate::violation::{Property, Violation};

/// Judges an owner's tree of one partition: the leaves that it says, none if it does not know them, and those of its records.
pub fn check_tree<const N: usize>(
    kept: Option<[u128; N]>,
    counted: [u128; N],
) -> Result<(), Violation> {
    let Some(kept) = kept else {
        let what = "a hash tree is not known after exchanges".to_owned();
        return Err(Violation::new(Property::P12, what));
    };
    let off: Vec<usize> = (0..N).filter(|leaf| kept[*leaf] != counted[*leaf]).collect();
    if off.is_empty() {
        return Ok(());
    }
    let what = format!("a hash tree is not that of the records: leaves {off:?} are off");
    Err(Violation::new(Property::P12, what))
}

/// Judges the end of exchanging: whether it came to rest, and what it still repaired in the last stretch.
pub fn check_rest(rests: bool, repaired: u64, keys: u64) -> Result<(), Violation> {
    if rests {
        return Ok(());
    }
    let what = format!(
        "exchanges of {keys} keys do not come to rest: {repaired} repairs in the last stretch"
    );
    Err(Violation::new(Property::P12, what))
}

#[cfg(test)]
mod tests {
    use super::{check_rest, check_tree};

    #[test]
    fn a_tree_that_is_off_and_one_that_is_not_known_are_caught() {
        assert_eq!(check_tree(Some([1, 2]), [1, 2]), Ok(()));
        assert!(check_tree(Some([1, 2]), [1, 3]).is_err());
        assert!(check_tree(None, [1]).is_err());
    }

    #[test]
    fn exchanges_without_rest_are_caught() {
        assert_eq!(check_rest(true, 0, 3), Ok(()));
        assert!(check_rest(false, 3, 3).is_err());
        assert!(check_rest(false, 0, 3).is_err(), "nor may pairs fail to compare");
    }
}
