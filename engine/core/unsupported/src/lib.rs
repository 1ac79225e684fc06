//! Methods of a serializer for what it does not support.
//!
//! `serde_avro_fast`, by which records are read and written, asks for a crate of this name, and that is under the LGPL: who
//! ships a program that it is linked into has to let others link it anew. So this one stands in its place (`[patch]` in the
//! workspace's `Cargo.toml`). It was written from what the other one says of itself and from how it is called, not from its
//! code.

/// Makes the named methods of `serde::Serializer` return an error:
///
/// ```
/// struct Letters;
///
/// impl serde::Serializer for Letters {
///     type Ok = char;
///     type Error = serde::de::value::Error;
///
///     fn serialize_char(self, value: char) -> Result<char, Self::Error> {
///         Ok(value)
///     }
///
///     serde_serializer_quick_unsupported::serializer_unsupported! {
///         err = (<Self::Error as serde::ser::Error>::custom("only letters"));
///         bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 str bytes none some unit unit_struct unit_variant
///         newtype_struct newtype_variant seq tuple tuple_struct tuple_variant map struct struct_variant
///     }
/// }
///
/// # use serde::Serialize;
/// assert_eq!('a'.serialize(Letters).unwrap(), 'a');
/// assert_eq!(7_u128.serialize(Letters).unwrap_err().to_string(), "only letters");
/// assert!([1].serialize(Letters).is_err());
/// assert!(Some(1).serialize(Letters).is_err());
/// assert!(std::collections::BTreeMap::from([(1, 1)]).serialize(Letters).is_err());
/// ```
#[macro_export]
macro_rules! serializer_unsupported {
    (err = ($error:expr); $($what:tt)*) => {
        $($crate::serializer_unsupported! { @ $what, $error })*
    };

    (@ bool, $error:expr) => { $crate::serializer_unsupported! { = serialize_bool(bool), $error } };
    (@ i8, $error:expr) => { $crate::serializer_unsupported! { = serialize_i8(i8), $error } };
    (@ i16, $error:expr) => { $crate::serializer_unsupported! { = serialize_i16(i16), $error } };
    (@ i32, $error:expr) => { $crate::serializer_unsupported! { = serialize_i32(i32), $error } };
    (@ i64, $error:expr) => { $crate::serializer_unsupported! { = serialize_i64(i64), $error } };
    (@ i128, $error:expr) => { $crate::serializer_unsupported! { = serialize_i128(i128), $error } };
    (@ u8, $error:expr) => { $crate::serializer_unsupported! { = serialize_u8(u8), $error } };
    (@ u16, $error:expr) => { $crate::serializer_unsupported! { = serialize_u16(u16), $error } };
    (@ u32, $error:expr) => { $crate::serializer_unsupported! { = serialize_u32(u32), $error } };
    (@ u64, $error:expr) => { $crate::serializer_unsupported! { = serialize_u64(u64), $error } };
    (@ u128, $error:expr) => { $crate::serializer_unsupported! { = serialize_u128(u128), $error } };
    (@ f32, $error:expr) => { $crate::serializer_unsupported! { = serialize_f32(f32), $error } };
    (@ f64, $error:expr) => { $crate::serializer_unsupported! { = serialize_f64(f64), $error } };
    (@ char, $error:expr) => { $crate::serializer_unsupported! { = serialize_char(char), $error } };
    (@ str, $error:expr) => { $crate::serializer_unsupported! { = serialize_str(&str), $error } };
    (@ bytes, $error:expr) => { $crate::serializer_unsupported! { = serialize_bytes(&[u8]), $error } };
    (@ none, $error:expr) => { $crate::serializer_unsupported! { = serialize_none(), $error } };
    (@ unit, $error:expr) => { $crate::serializer_unsupported! { = serialize_unit(), $error } };
    (@ unit_struct, $error:expr) => {
        $crate::serializer_unsupported! { = serialize_unit_struct(&'static str), $error }
    };
    (@ unit_variant, $error:expr) => {
        $crate::serializer_unsupported! { = serialize_unit_variant(&'static str, u32, &'static str), $error }
    };
    (@ some, $error:expr) => { $crate::serializer_unsupported! { T = serialize_some(), $error } };
    (@ newtype_struct, $error:expr) => {
        $crate::serializer_unsupported! { T = serialize_newtype_struct(&'static str), $error }
    };
    (@ newtype_variant, $error:expr) => {
        $crate::serializer_unsupported! { T = serialize_newtype_variant(&'static str, u32, &'static str), $error }
    };
    (@ seq, $error:expr) => {
        $crate::serializer_unsupported! { SerializeSeq = serialize_seq(Option<usize>), $error }
    };
    (@ tuple, $error:expr) => {
        $crate::serializer_unsupported! { SerializeTuple = serialize_tuple(usize), $error }
    };
    (@ tuple_struct, $error:expr) => {
        $crate::serializer_unsupported! { SerializeTupleStruct = serialize_tuple_struct(&'static str, usize), $error }
    };
    (@ tuple_variant, $error:expr) => {
        $crate::serializer_unsupported! {
            SerializeTupleVariant = serialize_tuple_variant(&'static str, u32, &'static str, usize), $error
        }
    };
    (@ map, $error:expr) => {
        $crate::serializer_unsupported! { SerializeMap = serialize_map(Option<usize>), $error }
    };
    (@ struct, $error:expr) => {
        $crate::serializer_unsupported! { SerializeStruct = serialize_struct(&'static str, usize), $error }
    };
    (@ struct_variant, $error:expr) => {
        $crate::serializer_unsupported! {
            SerializeStructVariant = serialize_struct_variant(&'static str, u32, &'static str, usize), $error
        }
    };

    (= $method:ident($($argument:ty),*), $error:expr) => {
        fn $method(self $(, _: $argument)*) -> ::core::result::Result<Self::Ok, Self::Error> {
            Err($error)
        }
    };
    (T = $method:ident($($argument:ty),*), $error:expr) => {
        fn $method<T: ?Sized + ::serde::Serialize>(
            self $(, _: $argument)*, _: &T
        ) -> ::core::result::Result<Self::Ok, Self::Error> {
            Err($error)
        }
    };
    ($compound:ident = $method:ident($($argument:ty),*), $error:expr) => {
        type $compound = ::serde::ser::Impossible<Self::Ok, Self::Error>;

        fn $method(self $(, _: $argument)*) -> ::core::result::Result<Self::$compound, Self::Error> {
            Err($error)
        }
    };
}
