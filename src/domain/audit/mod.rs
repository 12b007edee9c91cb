//! The audit: who read, revealed, exported, logged in or changed rights, as a chain that cannot be mended unseen.
//!
//! Every entry holds the hash of the one before it. Its own hash is SHA-256 over [`Record::encoding`]: the fields in a
//! fixed order, each written as a netstring (its length in bytes, `:`, its bytes, `,`), so that no two entries share an
//! encoding and any other program can compute it.

mod chain;
mod head;

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

pub use chain::{Break, Chain, heads};
pub use head::{Head, SignedHead};

use super::time::UnixMs;

/// Name of the encoding; a changed encoding gets another.
const ENCODING: &str = "hotline-audit-1";

/// What an empty chain ends with: 64 zeros.
pub const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident $word:literal)+) => {
        /// What was done. The words are stored and never change their meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Action {
            $($(#[$doc])* $name,)+
        }

        impl Action {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// As stored and shown.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }
    };
}

actions! {
    /// The sound of a call was fetched, whole or in part.
    RecordingRead "recording_read"
    TranscriptRead "transcript_read"
    /// Something masked was shown in full, for a purpose.
    Reveal "reveal"
    Export "export"
    AuditRead "audit_read"
    LogIn "log_in"
    LogInFailed "log_in_failed"
    LogOut "log_out"
    /// Too many failures: no log-in for a while.
    Lock "lock"
    Unlock "unlock"
    PasswordChanged "password_changed"
    PasswordReset "password_reset"
    UserAdded "user_added"
    UserChanged "user_changed"
    UserDisabled "user_disabled"
    UserEnabled "user_enabled"
    RightsChanged "rights_changed"
    /// A seat was given another SIP secret.
    SipSecretMade "sip_secret_made"
    TokenIssued "token_issued"
    TokenRevoked "token_revoked"
    SessionsEnded "sessions_ended"
    TotpEnrolled "totp_enrolled"
    TotpRemoved "totp_removed"
    TotpRecoveryAsked "totp_recovery_asked"
    TotpRecoveryApproved "totp_recovery_approved"
    TotpRecoveryRefused "totp_recovery_refused"
    RecordingDeleted "recording_deleted"
    /// Somebody who leads a shift changed the state of another's seat.
    SeatStateSet "seat_state_set"
    RotaSet "rota_set"
    OfficialSignedIn "official_signed_in"
    OfficialSignedOut "official_signed_out"
    /// Somebody who leads a shift acted in a call.
    CallControlled "call_controlled"
    HoldSet "hold_set"
    HoldCleared "hold_cleared"
    KeyRotated "key_rotated"
    SettingsReloaded "settings_reloaded"
    BackupMade "backup_made"
    Restored "restored"
    CalendarImported "calendar_imported"
    ViewsRebuilt "views_rebuilt"
}

impl FromStr for Action {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.iter().copied().find(|action| action.as_str() == word).ok_or(())
    }
}

/// One entry as it is stored. Texts are kept as they stand there: a word of a newer program is hashed like any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// 1, 2, 3 … without a gap.
    pub seq: u64,
    pub at: UnixMs,
    /// Id of the person; absent for the program itself and for strangers.
    pub user: Option<String>,
    /// Name of the person at that time, or of the part of the program.
    pub name: String,
    /// [`Action::as_str`].
    pub action: String,
    /// `call:ID`, `case:ID`, `user:ID`, `token:ID`, `key:ID` …
    pub subject: String,
    /// A JSON object, without personal data.
    pub detail: String,
    /// Hash of the entry before, [`BEGINNING`] for the first.
    pub prev: String,
}

impl Record {
    /// The bytes that are hashed.
    pub fn encoding(&self) -> Vec<u8> {
        let (seq, at) = (self.seq.to_string(), self.at.0.to_string());
        let user = self.user.as_deref().unwrap_or_default();
        netstrings(&[ENCODING, &seq, &at, user, &self.name, &self.action, &self.subject, &self.detail, &self.prev])
    }

    /// SHA-256 of the encoding, in hex.
    pub fn hash(&self) -> String {
        hex::encode(Sha256::digest(self.encoding()))
    }
}

/// Source: D. J. Bernstein, "Netstrings", 1997.
fn netstrings(fields: &[&str]) -> Vec<u8> {
    fields.iter().flat_map(|field| format!("{}:{field},", field.len()).into_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            seq: 1,
            at: UnixMs(1_795_395_600_000),
            user: None,
            name: "李".into(),
            action: "log_in".into(),
            subject: "user:1".into(),
            detail: "{}".into(),
            prev: BEGINNING.into(),
        }
    }

    #[test]
    fn the_encoding_is_the_documented_one() {
        let text = String::from_utf8(record().encoding()).expect("text");
        assert_eq!(
            text,
            format!("15:hotline-audit-1,1:1,13:1795395600000,0:,3:李,6:log_in,6:user:1,2:{{}},64:{BEGINNING},")
        );
        assert_eq!(record().hash(), hex::encode(Sha256::digest(text)));
    }

    #[test]
    fn no_letter_can_move_from_one_field_to_the_next() {
        let moved = Record { action: "log_inu".into(), subject: "ser:1".into(), ..record() };
        assert_ne!(moved.hash(), record().hash());
        let quoted = Record { name: "a,1:b".into(), ..record() };
        assert_ne!(quoted.hash(), Record { name: "a".into(), action: "b".into(), ..record() }.hash());
    }

    #[test]
    fn words_are_those_of_json_and_read_back() {
        for action in Action::ALL {
            assert_eq!(serde_json::to_value(action).expect("a word"), action.as_str());
            assert_eq!(action.as_str().parse(), Ok(*action));
        }
        assert_eq!("LOG_IN".parse::<Action>(), Err(()));
    }
}
