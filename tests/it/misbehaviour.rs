//! A phone that does what none should, over UDP and TCP, against the real program.

use sip_test::{Misdeed, misbehave};

use crate::house::{House, free_for_both};

#[tokio::test]
async fn a_misbehaving_phone_gets_what_it_deserves_and_the_line_goes_on() {
    // TCP stands at the same port, unless told otherwise.
    let house = House::with(&[("SPEECH__WORKERS", "0"), ("SIP__UDP", &free_for_both().to_string())]);
    let to = format!("sip:12345@{}", house.sip);
    let outcomes = futures::future::join_all(Misdeed::ALL.into_iter().map(|deed| misbehave(deed, &to))).await;
    let outcomes: Vec<_> = outcomes.into_iter().map(|outcome| outcome.expect("a port")).collect();
    let wrong: Vec<_> = outcomes.iter().filter(|outcome| !outcome.good).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
