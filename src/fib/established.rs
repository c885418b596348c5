// SPDX-License-Identifier: GPL-2.0

//! Flows of connections that the parent's tracking knows and its rules have let through, so that
//! `device` may take their packets before tracking sees them.
//!
//! What is known is known for the rest of the second. Then one packet of each flow passes the
//! parent's rules and tracking once more: a connection lives on there for as long as it has packets,
//! and what is changed there holds for it from then on. So nothing here refers to connections, which
//! come and go as tracking likes.

use super::{depends_on_key, pair};
use crate::{
    ip::{Ip, TCP, UDP},
    net::{
        context::BottomHalf,
        device::{Device, NetDevice},
        flow_table::Key,
        ipv4, ipv6,
        jiffies::second,
        once::Once32,
        recent::{Notes, Recent},
        skb::SkBuff,
    },
    passthru::{is_uplink, End},
};
use kernel::prelude::*;

/// Flows of each version of IP that are known at a time, in half a MiB.
const FLOWS: usize = 8192;

/// By both addresses, and the rest.
pub(crate) type Ipv4Flows = Recent<4, 2>;
/// By two words to an address, and the rest.
pub(crate) type Ipv6Flows = Recent<7, 6>;

/// What is to be known of a flow besides its addresses: ports, input device and protocol; the child;
/// the second and the generation.
pub(crate) type Rest = [u64; 3];

/// The flow of a packet with this header.
#[inline(always)]
pub(crate) fn ipv4_flow(header: &ipv4::Header, [first, second, third]: Rest) -> Key<4, 2> {
    Key::counted([pair(header.daddr, header.saddr), first, second, third])
}

/// As [`ipv4_flow`].
#[inline(always)]
pub(crate) fn ipv6_flow(header: &ipv6::Header, [first, second, third]: Rest) -> Key<7, 6> {
    let ([to, to_low], [from, from_low]) = (header.daddr, header.saddr);
    Key::counted([to, to_low, from, from_low, first, second, third])
}

/// The flows of one parent. Its ports have a share each, which may last longer than what else is known
/// of the parent: nothing here refers to a device.
pub(crate) struct Established {
    /// Counts what happens to ports, and children that go: another one may come to have the address in
    /// memory of one that is gone. It is asked beside the second, in which it does not begin anew.
    generation: Once32,
    /// Those of IPv4.
    pub(crate) ipv4: Ipv4Flows,
    /// Those of IPv6.
    pub(crate) ipv6: Ipv6Flows,
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
    pub(crate) fn changed(&self) {
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
    /// flow to the child that is known. If it ends its connection, that is not any more. What has been
    /// marked by the time that it comes here may be told by that from others of its connection.
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
        let flow = I::flow(header, self.rest(ends, ifindex, child));
        if ends.is_turn {
            I::established(self).forget(&flow, bh);
            return false;
        }
        skb.mark() == 0 && I::established(self).has(&flow)
    }

    /// Notes the flow of a packet that passed the parent's rules to the child, if tracking can do
    /// without the next ones, and they may come by `device`: tracking is not to be told so of others.
    /// The packet came in by `input`, and begins with `packet`, of which this is the header.
    #[cold]
    #[inline(never)]
    pub(crate) fn note<I: Ip>(
        &self,
        skb: &SkBuff,
        packet: &[u8],
        header: &I::Header,
        input: &NetDevice,
        child: &Device<End>,
        bh: BottomHalf<'_>,
    ) {
        let rcu = bh.read_side();
        if !is_uplink(input) || input.has_rx_handler() || !depends_on_key::<I>(input, rcu) {
            return;
        }
        let protocol = I::protocol(header);
        let payload = packet.get(I::HEADER_LEN as usize..);
        let ends = payload.and_then(|bytes| Ends::read(protocol, bytes));
        let Some(ends) = ends.filter(|ends| !ends.is_turn && !skb.has_extensions()) else {
            return;
        };
        let Some(bypass) = skb.bypass(I::FAMILY, protocol, packet, input.namespace(rcu), bh) else {
            return;
        };
        let (flows, flow) = (
            I::established(self),
            I::flow(header, self.rest(ends, input.ifindex(), child)),
        );
        if !flows.has(&flow) && bypass.begin() {
            flows.note(&flow, bh);
        }
    }
}
