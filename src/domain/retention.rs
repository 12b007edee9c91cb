//! How long recordings are kept: as long as somebody may have to hear them, and no longer.

use std::time::Duration;

use super::time::UnixMs;

/// Whether anybody asked for anything in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It made a case.
    Request,
    /// Nothing was said, or the case was void.
    Invalid,
}

/// Days from the end of a call until its recording may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    pub audio_days: u32,
    pub invalid_audio_days: u32,
}

/// What is known of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub ended: UnixMs,
    pub class: Class,
    /// Somebody needs it, for a dispute or a study.
    pub held: bool,
}

impl Rules {
    /// Whether a recording may go now.
    pub fn may_go(&self, kept: Kept, now: UnixMs) -> bool {
        !kept.held && kept.ended <= self.ended_until(kept.class, now)
    }

    /// Recordings of calls that ended later than this stay.
    pub fn ended_until(&self, class: Class, now: UnixMs) -> UnixMs {
        let days = match class {
            Class::Request => self.audio_days,
            Class::Invalid => self.invalid_audio_days,
        };
        let span = Duration::from_hours(24 * u64::from(days));
        UnixMs(now.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;
    const RULES: Rules = Rules { audio_days: 1095, invalid_audio_days: 183 };

    #[test]
    fn a_recording_goes_when_its_days_are_over_and_not_a_moment_before() {
        for (class, days) in [(Class::Request, 1095), (Class::Invalid, 183)] {
            let kept = Kept { ended: UnixMs(7), class, held: false };
            assert!(!RULES.may_go(kept, UnixMs(7)));
            assert!(!RULES.may_go(kept, UnixMs(6 + days * DAY)), "{class:?}");
            assert!(RULES.may_go(kept, UnixMs(7 + days * DAY)), "{class:?}");
        }
    }

    #[test]
    fn what_is_held_stays_for_ever() {
        let kept = Kept { ended: UnixMs(0), class: Class::Invalid, held: true };
        assert!(!RULES.may_go(kept, UnixMs(i64::MAX)));
    }

    #[test]
    fn no_setting_and_no_clock_makes_it_overflow() {
        let rules = Rules { audio_days: u32::MAX, invalid_audio_days: 0 };
        let kept = |class| Kept { ended: UnixMs(5), class, held: false };
        assert!(!rules.may_go(kept(Class::Request), UnixMs(i64::MIN)));
        assert!(rules.may_go(kept(Class::Invalid), UnixMs(5)));
    }
}
