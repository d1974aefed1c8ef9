//! Who takes part in a layout: a node, where it stands and how much it carries.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::ValueError;
use crate::id::NodeId;
use crate::limits;

/// One node of a layout.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Member {
    /// The node.
    pub id: NodeId,
    /// What it shares a fate with: a rack, a room, a power feed.
    pub zone: Zone,
    /// How much it carries, relative to the other members.
    pub weight: Weight,
}

impl Member {
    /// A member in the default zone with the default weight.
    pub fn new(id: NodeId) -> Member {
        Member { id, zone: Zone::default(), weight: Weight::default() }
    }
}

/// A failure domain: owners of a partition stand in distinct zones as far as there are enough.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(Box<str>);

impl Zone {
    /// The zone's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Zone {
    fn default() -> Zone {
        Zone("default".into())
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Zone {
    type Err = ValueError;

    /// Names are 1 to [`limits::MAX_ZONE_BYTES`] ASCII letters, digits, `-`, `_` and `.`.
    fn from_str(name: &str) -> Result<Zone, ValueError> {
        let printable =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if (1..=limits::MAX_ZONE_BYTES).contains(&name.len()) && name.bytes().all(printable) {
            Ok(Zone(name.into()))
        } else {
            Err(ValueError::Zone)
        }
    }
}

impl TryFrom<String> for Zone {
    type Error = ValueError;

    fn try_from(name: String) -> Result<Zone, ValueError> {
        name.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> String {
        zone.0.into()
    }
}

/// A member's share relative to the others, from 1 to [`limits::MAX_WEIGHT`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Weight(u16);

impl Weight {
    /// A checked weight.
    ///
    /// # Errors
    /// [`ValueError::Weight`] when it is not from 1 to [`limits::MAX_WEIGHT`].
    pub fn new(weight: u16) -> Result<Weight, ValueError> {
        if (1..=limits::MAX_WEIGHT).contains(&weight) {
            Ok(Weight(weight))
        } else {
            Err(ValueError::Weight(weight))
        }
    }

    /// The weight as a number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Weight {
        Weight(limits::DEFAULT_WEIGHT)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl TryFrom<u16> for Weight {
    type Error = ValueError;

    fn try_from(weight: u16) -> Result<Weight, ValueError> {
        Weight::new(weight)
    }
}

impl From<Weight> for u16 {
    fn from(weight: Weight) -> u16 {
        weight.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Weight, Zone};
    use crate::error::ValueError;

    #[test]
    fn zones_and_weights_out_of_range_are_refused() {
        for name in ["", "a b", "zürich", &"z".repeat(64)] {
            assert_eq!(name.parse::<Zone>(), Err(ValueError::Zone), "{name:?}");
        }
        assert_eq!("eu-1.rack_2".parse::<Zone>().map(String::from), Ok("eu-1.rack_2".to_owned()));
        assert_eq!(Weight::new(0), Err(ValueError::Weight(0)));
        assert_eq!(Weight::new(1_001), Err(ValueError::Weight(1_001)));
        assert_eq!(Weight::new(1_000).map(Weight::get), Ok(1_000));
    }
}
