//! PostgreSQL's types as they stand on the wire, in binary: what is read of a column, and given as a parameter. No I/O.

use std::fmt::Write as _;

use sqlx::TypeInfo as _;
use sqlx::postgres::{PgTypeInfo, PgTypeKind};

use crate::origin::sql::cell::Cell;

/// Decimal digits in one digit of a `numeric`.
const DIGITS: usize = 4;
/// The signs of a `numeric`.
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const MINUS_INFINITY: u16 = 0xF000;

/// A type whose values have a text that nobody disputes. The text of the others, times and arrays above all, depends on
/// settings: the statement has to cast them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whatever is sent as its own text, in UTF-8.
    Text,
    /// Sent as a version and its text.
    Jsonb,
    Bytea,
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Uuid,
    Numeric,
}

impl Kind {
    pub(super) fn of(of: &PgTypeInfo) -> Option<Self> {
        // Numbers that never change: src/include/catalog/pg_type.dat of PostgreSQL.
        Some(match of.oid().map_or(0, |oid| oid.0) {
            16 => Self::Bool,
            17 => Self::Bytea,
            20 => Self::Int8,
            21 => Self::Int2,
            23 => Self::Int4,
            700 => Self::Float4,
            701 => Self::Float8,
            1700 => Self::Numeric,
            2950 => Self::Uuid,
            3802 => Self::Jsonb,
            // name, text, json, xml, unknown, bpchar, varchar
            19 | 25 | 114 | 142 | 705 | 1042 | 1043 => Self::Text,
            _ => match of.kind() {
                PgTypeKind::Enum(_) => Self::Text,
                PgTypeKind::Domain(base) => Self::of(base)?,
                PgTypeKind::Simple if of.name() == "citext" => Self::Text,
                _ => return None,
            },
        })
    }

    /// Whether a parameter of it can be given.
    pub(super) fn is_given(self) -> bool {
        self != Self::Numeric
    }

    /// What a column holds; `None`: it is not as its type is.
    pub(super) fn cell(self, raw: &[u8]) -> Option<Cell> {
        Some(match self {
            Self::Text => Cell::Text(raw.to_vec()),
            Self::Jsonb => Cell::Text(raw.strip_prefix(&[1])?.to_vec()),
            Self::Bytea => Cell::Blob(raw.to_vec()),
            Self::Bool => Cell::Text(if *raw.first()? == 0 { b"false".to_vec() } else { b"true".to_vec() }),
            Self::Int2 => Cell::Integer(i16::from_be_bytes(raw.try_into().ok()?).into()),
            Self::Int4 => Cell::Integer(i32::from_be_bytes(raw.try_into().ok()?).into()),
            Self::Int8 => Cell::Integer(i64::from_be_bytes(raw.try_into().ok()?)),
            // Its own shortest text: as a longer float it would show digits that nobody wrote.
            Self::Float4 => {
                Cell::Text(format!("{:?}", f32::from_be_bytes(raw.try_into().ok()?)).into_bytes())
            }
            Self::Float8 => Cell::Real(f64::from_be_bytes(raw.try_into().ok()?)),
            Self::Uuid => Cell::Text(uuid(raw.try_into().ok()?).into_bytes()),
            Self::Numeric => Cell::Text(numeric(raw)?.into_bytes()),
        })
    }

    /// The parameter that `text` is; `None`: it is none of this type.
    pub(super) fn parameter(self, text: &[u8]) -> Option<Vec<u8>> {
        if self == Self::Bytea {
            return Some(text.to_vec());
        }
        // PostgreSQL's text holds no NUL.
        let text = std::str::from_utf8(text).ok().filter(|text| !text.contains('\0'))?;
        Some(match self {
            Self::Text => text.as_bytes().to_vec(),
            Self::Jsonb => [&[1], text.as_bytes()].concat(),
            Self::Bool => vec![u8::from(text.parse::<bool>().ok()?)],
            Self::Int2 => text.parse::<i16>().ok()?.to_be_bytes().to_vec(),
            Self::Int4 => text.parse::<i32>().ok()?.to_be_bytes().to_vec(),
            Self::Int8 => text.parse::<i64>().ok()?.to_be_bytes().to_vec(),
            Self::Float4 => text.parse::<f32>().ok()?.to_be_bytes().to_vec(),
            Self::Float8 => text.parse::<f64>().ok()?.to_be_bytes().to_vec(),
            Self::Uuid => uuid_of(text)?.to_vec(),
            Self::Bytea | Self::Numeric => return None,
        })
    }
}

