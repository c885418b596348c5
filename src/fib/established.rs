// SPDX-License-Identifier: GPL-2.0

//! Flows of connections that the parent's tracking knows and its rules have let through, so that
//! `device` may take their packets before tracking sees them.
//!
//! What is known is known for the rest of the second. Then one packet of each flow passes the
//! parent's rules and tracking once more: a connection lives on there for as long as it has packets,
//! and what is changed there holds for it from then on. So nothing here refers to connections, which
//! come and go as tracking likes.

use crate::{
    ip::{Ip, TCP, UDP},
    net::{
        conntrack::Segment,
        context::BottomHalf,
        device::{Device, NetDevice},
        flow_table::Key,
        ipv4, ipv6,
        once::Once32,
        recent::{second, Recent},
        skb::SkBuff,
    },
    passthru::End,
};
use kernel::prelude::*;

use super::pair;

/// Flows of each version of IP that are known at a time, in half a MiB.
const FLOWS: usize = 8192;

/// Both addresses, and the rest.
type Ipv4Flow = Key<4, 2>;
/// Two words to an address, and the rest.
type Ipv6Flow = Key<7, 6>;

/// What is to be known of a flow besides its addresses: ports, input device and protocol; the child;
/// the second and the generation.
pub(crate) type Rest = [u64; 3];

#[inline(always)]
fn ipv4_flow(header: &ipv4::Header, [first, second, third]: Rest) -> Ipv4Flow {
    Key::counted([pair(header.daddr, header.saddr), first, second, third])
}

#[inline(always)]
fn ipv6_flow(header: &ipv6::Header, [first, second, third]: Rest) -> Ipv6Flow {
    let ([to, to_low], [from, from_low]) = (header.daddr, header.saddr);
    Key::counted([to, to_low, from, from_low, first, second, third])
}

/// The flows of one parent.
pub(crate) struct Established {
    /// Counts what happens to ports and children: another child may come to have the address in
    /// memory of one that is gone.
    generation: Once32,
    ipv4: Recent<4, 2>,
    ipv6: Recent<7, 6>,
}

/// What a packet's payload says of its flow.
#[derive(Clone, Copy)]
struct Ends {
    ports: u32,
    is_udp: bool,
    /// Whether the packet begins or ends a connection, or is of none.
    is_turn: bool,
}

impl Ends {
    /// None where it has no ports, or they do not lie in `payload`, what of the packet is behind its
    /// header.
    #[inline(always)]
    fn read(protocol: u8, payload: &[u8]) -> Option<Self> {
        /// Where TCP has its flags, and those that matter: FIN, SYN, RST, ACK.
        const FLAGS: usize = 13;
        const TURNS: u8 = 0x17;
        const ACK: u8 = 0x10;
        let ports = u32::from_ne_bytes(*payload.first_chunk()?);
        let (is_udp, is_turn) = match protocol {
            TCP => (false, payload.get(FLAGS)? & TURNS != ACK),
            UDP => (true, false),
            _ => return None,
        };
        Some(Self {
            ports,
            is_udp,
            is_turn,
        })
    }

    /// What tracking is to be told of the packet.
    fn segment(self, payload: &[u8]) -> Option<Segment> {
        if self.is_udp {
            return Some(Segment::Datagram);
        }
        let (sequence, rest) = payload.get(4..)?.split_first_chunk()?;
        Some(Segment::Tcp {
            sequence: u32::from_be_bytes(*sequence),
            acknowledged: u32::from_be_bytes(*rest.first_chunk()?),
        })
    }
}

impl Established {
    /// Nothing is known yet. May sleep. Fails with `ENOMEM`.
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            generation: Once32::new(0),
            ipv4: Recent::new(FLOWS)?,
            ipv6: Recent::new(FLOWS)?,
        })
    }

    /// Forgets all.
    pub(super) fn changed(&self) {
        self.generation.increment();
    }

    /// What is the same for both versions: of packets that come in by the device with number
    /// `ifindex` and go to `child`.
    #[inline(always)]
    fn rest(&self, ends: Ends, ifindex: i32, child: &Device<End>) -> Rest {
        let from = (ifindex as u32) << 1 | u32::from(ends.is_udp);
        let child: &NetDevice = child;
        [
            pair(ends.ports, from),
            core::ptr::from_ref(child).addr() as u64,
            pair(second(), self.generation.read()),
        ]
    }

    /// Whether a packet with this header, which came in by the device with number `ifindex`, is of a
    /// flow to the child that is known. If it ends its connection, that is not any more.
    #[inline(always)]
    pub(crate) fn has<I: Ip>(
        &self,
        skb: &SkBuff,
        header: &I::Header,
        ifindex: i32,
        child: &Device<End>,
        bh: BottomHalf<'_>,
    ) -> bool {
        let payload = skb.linear().get(I::HEADER_LEN as usize..);
        let Some(ends) = payload.and_then(|bytes| Ends::read(I::protocol(header), bytes)) else {
            return false;
        };
        let rest = self.rest(ends, ifindex, child);
        if ends.is_turn {
            I::forget_established(self, header, rest, bh);
            return false;
        }
        I::is_established(self, header, rest)
    }

    /// Notes the flow of a packet that passed the parent's rules to the child, if tracking can do
    /// without the next ones. The packet's header is followed by `payload`.
    #[cold]
    #[inline(never)]
    pub(crate) fn note<I: Ip>(
        &self,
        skb: &SkBuff,
        header: &I::Header,
        payload: Option<&[u8]>,
        ifindex: i32,
        child: &Device<End>,
        bh: BottomHalf<'_>,
    ) {
        let Some(payload) = payload else {
            return;
        };
        let ends = Ends::read(I::protocol(header), payload).filter(|ends| !ends.is_turn);
        let Some((ends, segment)) = ends.and_then(|ends| Some((ends, ends.segment(payload)?)))
        else {
            return;
        };
        let rest = self.rest(ends, ifindex, child);
        let known = I::is_established(self, header, rest);
        if !known && !skb.has_extensions() && skb.lets_others_pass(segment, bh) {
            I::note_established(self, header, rest, bh);
        }
    }

    /// Whether a flow is known, of packets with this header.
    #[inline(always)]
    pub(crate) fn has_ipv4(&self, header: &ipv4::Header, rest: Rest) -> bool {
        self.ipv4.has(&ipv4_flow(header, rest))
    }

    /// Notes it.
    pub(crate) fn note_ipv4(&self, header: &ipv4::Header, rest: Rest, bh: BottomHalf<'_>) {
        self.ipv4.note(&ipv4_flow(header, rest), bh);
    }

    /// Forgets it.
    pub(crate) fn forget_ipv4(&self, header: &ipv4::Header, rest: Rest, bh: BottomHalf<'_>) {
        self.ipv4.forget(&ipv4_flow(header, rest), bh);
    }

    /// As [`Self::has_ipv4`].
    #[inline(always)]
    pub(crate) fn has_ipv6(&self, header: &ipv6::Header, rest: Rest) -> bool {
        self.ipv6.has(&ipv6_flow(header, rest))
    }

    /// As [`Self::note_ipv4`].
    pub(crate) fn note_ipv6(&self, header: &ipv6::Header, rest: Rest, bh: BottomHalf<'_>) {
        self.ipv6.note(&ipv6_flow(header, rest), bh);
    }

    /// As [`Self::forget_ipv4`].
    pub(crate) fn forget_ipv6(&self, header: &ipv6::Header, rest: Rest, bh: BottomHalf<'_>) {
        self.ipv6.forget(&ipv6_flow(header, rest), bh);
    }
}
