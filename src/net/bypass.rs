// SPDX-License-Identifier: GPL-2.0

//! Connections whose packets may go past connection tracking, on the terms of nftables' flowtables:
//! which can do without, and what tracking is told of those.
//!
//! C headers: `include/net/netfilter/nf_conntrack.h`, `include/linux/netfilter/nf_conntrack_tcp.h`.

use super::{
    conntrack::Tracking, context::BottomHalf, ipv4, ipv6, jiffies::jiffies, namespace::Namespace,
    netfilter::Family, skb::SkBuff, TCP,
};
use crate::net::bindings;
use core::ops::Range;

const fn bit(number: u32) -> usize {
    1 << number
}

/// Some address or port is translated. C: `IPS_NAT_MASK`.
const TRANSLATED: usize = bit(bindings::ip_conntrack_status_IPS_SRC_NAT_BIT)
    | bit(bindings::ip_conntrack_status_IPS_DST_NAT_BIT);
/// The connection is being forgotten. C: `IPS_DYING`.
const DYING: usize = bit(bindings::ip_conntrack_status_IPS_DYING_BIT);
/// There was an answer. C: `IPS_SEEN_REPLY`.
const ANSWERED: usize = bit(bindings::ip_conntrack_status_IPS_SEEN_REPLY_BIT);
/// There was more than a handshake. C: `IPS_ASSURED`.
const ASSURED: usize = bit(bindings::ip_conntrack_status_IPS_ASSURED_BIT);

/// A connection that tracking need not see each packet of, by one that it has seen.
pub(crate) struct Bypass<'a> {
    /// Exists, because the packet has a reference to it.
    connection: *mut bindings::nf_conn,
    is_reply: bool,
    _bh: BottomHalf<'a>,
    /// The packet's TCP header, if that is what it carries.
    tcp: Option<&'a [u8]>,
}

impl SkBuff {
    /// The packet's connection, if tracking can do without most of its packets: there was an answer,
    /// nothing is done to packets anywhere, nobody counts them, and it will still be known when the
    /// next one is seen in some seconds. `packet` is what the packet begins with, from a header
    /// without options on: it is as it came, or it would be another connection's. And the connection
    /// is of this namespace: who sends by a device above the port may have brought one of his own.
    pub(crate) fn bypass<'a>(
        &'a self,
        family: Family,
        protocol: u8,
        packet: &'a [u8],
        namespace: &Namespace,
        bh: BottomHalf<'a>,
    ) -> Option<Bypass<'a>> {
        if self.tracking() != Tracking::Settled {
            return None;
        }
        let (info, connection) = self.connection();
        let is_reply = info >= bindings::ip_conntrack_info_IP_CT_IS_REPLY;
        // SAFETY: the packet has a reference to its connection, and one that is settled exists.
        let can = unsafe {
            let status = (&raw const (*connection).status).read_volatile();
            (*connection).ct_net.net == namespace.as_raw()
                && status & (TRANSLATED | DYING) == 0
                && status & ANSWERED != 0
                && !is_counted(connection)
                && !is_in_zone(connection)
                && lasts(connection)
                && (protocol != TCP || status & ASSURED != 0)
                && {
                    let tuple = &(*connection).tuplehash[usize::from(is_reply)].tuple;
                    is_of(tuple, family, packet)
                }
        };
        let tcp = (protocol == TCP).then(|| packet.get(places(family).2..));
        can.then_some(Bypass {
            connection,
            is_reply,
            _bh: bh,
            tcp: tcp.flatten(),
        })
    }
}

impl Bypass<'_> {
    /// Tells tracking that it will not see all. `false` where the connection is not one of which it
    /// need not, after all. C: `flow_offload_fixup_tcp()`.
    pub(crate) fn begin(self) -> bool {
        let Some(tcp) = self.tcp else {
            return true;
        };
        let number = |at: usize| Some(u32::from_be_bytes(*tcp.get(at..)?.first_chunk()?));
        let Some((sequence, acknowledged)) = number(4).zip(number(8)) else {
            return false;
        };
        let numbers = if self.is_reply {
            [acknowledged, sequence]
        } else {
            [sequence, acknowledged]
        };
        // SAFETY: the connection exists, and softirqs are disabled for as long as `_bh` says.
        unsafe { stop_judging_if_established(self.connection, numbers) }
    }
}

/// Where source, destination and the transport header are in a packet.
fn places(family: Family) -> (Range<usize>, Range<usize>, usize) {
    match family {
        Family::Ipv4 => (12..16, 16..20, ipv4::HEADER_LEN as usize),
        Family::Ipv6 => (8..24, 24..40, ipv6::HEADER_LEN as usize),
    }
}