fn uuid(bytes: [u8; 16]) -> String {
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// With or without hyphens; braces are for the statement to take off.
fn uuid_of(text: &str) -> Option<[u8; 16]> {
    let hex: String = text.chars().filter(|c| *c != '-').collect();
    let is_hex = hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then(|| u128::from_str_radix(&hex, 16).ok()).flatten().map(u128::to_be_bytes)
}

/// Digits to the base of 10,000, the first of them worth 10,000 to the power of `weight`, and how many decimals are shown.
fn numeric(raw: &[u8]) -> Option<String> {
    let (head, digits) = raw.split_first_chunk::<8>()?;
    let field = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let (weight, sign, decimals) = (field(2).cast_signed(), field(4), usize::from(field(6)));
    match sign {
        NAN => return Some("NaN".to_owned()),
        INFINITY => return Some("Infinity".to_owned()),
        MINUS_INFINITY => return Some("-Infinity".to_owned()),
        _ => {}
    }
    let digits: Vec<u16> =
        digits.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let worth = |power: i32| {
        let at = usize::try_from(i32::from(weight) - power).ok();
        at.and_then(|at| digits.get(at)).copied().unwrap_or_default()
    };
    let mut text = String::from(if sign == NEGATIVE { "-" } else { "" });
    let first = i32::from(weight).max(0);
    write!(text, "{}", worth(first)).ok()?;
    for power in (0..first).rev() {
        write!(text, "{:04}", worth(power)).ok()?;
    }
    if 0 < decimals {
        text.push('.');
        let whole = text.len();
        for power in 1..=decimals.div_ceil(DIGITS) {
            write!(text, "{:04}", worth(-i32::try_from(power).ok()?)).ok()?;
        }
        text.truncate(whole + decimals);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_is_a_parameter_of_its_type_or_none() {
        let given = |kind: Kind, text: &str| kind.parameter(text.as_bytes());
        assert_eq!(given(Kind::Text, "ä"), Some("ä".as_bytes().to_vec()));
        assert_eq!(given(Kind::Jsonb, "{}"), Some(b"\x01{}".to_vec()));
        assert_eq!(given(Kind::Int4, "-2"), Some(vec![255, 255, 255, 254]));
        assert_eq!(given(Kind::Bool, "true"), Some(vec![1]));
        for (kind, text) in [
            (Kind::Text, "a\0b"),
            (Kind::Int2, "32768"),
            (Kind::Int4, "x"),
            (Kind::Int8, "1 OR 1=1"),
            (Kind::Int8, ""),
            (Kind::Float8, "1,5"),
            (Kind::Bool, "yes"),
            (Kind::Uuid, "0"),
            (Kind::Uuid, "+0000000000000000000000000000000"),
            (Kind::Numeric, "1"),
        ] {
            assert_eq!(given(kind, text), None, "{kind:?} {text}");
        }
        assert_eq!(Kind::Text.parameter(b"\xff"), None);
        assert_eq!(Kind::Bytea.parameter(b"\xff\0"), Some(b"\xff\0".to_vec()));
    }

    proptest! {
        #[test]
        fn what_is_given_is_read_again(number in any::<i64>(), id in any::<u128>(), real in any::<f64>(), text in "[^\\x00]*") {
            let again = |kind: Kind, text: &str| kind.cell(&kind.parameter(text.as_bytes()).unwrap()).unwrap();
            prop_assert_eq!(again(Kind::Int8, &number.to_string()), Cell::Integer(number));
            let id = uuid(id.to_be_bytes());
            prop_assert_eq!(again(Kind::Uuid, &id), Cell::Text(id.clone().into_bytes()));
            prop_assert_eq!(again(Kind::Float8, &format!("{real:?}")), Cell::Real(real));
            for kind in [Kind::Text, Kind::Jsonb] {
                prop_assert_eq!(again(kind, &text), Cell::Text(text.clone().into_bytes()));
            }
        }

        #[test]
        fn any_bytes_are_read(raw in prop::collection::vec(any::<u8>(), 0..24)) {
            for kind in [Kind::Text, Kind::Jsonb, Kind::Bool, Kind::Int2, Kind::Float4, Kind::Uuid, Kind::Numeric] {
                drop(kind.cell(&raw));
            }
        }
    }
}
