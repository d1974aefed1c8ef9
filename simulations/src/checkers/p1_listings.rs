//! P1, in listings: what is stored for certain is listed.
//!
//! A listing asks one owner of each partition, and that one may be behind. So a key is owed only if every owner had the
//! same live version durably before the listing was asked for, and nothing has deleted it since. Within the page, which ends
//! where the next one begins, all such keys are there; keys ascend, begin behind where the page was asked to begin, and are
//! no more than asked for. What nobody could be asked for has to be said.

use crate::violation::{Property, Violation};

/// A page of a listing: what was asked for, and what came.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// The key behind which it begins.
    pub after: Option<&'a [u8]>,
    /// The most keys that may be on it.
    pub limit: usize,
    /// The keys that it lists.
    pub keys: &'a [&'a [u8]],
    /// Where the next page begins; none if this is the last.
    pub next: Option<&'a [u8]>,
}

/// Judges a page by itself.
pub fn check_page(page: &Page<'_>) -> Result<(), Violation> {
    let ascending = page.keys.is_sorted_by(|left, right| left < right);
    let begins = page.keys.first().is_none_or(|first| Some(*first) > page.after);
    if ascending && begins && page.keys.len() <= page.limit {
        return Ok(());
    }
    let what = "a listing is out of order, too long, or begins too early".to_owned();
    Err(Violation::new(Property::P13, what))
}

/// Judges a page by the keys that are stored for certain in what it covers.
pub fn check_complete(page: &Page<'_>, certain: &[&[u8]]) -> Result<(), Violation> {
    let within =
        |key: &&&[u8]| Some(**key) > page.after && page.next.is_none_or(|next| **key <= next);
    let missing = certain.iter().filter(within).find(|key| !page.keys.contains(key));
    match missing {
        None => Ok(()),
        Some(key) => Err(Violation::new(
            Property::P1,
            format!(
                "a listing leaves out {}, which every owner held when it was asked for",
                String::from_utf8_lossy(key)
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{Page, check_complete, check_page};

    const KEYS: [&[u8]; 2] = [b"b", b"d"];
    const PAGE: Page<'_> = Page { after: Some(b"a"), limit: 2, keys: &KEYS, next: Some(b"d") };

    #[test]
    fn a_page_out_of_order_too_long_or_too_early_is_caught() {
        assert_eq!(check_page(&PAGE), Ok(()));
        assert!(check_page(&Page { keys: &[b"d", b"b"], ..PAGE }).is_err());
        assert!(check_page(&Page { limit: 1, ..PAGE }).is_err());
        assert!(check_page(&Page { after: Some(b"b"), ..PAGE }).is_err());
    }

    #[test]
    fn a_key_that_is_stored_and_not_listed_is_caught() {
        assert_eq!(check_complete(&PAGE, &[b"b"]), Ok(()));
        assert!(check_complete(&PAGE, &[b"b", b"c"]).is_err());
        assert_eq!(check_complete(&PAGE, &[b"a", b"e"]), Ok(()), "on other pages");
        assert!(check_complete(&Page { next: None, ..PAGE }, &[b"e"]).is_err(), "the last page");
    }
}
