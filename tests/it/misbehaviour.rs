//! A phone that does what none should, against the real program.

use sip_test::{Misdeed, misbehave};

use crate::house::House;

#[tokio::test]
async fn a_misbehaving_phone_gets_what_it_deserves_and_the_line_goes_on() {
    let house = House::with(&[("SPEECH__WORKERS", "0")]);
    let to = format!("sip:12345@{}", house.sip);
    let deeds = Misdeed::ALL.into_iter().filter(|deed| !deed.needs_tcp());
    let outcomes = futures::future::join_all(deeds.map(|deed| misbehave(deed, &to))).await;
    let outcomes: Vec<_> = outcomes.into_iter().map(|outcome| outcome.expect("a port")).collect();
    let wrong: Vec<_> = outcomes.iter().filter(|outcome| !outcome.good).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
