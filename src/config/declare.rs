//! One line a key: `section!` makes a struct, and how it is read, from a single list.

/// Declares a section. Each field has its doc, its type, and after `=` how it is read: the default and the
/// [`Kind`](super::kind::Kind) that holds range and spelling. The struct gets `read` and a `Default` that reads an
/// empty section.
macro_rules! section {
    ($at:ident =>
        $(#[$doc:meta])*
        pub struct $name:ident {
            $( $(#[$field_doc:meta])* $field:ident: $type:ty = $read:expr; )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( $(#[$field_doc])* pub $field: $type, )*
        }

        impl $name {
            pub(super) fn read(section: &mut $crate::config::section::Section<'_>) -> Self {
                Self {
                    $( $field: {
                        let $at = section.field(stringify!($field));
                        $read
                    }, )*
                }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                $crate::config::reader::Reader::default().root(Self::read)
            }
        }
    };
}

pub(super) use section;
