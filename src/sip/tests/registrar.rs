//! Telephones that register, on real sockets.

use std::{cell::Cell, sync::Arc};

use md5::{Digest, Md5};
use sha2::Sha256;

use super::*;
use crate::{domain::ha1::Ha1, tls::Acceptor};

const SECRET: &str = "4a0f-right";
const MINUTE: Duration = Duration::from_mins(1);

/// 8001 and 8002 have a telephone each; of 8003 nobody can tell now.
#[derive(Debug)]
struct Known;

#[async_trait::async_trait]
impl Secrets for Known {
    async fn ha1(&self, extension: &str) -> Result<Option<Ha1>, Away> {
        match extension {
            "8001" | "8002" => Ok(Some(Ha1::of(extension, "hotline", SECRET))),
            "8003" => Err(Away),
            _ => Ok(None),
        }
    }
}

/// An endpoint where telephones may register, and the socket of one.
struct Desk {
    bench: Bench,
    registrar: Registrar,
    dialler: Dialler,
    cseq: Cell<u32>,
}

impl Desk {
    async fn udp() -> Self {
        let (endpoint, calls, clock) = open(settings()).await;
        let line = endpoint.local_addr();
        Self::run(endpoint, calls, clock, Phone::udp(line).await, line)
    }

    async fn tcp() -> Self {
        let (endpoint, calls, clock) = open(SipSettings { tcp: vec![([127, 0, 0, 1], 0).into()], ..settings() }).await;
        let line = endpoint.tcp_addr().expect("TCP");
        Self::run(endpoint, calls, clock, Phone::tcp(line).await, line)
    }

    fn run(endpoint: Endpoint, calls: mpsc::Receiver<Incoming>, clock: Clock, phone: Phone, line: SocketAddr) -> Self {
        let (registrar, dialler) = (endpoint.registrar(), endpoint.dialler());
        Self { bench: Bench::run(endpoint, calls, clock, phone, line), registrar, dialler, cseq: Cell::new(0) }
    }

    fn later(&self, by: Duration) {
        self.bench.clock.advance(by);
    }

    /// A REGISTER for an extension, newer than all before it.
    fn request(&self, extension: &str, further: &str) -> String {
        self.cseq.set(self.cseq.get() + 1);
        let (cseq, phone, transport) = (self.cseq.get(), self.bench.phone.local(), self.bench.phone.transport());
        format!(
            "REGISTER sip:hotline SIP/2.0\r\nVia: SIP/2.0/{transport} {phone};branch=z9hG4bK{extension}{cseq};rport\r\n\
             From: <sip:{extension}@hotline>;tag=far\r\nTo: <sip:{extension}@hotline>\r\nCall-ID: c{extension}@test\r\n\
             CSeq: {cseq} REGISTER\r\nMax-Forwards: 70\r\n{further}Content-Length: 0\r\n\r\n"
        )
    }

    async fn ask(&self, extension: &str, further: &str) -> String {
        self.bench.ask(self.request(extension, further)).await
    }

    /// Asks with empty hands and gives the challenge.
    async fn challenge(&self, extension: &str) -> String {
        let answer = self.ask(extension, "").await;
        assert_eq!(status(&answer), "401", "{answer}");
        answer
    }

    /// Answers a challenge of its own with a secret.
    async fn try_with(&self, extension: &str, secret: &str, further: &str) -> String {
        let challenge = self.challenge(extension).await;
        self.ask(extension, &format!("{}{further}", shown(&challenge, extension, secret, 1))).await
    }

    /// The same with the right one.
    async fn register(&self, further: &str) -> String {
        self.try_with("8001", SECRET, further).await
    }

    fn contact(&self) -> String {
        format!("Contact: <sip:8001@{}>\r\n", self.bench.phone.local())
    }

    fn contacts(&self) -> Vec<String> {
        self.registrar.bindings("8001").into_iter().map(|it| it.contact).collect()
    }
}

async fn open(settings: SipSettings) -> (Endpoint, mpsc::Receiver<Incoming>, Clock) {
    let clock = Clock::that_can_be_advanced();
    let registration = Registration { secrets: Arc::new(Known), ..Registration::default() };
    let settings = SipSettings { registration, ..settings };
    let (endpoint, calls) = Endpoint::bind(settings, clock.clone()).await.expect("free ports");
    (endpoint, calls, clock)
}

/// The values of all headers of a name.
fn headers<'a>(message: &'a str, name: &str) -> Vec<&'a str> {
    message.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
}

fn nonce(challenge: &str) -> &str {
    let (_, rest) = challenge.split_once("nonce=\"").expect("a nonce");
    rest.split('"').next().expect("its end")
}

