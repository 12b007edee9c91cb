//! Challenge and answer (RFC 7616, and RFC 2617 for telephones that know MD5 only).

use md5::Md5;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    credentials::Credentials,
    nonce::{Nonce, Nonces},
};
use crate::domain::{ha1::Ha1, time::UnixMs};

/// The hash both sides use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Weak, and the only one most desk telephones have.
    Md5,
    Sha256,
}

impl Algorithm {
    /// As the wire has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// What the other side named; MD5 where it named none (RFC 7616 §3.4). Session keys (`-sess`) are never offered.
    fn of(named: Option<&str>) -> Option<Self> {
        let named = named.unwrap_or(Self::Md5.name());
        [Self::Md5, Self::Sha256].into_iter().find(|it| it.name().eq_ignore_ascii_case(named))
    }

    /// The hash of the parts with a colon between each two, in lower-case hexadecimal digits.
    fn hash(self, parts: &[&str]) -> String {
        match self {
            Self::Md5 => hex::encode(Md5::digest(parts.join(":"))),
            Self::Sha256 => hex::encode(Sha256::digest(parts.join(":"))),
        }
    }

    const fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha256 => 64,
        }
    }

    fn of_both(self, ha1: &Ha1) -> &str {
        match self {
            Self::Md5 => &ha1.md5,
            Self::Sha256 => &ha1.sha256,
        }
    }
}

/// What an answer is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Good {
        user: String,
    },
    /// Another password, another realm or nobody we know: challenge again, and count it.
    Wrong,
    /// The nonce is old, used or not ours: challenge again with `stale`, so that the telephone asks nobody.
    Stale,
    /// Not an answer to what we ask: 400.
    Malformed,
}

/// Asks, and judges the answers.
pub struct Challenger {
    realm: String,
    /// Stands in for those we do not know, so that they take as long.
    nobody: Ha1,
    nonces: Nonces,
}

impl Challenger {
    /// * `key` — random, new for each start of the program; nonces from before are stale then.
    /// * `realm` — printable; what the passwords were hashed with.
    pub fn new(key: [u8; 32], realm: String) -> Self {
        let nobody = Ha1::of("", &realm, &hex::encode(key));
        Self { realm, nobody, nonces: Nonces::new(key) }
    }

