//! Where the registered telephones are (RFC 3261 §10.3, steps 6 to 8).

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::contact;
use crate::domain::time::UnixMs;

/// One REGISTER of somebody who may register this address of record.
#[derive(Clone, Debug)]
pub struct Register<F> {
    pub call_id: String,
    pub cseq: u32,
    /// In the order of the request. None at all, and no wildcard: it only asks.
    pub contacts: Vec<Contact>,
    /// `Contact: *`.
    pub wildcard: bool,
    /// The header `Expires`, in seconds; holds for contacts that do not say their own.
    pub expires: Option<u32>,
    /// What it came over, and the way to ring.
    pub flow: F,
}

#[derive(Clone, Debug)]
pub struct Contact {
    pub uri: String,
    /// Its parameter `expires`, in seconds.
    pub expires: Option<u32>,
    /// Its parameter `q` in thousandths, 0 to 1000.
    pub q: Option<u16>,
}

/// One contact where somebody can be rung.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding<F> {
    /// As the telephone wrote it last.
    pub uri: String,
    pub q: Option<u16>,
    pub flow: F,
    pub call_id: String,
    pub cseq: u32,
    pub expires_at: UnixMs,
}

/// Why nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// 423 with `Min-Expires`.
    #[error("contacts are kept for {0} seconds at least")]
    TooBrief(u32),
    /// A later request of the same telephone was here before: 500, as RFC 3261 §10.3 has it.
    #[error("a later request has been here before")]
    OutOfOrder,
    /// 503.
    #[error("no room for more contacts")]
    TooMany,
    /// 400.
    #[error("the contacts make no sense")]
    Malformed,
}

/// The contacts of all addresses of record.
///
/// Pure: whoever owns it brings `now`, and calls [`Table::expire`] when [`Table::next_expiry`] is due; until then what
/// has run out is not shown, but still takes room.
///
/// * `F` — the flow a contact is reached over.
#[derive(Debug)]
pub struct Table<F> {
    /// Newest first; never empty.
    records: HashMap<Arc<str>, Vec<Binding<F>>>,
    /// When the first contact of each record runs out.
    due: BTreeSet<(UnixMs, Arc<str>)>,
}

impl<F> Default for Table<F> {
    fn default() -> Self {
        Self { records: HashMap::new(), due: BTreeSet::new() }
    }
}

impl<F: Clone> Table<F> {
    /// Shortest time a contact is kept, in seconds. Shorter ones would be refreshed without end.
    pub const MIN_EXPIRES: u32 = 60;
    /// Longest, in seconds; who wants more gets this.
    pub const MAX_EXPIRES: u32 = 3600;
    /// Where nobody says anything, in seconds.
    pub const USUAL_EXPIRES: u32 = 300;
    /// Contacts of one address of record. The one refreshed longest ago gives way to another: a telephone that starts again
    /// and again under a new contact must not keep itself out.
    pub const CONTACTS: usize = 10;
    /// Addresses of record with contacts.
    pub const RECORDS: usize = 10_000;
    /// Longest address of record, Call-ID and contact, in bytes.
    pub const TEXT: usize = 512;

    /// Takes a request as a whole or not at all.
    ///
    /// * `aor` — canonical: what differs here is somebody else.
    /// * returns — the contacts there are now, newest first.
    pub fn register(&mut self, aor: &str, request: &Register<F>, now: UnixMs) -> Result<Vec<Binding<F>>, Refused> {
        let wanted = Wanted::of(request)?;
        if aor.is_empty() || aor.len() > Self::TEXT || request.call_id.len() > Self::TEXT {
            return Err(Refused::Malformed);
        }
        let before = self.bindings(aor, now);
        let touched = |it: &Binding<F>| request.wildcard || wanted.keys.contains(&contact::key(&it.uri));
        let (old, mut after): (Vec<_>, Vec<_>) = before.into_iter().partition(touched);
        if old.iter().any(|it| it.call_id == request.call_id && it.cseq >= request.cseq) {
            return Err(Refused::OutOfOrder);
        }
        let kept = wanted.contacts.into_iter().filter(|(_, seconds)| *seconds > 0);
        let new = kept.map(|(contact, seconds)| Binding {
            uri: contact.uri.clone(),
            q: contact.q,
            flow: request.flow.clone(),
            call_id: request.call_id.clone(),
            cseq: request.cseq,
            expires_at: now + Duration::from_secs(seconds.into()),
        });
        after.splice(..0, new);
        after.truncate(Self::CONTACTS);
        let is_new = !after.is_empty() && !self.records.contains_key(aor);
        if is_new && self.records.len() >= Self::RECORDS {
            return Err(Refused::TooMany);
        }
        self.put(aor, after.clone());
        Ok(after)
    }

