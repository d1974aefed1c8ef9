//! Access tokens: how a client without a certificate shows who it is, and what it may then do.
//!
//! A token is an id and a 256-bit random secret, written `kvorum_<id>_<secret>` in hex. Whoever makes it draws both, keeps
//! the text, and gives the cluster nothing but a digest of the secret: BLAKE3 in its key derivation mode, which needs no
//! slow hash because nobody guesses 256 random bits. So what nodes store, say to each other and write to disk lets nobody
//! in. A token is shown in [`Hello::auth`](crate::message::Hello), as the bytes of its text.
//!
//! **Rights** are per bucket and independent of each other: to write is not to read. None of them allows to make, list or
//! revoke tokens, or to see a diagnosis: that is the operator's, who shows a client certificate.
//!
//! **Invariants.** Digests are compared in constant time. The secret is neither printed by `Debug` nor by `Display`; the
//! only way to it is [`AccessToken::reveal`].

use std::fmt;
use std::ops::BitOr;
use std::str::FromStr;

use bytes::Bytes;

use crate::codec::{DecodeError, Invalid, Reader, Wire, Writer};
use crate::key::BucketName;
use crate::limits;

/// What keeps a digest of a secret from being one of anything else. Pinned.
const DIGEST_CONTEXT: &str = "kvorum 2026-11 access token";

/// What every token's text begins with: secret scanners find it by this.
const PREFIX: &str = "kvorum_";

/// Which token. Drawn at random by whoever makes it; no secret. Written as 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TokenId(pub u64);

impl fmt::Display for TokenId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

impl FromStr for TokenId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<TokenId, Invalid> {
        unhex::<8>(text).map(|bytes| TokenId(u64::from_be_bytes(bytes))).ok_or(Invalid::Token)
    }
}

impl Wire for TokenId {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.uint(self.0);
    }

    fn read(reader: &mut Reader) -> Result<TokenId, DecodeError> {
        reader.uint().map(TokenId)
    }
}

/// A token with its secret: what a client shows.
#[derive(Clone)]
pub struct AccessToken {
    id: TokenId,
    secret: [u8; 32],
}

impl AccessToken {
    /// A token of an id and a secret that were both drawn at random.
    pub fn new(id: TokenId, secret: [u8; 32]) -> AccessToken {
        AccessToken { id, secret }
    }

    /// Which token.
    pub fn id(&self) -> TokenId {
        self.id
    }

    /// What the cluster keeps of it.
    pub fn digest(&self) -> TokenDigest {
        let mut hasher = blake3::Hasher::new_derive_key(DIGEST_CONTEXT);
        hasher.update(&self.id.0.to_be_bytes()).update(&self.secret);
        TokenDigest(*hasher.finalize().as_bytes())
    }

    /// The text, **secret included**: for the one moment in which it is shown, and for the greeting.
    pub fn reveal(&self) -> String {
        let secret: String = self.secret.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{PREFIX}{}_{secret}", self.id)
    }
}

/// The id alone.
impl fmt::Debug for AccessToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AccessToken({}, secret)", self.id)
    }
}

impl FromStr for AccessToken {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<AccessToken, Invalid> {
        let (id, secret) = text
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once('_'))
            .ok_or(Invalid::Token)?;
        Ok(AccessToken { id: id.parse()?, secret: unhex(secret).ok_or(Invalid::Token)? })
    }
}

/// What a client shows in its greeting: the bytes of a token's text, or nothing. May hold a secret, so it is never printed.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ShownToken(Bytes);

impl ShownToken {
    /// No token.
    pub const NOTHING: ShownToken = ShownToken(Bytes::new());

    /// Whether nothing is shown.
    pub fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }

    /// The token.
    ///
    /// # Errors
    /// [`Invalid::Token`] when it is none.
    pub fn token(&self) -> Result<AccessToken, Invalid> {
        std::str::from_utf8(&self.0).map_err(|_| Invalid::Token)?.parse()
    }
}

impl From<&AccessToken> for ShownToken {
    fn from(token: &AccessToken) -> ShownToken {
        ShownToken(token.reveal().into())
    }
}

impl fmt::Debug for ShownToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.is_nothing() { "nothing" } else { "a token" })
    }
}

