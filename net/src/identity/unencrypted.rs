//! TLS 1.3 records that are authenticated but not encrypted, for networks that both ends trust.
//!
//! Modelled on RFC 9150, section 5: a record is its content, followed by HMAC-SHA256 over the
//! nonce, the header and the content. An attacker without the key can read all records, but cannot
//! change, repeat, drop or reorder them without breaking the connection. All other parts of TLS 1.3
//! are unchanged: fresh keys for each connection, certificates at both ends, and a transcript
//! signed by both ends, which includes the dialer's offer and the acceptor's choice of this suite.
//! An attacker in the middle therefore cannot enable or prevent it unnoticed.
//!
//! The suite differs from that of the RFC, whose nonces have 32 bytes: rustls derives nonces of 12
//! bytes, as for all other suites. It therefore has a number for private use, which no other
//! program negotiates.

use ring::hmac;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
    NONCE_LEN, Nonce, OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload,
    Tls13AeadAlgorithm, UnsupportedOperationError, make_tls13_aad,
};
use rustls::crypto::{CipherSuiteCommon, ring as provider};
use rustls::{
    CipherSuite, ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion,
    SupportedCipherSuite, Tls13CipherSuite,
};

/// The suite's number, in the range for private use (RFC 8446, section 11); RFC 9150 uses 0xC0B4.
pub(super) const NAME: CipherSuite = CipherSuite::Unknown(0xFFB4);

/// Length of a record's authenticator, in bytes.
const TAG: usize = 32;
/// Length of the key in bytes: the length of the hash.
const KEY: usize = 32;

/// Key derivation and hash are those of this suite of the library.
const MODEL: &Tls13CipherSuite = match provider::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256 {
    SupportedCipherSuite::Tls13(suite) => suite,
};

static UNENCRYPTED: Tls13CipherSuite = Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: NAME,
        hash_provider: MODEL.common.hash_provider,
        // There is no confidentiality to preserve, so there is no limit.
        confidentiality_limit: u64::MAX,
    },
    hkdf_provider: MODEL.hkdf_provider,
    aead_alg: &Authenticated,
    quic: None,
};

/// The suite.
pub(super) static SUITE: SupportedCipherSuite = SupportedCipherSuite::Tls13(&UNENCRYPTED);

/// Creates both halves of the record protection.
struct Authenticated;

impl Tls13AeadAlgorithm for Authenticated {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_ref());
        Box::new(Signer { key, iv })
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_ref());
        let signed = Vec::new();
        Box::new(Verifier { key, iv, signed })
    }

    fn key_len(&self) -> usize {
        KEY
    }

    fn extract_keys(
        &self,
        _key: AeadKey,
        _iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

/// Authenticates outgoing records.
struct Signer {
    key: hmac::Key,
    iv: Iv,
}

impl MessageEncrypter for Signer {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        sequence: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let length = self.encrypted_payload_len(message.payload.len());
        let mut payload = PrefixedPayload::with_capacity(length);
        payload.extend_from_chunks(&message.payload);
        payload.extend_from_slice(&message.typ.to_array());
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&Nonce::new(&self.iv, sequence).0);
        context.update(&make_tls13_aad(length));
        context.update(payload.as_ref());
        payload.extend_from_slice(context.sign().as_ref());
        Ok(OutboundOpaqueMessage::new(
            ContentType::ApplicationData,
            // The version field of every TLS 1.3 record (RFC 8446, section 5.1).
            ProtocolVersion::TLSv1_2,
            payload,
        ))
    }

    fn encrypted_payload_len(&self, content: usize) -> usize {
        content + 1 + TAG
    }
}

/// Verifies incoming records.
struct Verifier {
    key: hmac::Key,
    iv: Iv,
    /// The authenticated bytes of a record in one buffer, reused to avoid an allocation per record.
    signed: Vec<u8>,
}

impl MessageDecrypter for Verifier {
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        sequence: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let payload = &mut message.payload;
        let length = payload.len();
        let content = length.checked_sub(TAG).ok_or(Error::DecryptError)?;
        let nonce: [u8; NONCE_LEN] = Nonce::new(&self.iv, sequence).0;
        self.signed.clear();
        self.signed.extend_from_slice(&nonce);
        self.signed.extend_from_slice(&make_tls13_aad(length));
        self.signed.extend_from_slice(&payload[..content]);
        hmac::verify(&self.key, &self.signed, &payload[content..])
            .map_err(|_| Error::DecryptError)?;
        payload.truncate(content);
        message.into_tls13_unpadded_message()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
    use rustls::crypto::cipher::OutboundChunks;

