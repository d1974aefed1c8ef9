//! Small files whose content counts as a whole or not at all, each in two slots.
//!
//! A file is a magic number, the version of this envelope, the body's length, the body, and the BLAKE3 hash of all that: a flipped
//! bit or a cut makes it count as absent, and so do bytes that an earlier, longer body left behind the end. The slots are written in
//! turn, so that a torn write costs the older body at most. The body is a message of its own and evolves by appended fields.
//!
//! Which of two valid bodies counts is for whoever reads them to say.

use bytes::Bytes;
use kvorum_protocol::codec::{Wire, Writer, decode};

use crate::files::{File, FileError, Files};

/// The version of the envelope.
const FORMAT: u16 = 1;
const MAGIC_BYTES: usize = 8;
const HEAD_BYTES: usize = MAGIC_BYTES + 2 + 4;
const CHECKSUM_BYTES: usize = 32;

/// What a kind of sealed file looks like, and what its two slots are called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seal {
    /// The first bytes.
    pub(crate) magic: &'static [u8; MAGIC_BYTES],
    /// The file names; version `v` of a body is in slot `v % 2`.
    pub(crate) slots: [&'static str; 2],
}

impl Seal {
    /// The bytes of a file with this body.
    pub(crate) fn encode<T: Wire>(&self, body: &T) -> Vec<u8> {
        let mut encoded = Vec::new();
        body.write(&mut Writer::new(&mut encoded));
        let mut out = Vec::with_capacity(HEAD_BYTES + encoded.len() + CHECKSUM_BYTES);
        out.extend_from_slice(self.magic);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&(encoded.len() as u32).to_le_bytes());
        out.extend_from_slice(&encoded);
        let checksum = blake3::hash(&out);
        out.extend_from_slice(checksum.as_bytes());
        out
    }

    /// The body in a file's bytes; `None` when they are not what was written.
    pub(crate) fn decode<T: Wire>(&self, bytes: Bytes) -> Option<T> {
        let head = bytes.get(..HEAD_BYTES)?;
        let (magic, rest) = head.split_at(MAGIC_BYTES);
        if magic != self.magic || rest[..2] != FORMAT.to_le_bytes() {
            return None;
        }
        let length = u32::from_le_bytes(*rest[2..].first_chunk()?) as usize;
        let end = HEAD_BYTES.checked_add(length)?;
        let checksum = bytes.get(end..end.checked_add(CHECKSUM_BYTES)?)?;
        if checksum != blake3::hash(&bytes[..end]).as_bytes() {
            return None;
        }
        decode(bytes.slice(HEAD_BYTES..end)).ok()
    }

    /// What a slot holds; `None` when there is nothing, or nothing valid.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn read<F: Files, T: Wire>(
        &self,
        files: &F,
        slot: &str,
    ) -> Result<Option<T>, FileError> {
        let file = match files.open(slot) {
            Ok(file) => file,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = vec![0; file.len()? as usize];
        let read = file.read_at(0, &mut bytes)?;
        bytes.truncate(read);
        Ok(self.decode(bytes.into()))
    }

    /// Writes a body into the slot of its version and makes it durable.
    ///
    /// # Errors
    /// What the disk says. The other slot still stands.
    pub(crate) fn write<F: Files, T: Wire>(
        &self,
        files: &F,
        version: u64,
        body: &T,
    ) -> Result<(), FileError> {
        let slot = self.slots[(version % 2) as usize];
        let (file, is_new) = match files.open(slot) {
            Ok(file) => (file, false),
            Err(error) if error.is_not_found() => (files.create(slot)?, true),
            Err(error) => return Err(error),
        };
        file.write_at(0, &self.encode(body))?;
        file.sync_data()?;
        if is_new {
            files.sync_dir()?;
        }
        Ok(())
    }

    /// Removes both slots, durably.
    ///
    /// # Errors
    /// What the disk says. Either may be left then.
    pub(crate) fn remove<F: Files>(&self, files: &F) -> Result<(), FileError> {
        let mut is_any = false;
        for slot in self.slots {
            match files.remove(slot) {
                Ok(()) => is_any = true,
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        if is_any { files.sync_dir() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::Seal;
    use crate::files::{File, Files};
    use crate::sim_files::SimFiles;

    const SEAL: Seal = Seal { magic: b"kvorumxx", slots: ["x-a", "x-b"] };

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen_and_what_is_left_behind_the_end_is_not() {
        let body = vec![1u64, 2, 300];
        let bytes = SEAL.encode(&body);
        assert_eq!(SEAL.decode::<Vec<u64>>(bytes.clone().into()), Some(body.clone()));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SEAL.decode::<Vec<u64>>(flipped.into()), None, "bit {bit}");
        }
        for end in 0..bytes.len() {
            let cut = bytes::Bytes::copy_from_slice(&bytes[..end]);
            assert_eq!(SEAL.decode::<Vec<u64>>(cut), None, "cut at {end}");
        }
        let longer = [bytes, b"left behind".to_vec()].concat();
        assert_eq!(SEAL.decode::<Vec<u64>>(longer.into()), Some(body));
    }

    #[test]
    fn a_body_goes_into_the_slot_of_its_version_and_both_slots_can_be_removed() {
        let files = SimFiles::new();
        assert_eq!(SEAL.read::<_, u64>(&files, "x-a"), Ok(None));
        SEAL.write(&files, 4, &44u64).unwrap();
        SEAL.write(&files, 5, &55u64).unwrap();
        assert_eq!(SEAL.read(&files, "x-a"), Ok(Some(44u64)));
        assert_eq!(SEAL.read(&files, "x-b"), Ok(Some(55u64)));
        files.open("x-a").unwrap().write_at(3, b"?").unwrap();
        assert_eq!(SEAL.read::<_, u64>(&files, "x-a"), Ok(None), "damaged");
        SEAL.remove(&files).unwrap();
        SEAL.remove(&files).unwrap();
        let after = files.crash(1);
        for slot in SEAL.slots {
            assert_eq!(SEAL.read::<_, u64>(&after, slot), Ok(None), "gone for good");
        }
    }
}
