//! Random numbers from the operating system: seeds and instances, the only true randomness that
//! reaches `core`, and secrets, which never reach it.

use std::fmt;

/// The operating system did not provide random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEntropy(getrandom::Error);

impl fmt::Display for NoEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the operating system does not provide random numbers: {}",
            self.0
        )
    }
}

impl std::error::Error for NoEntropy {}

/// Returns a seed for a machine's random choices.
///
/// # Errors
/// If the operating system does not provide random bytes.
pub fn seed() -> Result<u64, NoEntropy> {
    getrandom::u64().map_err(NoEntropy)
}

/// Returns an instance number, which distinguishes two machines with the same id; never 0.
///
/// # Errors
/// If the operating system does not provide random bytes.
pub fn instance() -> Result<u32, NoEntropy> {
    loop {
        let number = getrandom::u32().map_err(NoEntropy)?;
        if number != 0 {
            return Ok(number);
        }
    }
}

/// Fills a buffer with bytes that must stay secret.
///
/// # Errors
/// If the operating system does not provide random bytes.
pub fn fill(bytes: &mut [u8]) -> Result<(), NoEntropy> {
    getrandom::fill(bytes).map_err(NoEntropy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn seeds_and_instances_differ_between_calls() {
        let seeds: BTreeSet<u64> = (0..8).map(|_| seed().unwrap()).collect();
        assert_eq!(seeds.len(), 8);
        let instances: BTreeSet<u32> = (0..8).map(|_| instance().unwrap()).collect();
        assert!(instances.len() > 4 && !instances.contains(&0));
    }
}