    const HEADER: usize = 5;
    const SEQUENCE: u64 = 0x0102_0304_0506_0708;
    const TEXT: &[u8] = b"this text is readable";

    fn key(first: u8) -> AeadKey {
        let mut bytes = [0; KEY];
        (first..).zip(&mut bytes).for_each(|(n, byte)| *byte = n);
        AeadKey::from(bytes)
    }

    fn iv() -> Iv {
        Iv::from([64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75])
    }

    fn record(text: &[u8], sequence: u64) -> Vec<u8> {
        let message = OutboundPlainMessage {
            typ: ContentType::ApplicationData,
            version: ProtocolVersion::TLSv1_3,
            payload: OutboundChunks::Single(text),
        };
        let mut signer = Authenticated.encrypter(key(0), iv());
        signer.encrypt(message, sequence).unwrap().encode()
    }

    fn read(record: &[u8], with: AeadKey, sequence: u64) -> Result<Vec<u8>, Error> {
        let mut payload = record[HEADER..].to_vec();
        let message = InboundOpaqueMessage::new(
            ContentType::ApplicationData,
            ProtocolVersion::TLSv1_2,
            &mut payload,
        );
        let mut verifier = Authenticated.decrypter(with, iv());
        let read = verifier.decrypt(message, sequence)?;
        Ok(read.payload.to_vec())
    }

    #[test]
    fn a_record_is_its_content_and_the_authenticator_that_python_computes() {
        // Computed in Python: hmac.new(key, nonce + bytes.fromhex("1703030036") + text + b"\x17",
        // "sha256").
        let tag = "368fd400ddc7659f00f51f2880243edc7bc88ea0538ff6adc4b61c20b87e4f5f";
        let record = record(TEXT, SEQUENCE);
        let (header, rest) = record.split_at(HEADER);
        let (content, authenticator) = rest.split_at(TEXT.len() + 1);
        assert_eq!(header, [0x17, 3, 3, 0, 0x36]);
        assert_eq!(content, [TEXT, &[0x17]].concat());
        let hex: String = authenticator.iter().map(|it| format!("{it:02x}")).collect();
        assert_eq!(hex, tag);
        assert_eq!(read(&record, key(0), SEQUENCE).unwrap(), TEXT);
    }

    #[test]
    fn a_changed_reordered_or_foreign_record_is_rejected() {
        let whole = record(TEXT, SEQUENCE);
        for at in HEADER..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert_eq!(read(&changed, key(0), SEQUENCE), Err(Error::DecryptError));
        }
        for sequence in [SEQUENCE - 1, SEQUENCE + 1, 0] {
            assert_eq!(read(&whole, key(0), sequence), Err(Error::DecryptError));
        }
        assert_eq!(read(&whole, key(1), SEQUENCE), Err(Error::DecryptError));
        for kept in HEADER..whole.len() {
            assert_eq!(
                read(&whole[..kept], key(0), SEQUENCE),
                Err(Error::DecryptError)
            );
        }
        let longer = [&whole[..], &[0]].concat();
        assert_eq!(read(&longer, key(0), SEQUENCE), Err(Error::DecryptError));
    }

    #[test]
    fn an_authentic_record_without_a_content_type_is_rejected() {
        let length = TAG + 3;
        let zeros = [0; 3];
        let signed = [&Nonce::new(&iv(), 1).0[..], &make_tls13_aad(length), &zeros].concat();
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key(0).as_ref()), &signed);
        let record = [&[0; HEADER], &zeros[..], tag.as_ref()].concat();
        assert!(matches!(
            read(&record, key(0), 1),
            Err(Error::PeerMisbehaved(_))
        ));
    }

    proptest! {
        #[test]
        fn arbitrary_unauthenticated_bytes_are_rejected(
            bytes in vec(any::<u8>(), 0..600),
            sequence in any::<u64>(),
        ) {
            let record = [&[0; HEADER], &bytes[..]].concat();
            prop_assert!(read(&record, key(0), sequence).is_err());
        }

        #[test]
        fn a_written_record_is_read_back(text in vec(any::<u8>(), 0..2_000), sequence in any::<u64>()) {
            let record = record(&text, sequence);
            prop_assert_eq!(record.len(), HEADER + text.len() + 1 + TAG);
            prop_assert_eq!(read(&record, key(0), sequence).unwrap(), text);
        }
    }
}