    /// The contacts of one address of record, newest first.
    pub fn bindings(&self, aor: &str, now: UnixMs) -> Vec<Binding<F>> {
        let all = self.records.get(aor).into_iter().flatten();
        all.filter(|it| it.expires_at > now).cloned().collect()
    }

    /// Connections are gone, and with them the contacts reached over them. Looks at every contact there is.
    ///
    /// * returns — the addresses of record that changed, in order.
    pub fn drop_flows(&mut self, gone: impl Fn(&F) -> bool) -> Vec<String> {
        let over = |all: &[Binding<F>]| all.iter().any(|it| gone(&it.flow));
        let changed = self.records.iter().filter(|(_, all)| over(all)).map(|(aor, _)| aor.to_string());
        let mut changed: Vec<String> = changed.collect();
        changed.sort_unstable();
        for aor in &changed {
            self.keep(aor, |it| !gone(&it.flow));
        }
        changed
    }

    /// Removes what has run out.
    ///
    /// * returns — the addresses of record that changed, the longest due first.
    pub fn expire(&mut self, now: UnixMs) -> Vec<String> {
        let mut changed = Vec::new();
        while let Some((due, aor)) = self.due.first()
            && *due <= now
        {
            let aor = aor.to_string();
            self.keep(&aor, |it| it.expires_at > now);
            changed.push(aor);
        }
        changed
    }

    /// Who has contacts, as far as [`Table::expire`] has looked.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.records.keys().map(AsRef::as_ref)
    }

    /// When [`Table::expire`] has something to do.
    pub fn next_expiry(&self) -> Option<UnixMs> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Contacts of all addresses of record, those included that have run out and were not removed yet.
    pub fn count(&self) -> usize {
        self.records.values().map(Vec::len).sum()
    }

    fn keep(&mut self, aor: &str, wanted: impl Fn(&Binding<F>) -> bool) {
        let all = self.records.get(aor).into_iter().flatten();
        let kept = all.filter(|it| wanted(it)).cloned().collect();
        self.put(aor, kept);
    }

    /// The only place where the table changes.
    fn put(&mut self, aor: &str, bindings: Vec<Binding<F>>) {
        let aor: Arc<str> = aor.into();
        if let Some(due) = self.records.remove(&aor).as_deref().and_then(first_due) {
            self.due.remove(&(due, Arc::clone(&aor)));
        }
        if let Some(due) = first_due(&bindings) {
            self.due.insert((due, Arc::clone(&aor)));
            self.records.insert(aor, bindings);
        }
    }
}

fn first_due<F>(bindings: &[Binding<F>]) -> Option<UnixMs> {
    bindings.iter().map(|it| it.expires_at).min()
}

/// What a request wants, as far as it can be told without the table.
struct Wanted<'a> {
    /// Each with the seconds it gets; nothing to remove it.
    contacts: Vec<(&'a Contact, u32)>,
    keys: HashSet<String>,
}

impl<'a> Wanted<'a> {
    fn of<F: Clone>(request: &'a Register<F>) -> Result<Self, Refused> {
        if request.wildcard && (!request.contacts.is_empty() || request.expires != Some(0)) {
            return Err(Refused::Malformed);
        }
        if request.contacts.len() > Table::<F>::CONTACTS {
            return Err(Refused::TooMany);
        }
        let sound = |it: &Contact| {
            it.uri.len() <= Table::<F>::TEXT && contact::is_sound(&it.uri) && it.q.is_none_or(|q| q <= 1000)
        };
        let keys: HashSet<String> = request.contacts.iter().map(|it| contact::key(&it.uri)).collect();
        // One contact said twice may be wanted and not wanted.
        if !request.contacts.iter().all(sound) || keys.len() < request.contacts.len() {
            return Err(Refused::Malformed);
        }
        let contacts = request.contacts.iter().map(|it| {
            let seconds = it.expires.or(request.expires).unwrap_or(Table::<F>::USUAL_EXPIRES);
            if (1..Table::<F>::MIN_EXPIRES).contains(&seconds) {
                return Err(Refused::TooBrief(Table::<F>::MIN_EXPIRES));
            }
            Ok((it, seconds.min(Table::<F>::MAX_EXPIRES)))
        });
        Ok(Self { contacts: contacts.collect::<Result<_, _>>()?, keys })
    }
}

#[cfg(test)]
#[path = "bindings_tests.rs"]
mod tests;
