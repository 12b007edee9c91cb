//! Walks the chain beside the heads that were signed, and names the first thing that does not fit.

use super::{BEGINNING, Head, Record, SignedHead};

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    #[error("entry {missing} is missing: entry {found} follows the one before it")]
    Missing { missing: u64, found: u64 },
    #[error("entry {0} was changed: its hash is not the hash of what it holds")]
    Changed(u64),
    #[error("entry {0} does not follow the one before it: it holds another hash of it")]
    Unchained(u64),
    #[error("entry {seq} is not the one that the head of {day} signed: the chain was computed anew up to there")]
    Rewritten { seq: u64, day: String },
    #[error("entry {missing} is missing: the chain ends before it, the head of {day} goes up to entry {seq}")]
    Cut { missing: u64, seq: u64, day: String },
    #[error("entry {missing} is missing: the chain ends before it, the database itself remembers entry {seq}")]
    Tail { missing: u64, seq: u64 },
    #[error("entry {0} is not the one that the database itself remembers as the last")]
    End(u64),
    #[error("the head of {0} is forged: its signature is not by this line's key")]
    Forged(String),
    #[error("the head of {day} does not follow the one before it: it should be number {expected}")]
    HeadUnchained { day: String, expected: u64 },
    #[error("the head of {0} was signed and stored, and is not in the store any more, or is another")]
    HeadGone(String),
    #[error("`{0}` is no signed head")]
    Unreadable(String),
}

/// The heads of a line, each signed and each following the one before.
///
/// * `signed` — in any order.
/// * `is_genuine` — whether the signature is by the line's key.
pub fn heads(mut signed: Vec<SignedHead>, is_genuine: impl Fn(&SignedHead) -> bool) -> Result<Vec<Head>, Break> {
    signed.sort_by_key(|signed| signed.head.number);
    let (mut number, mut prev, mut seq) = (0, BEGINNING.to_owned(), 0);
    let mut heads = Vec::with_capacity(signed.len());
    for signed in signed {
        if !is_genuine(&signed) {
            return Err(Break::Forged(signed.head.day));
        }
        let head = signed.head;
        if head.number != number + 1 || head.prev != prev || head.seq < seq || head.count != head.seq - seq {
            return Err(Break::HeadUnchained { day: head.day, expected: number + 1 });
        }
        (number, prev, seq) = (head.number, head.hash_of(), head.seq);
        heads.push(head);
    }
    Ok(heads)
}

/// The walk. Feed it every entry in order, then ask for the end.
#[derive(Debug)]
pub struct Chain {
    /// By entry, those still to come last first.
    heads: Vec<Head>,
    seq: u64,
    hash: String,
}

impl Chain {
    /// A walk from the beginning.
    pub fn new(mut heads: Vec<Head>) -> Self {
        heads.sort_by_key(|head| std::cmp::Reverse(head.seq));
        Self { heads, seq: 0, hash: BEGINNING.to_owned() }
    }

    /// The next entry, with the hash that is stored for it.
    pub fn take(&mut self, record: &Record, stored: &str) -> Result<(), Break> {
        let seq = self.seq + 1;
        if record.seq != seq {
            return Err(Break::Missing { missing: seq, found: record.seq });
        }
        let hash = record.hash();
        if hash != stored {
            return Err(Break::Changed(seq));
        }
        if record.prev != self.hash {
            return Err(Break::Unchained(seq));
        }
        while let Some(head) = self.heads.pop_if(|head| head.seq <= seq) {
            if head.seq == seq && head.hash != hash {
                return Err(Break::Rewritten { seq, day: head.day });
            }
        }
        (self.seq, self.hash) = (seq, hash);
        Ok(())
    }

