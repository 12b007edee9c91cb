//! Messages no phone should send, against the real program: our own set, and the 49 of RFC 4475 where they are at hand.

use std::path::{Path, PathBuf};

use sip_test::{read_torture, torture};

use crate::house::{House, free_for_both};

/// Of our own set: where these end, only their datagram tells. A stream cannot take them as they are meant.
const DATAGRAM_ONLY: [&str; 12] = [
    "trailing",
    "nolength",
    "twolengths",
    "longlength",
    "minuslength",
    "wordlength",
    "hugelength",
    "noblankline",
    "linefeeds",
    "nothing",
    "binary",
    "http",
];

#[tokio::test]
async fn each_torture_message_of_our_own_is_answered_as_it_should_be() {
    play(Path::new("tests/torture"), "", true).await;
}

#[tokio::test]
async fn each_torture_message_of_our_own_is_answered_over_tcp_as_it_should_be() {
    let unframed = play(Path::new("tests/torture"), ";transport=tcp", true).await;
    assert_eq!(unframed, DATAGRAM_ONLY);
}

#[tokio::test]
async fn the_torture_messages_of_rfc_4475_are_answered_as_allowed_over_udp_and_tcp() {
    let Some(data) = std::env::var_os("HOTLINE_DATA").map(PathBuf::from) else {
        println!("not run: HOTLINE_DATA is not set");
        return;
    };
    for way in ["", ";transport=tcp"] {
        play(&data.join("rfc4475"), way, false).await;
    }
}

/// Each message in its turn, an OPTIONS after each, and a call after all of them.
///
/// * returns — what a stream could not take as it was meant.
async fn play(folder: &Path, way: &str, strict: bool) -> Vec<String> {
    let house = House::with(&[("SPEECH__WORKERS", "0"), ("SIP__UDP", &free_for_both().to_string())]);
    let to = format!("sip:12345@{}{way}", house.sip);
    let (mut wrong, mut unframed) = (Vec::new(), Vec::new());
    for message in read_torture(folder).expect("a torture folder") {
        let report = torture(&to, &message, strict).await.expect("a port for its answers");
        assert!(report.alive, "after {}: no answer to OPTIONS\n{}", report.name, house.log());
        if report.datagram_only {
            unframed.push(report.name.clone());
        }
        if !report.good {
            wrong.push(format!("{} ({}): {:?}, allowed {}", report.name, report.what, report.came, report.allowed));
        }
    }
    assert!(wrong.is_empty(), "answered wrongly:\n{}", wrong.join("\n"));
    let call = sip_test::call(house.citizen("13800000001").playing(vec![0; 8_000])).await.expect("a call");
    assert_eq!((call.status, call.bye_status), (200, Some(200)));
    unframed
}
