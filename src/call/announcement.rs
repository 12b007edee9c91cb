//! What a caller hears from the line itself.

use crate::acd::GivenUp;

/// What the line says, plays or lets ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Announcement {
    /// Who this is, and that the call is recorded.
    Welcome,
    /// The longest allowed time is over.
    Goodbye,
    /// All operators are busy, one will come.
    Wait,
    /// How many are before this caller: 1 to 10, or more.
    Ahead(u8),
    /// The operator will be back at once.
    Hold,
    /// Played over and over to who waits.
    Music,
    /// The tone of a telephone that rings, over and over.
    Ringback,
    /// Nobody will take the call today.
    AllBusy,
    /// Outside the desk's hours.
    AfterHours,
}

/// From nobody before the caller, who waits all the same, to more than ten.
const AHEAD: [&str; 12] = [
    "queue_wait",
    "queue_position_1",
    "queue_position_2",
    "queue_position_3",
    "queue_position_4",
    "queue_position_5",
    "queue_position_6",
    "queue_position_7",
    "queue_position_8",
    "queue_position_9",
    "queue_position_10",
    "queue_position_many",
];

impl Announcement {
    /// Every one.
    pub fn all() -> impl Iterator<Item = Self> {
        use Announcement as A;
        let others = [A::Welcome, A::Goodbye, A::Wait, A::Hold, A::Music, A::Ringback, A::AllBusy, A::AfterHours];
        others.into_iter().chain((1..=11).map(A::Ahead))
    }

    /// How many are before a caller.
    pub fn ahead(callers: usize) -> Self {
        match u8::try_from(callers) {
            Ok(0) => Self::Wait,
            Ok(few) => Self::Ahead(few.min(11)),
            Err(_) => Self::Ahead(11),
        }
    }

    /// Why nobody takes a call.
    pub const fn given_up(why: GivenUp) -> Self {
        match why {
            GivenUp::Closed => Self::AfterHours,
            GivenUp::Full | GivenUp::TooLong => Self::AllBusy,
        }
    }

    /// Whether it goes on until something else happens.
    pub const fn is_endless(self) -> bool {
        matches!(self, Self::Music | Self::Ringback)
    }

    /// Name of its file in the folder of prompts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Welcome => "welcome",
            Self::Goodbye => "goodbye",
            Self::Wait => AHEAD[0],
            Self::Ahead(few) => AHEAD[usize::from(few).min(AHEAD.len() - 1)],
            Self::Hold => "hold",
            Self::Music => "music",
            Self::Ringback => "ringback",
            Self::AllBusy => "all_busy",
            Self::AfterHours => "after_hours",
        }
    }

    /// Reads what [`Announcement::name`] wrote.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|it| it.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_announcement_has_a_name_of_its_own() {
        for announcement in Announcement::all() {
            assert_eq!(Announcement::from_name(announcement.name()), Some(announcement));
        }
    }

    #[test]
    fn who_is_next_is_not_told_a_number_and_beyond_ten_nobody_counts() {
        let names = [0, 1, 10, 11, 300].map(|callers| Announcement::ahead(callers).name());
        let many = "queue_position_many";
        assert_eq!(names, ["queue_wait", "queue_position_1", "queue_position_10", many, many]);
    }
}
