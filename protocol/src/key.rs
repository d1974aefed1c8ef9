//! The names of things: buckets, keys, and the key of a stored record.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use kvorum_ring::{ClassId, KeyHash, PartitionCount, PartitionId};

use crate::codec::{DecodeError, Invalid, Reader, Wire, Writer};
use crate::limits;

/// A bucket's name: 1 to [`limits::BUCKET_NAME_BYTES`] of `a-z 0-9 . _ -`, the first a letter or a digit. It never needs
/// quoting, in a shell or in a path. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketName(Bytes);

impl BucketName {
    /// The name in these bytes, sharing their memory.
    ///
    /// # Errors
    /// [`Invalid::BucketName`] when they are none.
    pub fn from_bytes(bytes: Bytes) -> Result<BucketName, Invalid> {
        let first = bytes.first().is_some_and(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'));
        let allowed = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        if first && bytes.len() <= limits::BUCKET_NAME_BYTES && bytes.iter().all(allowed) {
            Ok(BucketName(bytes))
        } else {
            Err(Invalid::BucketName)
        }
    }

    /// The name as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a bucket name is ASCII")
    }

    /// The name in memory of its own: for a name that outlives the frame it came in.
    pub fn detached(&self) -> BucketName {
        BucketName(Bytes::copy_from_slice(&self.0))
    }
}

impl FromStr for BucketName {
    type Err = Invalid;

    fn from_str(name: &str) -> Result<BucketName, Invalid> {
        BucketName::from_bytes(Bytes::copy_from_slice(name.as_bytes()))
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for BucketName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Wire for BucketName {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.bytes(&self.0);
    }

    fn read(reader: &mut Reader) -> Result<BucketName, DecodeError> {
        Ok(BucketName::from_bytes(reader.bytes()?)?)
    }
}

/// A client's key: 1 to [`limits::KEY_BYTES`] of any bytes. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Bytes);

impl Key {
    /// A key of these bytes, sharing their memory.
    ///
    /// # Errors
    /// [`Invalid::Key`] when it is empty or too long.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Key, Invalid> {
        let bytes = bytes.into();
        if (1..=limits::KEY_BYTES).contains(&bytes.len()) {
            Ok(Key(bytes))
        } else {
            Err(Invalid::Key)
        }
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key's bytes, sharing their memory.
    pub fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// The key in memory of its own: for a key that outlives the frame it came in.
    pub fn detached(&self) -> Key {
        Key(Bytes::copy_from_slice(&self.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}\"", self.0.escape_ascii())
    }
}

/// The key's bytes, those that are not printable ASCII escaped.
impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0.escape_ascii())
    }
}

impl Wire for Key {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.bytes(&self.0);
    }

    fn read(reader: &mut Reader) -> Result<Key, DecodeError> {
        Ok(Key::new(reader.bytes()?)?)
    }
}

/// Whether a node holds a record as an owner or keeps it for owners that were away.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Space {
    /// Held as an owner.
    #[default]
    Owned,
    /// Held by a fallback, until its owners have it.
    Hinted,
}

impl Space {
    fn tag(self) -> u8 {
        match self {
            Space::Owned => 0,
            Space::Hinted => 1,
        }
    }

    fn from_tag(tag: u8) -> Result<Space, Invalid> {
        match tag {
            0 => Ok(Space::Owned),
            1 => Ok(Space::Hinted),
            _ => Err(Invalid::RecordKey),
        }
    }
}

impl Wire for Space {
    fn write(&self, writer: &mut Writer<'_>) {
        self.tag().write(writer);
    }

    fn read(reader: &mut Reader) -> Result<Space, DecodeError> {
        Ok(Space::from_tag(u8::read(reader)?)?)
    }
}

/// The key of a stored record. Ordered as its index bytes are: by space, class, partition, length of the bucket's name,
/// bucket and key, so that a partition's records, and in it a bucket's, stand together in key order. Never grows a field.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RecordKey {
    /// Whether it is held as an owner.
    pub space: Space,
    /// The replication class of its bucket.
    pub class: ClassId,
    /// The partition of its hash.
    pub partition: PartitionId,
    /// The bucket.
    pub bucket: BucketName,
    /// The key in its bucket.
    pub key: Key,
}

impl RecordKey {
    /// The record of a key that a node holds as an owner.
    pub fn new(
        class: ClassId,
        partitions: PartitionCount,
        bucket: BucketName,
        key: Key,
    ) -> RecordKey {
        let hash = KeyHash::of(bucket.as_bytes(), key.as_bytes());
        RecordKey::hashed(class, partitions.partition_of(hash), bucket, key)
    }