    /// The value of one `WWW-Authenticate`. Who offers both algorithms sends two.
    ///
    /// * `random` — new for each challenge.
    /// * `stale` — the last answer was [`Verdict::Stale`].
    pub fn challenge(&self, algorithm: Algorithm, random: [u8; 8], now: UnixMs, stale: bool) -> String {
        let realm = self.realm.replace('\\', r"\\").replace('"', "\\\"");
        let (nonce, algorithm) = (self.nonces.issue(now, random), algorithm.name());
        format!(r#"Digest realm="{realm}", nonce="{nonce}", algorithm={algorithm}, qop="auth", stale={stale}"#)
    }

    /// What is wrong with an answer whoever gave it: it cannot be read, or the nonce is stale. Asked first, it keeps such
    /// answers from those who look secrets up.
    pub fn flaw(&self, credentials: &Credentials, now: UnixMs) -> Option<Verdict> {
        self.read(credentials, now).err()
    }

    /// Whether the answer comes from who it says.
    ///
    /// Whether its URI is the request's is not judged here: proxies change it (RFC 3261 §22.4).
    ///
    /// * `method` — the request's.
    /// * `ha1` — that of [`Credentials::username`], `None` if there is nobody of that name.
    pub fn judge(&mut self, credentials: &Credentials, method: &str, ha1: Option<&Ha1>, now: UnixMs) -> Verdict {
        // Before the password is looked at: an old nonce must not tell whether a guess was right.
        let (answer, nonce) = match self.read(credentials, now) {
            Ok(read) => read,
            Err(flaw) => return flaw,
        };
        let secret = answer.algorithm.of_both(ha1.unwrap_or(&self.nobody));
        let expected = response(answer.algorithm, secret, credentials, method);
        let matches = bool::from(expected.as_bytes().ct_eq(answer.response.as_bytes()));
        if !(matches & ha1.is_some()) {
            return Verdict::Wrong;
        }
        // Only now, so that nobody uses up another's nonce or fills the table with guesses.
        self.nonces.use_up(nonce, answer.count, now);
        Verdict::Good { user: credentials.username.clone() }
    }

    fn read(&self, credentials: &Credentials, now: UnixMs) -> Result<(Answer, Nonce), Verdict> {
        let answer = Answer::of(credentials).ok_or(Verdict::Malformed)?;
        if credentials.realm != self.realm {
            return Err(Verdict::Wrong);
        }
        let fresh = self.nonces.opened(&credentials.nonce).filter(|it| self.nonces.is_fresh(*it, answer.count, now));
        Ok((answer, fresh.ok_or(Verdict::Stale)?))
    }
}

/// What of the credentials has to be understood before it can be judged.
struct Answer {
    algorithm: Algorithm,
    count: u32,
    /// In lower-case hexadecimal digits, as many as the algorithm has.
    response: String,
}

impl Answer {
    fn of(credentials: &Credentials) -> Option<Self> {
        let algorithm = Algorithm::of(credentials.algorithm.as_deref())?;
        let count = credentials.nc.as_deref().filter(|it| is_hex(it, 8))?;
        let asked = credentials.qop.as_deref().is_some_and(|it| it.eq_ignore_ascii_case("auth"));
        let sound = asked && credentials.cnonce.is_some() && is_hex(&credentials.response, algorithm.digits());
        sound.then_some(Self {
            algorithm,
            count: u32::from_str_radix(count, 16).ok()?,
            response: credentials.response.to_ascii_lowercase(),
        })
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|it| it.is_ascii_hexdigit())
}

/// The right answer (RFC 7616 §3.4.1), from the words the other side used.
fn response(algorithm: Algorithm, ha1: &str, credentials: &Credentials, method: &str) -> String {
    let ha2 = algorithm.hash(&[method, &credentials.uri]);
    let said = |it: &Option<String>| it.clone().unwrap_or_default();
    let [nc, cnonce, qop] = [&credentials.nc, &credentials.cnonce, &credentials.qop].map(said);
    algorithm.hash(&[ha1, &credentials.nonce, &nc, &cnonce, &qop, &ha2])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMs = UnixMs(1_800_000_000_000);
    const KEY: [u8; 32] = [7; 32];
    const REALM: &str = "hotline";
    const BOTH: [Algorithm; 2] = [Algorithm::Md5, Algorithm::Sha256];

    #[test]
    fn the_example_of_rfc_2617_comes_out() {
        let read = Credentials::parse(
            r#"Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",
               uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b",
               response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41""#,
        );
        let (read, ha1) = (read.unwrap(), Ha1::of("Mufasa", "testrealm@host.com", "Circle Of Life"));

        assert_eq!(ha1.md5, "939e7578ed9e3c518a452acee763bce9");
        assert_eq!(response(Algorithm::Md5, &ha1.md5, &read, "GET"), read.response);
    }

    #[test]
    fn the_examples_of_rfc_7616_come_out() {
        for (algorithm, right) in [
            (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (Algorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let read = Credentials::parse(&format!(
                r#"Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm={},
                   nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001,
                   cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, response="{right}",
                   opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#,
                algorithm.name()
            ));
            let (read, ha1) = (read.unwrap(), Ha1::of("Mufasa", "http-auth@example.org", "Circle of Life"));

            assert_eq!(response(algorithm, algorithm.of_both(&ha1), &read, "GET"), read.response);
        }
    }

    #[test]
    fn a_challenge_names_all_a_telephone_needs() {
        let challenger = Challenger::new(KEY, r#"the "city""#.to_owned());

        let fresh = challenger.challenge(Algorithm::Sha256, [1; 8], NOW, false);

        let nonce = fresh.split('"').find(|it| it.len() == 64).unwrap();
        assert!(nonce.starts_with("000001a3185c50000101010101010101"), "{nonce}");
        assert_eq!(
            fresh,
            format!(r#"Digest realm="the \"city\"", nonce="{nonce}", algorithm=SHA-256, qop="auth", stale=false"#)
        );
        assert!(challenger.challenge(Algorithm::Md5, [1; 8], NOW, true).ends_with("=MD5, qop=\"auth\", stale=true"));
    }

    #[test]
    fn who_knows_the_password_is_good() {
        for algorithm in BOTH {
            let (mut challenger, ha1) = (challenger(), ha1());
            let answer = answer(&nonce(&challenger, 1), algorithm, "secret", 1);

            let verdict = challenger.judge(&answer, "REGISTER", Some(&ha1), NOW);

            assert_eq!(verdict, Verdict::Good { user: "8001".to_owned() });
        }
    }

    #[test]
    fn who_does_not_is_wrong_and_so_is_who_is_unknown() {
        for algorithm in BOTH {
            let (mut challenger, ha1) = (challenger(), ha1());
            let (guess, right) = ("guess", "secret");
            let fresh = nonce(&challenger, 1);
            let mut judge =
                |secret, method, ha1| challenger.judge(&answer(&fresh, algorithm, secret, 1), method, ha1, NOW);

            assert_eq!(judge(guess, "REGISTER", Some(&ha1)), Verdict::Wrong);
            assert_eq!(judge(right, "INVITE", Some(&ha1)), Verdict::Wrong, "it was signed for REGISTER");
            assert_eq!(judge(right, "REGISTER", None), Verdict::Wrong);
            assert!(matches!(judge(right, "REGISTER", Some(&ha1)), Verdict::Good { .. }), "guesses use up no nonce");
        }
    }

    #[test]
    fn nobody_is_let_in_as_nobody() {
        let mut challenger = challenger();
        let nobody = challenger.nobody.clone();
        let mut answer = answer(&nonce(&challenger, 1), Algorithm::Md5, "", 1);
        answer.response = response(Algorithm::Md5, &nobody.md5, &answer, "REGISTER");

        assert_eq!(challenger.judge(&answer, "REGISTER", None, NOW), Verdict::Wrong);
    }

    #[test]
    fn another_realm_is_wrong() {
        let (mut challenger, ha1) = (challenger(), ha1());
        let mut answer = answer(&nonce(&challenger, 1), Algorithm::Md5, "secret", 1);
        answer.realm = "Hotline".to_owned();

        assert_eq!(challenger.judge(&answer, "REGISTER", Some(&ha1), NOW), Verdict::Wrong);
    }

    #[test]
    fn a_nonce_lives_five_minutes_and_is_never_another_s() {
        let (mut challenger, ha1) = (challenger(), ha1());
        let mut at = |nonce: &str, ms: i64| {
            let answer = answer(nonce, Algorithm::Sha256, "secret", 1);
            challenger.judge(&answer, "REGISTER", Some(&ha1), UnixMs(NOW.0 + ms))
        };
        let elsewhere = Challenger::new([8; 32], REALM.to_owned());
        let ours = Challenger::new(KEY, REALM.to_owned());

        assert_eq!(at(&nonce(&ours, 1), 300_000), Verdict::Stale);
        assert_eq!(at(&nonce(&ours, 1), -1), Verdict::Stale, "the clock was turned back");
        assert_eq!(at(&nonce(&elsewhere, 1), 0), Verdict::Stale);
        assert_eq!(at(&nonce(&ours, 1).replacen('0', "1", 1), 0), Verdict::Stale);
        assert_eq!(at("", 0), Verdict::Stale);
        assert_eq!(at(&nonce(&ours, 1)[2..], 0), Verdict::Stale);
        assert!(matches!(at(&nonce(&ours, 1), 299_999), Verdict::Good { .. }));
    }

    #[test]
    fn counts_only_rise() {
        let (mut challenger, ha1) = (challenger(), ha1());
        let (first, second) = (nonce(&challenger, 1), nonce(&challenger, 2));
        let mut is_good = |nonce: &str, count| {
            let answer = answer(nonce, Algorithm::Md5, "secret", count);
            match challenger.judge(&answer, "REGISTER", Some(&ha1), NOW) {
                Verdict::Good { .. } => true,
                verdict => {
                    assert_eq!(verdict, Verdict::Stale);
                    false
                }
            }
        };

        let seen = [0, 1, 1, 3, 2, 3, 4, u32::MAX, u32::MAX].map(|count| is_good(&first, count));

        assert_eq!(seen, [false, true, false, true, false, false, true, true, false]);
        assert!(is_good(&second, 1), "each nonce has its own count");
    }

    #[test]
    fn what_does_not_answer_our_challenge_is_malformed() {
        let (mut challenger, ha1) = (challenger(), ha1());
        let right = answer(&nonce(&challenger, 1), Algorithm::Md5, "secret", 1);
        let spoilt: [fn(&mut Credentials); 10] = [
            |it| it.qop = None,
            |it| it.qop = Some("auth-int".to_owned()),
            |it| it.nc = None,
            |it| it.nc = Some("1".to_owned()),
            |it| it.nc = Some("+0000001".to_owned()),
            |it| it.cnonce = None,
            |it| it.algorithm = Some("MD5-sess".to_owned()),
            |it| it.algorithm = Some("SHA-256".to_owned()),
            |it| it.response.truncate(31),
            |it| it.response.replace_range(..1, "x"),
        ];

        for (which, spoil) in spoilt.iter().enumerate() {
            let mut answer = right.clone();
            spoil(&mut answer);
            assert_eq!(challenger.judge(&answer, "REGISTER", Some(&ha1), NOW), Verdict::Malformed, "{which}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_the_judge_panic(texts in prop::array::uniform9(any::<String>()), known: bool) {
            let [username, realm, nonce, uri, response, algorithm, qop, nc, cnonce] = texts;
            let [algorithm, qop, nc, cnonce] = [algorithm, qop, nc, cnonce].map(Some);
            let answer = Credentials { username, realm, nonce, uri, response, algorithm, qop, nc, cnonce };
            let verdict = Challenger::new(KEY, answer.realm.clone()).judge(&answer, "REGISTER", known.then_some(&ha1()), NOW);
            prop_assert!(matches!(verdict, Verdict::Malformed | Verdict::Stale));
        }
    }

    fn challenger() -> Challenger {
        Challenger::new(KEY, REALM.to_owned())
    }

    fn ha1() -> Ha1 {
        Ha1::of("8001", REALM, "secret")
    }

    fn nonce(challenger: &Challenger, random: u64) -> String {
        challenger.nonces.issue(NOW, random.to_be_bytes())
    }

    /// What the telephone 8001 says that was given this password.
    fn answer(nonce: &str, algorithm: Algorithm, secret: &str, count: u32) -> Credentials {
        let mut answer = Credentials {
            username: "8001".to_owned(),
            realm: REALM.to_owned(),
            nonce: nonce.to_owned(),
            uri: "sip:hotline".to_owned(),
            response: String::new(),
            algorithm: Some(algorithm.name().to_owned()),
            qop: Some("auth".to_owned()),
            nc: Some(format!("{count:08x}")),
            cnonce: Some("c".to_owned()),
        };
        answer.response = response(algorithm, algorithm.of_both(&Ha1::of("8001", REALM, secret)), &answer, "REGISTER");
        answer
    }
}