    /// There are no more entries.
    ///
    /// * `seq`, `hash` — what the database itself remembers as the end.
    /// * returns — how many entries there are.
    pub fn end(mut self, seq: u64, hash: &str) -> Result<u64, Break> {
        if let Some(head) = self.heads.pop() {
            return Err(Break::Cut { missing: self.seq + 1, seq: head.seq, day: head.day });
        }
        if seq > self.seq {
            return Err(Break::Tail { missing: self.seq + 1, seq });
        }
        if (seq, hash) != (self.seq, self.hash.as_str()) {
            return Err(Break::End(self.seq));
        }
        Ok(self.seq)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::time::UnixMs;

    /// Entries 1 to `count` and their hashes.
    fn chain(count: u64) -> Vec<(Record, String)> {
        let mut entries: Vec<(Record, String)> = Vec::new();
        for seq in 1..=count {
            let prev = entries.last().map_or(BEGINNING.to_owned(), |(_, hash)| hash.clone());
            let record = Record {
                seq,
                at: UnixMs(0),
                user: None,
                name: "test".into(),
                action: "export".into(),
                subject: format!("call:{seq}"),
                detail: "{}".into(),
                prev,
            };
            let hash = record.hash();
            entries.push((record, hash));
        }
        entries
    }

    /// A head a day at each of `seqs`.
    fn signed(entries: &[(Record, String)], seqs: &[usize]) -> Vec<SignedHead> {
        let (mut all, mut prev, mut before): (Vec<SignedHead>, _, _) = (Vec::new(), BEGINNING.to_owned(), 0);
        for (number, seq) in (1..).zip(seqs) {
            let (record, hash) = &entries[seq - 1];
            let head = Head {
                number,
                day: format!("2026-11-{number:02}"),
                at: UnixMs(0),
                seq: record.seq,
                count: record.seq - before,
                hash: hash.clone(),
                prev,
            };
            (prev, before) = (head.hash_of(), head.seq);
            all.push(SignedHead { head, key: Uuid::nil(), signature: "genuine".into() });
        }
        all
    }

    fn walk(entries: &[(Record, String)], signed: Vec<SignedHead>, end: &(Record, String)) -> Result<u64, Break> {
        let mut chain = Chain::new(heads(signed, |signed| signed.signature == "genuine")?);
        for (record, hash) in entries {
            chain.take(record, hash)?;
        }
        chain.end(end.0.seq, &end.1)
    }

    #[test]
    fn a_whole_chain_passes_with_its_heads() {
        let entries = chain(5);
        assert_eq!(walk(&entries, signed(&entries, &[2, 4, 4]), &entries[4]), Ok(5));
        assert_eq!(Chain::new(Vec::new()).end(0, BEGINNING), Ok(0));
    }

    #[test]
    fn each_way_to_falsify_it_is_named_with_its_place() {
        let entries = chain(5);
        let heads = signed(&entries, &[2, 4]);
        let last = &entries[4];

        let mut changed = entries.clone();
        changed[1].0.subject = "call:9".into();
        assert_eq!(walk(&changed, heads.clone(), last), Err(Break::Changed(2)));
        changed[1].1 = changed[1].0.hash();
        assert_eq!(
            walk(&changed, heads.clone(), last),
            Err(Break::Rewritten { seq: 2, day: "2026-11-01".into() }),
            "its own hash was mended too"
        );
        let mut behind_the_head = entries.clone();
        behind_the_head[2].0.name = "x".into();
        behind_the_head[2].1 = behind_the_head[2].0.hash();
        assert_eq!(walk(&behind_the_head, heads.clone(), last), Err(Break::Unchained(4)));

        let mut removed = entries.clone();
        removed.remove(2);
        assert_eq!(walk(&removed, heads.clone(), last), Err(Break::Missing { missing: 3, found: 4 }));
        let cut = Break::Cut { missing: 4, seq: 4, day: "2026-11-02".into() };
        assert_eq!(walk(&entries[..3], heads.clone(), &entries[2]), Err(cut));
        assert_eq!(walk(&entries[..4], heads.clone(), last), Err(Break::Tail { missing: 5, seq: 5 }));
        assert_eq!(walk(&entries, heads.clone(), &entries[3]), Err(Break::End(5)));

        let mut forged = heads.clone();
        forged[1].signature = "mine".into();
        assert_eq!(walk(&entries, forged, last), Err(Break::Forged("2026-11-02".into())));
        let unchained = Break::HeadUnchained { day: "2026-11-02".into(), expected: 1 };
        assert_eq!(walk(&entries, heads[1..].to_vec(), last), Err(unchained), "a head was taken away");
    }
}
