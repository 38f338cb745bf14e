//! A seeded generator with named child streams.
//!
//! The algorithm is fixed here (xoshiro256**, Blackman and Vigna 2018, seeded by SplitMix64), so that a seed gives the
//! same run in every release. A machine draws from its own child stream: a new draw in one machine does not shift the
//! stream of another. The generator is not suitable for secrets.

/// A deterministic generator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Random {
    state: [u64; 4],
}

/// SplitMix64's finaliser: a good 64-bit mixing function, also used for hashes that need no secrecy.
#[must_use]
pub const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// FNV-1a over bytes, finished by [`mix`]: stable across releases and machines.
#[must_use]
pub const fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    mix(hash)
}

impl Random {
    /// Creates a generator from a seed.
    #[must_use]
    pub const fn from_seed(seed: u64) -> Self {
        let a = mix(seed);
        let b = mix(a);
        let c = mix(b);
        Self {
            state: [a, b, c, mix(c)],
        }
    }

    /// An independent stream named `name`. This generator does not advance.
    #[must_use]
    pub const fn child(&self, name: &str) -> Self {
        Self::from_seed(mix(self.state[0] ^ self.state[3]) ^ hash_bytes(name.as_bytes()))
    }

    /// An independent numbered stream. This generator does not advance.
    #[must_use]
    pub const fn nth_child(&self, name: &str, index: u64) -> Self {
        Self::from_seed(
            mix(self.state[0] ^ self.state[3] ^ mix(index)) ^ hash_bytes(name.as_bytes()),
        )
    }

    /// The next 64 random bits.
    pub const fn next_u64(&mut self) -> u64 {
        let result = self.state[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = self.state[1] << 17;
        self.state[2] ^= self.state[0];
        self.state[3] ^= self.state[1];
        self.state[1] ^= self.state[2];
        self.state[0] ^= self.state[3];
        self.state[2] ^= t;
        self.state[3] = self.state[3].rotate_left(45);
        result
    }

    /// A number in `0..bound`; 0 if `bound` is 0. (Multiply-shift, Lemire 2019; bias below 2^-32 for the bounds in
    /// use.)
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.next_u64() as u128 * bound as u128) >> 64) as u64
    }

    /// Draws whether an event of probability `parts_per_million / 1 000 000` happens.
    pub const fn chance_ppm(&mut self, parts_per_million: u32) -> bool {
        self.below(1_000_000) < parts_per_million as u64
    }

    /// A duration in `0..bound`.
    pub fn duration_below(&mut self, bound: core::time::Duration) -> core::time::Duration {
        core::time::Duration::from_nanos(self.below(crate::time::nanos(bound)))
    }

    /// A random element; none if the slice is empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let index = usize::try_from(self.below(items.len() as u64)).ok()?;
        items.get(index)
    }

    /// Puts the elements in random order (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_numbers_for_ever() {
        let mut random = Random::from_seed(42);
        let drawn: Vec<u64> = (0..3).map(|_| random.next_u64()).collect();
        let mut again = Random::from_seed(42);
        assert_eq!(drawn, (0..3).map(|_| again.next_u64()).collect::<Vec<_>>());
        assert_eq!(mix(0), 0xE220_A839_7B1D_CDAF);
    }

    #[test]
    fn a_draw_from_one_child_does_not_shift_another() {
        let parent = Random::from_seed(7);
        let mut first = parent.child("gossip");
        let before = parent.child("network").next_u64();
        first.next_u64();
        assert_eq!(parent.child("network").next_u64(), before);
        assert_ne!(parent.child("gossip").next_u64(), before);
    }

    #[test]
    fn below_stays_below() {
        let mut random = Random::from_seed(1);
        assert!((0..10_000).all(|_| random.below(7) < 7));
        assert_eq!(random.below(0), 0);
    }
}
