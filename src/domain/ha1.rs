//! What is kept of a seat's SIP secret: not the secret, but what a digest is made of.

use std::fmt;

use md5::Md5;
use sha2::{Digest, Sha256};

/// HA1 under both hashes (RFC 7616 §3.4.2): `H(extension:realm:secret)`. Within its realm it is as good as the secret:
/// keep it as secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Ha1 {
    /// 32 lower-case hexadecimal digits.
    pub md5: String,
    /// 64 lower-case hexadecimal digits.
    pub sha256: String,
}

impl Ha1 {
    /// What there is to keep of a secret.
    pub fn of(extension: &str, realm: &str, secret: &str) -> Self {
        let text = [extension, realm, secret].join(":");
        Self { md5: hex::encode(Md5::digest(&text)), sha256: hex::encode(Sha256::digest(&text)) }
    }
}

/// Shows nothing.
impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ha1").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_2617_and_rfc_7616_come_out() {
        let old = Ha1::of("Mufasa", "testrealm@host.com", "Circle Of Life");
        assert_eq!(old.md5, "939e7578ed9e3c518a452acee763bce9");
        let new = Ha1::of("Mufasa", "http-auth@example.org", "Circle of Life");
        assert_eq!(new.md5, "3d78807defe7de2157e2b0b6573a855f");
        assert_eq!(new.sha256, "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232");
    }

    #[test]
    fn a_log_shows_no_secret() {
        assert_eq!(format!("{:?}", Ha1::of("8001", "hotline", "secret")), "Ha1 { .. }");
    }
}
