//! Session timers (RFC 4028). The house's clock is moved; nobody waits.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

const MINUTES_15: Duration = Duration::from_mins(15);
const ASKED: &str = "Supported: timer\r\nSession-Expires: 1800\r\n";

#[tokio::test]
async fn a_session_timer_is_agreed_and_left_to_a_caller_who_has_it() {
    let mut bench = Bench::start().await;
    let (_answered, _, ok) = bench.call_with("c1", ASKED).await;
    assert_eq!(header(&ok, "Session-Expires"), Some("1800;refresher=uac"));
    assert_eq!((header(&ok, "Require"), header(&ok, "Supported")), (Some("timer"), Some("timer")));
    let (_answered, _, ok) = bench.call_with("c2", "Require: timer\r\nx: 1800;refresher=uas\r\n").await;
    assert_eq!((header(&ok, "Session-Expires"), header(&ok, "Require")), (Some("1800;refresher=uas"), None));
}

#[tokio::test]
async fn a_session_that_is_too_short_hears_422_with_the_least_we_take() {
    let bench = Bench::start().await;
    let invite = bench.request("INVITE", "c1", 1, "", "Supported: timer\r\nSession-Expires: 60\r\n", SDP);
    let answer = bench.ask(&invite).await;
    assert_eq!((status(&answer), header(&answer, "Min-SE")), ("422", Some("90")));
    bench.ack(&invite, &answer).await;
    let invite = bench.request("INVITE", "c2", 1, "", "Session-Expires: soon\r\n", SDP);
    assert_eq!(status(&bench.ask(&invite).await), "400");
}

#[tokio::test]
async fn a_call_without_a_session_timer_gets_none() {
    let mut bench = Bench::start().await;
    let (_answered, tag, ok) = bench.call_with("c1", "Supported: timer\r\n").await;
    assert_eq!(header(&ok, "Session-Expires"), None);
    bench.clock.advance(Duration::from_hours(3));
    assert_eq!(status(&bench.ask(bench.request("OPTIONS", "c1", 2, &tag, "", "")).await), "200");
}

#[tokio::test]
async fn a_session_the_caller_does_not_refresh_ends_with_our_bye() {
    let mut bench = Bench::start().await;
    let (mut answered, _, _) = bench.call_with("c1", ASKED).await;
    bench.clock.advance(Duration::from_secs(1800 - 32));
    let bye = bench.hear_of("BYE ").await;
    bench.reply(&bye, "200 OK", "", "").await;
    assert_eq!(event(&mut answered).await, LegEvent::Ended(LegEnd::Expired));
}

#[tokio::test]
async fn an_update_or_a_re_invite_of_theirs_begins_the_sessions_time_anew() {
    let mut bench = Bench::start().await;
    let (mut answered, tag, _) = bench.call_with("c1", ASKED).await;
    for (cseq, method) in [(2, "UPDATE"), (3, "INVITE")] {
        bench.clock.advance(MINUTES_15);
        let body = if method == "INVITE" { SDP } else { "" };
        let ok = bench.ask(bench.request(method, "c1", cseq, &tag, ASKED, body)).await;
        assert_eq!((status(&ok), header(&ok, "Session-Expires")), ("200", Some("1800;refresher=uac")), "{method}");
    }
    bench.send(bench.request("ACK", "c1", 3, &tag, "", "")).await;
    assert!(matches!(event(&mut answered).await, LegEvent::Settled(_)));
    bench.clock.advance(MINUTES_15);
    assert_eq!(status(&bench.ask(bench.request("OPTIONS", "c1", 4, &tag, "", "")).await), "200");
    let ok = bench.ask(bench.request("UPDATE", "c1", 5, &tag, "", "")).await;
    assert_eq!((status(&ok), header(&ok, "Session-Expires")), ("200", None), "they want no timer any more");
    bench.clock.advance(MINUTES_15 * 4);
    assert_eq!(status(&bench.ask(bench.request("OPTIONS", "c1", 6, &tag, "", "")).await), "200");
}