/// The answer to a challenge, by MD5.
fn shown(challenge: &str, user: &str, secret: &str, count: u32) -> String {
    let hash = |text: String| hex::encode(Md5::digest(text));
    answer_by(hash, "MD5", nonce(challenge), user, secret, count)
}

fn answer_by(
    hash: impl Fn(String) -> String,
    algorithm: &str,
    nonce: &str,
    user: &str,
    secret: &str,
    count: u32,
) -> String {
    let (ha1, ha2) = (hash(format!("{user}:hotline:{secret}")), hash("REGISTER:sip:hotline".into()));
    let response = hash(format!("{ha1}:{nonce}:{count:08x}:c0ffee:auth:{ha2}"));
    format!(
        "Authorization: Digest username=\"{user}\", realm=\"hotline\", nonce=\"{nonce}\", uri=\"sip:hotline\", \
         response=\"{response}\", algorithm={algorithm}, qop=auth, nc={count:08x}, cnonce=\"c0ffee\"\r\n"
    )
}

/// An answer without what differs from one to the next.
fn alike(answer: &str) -> String {
    let differs =
        |line: &&str| ["Via", "From", "To", "Call-ID", "CSeq"].iter().any(|name| line.starts_with(&format!("{name}:")));
    answer.lines().filter(|line| !differs(line)).map(|line| without_nonce(line) + "\n").collect()
}

fn without_nonce(line: &str) -> String {
    match line.split_once("nonce=\"") {
        Some((before, rest)) => format!("{before}{}", rest.split_once('"').map_or("", |(_, after)| after)),
        None => line.to_owned(),
    }
}

#[tokio::test]
async fn a_telephone_registers_over_udp_and_is_found_where_it_wrote_from() {
    let desk = Desk::udp().await;
    let contact = "Contact: <sip:8001@192.0.2.99:5099>\r\n";
    let ok = desk.register(contact).await;
    assert_eq!(status(&ok), "200", "{ok}");
    assert_eq!(headers(&ok, "Contact"), ["<sip:8001@192.0.2.99:5099>;expires=300"]);
    let binding = &desk.registrar.bindings("8001")[0];
    assert_eq!((binding.contact.as_str(), binding.transport.as_str()), ("sip:8001@192.0.2.99:5099", "UDP"));
    assert_eq!(binding.source, desk.bench.phone.local());
    assert!(!desk.registrar.is_registered("8002"));
}

#[tokio::test]
async fn a_telephone_that_registered_over_tcp_is_rung_over_its_connection() {
    let desk = Desk::tcp().await;
    let ok = desk.register("Contact: <sip:8001@192.0.2.99:5099;transport=tcp>\r\n").await;
    assert_eq!(status(&ok), "200", "{ok}");
    assert_eq!(desk.registrar.bindings("8001")[0].transport, "TCP");
    let targets = desk.registrar.targets("8001");
    let _ringing = desk.dialler.ring(Ring { targets, caller: None, called: "12345".into(), media: media() });
    let invite = desk.bench.hear_of("INVITE ").await;
    // Values of URI parameters are the same in any case (RFC 3261 §19.1.4).
    assert!(invite.starts_with("INVITE sip:8001@192.0.2.99:5099;transport=TCP SIP/2.0"), "{invite}");
}

#[tokio::test]
async fn a_telephone_registers_over_tls() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = made.signing_key.serialize_der().try_into().expect("a key");
    let provider = rustls::crypto::ring::default_provider();
    let pair = rustls::sign::CertifiedKey::from_der(vec![made.cert.der().clone()], key, &provider).expect("they fit");
    let tls = Acceptor::new(pair.into(), &[]).expect("TLS");
    let tls = Some((vec![([127, 0, 0, 1], 0).into()], tls));
    let (endpoint, calls, clock) = open(SipSettings { tls, ..settings() }).await;
    let line = endpoint.tls_addr().expect("TLS");
    let phone = Phone::tls(line, made.cert.der().clone());
    // The endpoint has to run before hands are shaken.
    let (registrar, dialler, stopping) = (endpoint.registrar(), endpoint.dialler(), CancellationToken::new());
    let run = tokio::spawn(endpoint.run(stopping.clone()));
    let bench = Bench { calls, phone: phone.await, line, clock, stopping, run };
    let desk = Desk { bench, registrar, dialler, cseq: Cell::new(0) };
    assert_eq!(status(&desk.register(&desk.contact()).await), "200");
    assert_eq!(desk.registrar.bindings("8001")[0].transport, "TLS");
}

