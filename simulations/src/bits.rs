//! A set of small numbers as bits: how the oracle keeps shadow pasts.
//!
//! A key of a run sees a few hundred versions at most, so a past is a handful of words and a union is a handful of
//! instructions. That makes the checks cheap enough to run at every single store event.

/// A growable set of small numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// The empty set.
    pub const fn new() -> Self {
        Self { words: Vec::new() }
    }

    /// Adds `index`. True if it was not there.
    pub fn insert(&mut self, index: usize) -> bool {
        let (word, bit) = (index / 64, 1_u64 << (index % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let fresh = self.words[word] & bit == 0;
        self.words[word] |= bit;
        fresh
    }

    /// Whether `index` is in the set.
    pub fn contains(&self, index: usize) -> bool {
        self.words.get(index / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    /// Adds everything that is in `other`.
    pub fn union_with(&mut self, other: &Self) {
        if other.words.len() > self.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (mine, theirs) in self.words.iter_mut().zip(&other.words) {
            *mine |= theirs;
        }
    }

    /// Takes out everything that is not in `other`.
    pub fn intersect_with(&mut self, other: &Self) {
        for (index, word) in self.words.iter_mut().enumerate() {
            *word &= other.words.get(index).copied().unwrap_or(0);
        }
    }

    /// The lowest number that is here and not in `other`, if any.
    pub fn first_missing_from(&self, other: &Self) -> Option<usize> {
        self.words.iter().enumerate().find_map(|(index, word)| {
            let missing = word & !other.words.get(index).copied().unwrap_or(0);
            (missing != 0).then(|| index * 64 + missing.trailing_zeros() as usize)
        })
    }

    /// How many numbers are in the set.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Takes everything out and keeps the memory.
    pub fn clear(&mut self) {
        self.words.clear();
    }

    /// The numbers of the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(index, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                (left != 0).then(|| {
                    let bit = left.trailing_zeros() as usize;
                    left &= left - 1;
                    index * 64 + bit
                })
            })
        })
    }
}

impl FromIterator<usize> for Bits {
    fn from_iter<T: IntoIterator<Item = usize>>(numbers: T) -> Self {
        let mut bits = Self::new();
        for number in numbers {
            bits.insert(number);
        }
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::Bits;

    #[test]
    fn a_set_holds_what_was_put_in_across_words() {
        let mut bits: Bits = [0, 63, 64, 200].into_iter().collect();
        assert_eq!(bits.iter().collect::<Vec<_>>(), [0, 63, 64, 200]);
        assert!(!bits.insert(64) && bits.insert(65));
        assert!(bits.contains(200) && !bits.contains(199) && !bits.contains(5_000));
        assert_eq!(bits.len(), 5);
    }

    #[test]
    fn first_missing_finds_the_lowest_number_the_other_lacks() {
        let left: Bits = [3, 130].into_iter().collect();
        let right: Bits = [3].into_iter().collect();
        assert_eq!(left.first_missing_from(&right), Some(130));
        assert_eq!(right.first_missing_from(&left), None);
        let mut both = right.clone();
        both.union_with(&left);
        assert_eq!(left.first_missing_from(&both), None);
        both.intersect_with(&right);
        assert_eq!(both.iter().collect::<Vec<_>>(), [3]);
        assert!(!both.is_empty() && Bits::new().is_empty());
    }
}
