//! AES-256-GCM (NIST SP 800-38D) and SM4-GCM (RFC 8998) as plain functions.
//!
//! A package of its own, since the ciphers are generic code that is compiled where it is used: at `hotline`'s own level of
//! optimisation they are ten times as slow as at this one's (`./dev bench`, "sealing a recording").

use aes_gcm::{
    Aes256Gcm, AesGcm,
    aead::{AeadInOut, KeyInit, consts::U12},
};
use sm4::Sm4;

/// Bytes of a nonce; never used twice with one key.
pub const NONCE: usize = 12;
/// Bytes that sealing adds at the end of a text.
pub const TAG: usize = 16;

/// The text was not made with this key, nonce and binding, or was changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

type Sm4Gcm = AesGcm<Sm4, U12>;

/// Encrypts `text` and appends its tag.
///
/// * `bound` — not in the result, but the result opens only with the same again.
pub fn aes_256_seal(key: &[u8; 32], nonce: &[u8; NONCE], bound: &[u8], text: &mut Vec<u8>) {
    seal(&Aes256Gcm::new(key.into()), nonce, bound, text);
}

/// Undoes [`aes_256_seal`]; a refused text is left as it was.
pub fn aes_256_open(key: &[u8; 32], nonce: &[u8; NONCE], bound: &[u8], text: &mut Vec<u8>) -> Result<(), Refused> {
    open(&Aes256Gcm::new(key.into()), nonce, bound, text)
}

/// [`aes_256_seal`] with the other cipher.
pub fn sm4_seal(key: &[u8; 16], nonce: &[u8; NONCE], bound: &[u8], text: &mut Vec<u8>) {
    seal(&Sm4Gcm::new(key.into()), nonce, bound, text);
}

/// [`aes_256_open`] with the other cipher.
pub fn sm4_open(key: &[u8; 16], nonce: &[u8; NONCE], bound: &[u8], text: &mut Vec<u8>) -> Result<(), Refused> {
    open(&Sm4Gcm::new(key.into()), nonce, bound, text)
}

fn seal(cipher: &impl AeadInOut<NonceSize = U12>, nonce: &[u8; NONCE], bound: &[u8], text: &mut Vec<u8>) {
    cipher.encrypt_in_place(nonce.into(), bound, text).expect("a text in memory is shorter than GCM's 64 GiB");
}

fn open(
    cipher: &impl AeadInOut<NonceSize = U12>,
    nonce: &[u8; NONCE],
    bound: &[u8],
    text: &mut Vec<u8>,
) -> Result<(), Refused> {
    cipher.decrypt_in_place(nonce.into(), bound, text).map_err(|_| Refused)
}
