//! Recordings that the store could not take when their call ended: they wait in the spool and are tried again.

use std::sync::{Arc, atomic::Ordering};

use super::{Archive, RecordingError, Sealed, archive::Growing};
use crate::domain::ids::CallId;

/// What came of another attempt.
#[derive(Debug, Default)]
pub struct Late {
    /// In the store now.
    pub sealed: Vec<Sealed>,
    /// Why the others still wait; nothing if none does.
    pub trouble: Option<RecordingError>,
}

impl Archive {
    /// Whether any recording waits to be sealed although its call is over.
    pub fn is_late(&self) -> bool {
        self.0.left_behind.load(Ordering::Relaxed) || !self.ended().is_empty()
    }

    /// Tries again to seal what waits, and stops at the first that the store does not take.
    pub async fn seal_late(&self) -> Late {
        let mut late = Late::default();
        if self.0.left_behind.load(Ordering::Relaxed) {
            match self.recover().await {
                Ok(sealed) => late.sealed = sealed,
                Err(error) => late.trouble = Some(error),
            }
        }
        for (call, growing) in self.ended() {
            match self.again(call, &growing).await {
                Ok(sealed) => late.sealed.extend(sealed),
                Err(error) => {
                    late.trouble = Some(error);
                    break;
                }
            }
        }
        late
    }

    async fn again(&self, call: CallId, growing: &Growing) -> Result<Option<Sealed>, RecordingError> {
        // Whoever has the turn is at it.
        let Ok(_turn) = growing.turn.try_lock() else { return Ok(None) };
        let written = growing.done.borrow().clone();
        if written.is_none() || !self.growing().contains_key(&call) {
            return Ok(None);
        }
        let sealed = self.store_spool(call, growing.closing.get().copied(), written).await?;
        self.growing().remove(&call);
        Ok(Some(sealed))
    }

    /// Calls that are over and not sealed, oldest first.
    fn ended(&self) -> Vec<(CallId, Arc<Growing>)> {
        let over = |growing: &Growing| growing.closing.get().is_some() && growing.turn.try_lock().is_ok();
        let growing = self.growing();
        let mut ended: Vec<_> =
            growing.iter().filter(|(_, it)| over(it)).map(|(call, it)| (*call, Arc::clone(it))).collect();
        ended.sort_by_key(|(call, _)| *call);
        ended
    }
}
