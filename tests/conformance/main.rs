//! One suite a fake: each case runs on the fake of the simulator and on the real part from Debian.
//!
//! A case sees its part through a trait alone and asserts the same observations on both. A real part that is not
//! installed fails its cases; `make tools` installs it. Real parts run without privileges, on loopback, below a folder of
//! their own, and are ended by the case that started them.

mod dns;
mod nginx;

/// Declares each case as two tests: one on the fake, one on the real part.
macro_rules! conformance {
    ($fake:ident, $real:ident, $($module:ident: $($case:ident),+;)+) => {
        mod on_the_fake {
            $($(#[test]
            fn $case() {
                super::$module::$case(&mut super::$fake::default());
            })+)+
        }

        mod on_the_real_part {
            $($(#[test]
            fn $case() {
                super::$module::$case(&mut super::$real::default());
            })+)+
        }
    };
}
use conformance;
