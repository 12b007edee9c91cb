//! The pair of ports that the calls of carriers share. Whose a datagram is, is told by where it comes from, which their
//! descriptions say and is true: there is no NAT between a carrier's media gateway and us.
//!
//! One socket for all means that the kernel is asked once for 64 datagrams, in and out, instead of once for each.

use std::{collections::HashMap, io, net::SocketAddr};

use super::{
    leg::{Kind, Transmit},
    ports::Pair,
    socket::{Batch, Datagram, Outbox, Poller},
};

/// The ports, and whose datagrams come there.
pub struct Shared {
    pair: Pair,
    /// By the source of their RTP, and of their RTCP.
    owners: [HashMap<SocketAddr, usize>; 2],
    batch: Batch<64>,
    outbox: Outbox,
}

impl Shared {
    /// Batches in a tick: a flood does not hold up the other calls.
    const BATCHES: usize = 16;

    /// * `tokens` — what `poller` says when there is something on the RTP port, and on the RTCP port.
    pub fn new(pair: Pair, poller: &Poller, tokens: [u64; 2]) -> io::Result<Self> {
        poller.add(&pair.rtp, tokens[0])?;
        poller.add(&pair.rtcp, tokens[1])?;
        Ok(Self { pair, owners: Default::default(), batch: Batch::new(), outbox: Outbox::new() })
    }

    /// What comes from there is the call's from now on; who was first keeps it.
    ///
    /// * returns — whether it is.
    pub fn claim(&mut self, rtp: SocketAddr, rtcp: Option<SocketAddr>, slot: usize) -> bool {
        let mut claim = |side: usize, source| *self.owners[side].entry(source).or_insert(slot) == slot;
        claim(1, rtcp.unwrap_or(rtp));
        claim(0, rtp)
    }

    /// Nothing is the call's any more.
    pub fn release(&mut self, slot: usize) {
        for owners in &mut self.owners {
            owners.retain(|_, owner| *owner != slot);
        }
    }

    /// Takes what waits.
    ///
    /// * `each` — gets the slot of the call that it is for.
    /// * returns — whether more may wait.
    pub fn receive(&mut self, rtcp: bool, mut each: impl FnMut(usize, Datagram<'_>)) -> bool {
        let socket = if rtcp { &self.pair.rtcp } else { &self.pair.rtp };
        let owners = &self.owners[usize::from(rtcp)];
        let (mut strangers, mut more) = (0, true);
        for _ in 0..Self::BATCHES {
            let count = self.batch.receive(socket, |datagram| match owners.get(&datagram.from) {
                Some(slot) => each(*slot, datagram),
                None => strangers += 1,
            });
            more = Batch::<64>::is_full(count);
            if !more {
                break;
            }
        }
        if strangers > 0 {
            metrics::counter!("hotline_media_strangers_total").increment(strangers);
        }
        more
    }

    /// Lets a call's datagram wait for those of others; a report leaves at once.
    ///
    /// * `failed` — gets the slots of calls whose sound the kernel did not take.
    pub fn put(&mut self, out: &Transmit<'_>, slot: usize, failed: &mut Vec<usize>) {
        match out.what {
            Kind::Sound => {
                self.outbox.put(out.to, out.bytes, slot);
                if self.outbox.is_full() {
                    self.send(failed);
                }
            }
            // A report that is lost is followed by another.
            Kind::Report => drop(self.pair.rtp.send_to(out.bytes, out.to)),
            Kind::ReportFromItsPort => drop(self.pair.rtcp.send_to(out.bytes, out.to)),
        }
    }

    /// Sends what waits.
    pub fn send(&mut self, failed: &mut Vec<usize>) {
        self.outbox.send(&self.pair.rtp, |slot| failed.push(slot));
    }
}
