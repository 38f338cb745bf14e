//! Tables of occurrences that are complete by construction: one list of arms is both the match and the declaration.

/// A reason or another part of an occurrence, in one word.
pub(super) trait Detail {
    /// The words of all values.
    const ALL: &'static [&'static str];

    /// The word of this value.
    fn detail(&self) -> &'static str;
}

/// Implements [`Detail`] for a type by one word for each pattern.
macro_rules! details {
    ($type:ty { $($pattern:pat => $word:literal),+ $(,)? }) => {
        impl Detail for $type {
            const ALL: &'static [&'static str] = &[$($word),+];

            fn detail(&self) -> &'static str {
                match self { $($pattern => $word),+ }
            }
        }
    };
}

/// Makes two functions from one list of arms: the occurrence of a value, and all occurrences.
///
/// An arm has a kind, a pattern and a word. The detail of the word is a literal after `/`, or that of a part of the value,
/// written as the part's type and the part. The kind `internal` marks values without an occurrence.
macro_rules! occurrences {
    (
        $of:ident, $all:ident, $type:ty {
            $($kind:ident $pattern:pat => $word:literal $(/ $fixed:literal)? $(, $detail:ty = $part:expr)?;)+
        }
    ) => {
        pub(super) fn $of(value: &$type) -> Option<Occurrence> {
            match value {
                $($pattern => occurrences!(
                    @one $kind $word $(, $fixed)? $(, <$detail as Detail>::detail(&$part))?
                ),)+
            }
        }

        pub(super) fn $all() -> Vec<Occurrence> {
            let arms: &[&[Occurrence]] = &[$(
                &occurrences!(@all $kind $word $(, &[$fixed])? $(, <$detail as Detail>::ALL)?),
            )+];
            arms.concat()
        }
    };
    (@one internal $word:literal) => { None };
    (@one $kind:ident $word:literal) => { Some(Occurrence::$kind($word)) };
    (@one $kind:ident $word:literal, $detail:expr) => { Some(Occurrence::$kind($word).with($detail)) };
    (@all internal $word:literal) => { [] };
    (@all $kind:ident $word:literal) => { [Occurrence::$kind($word)] };
    (@all $kind:ident $word:literal, $details:expr) => {{
        let details = $details.iter().map(|detail| Occurrence::$kind($word).with(*detail));
        details.collect::<Vec<_>>()
    }};
}

pub(super) use {details, occurrences};
