//! Natural numbers of any size, for exact conversions between decimal text and binary numbers.

use core::cmp::Ordering;

/// A natural number: limbs of 32 bits, the least significant first, without leading zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Natural {
    limbs: Vec<u32>,
}

impl Natural {
    /// The number of this value.
    pub(super) fn new(value: u64) -> Self {
        let mut number = Self {
            limbs: vec![value as u32, (value >> 32) as u32],
        };
        number.trim();
        number
    }

    fn trim(&mut self) {
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
    }

    /// Whether the number is zero.
    pub(super) const fn is_zero(&self) -> bool {
        self.limbs.is_empty()
    }

    /// The number of bits without leading zeros.
    pub(super) fn bits(&self) -> usize {
        self.limbs.last().map_or(0, |top| {
            self.limbs.len() * 32 - top.leading_zeros() as usize
        })
    }

    /// Multiplies by `factor`, and adds `summand`.
    pub(super) fn multiply_add(&mut self, factor: u32, summand: u32) {
        let mut carry = u64::from(summand);
        for limb in &mut self.limbs {
            let product = u64::from(*limb) * u64::from(factor) + carry;
            *limb = product as u32;
            carry = product >> 32;
        }
        if carry > 0 {
            self.limbs.push(carry as u32);
        }
        self.trim();
    }

    /// Multiplies by `base` to the power of `exponent`.
    pub(super) fn multiply_power(&mut self, base: u32, exponent: usize) {
        for _ in 0..exponent {
            self.multiply_add(base, 0);
        }
    }

    /// Multiplies by two to the power of `bits`.
    pub(super) fn shift_left(&mut self, bits: usize) {
        if self.is_zero() {
            return;
        }
        if !bits.is_multiple_of(32) {
            self.multiply_add(1 << (bits % 32), 0);
        }
        let zeros = std::iter::repeat_n(0, bits / 32);
        self.limbs.splice(0..0, zeros);
    }

    /// Subtracts a number that is not greater.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = 0;
        for (at, limb) in self.limbs.iter_mut().enumerate() {
            let less = u64::from(other.limbs.get(at).copied().unwrap_or(0)) + borrow;
            let value = u64::from(*limb) + (1 << 32) - less;
            *limb = value as u32;
            borrow = 1 - (value >> 32);
        }
        debug_assert_eq!(borrow, 0, "the other number was greater");
        self.trim();
    }

    /// Divides by `divisor`, and returns the remainder.
    pub(super) fn divide(&mut self, divisor: u32) -> u32 {
        let mut remainder = 0;
        for limb in self.limbs.iter_mut().rev() {
            let value = remainder << 32 | u64::from(*limb);
            *limb = (value / u64::from(divisor)) as u32;
            remainder = value % u64::from(divisor);
        }
        self.trim();
        remainder as u32
    }

    /// The quotient of a division whose quotient has at most 57 bits. This number becomes the remainder.
    pub(super) fn quotient(&mut self, divisor: &Self) -> u64 {
        let mut quotient = 0;
        for bit in (0..57).rev() {
            let mut part = divisor.clone();
            part.shift_left(bit);
            if *self >= part {
                self.subtract(&part);
                quotient |= 1 << bit;
            }
        }
        quotient
    }

    /// The decimal digits, the most significant first; none for zero.
    pub(super) fn digits(mut self) -> Vec<u8> {
        let mut digits = Vec::new();
        while !self.is_zero() {
            let mut group = self.divide(1_000_000_000);
            for _ in 0..9 {
                digits.push((group % 10) as u8);
                group /= 10;
            }
        }
        while digits.last() == Some(&0) {
            digits.pop();
        }
        digits.reverse();
        digits
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Natural {
    fn cmp(&self, other: &Self) -> Ordering {
        let (one, two) = (&self.limbs, &other.limbs);
        (one.len().cmp(&two.len())).then_with(|| one.iter().rev().cmp(two.iter().rev()))
    }
}