/// Whether a packet has the addresses and ports by which tracking knows its connection: rules may
/// have changed them behind its back.
fn is_of(tuple: &bindings::nf_conntrack_tuple, family: Family, packet: &[u8]) -> bool {
    let (from, to, transport) = places(family);
    // SAFETY: the members of the unions overlay each other; of what an address has no use for all
    // are zero.
    let (saddr, sport, daddr, dport) = unsafe {
        (
            tuple.src.u3.all,
            tuple.src.u.all,
            tuple.dst.u3.all,
            tuple.dst.u.all,
        )
    };
    let is_at = |place: Range<usize>, words: [u32; 4]| {
        let bytes = words.iter().flat_map(|word| word.to_ne_bytes());
        packet
            .get(place)
            .is_some_and(|there| there.iter().copied().zip(bytes).all(|(a, b)| a == b))
    };
    let ([a, b], [c, d]) = (sport.to_ne_bytes(), dport.to_ne_bytes());
    let ports = packet
        .get(transport..)
        .and_then(|bytes| bytes.first_chunk());
    is_at(from, saddr) && is_at(to, daddr) && ports == Some(&[a, b, c, d])
}

/// Whether somebody counts its packets and bytes.
///
/// # Safety
///
/// `connection` must be one that somebody has a reference to.
unsafe fn is_counted(connection: *const bindings::nf_conn) -> bool {
    const COUNT: usize = bindings::nf_ct_ext_id_NF_CT_EXT_ACCT as usize;
    // SAFETY: by the caller; what is added to a connection is so before others know of it.
    unsafe {
        let ext = (*connection).ext;
        !ext.is_null() && (*ext).offset[COUNT] != 0
    }
}

/// Whether it is in a zone of its own: rules say of each packet in which it is.
///
/// # Safety
///
/// As for [`is_counted`].
#[cfg(CONFIG_NF_CONNTRACK_ZONES)]
unsafe fn is_in_zone(connection: *const bindings::nf_conn) -> bool {
    // SAFETY: by the caller; a connection stays in its zone.
    unsafe { (*connection).zone.id != 0 }
}

/// There are none.
///
/// # Safety
///
/// As for [`is_counted`].
#[cfg(not(CONFIG_NF_CONNTRACK_ZONES))]
unsafe fn is_in_zone(_connection: *const bindings::nf_conn) -> bool {
    false
}

/// Whether a connection will be remembered for some seconds if no more of it is seen.
///
/// # Safety
///
/// As for [`is_counted`].
unsafe fn lasts(connection: *const bindings::nf_conn) -> bool {
    const SECONDS: u32 = 3;
    // SAFETY: by the caller.
    let timeout = unsafe { (&raw const (*connection).timeout).read_volatile() };
    timeout.wrapping_sub(ticks()) as i32 > (SECONDS * bindings::CONFIG_HZ) as i32
}

/// If a connection of TCP is established, has tracking take its packets whatever their numbers are.
/// `numbers` are those of one of them, in the original direction and in that of replies.
///
/// Besides that tracking keeps account of what was not acknowledged yet, and forgets a connection
/// sooner where something was not: it would be misled by half of the packets. But it leaves alone what
/// acknowledges more than it has seen.
///
/// # Safety
///
/// As for [`is_counted`]; softirqs are disabled.
unsafe fn stop_judging_if_established(
    connection: *mut bindings::nf_conn,
    numbers: [u32; 2],
) -> bool {
    const LIBERAL: u8 = bindings::IP_CT_TCP_FLAG_BE_LIBERAL as u8;
    const KNOWN: u8 =
        (bindings::IP_CT_TCP_FLAG_MAXACK_SET | bindings::IP_CT_TCP_FLAG_DATA_UNACKNOWLEDGED) as u8;
    /// Far enough from both ends of what is ahead of a number.
    const LONG_AGO: u32 = 1 << 30;
    // SAFETY: by the caller; tracking changes what is read and written here under the same lock.
    unsafe {
        bindings::passthru_helper_nf_conn_lock(connection);
        let tcp = &raw mut (*connection).proto.tcp;
        let established =
            u32::from((*tcp).state) == bindings::tcp_conntrack_TCP_CONNTRACK_ESTABLISHED;
        if established {
            // What it was about to make of these it would now hold on to.
            (*tcp).retrans = 0;
            (*tcp).last_win = (*tcp).last_win.max(1);
            for (direction, number) in numbers.into_iter().enumerate() {
                let seen = &raw mut (*tcp).seen[direction];
                (*seen).flags = ((*seen).flags | LIBERAL) & !KNOWN;
                (*seen).td_end = number.wrapping_sub(LONG_AGO);
                // Of 0 it would begin to learn anew.
                (*seen).td_maxwin = (*seen).td_maxwin.max(1);
            }
        }
        bindings::passthru_helper_nf_conn_unlock(connection);
        established
    }
}

/// The time of tracking. C: `nfct_time_stamp`.
fn ticks() -> u32 {
    jiffies() as u32
}