#[tokio::test]
async fn we_refresh_at_half_time_by_update_where_the_caller_cannot() {
    let mut bench = Bench::start().await;
    let asked = "Session-Expires: 1800\r\nAllow: INVITE, ACK, BYE, UPDATE\r\n";
    let (mut answered, _, ok) = bench.call_with("c1", asked).await;
    assert_eq!(header(&ok, "Session-Expires"), Some("1800;refresher=uas"));
    for _ in 0..3 {
        bench.clock.advance(MINUTES_15);
        let update = bench.hear_of("UPDATE sip:13800000000@").await;
        assert_eq!(header(&update, "Session-Expires"), Some("1800;refresher=uac"));
        assert_eq!(header(&update, "Content-Length"), Some("0"));
        bench.reply(&update, "200 OK", "", "").await;
        // The answer is taken in its own time; a request of theirs is read after it.
        until_settled(&bench).await;
    }
    bench.clock.advance(MINUTES_15);
    let update = bench.hear_of("UPDATE ").await;
    bench.reply(&update, "481 Call/Transaction Does Not Exist", "", "").await;
    let bye = bench.hear_of("BYE ").await;
    bench.reply(&bye, "481 Call/Transaction Does Not Exist", "", "").await;
    assert_eq!(event(&mut answered).await, LegEvent::Ended(LegEnd::Expired));
}

#[tokio::test]
async fn we_refresh_by_a_re_invite_that_changes_nothing_where_they_do_not_know_update() {
    let mut bench = Bench::start().await;
    let (mut answered, tag, ok) = bench.call_with("c1", "Session-Expires: 1800\r\n").await;
    bench.clock.advance(MINUTES_15);
    let again = bench.hear_of("INVITE sip:13800000000@").await;
    let body = |text: &str| text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    assert_eq!(body(&again), body(&ok), "the same words, the same version");
    let crossing = bench.request("INVITE", "c1", 2, &tag, "", SDP);
    let answer = bench.ask(&crossing).await;
    assert_eq!(status(&answer), "491");
    bench.ack(&crossing, &answer).await;
    let update = bench.request("UPDATE", "c1", 3, &tag, "", SDP);
    assert_eq!(status(&bench.ask(&update).await), "491");
    let contact = format!("Contact: <sip:13800000000@{}>\r\n", bench.phone.local());
    bench.reply(&again, "200 OK", &contact, &SDP.replace("4000", "4646").replace("8 0 96", "8 96")).await;
    bench.hear_of("ACK ").await;
    let LegEvent::Settled(agreed) = event(&mut answered).await else { panic!("their answer counts") };
    assert_eq!(agreed.address.port(), 4646);
    assert_eq!(status(&bench.ask(bench.request("UPDATE", "c1", 4, &tag, "", SDP)).await), "200");
}

#[tokio::test]
async fn a_refresh_that_crosses_theirs_is_tried_again() {
    let mut bench = Bench::start().await;
    let asked = "Session-Expires: 1800\r\nAllow: UPDATE\r\n";
    let (_answered, _, _) = bench.call_with("c1", asked).await;
    bench.clock.advance(MINUTES_15);
    let update = bench.hear_of("UPDATE ").await;
    bench.reply(&update, "491 Request Pending", "", "").await;
    until_settled(&bench).await;
    bench.clock.advance(Duration::from_secs(3));
    let update = bench.hear_of("UPDATE ").await;
    bench.reply(&update, "422 Session Interval Too Small", "Min-SE: 3600\r\n", "").await;
    until_settled(&bench).await;
    bench.clock.advance(Duration::from_secs(3));
    let update = bench.hear_of("UPDATE ").await;
    assert_eq!(header(&update, "Session-Expires"), Some("3600;refresher=uac"));
}

/// Lets the line take what was sent before: the runtime has one thread, and each question goes all the way round.
async fn until_settled(bench: &Bench) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    for _ in 0..3 {
        let call = format!("settle{}", NEXT.fetch_add(1, Ordering::Relaxed));
        bench.ask(bench.request("OPTIONS", &call, 1, "", "", "")).await;
    }
}
