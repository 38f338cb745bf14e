//! Encrypted datagrams: only the other end of a connection can read a datagram, and accepts each datagram at most once.
//!
//! A datagram is a counter of 8 bytes, the encrypted bytes, and an authenticator
//! (ChaCha20-Poly1305). Both ends have the same session key, so each direction derives its own key
//! by HKDF: no nonce is used twice with one key.

use phalanx_net::overlay::SessionKey;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};

const COUNTER: usize = 8;
/// The number of counters by which a datagram may lag behind the highest counter received.
const WINDOW: u64 = 64;

/// Encrypts datagrams to the other end.
pub(crate) struct Sealer {
    key: LessSafeKey,
    counter: u64,
}

/// Decrypts datagrams from the other end.
pub(crate) struct Opener {
    key: LessSafeKey,
    /// The highest counter received, and a bit set of the counters received up to it; both are 0
    /// before the first datagram.
    highest: u64,
    seen: u64,
}

/// Returns both halves, for the end that dialled or for the other end.
pub(crate) fn halves(key: &SessionKey, dialer: bool) -> Option<(Sealer, Opener)> {
    let [out, back] = if dialer {
        [b"dialer to acceptor", b"acceptor to dialer"]
    } else {
        [b"acceptor to dialer", b"dialer to acceptor"]
    };
    let sealer = Sealer {
        key: directed(key, out)?,
        counter: 0,
    };
    let opener = Opener {
        key: directed(key, back)?,
        highest: 0,
        seen: 0,
    };
    Some((sealer, opener))
}

fn directed(key: &SessionKey, direction: &[u8]) -> Option<LessSafeKey> {
    let secret = Salt::new(HKDF_SHA256, b"phalanx example tunnel").extract(key.as_bytes());
    let info = [direction];
    let derived = secret.expand(&info, &CHACHA20_POLY1305).ok()?;
    Some(LessSafeKey::new(UnboundKey::from(derived)))
}

fn nonce(counter: [u8; COUNTER]) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[NONCE_LEN - COUNTER..].copy_from_slice(&counter);
    Nonce::assume_unique_for_key(bytes)
}

impl Sealer {
    /// Encrypts bytes into a datagram.
    pub(crate) fn seal(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        self.counter = self.counter.checked_add(1)?;
        let counter = self.counter.to_be_bytes();
        let mut sealed = text.to_vec();
        let key = &self.key;
        key.seal_in_place_append_tag(nonce(counter), Aad::from(counter), &mut sealed)
            .ok()?;
        Some([&counter[..], &sealed].concat())
    }
}

impl Opener {
    /// Decrypts a datagram; `None` if it is not authentic or was received before.
    pub(crate) fn open(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        let (counter, sealed) = datagram.split_first_chunk::<COUNTER>()?;
        let number = u64::from_be_bytes(*counter);
        if !self.is_new(number) {
            return None;
        }
        let mut opened = sealed.to_vec();
        let text = self
            .key
            .open_in_place(nonce(*counter), Aad::from(*counter), &mut opened)
            .ok()?
            .to_vec();
        self.remember(number);
        Some(text)
    }

    const fn is_new(&self, number: u64) -> bool {
        if number > self.highest {
            return true;
        }
        let age = self.highest - number;
        number > 0 && age < WINDOW && self.seen & (1 << age) == 0
    }

    fn remember(&mut self, number: u64) {
        if number > self.highest {
            let step = number - self.highest;
            self.seen = if step < WINDOW { self.seen << step } else { 0 };
            self.highest = number;
        }
        self.seen |= 1 << (self.highest - number);
    }
}
