//! Declares a message once: its fields, their defaults and its tags.
//!
//! A field written `name: Type` was there from the first day and is required. A field written `name: Type = default` was
//! appended later; a reader that does not find it takes the default. A tag is never used again for anything else.

/// Declares a struct and its encoding, an array of its fields in the order in which they stand here.
///
/// ```
/// kvorum_protocol::wire_struct! {
///     /// A greeting.
///     pub struct Greeting {
///         /// Required: was there from the first day.
///         pub number: u64,
///         /// Appended later.
///         pub polite: bool = true,
///     }
/// }
/// let old_bytes = bytes::Bytes::from_static(&[0x91, 7]);
/// let greeting: Greeting = kvorum_protocol::codec::decode(old_bytes).unwrap();
/// assert_eq!(greeting, Greeting { number: 7, polite: true });
/// ```
#[macro_export]
macro_rules! wire_struct {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $( $(#[$field_meta:meta])* $field_vis:vis $field:ident : $type:ty $(= $default:expr)? ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        $vis struct $name {
            $( $(#[$field_meta])* $field_vis $field: $type, )*
        }

        impl $crate::codec::WireFields for $name {
            const COUNT: u32 = 0 $( + $crate::wire_field!(@one $field) )*;

            fn write_fields(&self, _writer: &mut $crate::codec::Writer<'_>) {
                $( $crate::codec::Wire::write(&self.$field, _writer); )*
            }

            fn read_fields(
                _reader: &mut $crate::codec::Reader,
                _fields: &mut $crate::codec::Fields,
            ) -> Result<$name, $crate::codec::DecodeError> {
                Ok($name { $( $field: $crate::wire_field!(@read _reader, _fields $(, $default)?), )* })
            }
        }

        impl $crate::codec::Wire for $name {
            fn write(&self, writer: &mut $crate::codec::Writer<'_>) {
                writer.array(<$name as $crate::codec::WireFields>::COUNT);
                $crate::codec::WireFields::write_fields(self, writer);
            }

            fn read(reader: &mut $crate::codec::Reader) -> Result<$name, $crate::codec::DecodeError> {
                let mut fields = reader.open()?;
                let value = $crate::codec::WireFields::read_fields(reader, &mut fields)?;
                reader.close(fields)?;
                Ok(value)
            }
        }
    };
}

/// Declares an enum and its encoding, `[tag, field, ...]`. A kind has no fields, the fields of a
/// [`wire_struct!`](crate::wire_struct) (`7 = Put(put: Put)`), or fields of its own (`8 = Wait { ms: u32 }`). Behind the enum,
/// `else { Other }` adds a kind that stands for every tag this version does not know; without it such a tag is an error.
///
/// ```
/// kvorum_protocol::wire_enum! {
///     /// What to do.
///     pub enum Order {
///         /// Nothing at all.
///         1 = Rest,
///         /// Come back later.
///         2 = Wait {
///             /// How long, in milliseconds.
///             ms: u32,
///         },
///     }
/// }
/// let bytes = kvorum_protocol::codec::encode(&Order::Wait { ms: 5 });
/// assert_eq!(&bytes[..], [0x92, 2, 5]);
/// ```
#[macro_export]
macro_rules! wire_enum {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $(
                $(#[$kind_meta:meta])*
                $tag:literal = $kind:ident
                $( ( $payload:ident : $payload_type:ty ) )?
                $( { $( $(#[$field_meta:meta])* $field:ident : $type:ty $(= $default:expr)? ),* $(,)? } )?
            ),* $(,)?
        }
        $( else { $(#[$other_meta:meta])* $other:ident } )?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        $vis enum $name {
            $( $(#[$kind_meta])* $kind $( ($payload_type) )? $( { $( $(#[$field_meta])* $field: $type, )* } )?, )*
            $( $(#[$other_meta])* $other(u32), )?
        }

        impl $crate::codec::Tagged for $name {
            fn tag(&self) -> u32 {
                match self {
                    $( $name::$kind { .. } => $tag, )*
                    $( $name::$other(tag) => *tag, )?
                }
            }

            fn write_tagged(&self, request_id: Option<u64>, writer: &mut $crate::codec::Writer<'_>) {
                let heads = 1 + u32::from(request_id.is_some());
                let count: u32 = match self {
                    $( $name::$kind { .. } => 0
                        $( + <$payload_type as $crate::codec::WireFields>::COUNT )?
                        $( $( + $crate::wire_field!(@one $field) )* )?, )*
                    $( $name::$other(_) => 0, )?
                };
                writer.array(heads + count);
                writer.uint(u64::from($crate::codec::Tagged::tag(self)));
                if let Some(id) = request_id {
                    writer.uint(id);
                }
                match self {
                    $( $name::$kind $( ($payload) )? $( { $( $field, )* } )? => {
                        $( $crate::codec::WireFields::write_fields($payload, writer); )?
                        $( $( $crate::codec::Wire::write($field, writer); )* )?
                    } )*
                    $( $name::$other(_) => {} )?
                }
            }

            fn read_tagged(
                tag: u32,
                _reader: &mut $crate::codec::Reader,
                _fields: &mut $crate::codec::Fields,
            ) -> Result<$name, $crate::codec::DecodeError> {
                match tag {
                    $( $tag => Ok($name::$kind
                        $( (<$payload_type as $crate::codec::WireFields>::read_fields(_reader, _fields)?) )?
                        $( { $( $field: $crate::wire_field!(@read _reader, _fields $(, $default)?), )* } )?
                    ), )*
                    unknown => $crate::wire_field!(@unknown unknown, $name $(, $other)?),
                }
            }
        }

        impl $crate::codec::Wire for $name {
            fn write(&self, writer: &mut $crate::codec::Writer<'_>) {
                $crate::codec::Tagged::write_tagged(self, None, writer);
            }

            fn read(reader: &mut $crate::codec::Reader) -> Result<$name, $crate::codec::DecodeError> {
                let mut fields = reader.open()?;
                let tag = reader.field(&mut fields)?;
                let value = $crate::codec::Tagged::read_tagged(tag, reader, &mut fields)?;
                reader.close(fields)?;
                Ok(value)
            }
        }
    };
}

/// The parts that both macros share.
#[doc(hidden)]
#[macro_export]
macro_rules! wire_field {
    (@one $field:ident) => {
        1
    };
    (@read $reader:ident, $fields:ident) => {
        $reader.field($fields)?
    };
    (@read $reader:ident, $fields:ident, $default:expr) => {
        $reader.field_or($fields, || $default)?
    };
    (@unknown $tag:ident, $name:ident) => {
        Err($crate::codec::DecodeError::UnknownTag($tag))
    };
    (@unknown $tag:ident, $name:ident, $other:ident) => {
        Ok($name::$other($tag))
    };
}
