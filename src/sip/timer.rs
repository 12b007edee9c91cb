//! The session timer of one dialog (RFC 4028), seen from the side that was called. Pure: the dialog feeds it and the time.
//!
//! Without one a caller whose BYE was lost would be noticed by silence alone, and a held one never.

use std::time::{Duration, Instant};

/// Shortest session we agree to, seconds; the RFC allows none shorter.
pub(super) const MIN_SE: u32 = 90;
/// A refresh that could not be taken at its moment (491, 500) is tried again after this.
const AGAIN: Duration = Duration::from_secs(3);

/// Who sees to it that the session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refresher {
    They,
    We,
}

/// What a request of theirs says about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// Seconds.
    interval: Option<u32>,
    refresher: Option<Refresher>,
    /// They have session timers themselves; else a proxy asked.
    supported: bool,
    /// Their own shortest, seconds.
    min: u32,
}

/// What is agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// From one refresh to the end of the session.
    pub(super) interval: Duration,
    pub(super) refresher: Refresher,
}

/// Why a request is refused for its session timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadWish {
    /// 422 with [`MIN_SE`].
    TooShort,
    /// 400.
    Unreadable,
}

/// What came of a refresh of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refreshed {
    /// 2xx; with what they say about the session, if they say anything.
    Done(Option<Terms>),
    /// They want longer sessions, seconds.
    Longer(u32),
    /// Not now.
    Later,
    /// They will not have it; the session lasts to its end.
    Refused,
    /// They know nothing of the dialog, or nobody is there.
    Gone,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Refresh the session.
    Refresh(Duration),
    /// Say BYE.
    Expire,
}

/// The timer itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timer {
    running: Option<Running>,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    terms: Terms,
    since: Instant,
    /// When we refresh next; nothing while an answer is waited for, or none will come.
    refresh: Option<Instant>,
}

impl Wish {
    /// * `expires` — value of Session-Expires.
    /// * `min` — value of Min-SE.
    /// * `supported` — whether Supported names `timer`.
    pub(super) fn read(expires: Option<&str>, min: Option<&str>, supported: bool) -> Result<Self, BadWish> {
        let min = min.map(|value| seconds(value).ok_or(BadWish::Unreadable)).transpose()?.unwrap_or(MIN_SE);
        let Some(expires) = expires else { return Ok(Self { supported, min, ..Self::default() }) };
        let interval = Some(seconds(expires).ok_or(BadWish::Unreadable)?);
        let refresher = match refresher(expires).as_deref() {
            Some("uac") => Some(Refresher::They),
            Some("uas") => Some(Refresher::We),
            _ => None,
        };
        Ok(Self { interval, refresher, supported, min })
    }

    /// What we agree to; nothing if they ask for nothing. Who can refresh does, and they rather than we.
    pub(super) fn terms(self) -> Result<Option<Terms>, BadWish> {
        let Some(interval) = self.interval else { return Ok(None) };
        if interval < MIN_SE && self.supported {
            return Err(BadWish::TooShort);
        }
        let refresher = if self.supported { self.refresher.unwrap_or(Refresher::They) } else { Refresher::We };
        let interval = Duration::from_secs(interval.max(self.min).max(MIN_SE).into());
        Ok(Some(Terms { interval, refresher }))
    }
}

impl Terms {
    /// Session-Expires of our answer to them.
    pub(super) fn answer(self) -> String {
        let refresher = if self.refresher == Refresher::They { "uac" } else { "uas" };
        format!("{};refresher={refresher}", self.interval.as_secs())
    }

    /// Reads Session-Expires of their answer to us.
    pub(super) fn of_answer(value: &str) -> Option<Self> {
        let interval = Duration::from_secs(seconds(value)?.max(MIN_SE).into());
        let they = refresher(value).as_deref() == Some("uas");
        Some(Self { interval, refresher: if they { Refresher::They } else { Refresher::We } })
    }

    /// How long before its end a session is given up, so that the BYE is out in time. RFC 4028 §10.
    fn spare(self) -> Duration {
        (self.interval / 3).min(Duration::from_secs(32))
    }
}

impl Timer {
    /// Begins anew with each refresh of theirs; without terms there is no timer any more.
    pub(super) fn handle_agreed(&mut self, terms: Option<Terms>, now: Instant) {
        self.running = terms.map(|terms| {
            let refresh = (terms.refresher == Refresher::We).then(|| now + terms.interval / 2);
            Running { terms, since: now, refresh }
        });
    }

    /// Takes what came of the refresh that [`Due::Refresh`] asked for.
    pub(super) fn handle_refreshed(&mut self, outcome: Refreshed, now: Instant) {
        let Some(running) = &mut self.running else { return };
        match outcome {
            Refreshed::Done(terms) => {
                let terms = terms.unwrap_or(running.terms);
                self.handle_agreed(Some(terms), now);
            }
            Refreshed::Longer(least) => {
                running.terms.interval = running.terms.interval.max(Duration::from_secs(least.into()));
                running.refresh = Some(now + AGAIN);
            }
            Refreshed::Later => running.refresh = Some(now + AGAIN),
            Refreshed::Refused => {}
            Refreshed::Gone => running.since = now.checked_sub(running.terms.interval).unwrap_or(running.since),
        }
    }

    /// Takes the time when [`Timer::poll_timeout`] was due. [`Due::Expire`] comes once.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Due> {
        let running = self.running.as_mut()?;
        if running.end() <= now {
            self.running = None;
            return Some(Due::Expire);
        }
        running.refresh.take_if(|due| *due <= now).map(|_| Due::Refresh(running.terms.interval))
    }

    /// When to call [`Timer::handle_timeout`] next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let running = self.running.as_ref()?;
        Some(running.refresh.map_or(running.end(), |refresh| refresh.min(running.end())))
    }
}