impl Wire for ShownToken {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.bytes(&self.0);
    }

    fn read(reader: &mut Reader) -> Result<ShownToken, DecodeError> {
        reader.bytes().map(ShownToken)
    }
}

/// The digest of a token's secret. Equality takes the same time whatever differs.
#[derive(Clone, Copy, Debug)]
pub struct TokenDigest(pub [u8; 32]);

impl PartialEq for TokenDigest {
    fn eq(&self, other: &TokenDigest) -> bool {
        // This comparison of `blake3` is the constant-time one.
        blake3::Hash::from_bytes(self.0) == blake3::Hash::from_bytes(other.0)
    }
}

impl Eq for TokenDigest {}

impl Wire for TokenDigest {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.bytes(&self.0);
    }

    fn read(reader: &mut Reader) -> Result<TokenDigest, DecodeError> {
        let digest = <[u8; 32]>::try_from(&reader.bytes()?[..]);
        digest.map(TokenDigest).map_err(|_| DecodeError::OutOfRange)
    }
}

/// What people call a token: 1 to [`limits::TOKEN_NAME_BYTES`] of `A-Z a-z 0-9 . _ -`. Several tokens may have one name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TokenName(String);

impl TokenName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for TokenName {
    type Err = Invalid;

    fn from_str(name: &str) -> Result<TokenName, Invalid> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let fits = (1..=limits::TOKEN_NAME_BYTES).contains(&name.len());
        if fits && name.bytes().all(allowed) {
            Ok(TokenName(name.to_owned()))
        } else {
            Err(Invalid::TokenName)
        }
    }
}

impl Wire for TokenName {
    fn write(&self, writer: &mut Writer<'_>) {
        writer.text(&self.0);
    }

    fn read(reader: &mut Reader) -> Result<TokenName, DecodeError> {
        Ok(reader.text(limits::TOKEN_NAME_BYTES)?.parse()?)
    }
}

/// What may be done in a bucket: a set, one bit each. Unknown bits are carried along and allow nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Rights(pub u8);

impl Rights {
    /// Nothing.
    pub const NONE: Rights = Rights(0);
    /// Get and list keys.
    pub const READ: Rights = Rights(1);
    /// Put and delete keys.
    pub const WRITE: Rights = Rights(2);
    /// Create the bucket and change its settings.
    pub const ADMIN: Rights = Rights(4);
    /// All that this version knows.
    pub const ALL: Rights = Rights(7);

    /// Whether all of `other`'s rights are in.
    pub fn contains(self, other: Rights) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is anything in it, and nothing that this version does not know.
    pub fn is_known(self) -> bool {
        self != Rights::NONE && Rights::ALL.contains(self)
    }
}

impl BitOr for Rights {
    type Output = Rights;

    fn bitor(self, other: Rights) -> Rights {
        Rights(self.0 | other.0)
    }
}

/// The names and the bits, in the order in which they are written.
const NAMES: [(&str, Rights); 3] =
    [("read", Rights::READ), ("write", Rights::WRITE), ("admin", Rights::ADMIN)];

/// `read,write,admin`, or a part of it.
impl fmt::Display for Rights {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = NAMES.iter().filter(|(_, right)| self.contains(*right)).map(|(name, _)| *name);
        formatter.write_str(&held.collect::<Vec<_>>().join(","))
    }
}

impl FromStr for Rights {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Rights, Invalid> {
        let named =
            |word: &str| NAMES.iter().find(|(name, _)| *name == word).map(|(_, right)| *right);
        text.split(',').try_fold(Rights::NONE, |rights, word| {
            named(word).map(|right| rights | right).ok_or(Invalid::Rights)
        })
    }
}

impl Wire for Rights {
    fn write(&self, writer: &mut Writer<'_>) {
        self.0.write(writer);
    }

    fn read(reader: &mut Reader) -> Result<Rights, DecodeError> {
        u8::read(reader).map(Rights)
    }
}

crate::wire_struct! {
    /// Rights in one bucket or in all.
    pub struct Grant {
        /// The bucket, which need not exist yet; every bucket when absent.
        pub bucket: Option<BucketName>,
        /// What may be done there.
        pub rights: Rights,
    }
}

