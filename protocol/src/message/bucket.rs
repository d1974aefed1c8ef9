//! A bucket's settings.

use bytes::Bytes;
use kvorum_ring::ClassId;

use crate::codec::{self, DecodeError, Reader, Surplus, Wire, Writer};
use crate::key::BucketName;
use crate::mergeable::Operation;

crate::wire_enum! {
    /// What becomes of concurrent versions.
    #[derive(Copy, Default)]
    pub enum MergeRule {
        /// They stay side by side until a client that read them replaces them.
        #[default]
        1 = Siblings,
        /// Every value is a counter.
        2 = Counter,
        /// Every value is a set in which adds win.
        3 = Set,
        /// Every value is a map of counters, sets and registers.
        4 = Map,
        /// One of them wins by the coordinators' clocks, and the others are lost.
        5 = LossyLww,
        /// Every value is a register that keeps concurrent assignments.
        6 = Register,
    }
}

impl MergeRule {
    /// All of them.
    pub const ALL: [MergeRule; 6] = [
        MergeRule::Siblings,
        MergeRule::Counter,
        MergeRule::Set,
        MergeRule::Map,
        MergeRule::Register,
        MergeRule::LossyLww,
    ];

    /// How it is written on a command line and shown to people.
    pub fn name(self) -> &'static str {
        match self {
            MergeRule::Siblings => "siblings",
            MergeRule::Counter => "counter",
            MergeRule::Set => "set",
            MergeRule::Map => "map",
            MergeRule::Register => "register",
            MergeRule::LossyLww => "lossy-lww",
        }
    }

    /// Whether values are states that operations change, and no client's bytes.
    pub fn is_mergeable(self) -> bool {
        !matches!(self, MergeRule::Siblings | MergeRule::LossyLww)
    }

    /// Whether the operation is one of such a bucket.
    pub fn takes(self, operation: &Operation) -> bool {
        let rule = match operation {
            Operation::Increment { .. } | Operation::Decrement { .. } => MergeRule::Counter,
            Operation::Add { .. } | Operation::Remove { .. } => MergeRule::Set,
            Operation::Assign { .. } => MergeRule::Register,
            Operation::Fields { .. } => MergeRule::Map,
            Operation::Clear => return false,
        };
        rule == self
    }
}

/// How a bucket's keys are kept. Fields of later versions are kept, so that an older node does not strip a setting.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BucketSettings {
    /// The replication class: how many owners its keys have. Fixed when the bucket is made.
    pub class: ClassId,
    /// What becomes of concurrent versions. Fixed when the bucket is made.
    pub rule: MergeRule,
    /// Answers that a read waits for when the request does not say; a majority of the owners when absent.
    pub r: Option<u8>,
    /// Durable copies that a write waits for when the request does not say; a majority of the owners when absent. A strict
    /// "not found" relies on it: raising it says nothing about the writes of before.
    pub w: Option<u8>,
    /// Reserved: milliseconds after which a value expires when its put does not say.
    pub ttl_ms: Option<u64>,
    /// Settings of a later version.
    pub surplus: Surplus,
}

impl BucketSettings {
    /// The encoding, to be kept as a cluster fact.
    pub fn to_bytes(&self) -> Bytes {
        codec::encode(self)
    }

    /// The settings that [`BucketSettings::to_bytes`] wrote.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn from_bytes(bytes: Bytes) -> Result<BucketSettings, DecodeError> {
        codec::decode(bytes)
    }
}

impl Wire for BucketSettings {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.array(5 + self.surplus.count());
        self.class.write(writer);
        self.rule.write(writer);
        self.r.write(writer);
        self.w.write(writer);
        self.ttl_ms.write(writer);
        writer.encoded(self.surplus.encoded());
    }

    fn read(reader: &mut Reader) -> Result<BucketSettings, DecodeError> {
        let mut fields = reader.open()?;
        let class = reader.field(&mut fields)?;
        let rule = reader.field(&mut fields)?;
        let r = reader.field(&mut fields)?;
        let w = reader.field(&mut fields)?;
        let ttl_ms = reader.field(&mut fields)?;
        let surplus = reader.close_keeping(fields)?;
        Ok(BucketSettings { class, rule, r, w, ttl_ms, surplus })
    }
}

crate::wire_struct! {
    /// A bucket.
    pub struct Bucket {
        /// Its name.
        pub name: BucketName,
        /// Its settings.
        pub settings: BucketSettings,
    }
}