#[tokio::test]
async fn md5_is_asked_for_first_and_sha_256_second() {
    let desk = Desk::udp().await;
    let answer = desk.challenge("8001").await;
    let asked = headers(&answer, "WWW-Authenticate");
    let names = asked.iter().map(|it| it.split("algorithm=").nth(1).and_then(|it| it.split(',').next()));
    assert_eq!(names.collect::<Vec<_>>(), [Some("MD5"), Some("SHA-256")]);
    assert!(asked.iter().all(|it| it.contains("realm=\"hotline\"") && it.contains("qop=\"auth\"")), "{answer}");
}

#[tokio::test]
async fn a_telephone_on_the_list_is_asked_for_md5_alone() {
    let desk = Desk::udp().await;
    let answer = desk.ask("8001", "User-Agent: Baresip v1.0.0 (x86_64/Linux)\r\n").await;
    let asked = headers(&answer, "WWW-Authenticate");
    assert_eq!((asked.len(), asked[0].contains("algorithm=MD5,")), (1, true), "{answer}");
    let answer = desk.ask("8001", "User-Agent: notbaresip\r\n").await;
    assert_eq!(headers(&answer, "WWW-Authenticate").len(), 2);
}

#[tokio::test]
async fn an_answer_by_sha_256_is_taken() {
    let desk = Desk::udp().await;
    let challenge = desk.challenge("8001").await;
    let second = headers(&challenge, "WWW-Authenticate")[1];
    let hash = |text: String| hex::encode(Sha256::digest(text));
    let shown = answer_by(hash, "SHA-256", nonce(second), "8001", SECRET, 1);
    assert_eq!(status(&desk.ask("8001", &format!("{shown}{}", desk.contact())).await), "200");
    assert!(desk.registrar.is_registered("8001"));
}

#[tokio::test]
async fn a_wrong_secret_is_challenged_again_and_registers_nobody() {
    let desk = Desk::udp().await;
    let refused = desk.try_with("8001", "wrong", &desk.contact()).await;
    assert_eq!(status(&refused), "401", "{refused}");
    assert!(refused.contains("stale=false"), "{refused}");
    assert!(!desk.registrar.is_registered("8001"));
}

#[tokio::test]
async fn an_unknown_extension_looks_like_one_whose_secret_is_wrong() {
    let desk = Desk::udp().await;
    assert_eq!(alike(&desk.challenge("8001").await), alike(&desk.challenge("8999").await));
    let mut heard = Vec::new();
    for turn in 1..=7 {
        let known = desk.ask("8001", "").await;
        let unknown = desk.ask("8999", "").await;
        assert_eq!(alike(&known), alike(&unknown), "turn {turn}");
        if status(&known) == "403" {
            heard.push("403".to_owned());
            continue;
        }
        let known = desk.ask("8001", &shown(&known, "8001", "wrong", 1)).await;
        let unknown = desk.ask("8999", &shown(&unknown, "8999", "wrong", 1)).await;
        assert_eq!(alike(&known), alike(&unknown), "turn {turn}");
        heard.push(status(&known).to_owned());
    }
    assert_eq!(heard, ["401", "401", "401", "401", "401", "403", "403"]);
}

#[tokio::test]
async fn after_five_wrong_answers_nobody_is_heard_for_five_minutes() {
    let desk = Desk::udp().await;
    for _ in 0..5 {
        assert_eq!(status(&desk.try_with("8001", "wrong", "").await), "401");
    }
    assert_eq!(status(&desk.ask("8001", &desk.contact()).await), "403");
    assert_eq!(status(&desk.try_with("8002", SECRET, "").await), "200", "another telephone of the same house");
    desk.later(5 * MINUTE);
    assert_eq!(status(&desk.register(&desk.contact()).await), "200");
}

#[tokio::test]
async fn who_shows_another_s_name_is_refused_whatever_he_knows() {
    let desk = Desk::udp().await;
    let challenge = desk.challenge("8001").await;
    let answer = desk.ask("8001", &format!("{}{}", shown(&challenge, "8002", SECRET, 1), desk.contact())).await;
    assert_eq!(status(&answer), "401", "{answer}");
    assert!(!desk.registrar.is_registered("8001") && !desk.registrar.is_registered("8002"));
}

#[tokio::test]
async fn a_stale_nonce_is_told_so_and_costs_no_try() {
    let desk = Desk::udp().await;
    for _ in 0..6 {
        let challenge = desk.challenge("8001").await;
        desk.later(5 * MINUTE);
        let stale = desk.ask("8001", &shown(&challenge, "8001", SECRET, 1)).await;
        assert!(status(&stale) == "401" && stale.contains("stale=true"), "{stale}");
        assert_eq!(status(&desk.ask("8001", &shown(&stale, "8001", SECRET, 1)).await), "200");
    }
}