impl Running {
    fn end(&self) -> Instant {
        self.since + self.terms.interval.saturating_sub(self.terms.spare())
    }
}

/// The number before the parameters.
fn seconds(value: &str) -> Option<u32> {
    let number = value.split(';').next()?.trim();
    number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())?
}

fn refresher(value: &str) -> Option<String> {
    let mut parameters = value.split(';').skip(1).filter_map(|it| it.split_once('='));
    let found = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("refresher"));
    found.map(|(_, value)| value.trim().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Clock;

    const HOUR: Duration = Duration::from_hours(1);

    fn wish(expires: &str, supported: bool) -> Result<Option<Terms>, BadWish> {
        Wish::read(Some(expires), None, supported)?.terms()
    }

    fn running(refresher: Refresher) -> (Timer, Instant) {
        let (mut timer, now) = (Timer::default(), Clock::system().instant());
        timer.handle_agreed(Some(Terms { interval: HOUR, refresher }), now);
        (timer, now)
    }

    #[test]
    fn they_refresh_if_they_can_and_we_if_they_cannot_or_ask_us_to() {
        let agreed = |expires, supported| wish(expires, supported).map(|it| it.map(Terms::answer));
        assert_eq!(agreed("1800", true), Ok(Some("1800;refresher=uac".into())));
        assert_eq!(agreed("1800 ; Refresher = UAC", true), Ok(Some("1800;refresher=uac".into())));
        assert_eq!(agreed("1800;refresher=uas", true), Ok(Some("1800;refresher=uas".into())));
        assert_eq!(agreed("1800;refresher=uac", false), Ok(Some("1800;refresher=uas".into())), "a proxy asked");
        assert_eq!(Wish::read(None, None, true).and_then(Wish::terms), Ok(None));
    }

    #[test]
    fn a_session_that_is_too_short_is_refused_to_those_who_can_ask_again() {
        assert_eq!(wish("89", true), Err(BadWish::TooShort));
        assert_eq!(wish("20", false).map(|it| it.map(|it| it.interval.as_secs())), Ok(Some(90)));
        let least = Wish::read(Some("200"), Some("300"), false).and_then(Wish::terms);
        assert_eq!(least.map(|it| it.map(|it| it.interval.as_secs())), Ok(Some(300)));
        for nonsense in ["", "x", "-1", "90 90", "4294967296"] {
            assert_eq!(Wish::read(Some(nonsense), None, true), Err(BadWish::Unreadable), "{nonsense}");
        }
    }

    #[test]
    fn we_refresh_at_half_time_and_begin_anew_when_it_is_taken() {
        let (mut timer, now) = running(Refresher::We);
        let half = now + HOUR / 2;
        assert_eq!(timer.poll_timeout(), Some(half));
        assert_eq!(timer.handle_timeout(half), Some(Due::Refresh(HOUR)));
        assert_eq!(timer.handle_timeout(half), None, "once");
        timer.handle_refreshed(Refreshed::Later, half);
        assert_eq!(timer.poll_timeout(), Some(half + AGAIN));
        timer.handle_refreshed(Refreshed::Done(None), half);
        assert_eq!(timer.poll_timeout(), Some(half + HOUR / 2));
        timer.handle_refreshed(Refreshed::Done(Terms::of_answer("600;refresher=uas")), half);
        assert_eq!(timer.poll_timeout(), Some(half + Duration::from_secs(600 - 32)), "now it is their turn");
        timer.handle_refreshed(Refreshed::Longer(7200), half);
        assert_eq!(timer.handle_timeout(half + AGAIN), Some(Due::Refresh(2 * HOUR)));
    }

    #[test]
    fn a_session_nobody_refreshes_ends_before_its_time_is_over() {
        let (mut timer, now) = running(Refresher::They);
        let due = now + Duration::from_secs(3600 - 32);
        assert_eq!(timer.poll_timeout(), Some(due));
        assert_eq!(timer.handle_timeout(due), Some(Due::Expire));
        assert_eq!((timer.handle_timeout(due), timer.poll_timeout()), (None, None));

        let (mut timer, now) = running(Refresher::We);
        timer.handle_timeout(now + HOUR / 2);
        timer.handle_refreshed(Refreshed::Refused, now + HOUR / 2);
        assert_eq!(timer.poll_timeout(), Some(now + Duration::from_secs(3600 - 32)));

        let (mut timer, now) = running(Refresher::They);
        timer.handle_agreed(None, now);
        assert_eq!(timer.poll_timeout(), None, "they want no timer any more");
    }

    #[test]
    fn a_session_whose_other_side_is_gone_ends_at_once() {
        let (mut timer, now) = running(Refresher::We);
        let half = now + HOUR / 2;
        timer.handle_timeout(half);
        timer.handle_refreshed(Refreshed::Gone, half);
        assert_eq!(timer.handle_timeout(half), Some(Due::Expire));
    }

    proptest! {
        #[test]
        fn no_header_makes_it_fall_over(expires in "[0-9;a-z= ]{0,30}", min in "[0-9 ;]{0,12}", supported: bool) {
            if let Ok(Some(terms)) = Wish::read(Some(&expires), Some(&min), supported).and_then(Wish::terms) {
                prop_assert!(terms.interval >= Duration::from_secs(MIN_SE.into()));
                let (mut timer, now) = (Timer::default(), Clock::system().instant());
                timer.handle_agreed(Some(terms), now);
                prop_assert!(timer.poll_timeout().is_some_and(|due| due > now));
            }
            let _ = Terms::of_answer(&expires);
        }
    }
}