impl Grant {
    /// Whether it is about this bucket.
    pub fn covers(&self, bucket: &BucketName) -> bool {
        self.bucket.as_ref().is_none_or(|granted| granted == bucket)
    }
}

/// `BUCKET:rights`, with `*` for every bucket.
impl fmt::Display for Grant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bucket = self.bucket.as_ref().map_or("*", BucketName::as_str);
        write!(formatter, "{bucket}:{}", self.rights)
    }
}

impl FromStr for Grant {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Grant, Invalid> {
        let (bucket, rights) = text.split_once(':').ok_or(Invalid::Rights)?;
        let bucket = if bucket == "*" { None } else { Some(bucket.parse()?) };
        Ok(Grant { bucket, rights: rights.parse()? })
    }
}

/// The rights that grants give in a bucket, together.
pub fn rights_in(grants: &[Grant], bucket: &BucketName) -> Rights {
    let covering = grants.iter().filter(|grant| grant.covers(bucket));
    covering.fold(Rights::NONE, |rights, grant| rights | grant.rights)
}

/// Lowercase hex digits, exactly `N` bytes of them.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{
        AccessToken, Grant, Rights, ShownToken, TokenDigest, TokenId, TokenName, rights_in,
    };

    fn token() -> AccessToken {
        AccessToken::new(TokenId(0xab), [0x5a; 32])
    }

    #[test]
    fn a_token_reads_back_and_its_secret_is_printed_by_nothing_else() {
        let text = token().reveal();
        assert_eq!(text, format!("kvorum_00000000000000ab_{}", "5a".repeat(32)));
        let read: AccessToken = text.parse().expect("a token");
        assert_eq!((read.id(), read.digest()), (token().id(), token().digest()));
        assert!(!format!("{read:?}{:?}", ShownToken::from(&read)).contains("5a5a"));
        assert_eq!(ShownToken::from(&read).token().expect("a token").digest(), read.digest());
        assert!(ShownToken::NOTHING.is_nothing() && ShownToken::NOTHING.token().is_err());
        let changed = [
            text[1..].to_owned(),
            text.to_uppercase(),
            format!("{text}0"),
            text[..text.len() - 2].to_owned(),
            text.replacen('_', "-", 2),
            String::new(),
        ];
        for wrong in changed {
            assert!(wrong.parse::<AccessToken>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_digest_is_of_the_id_and_of_every_bit_of_the_secret() {
        let digest = token().digest();
        assert_ne!(digest, AccessToken::new(TokenId(0xac), [0x5a; 32]).digest());
        for bit in 0..256 {
            let mut secret = [0x5a; 32];
            secret[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(digest, AccessToken::new(TokenId(0xab), secret).digest(), "bit {bit}");
        }
        assert_ne!(digest, TokenDigest([0x5a; 32]), "the secret itself is not stored");
    }

    #[test]
    fn rights_add_up_over_the_grants_of_a_bucket_and_never_imply_each_other() {
        let grants: Vec<Grant> =
            ["*:read", "shop:write", "logs:write,admin"].map(|text| text.parse().unwrap()).into();
        let rights = |bucket: &str| rights_in(&grants, &bucket.parse().unwrap());
        assert_eq!(rights("shop"), Rights::READ | Rights::WRITE);
        assert_eq!(rights("logs"), Rights::ALL);
        assert_eq!(rights("other"), Rights::READ);
        assert!(!rights("shop").contains(Rights::ADMIN) && !Rights::ADMIN.contains(Rights::READ));
        assert_eq!(rights_in(&[], &"shop".parse().unwrap()), Rights::NONE);
    }

    #[test]
    fn grants_are_written_as_they_are_read() {
        for text in ["*:read", "shop:read,write", "shop:admin"] {
            assert_eq!(text.parse::<Grant>().unwrap().to_string(), text);
        }
        for wrong in ["shop", "shop:", "shop:own", "Shop:read", ":read", "shop:read,", "shop:READ"]
        {
            assert!(wrong.parse::<Grant>().is_err(), "{wrong}");
        }
        assert!("orders-service.2".parse::<TokenName>().is_ok());
        for wrong in ["", "two words", "käse", &"x".repeat(65)] {
            assert!(wrong.parse::<TokenName>().is_err(), "{wrong}");
        }
    }
}
