//! One suite for each fake: each case runs on the simulator's fake and on the real program from Debian.
//!
//! A case accesses the fake or the real program only through a trait, and asserts the same observations on both. If a
//! real program is not installed, its cases fail; `make tools` installs it. Real programs run without privileges, on
//! loopback, each in its own folder; the case that starts a program also ends it.

mod dns;
mod nginx;

/// Declares each case as two tests: one on the fake, one on the real program.
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
