//! Makes every random byte of the process follow from one seed.
//!
//! mad-turmoil overrides the C library's `getrandom` and clocks. ring draws through `syscall(SYS_getrandom, ..)`, which
//! mad-turmoil does not override; this module does. The override exists only on x86-64 Linux. On other platforms, two
//! runs of one seed have equal events and sizes but different bytes, so the trace hash leaves the bytes out.

use rand::SeedableRng;
use rand::rngs::StdRng;

/// Whether every byte of a run follows from the seed.
pub(crate) const BYTES_FOLLOW: bool = cfg!(all(target_os = "linux", target_arch = "x86_64"));

/// Makes every later random byte of the process follow from `seed`.
pub(crate) fn seed(seed: u64) {
    mad_turmoil::rand::set_rng(StdRng::seed_from_u64(seed));
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[expect(
    unsafe_code,
    reason = "the C library's `syscall` is replaced, so that ring's entropy follows from the seed"
)]
mod system_call {
    use rand::Rng;
    use std::arch::asm;

    const GETRANDOM: i64 = 318;
    /// The results of a system call that are negative error numbers.
    const ERRORS: std::ops::Range<i64> = -4095..0;

    unsafe extern "C" {
        fn __errno_location() -> *mut i32;
    }

    /// The C library's function of this name takes a variable number of arguments; on this platform these are passed in
    /// the same registers as the fixed arguments declared here.
    #[unsafe(no_mangle)]
    #[inline(never)]
    unsafe extern "C" fn syscall(
        number: i64,
        one: i64,
        two: i64,
        three: i64,
        four: i64,
        five: i64,
        six: i64,
    ) -> i64 {
        if number == GETRANDOM
            && let Some(mut random) = mad_turmoil::rand::try_rng()
            && let Ok(length) = usize::try_from(two)
        {
            // SAFETY: getrandom's caller gives a buffer of this length to write to.
            let buffer = unsafe { std::slice::from_raw_parts_mut(one as *mut u8, length) };
            random.fill_bytes(buffer);
            return two;
        }
        let result: i64;
        // SAFETY: passes the caller's system call on unchanged, by the kernel's calling convention.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") number => result,
                in("rdi") one,
                in("rsi") two,
                in("rdx") three,
                in("r10") four,
                in("r8") five,
                in("r9") six,
                out("rcx") _,
                out("r11") _,
            );
        }
        if ERRORS.contains(&result) {
            // SAFETY: writes to the C library's own location of this thread's error number.
            unsafe { *__errno_location() = -result as i32 };
            return -1;
        }
        result
    }
}
