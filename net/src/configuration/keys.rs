//! The macro that declares an enum of keys.

/// Declares an enum of keys: each variant with its [`Setting`](crate::configuration::Setting).
///
/// The enum implements [`SettingKey`](crate::configuration::SettingKey).
#[macro_export]
macro_rules! configuration_keys {
    (
        $(#[$attribute:meta])*
        $visibility:vis enum $key:ident { $($variant:ident = $setting:expr),* $(,)? }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        $visibility enum $key {
            $(#[doc = concat!("`", stringify!($setting), "`")] $variant,)*
        }

        impl $crate::configuration::SettingKey for $key {
            const ALL: &'static [Self] = &[$(Self::$variant),*];

            fn setting(self) -> $crate::configuration::Setting {
                match self {
                    $(Self::$variant => const { $setting },)*
                }
            }
        }
    };
}