#[tokio::test]
async fn a_nonce_is_used_again_with_a_higher_count_and_never_with_one_that_was() {
    let desk = Desk::udp().await;
    let challenge = desk.challenge("8001").await;
    let first = shown(&challenge, "8001", SECRET, 1);
    assert_eq!(status(&desk.ask("8001", &first).await), "200");
    let replayed = desk.ask("8001", &format!("{first}{}", desk.contact())).await;
    assert!(status(&replayed) == "401" && replayed.contains("stale=true"), "{replayed}");
    assert!(!desk.registrar.is_registered("8001"), "whoever has heard it cannot repeat it");
    let next = format!("{}{}", shown(&challenge, "8001", SECRET, 2), desk.contact());
    assert_eq!(status(&desk.ask("8001", &next).await), "200");
}

#[tokio::test]
async fn too_short_a_time_hears_423_with_the_shortest() {
    let desk = Desk::udp().await;
    let brief = desk.register(&format!("{}Expires: 59\r\n", desk.contact())).await;
    assert_eq!((status(&brief), header(&brief, "Min-Expires")), ("423", Some("60")), "{brief}");
    assert!(!desk.registrar.is_registered("8001"));
    let long = desk.register(&format!("{}Expires: 7200\r\n", desk.contact())).await;
    assert!(header(&long, "Contact").is_some_and(|it| it.ends_with(";expires=3600")), "{long}");
}

#[tokio::test]
async fn the_200_lists_all_contacts_and_one_without_a_contact_only_asks() {
    let desk = Desk::udp().await;
    desk.register("Contact: <sip:8001@192.0.2.1>;expires=60, <sip:8001@192.0.2.2>;q=0.5\r\n").await;
    desk.later(Duration::from_secs(10));
    let ok = desk.register("").await;
    let mut listed = headers(&ok, "Contact");
    listed.sort_unstable();
    assert_eq!(listed.len(), 2);
    let left = |entry: &str| -> u32 {
        let (_, rest) = entry.split_once("expires=").expect("a time");
        rest.split(';').next().expect("a number").parse().expect("a number")
    };
    assert!((45..=50).contains(&left(listed[0])) && (285..=290).contains(&left(listed[1])), "{listed:?}");
    assert!(listed[1].ends_with(";q=0.500"), "{listed:?}");
}

#[tokio::test]
async fn a_star_takes_all_contacts_away_and_only_with_no_time() {
    let desk = Desk::udp().await;
    desk.register("Contact: <sip:8001@192.0.2.1>, <sip:8001@192.0.2.2>\r\n").await;
    for wrong in ["Contact: *\r\n", "Contact: *\r\nExpires: 60\r\n", "Contact: *, <sip:a@192.0.2.1>\r\nExpires: 0\r\n"]
    {
        assert_eq!(status(&desk.register(wrong).await), "400", "{wrong}");
    }
    assert_eq!(desk.contacts().len(), 2);
    let ok = desk.register("Contact: *\r\nExpires: 0\r\n").await;
    assert_eq!((status(&ok), header(&ok, "Contact")), ("200", None), "{ok}");
    assert!(!desk.registrar.is_registered("8001"));
}

#[tokio::test]
async fn a_contact_with_no_time_left_goes_and_the_others_stay() {
    let desk = Desk::udp().await;
    desk.register("Contact: <sip:8001@192.0.2.1>, <sip:8001@192.0.2.2>\r\n").await;
    desk.register("Contact: <sip:8001@192.0.2.1>;expires=0\r\n").await;
    assert_eq!(desk.contacts(), ["sip:8001@192.0.2.2"]);
}

#[tokio::test]
async fn an_older_request_of_the_same_telephone_hears_500_and_changes_nothing() {
    let desk = Desk::udp().await;
    desk.register(&desk.contact()).await;
    let challenge = desk.challenge("8001").await;
    let gone = format!("{}{}Expires: 0\r\n", shown(&challenge, "8001", SECRET, 1), desk.contact());
    let old = desk.request("8001", &gone).replacen("CSeq: 4 ", "CSeq: 1 ", 1);
    assert_eq!(status(&desk.bench.ask(old).await), "500");
    assert!(desk.registrar.is_registered("8001"));
}

#[tokio::test]
async fn a_contact_that_cannot_be_rung_hears_400() {
    let desk = Desk::udp().await;
    for contact in ["<mailto:a@b>", "<sip:a@h", "sip:a@192.0.2.1?Route=%3Csip:x%3E", "<tel:8001>"] {
        assert_eq!(status(&desk.register(&format!("Contact: {contact}\r\n")).await), "400", "{contact}");
    }
}