    /// The record of a key that a node holds as an owner, in the partition of its hash, which the caller knows.
    pub fn hashed(
        class: ClassId,
        partition: PartitionId,
        bucket: BucketName,
        key: Key,
    ) -> RecordKey {
        RecordKey { space: Space::Owned, class, partition, bucket, key }
    }

    /// The same key, held for others or as an owner.
    pub fn in_space(self, space: Space) -> RecordKey {
        RecordKey { space, ..self }
    }

    /// The hash of bucket and key.
    pub fn key_hash(&self) -> KeyHash {
        KeyHash::of(self.bucket.as_bytes(), self.key.as_bytes())
    }

    /// The key in memory of its own: for a key that outlives the frame it came in. The bucket's name stands in front of the
    /// key there, so that comparing both touches one piece of memory, and copying both counts in one place.
    pub fn detached(&self) -> RecordKey {
        let (bucket, key) = (self.bucket.as_bytes(), self.key.as_bytes());
        let both = Bytes::from([bucket, key].concat());
        let (bucket, key) = (both.slice(..bucket.len()), both.slice(bucket.len()..));
        let RecordKey { space, class, partition, .. } = *self;
        RecordKey { space, class, partition, bucket: BucketName(bucket), key: Key(key) }
    }

    /// What the index bytes of all keys of a space begin with.
    pub fn space_bytes(space: Space) -> [u8; 1] {
        [space.tag()]
    }

    /// Bytes whose order is the keys' order: space (1), class (1), partition (4, big-endian), length of the bucket's name
    /// (1), bucket, key.
    pub fn to_index_bytes(&self) -> Vec<u8> {
        let bucket = self.bucket.as_bytes();
        let key = self.key.as_bytes();
        let mut bytes = Vec::with_capacity(INDEX_HEAD + bucket.len() + key.len());
        bytes.push(self.space.tag());
        bytes.push(self.class.0);
        bytes.extend_from_slice(&self.partition.0.to_be_bytes());
        bytes.push(bucket.len() as u8);
        bytes.extend_from_slice(bucket);
        bytes.extend_from_slice(key);
        bytes
    }

    /// The key that [`RecordKey::to_index_bytes`] wrote, sharing the bytes' memory.
    ///
    /// # Errors
    /// When the bytes are no such key. The partition is taken as written: the caller knows how many there are.
    pub fn from_index_bytes(bytes: &Bytes) -> Result<RecordKey, Invalid> {
        let Some((&[space, class, p0, p1, p2, p3, length], rest)) =
            bytes.split_first_chunk::<INDEX_HEAD>()
        else {
            return Err(Invalid::RecordKey);
        };
        let length = usize::from(length);
        if length > rest.len() {
            return Err(Invalid::RecordKey);
        }
        let bucket_end = INDEX_HEAD + length;
        Ok(RecordKey {
            space: Space::from_tag(space)?,
            class: ClassId(class),
            partition: PartitionId(u32::from_be_bytes([p0, p1, p2, p3])),
            bucket: BucketName::from_bytes(bytes.slice(INDEX_HEAD..bucket_end))?,
            key: Key::new(bytes.slice(bucket_end..))?,
        })
    }
}

/// What stands in front of the bucket's name.
const INDEX_HEAD: usize = 7;

impl Ord for RecordKey {
    fn cmp(&self, other: &RecordKey) -> Ordering {
        let place =
            |key: &RecordKey| (key.space, key.class, key.partition, key.bucket.as_bytes().len());
        place(self)
            .cmp(&place(other))
            .then_with(|| self.bucket.cmp(&other.bucket))
            .then_with(|| self.key.cmp(&other.key))
    }
}

impl PartialOrd for RecordKey {
    fn partial_cmp(&self, other: &RecordKey) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Wire for RecordKey {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.array(5);
        self.space.write(writer);
        self.class.write(writer);
        self.partition.write(writer);
        self.bucket.write(writer);
        self.key.write(writer);
    }

    fn read(reader: &mut Reader) -> Result<RecordKey, DecodeError> {
        let mut fields = reader.open()?;
        let key = RecordKey {
            space: reader.field(&mut fields)?,
            class: reader.field(&mut fields)?,
            partition: reader.field(&mut fields)?,
            bucket: reader.field(&mut fields)?,
            key: reader.field(&mut fields)?,
        };
        reader.close_exactly(fields)?;
        Ok(key)
    }
}