#[tokio::test]
async fn credentials_that_make_no_sense_hear_400_and_those_of_another_kind_a_challenge() {
    let desk = Desk::udp().await;
    let challenge = desk.challenge("8001").await;
    let right = shown(&challenge, "8001", SECRET, 1);
    for (from, to) in [("qop=auth", "qop=auth-int"), ("algorithm=MD5", "algorithm=MD5-sess"), ("nc=", "count=")] {
        assert_eq!(status(&desk.ask("8001", &right.replace(from, to)).await), "400", "{to}");
    }
    assert_eq!(status(&desk.ask("8001", &right.replace("realm=\"hotline\"", "realm=\"other\"")).await), "401");
    assert_eq!(status(&desk.ask("8001", "Authorization: Basic ODAwMTpzZWNyZXQ=\r\n").await), "401");
}

#[tokio::test]
async fn what_nobody_refreshes_runs_out_by_itself() {
    let desk = Desk::udp().await;
    let mut changes = desk.registrar.changes();
    desk.register(&desk.contact()).await;
    timeout(PATIENCE, changes.changed()).await.expect("news").expect("it runs");
    desk.later(4 * MINUTE);
    desk.register(&desk.contact()).await;
    assert!(!changes.has_changed().expect("it runs"), "a refresh is no news");
    desk.later(4 * MINUTE);
    assert!(desk.registrar.is_registered("8001"));
    desk.later(MINUTE);
    timeout(PATIENCE, changes.changed()).await.expect("news").expect("it runs");
    assert!(!desk.registrar.is_registered("8001"));
}

#[tokio::test]
async fn a_clock_that_is_set_ends_no_registration() {
    let desk = Desk::udp().await;
    desk.register(&desk.contact()).await;
    for by in [3_600_000, -7_200_000] {
        desk.bench.clock.step(by);
        assert!(desk.registrar.is_registered("8001"), "{by}");
        assert_eq!(status(&desk.register(&desk.contact()).await), "200", "{by}");
    }
}

#[tokio::test]
async fn a_connection_that_is_closed_takes_its_contacts_along_at_once() {
    let mut desk = Desk::tcp().await;
    desk.register("Contact: <sip:8001@192.0.2.1;transport=tcp>, <sip:8001@192.0.2.2;transport=tcp>\r\n").await;
    desk.try_with("8002", SECRET, "Contact: <sip:8002@192.0.2.1;transport=tcp>\r\n").await;
    let second = Phone::tcp(desk.bench.line).await;
    let first = std::mem::replace(&mut desk.bench.phone, second);
    desk.register("Contact: <sip:8001@192.0.2.3;transport=tcp>\r\n").await;
    assert_eq!(desk.contacts().len(), 3);
    let mut changes = desk.registrar.changes();
    drop(first);
    while desk.registrar.is_registered("8002") {
        timeout(PATIENCE, changes.changed()).await.expect("news").expect("it runs");
    }
    assert_eq!(desk.contacts(), ["sip:8001@192.0.2.3;transport=tcp"]);
}

#[tokio::test]
async fn while_secrets_cannot_be_looked_up_telephones_are_told_to_come_later() {
    let desk = Desk::udp().await;
    for _ in 0..6 {
        let answer = desk.try_with("8003", SECRET, "").await;
        assert_eq!(status(&answer), "503", "it is no wrong answer");
        assert!(header(&answer, "Retry-After").is_some(), "{answer}");
    }
}

#[tokio::test]
async fn what_a_register_may_not_ask_for_is_refused_before_anything_else() {
    let desk = Desk::udp().await;
    let answer = desk.ask("8001", "Require: path\r\n").await;
    assert_eq!((status(&answer), header(&answer, "Unsupported")), ("420", Some("path")), "{answer}");
    let hops = desk.request("8001", "").replacen("Max-Forwards: 70", "Max-Forwards: 0", 1);
    assert_eq!(status(&desk.bench.ask(hops).await), "483");
    let nobody = desk.request("8001", "").replacen("To: <sip:8001@hotline>", "To: <sip:hotline>", 1);
    assert_eq!(status(&desk.bench.ask(nobody).await), "404");
}

#[tokio::test]
async fn options_says_that_telephones_may_register() {
    let desk = Desk::udp().await;
    let answer = desk.bench.ask(desk.bench.request("OPTIONS", "o1", 1, "", "", "")).await;
    assert!(header(&answer, "Allow").is_some_and(|it| it.contains("REGISTER")), "{answer}");
}
