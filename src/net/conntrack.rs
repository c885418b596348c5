// SPDX-License-Identifier: GPL-2.0

//! What connection tracking knows of a packet.
//!
//! C headers: `include/net/netfilter/nf_conntrack.h`,
//! `include/uapi/linux/netfilter/nf_conntrack_common.h`.

use super::{
    context::{BottomHalf, ReadSide},
    namespace::Namespace,
    netfilter::{Family, Hooks},
    skb::SkBuff,
};
use crate::net::bindings;

/// How far tracking is with a packet's connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tracking {
    /// Tracking was told to leave the packet alone.
    Untracked,
    /// Tracking says nothing of the packet: there is none, or the packet is of no connection that
    /// there can be. C: `ct state invalid`.
    Unknown,
    /// The packet may be the first of its connection, which is known to nobody yet.
    Unconfirmed,
    /// The connection is known. All that is still to be done for this packet was done.
    Settled,
    /// The connection is known, and something is done to its packets after routing: their source
    /// is translated, or a helper reads them.
    Unsettled,
}

/// The bits of `_nfct` that say what the packet is to its connection. C: `NFCT_INFOMASK`.
const INFO: usize = 7;

const fn bit(number: u32) -> usize {
    1 << number
}

/// C: `IPS_CONFIRMED`.
const CONFIRMED: usize = bit(bindings::ip_conntrack_status_IPS_CONFIRMED_BIT);
/// C: `IPS_TEMPLATE`.
const TEMPLATE: usize = bit(bindings::ip_conntrack_status_IPS_TEMPLATE_BIT);
/// Someone reads or changes the packets. C: `IPS_SEQ_ADJUST`, `IPS_HELPER`.
const READ_LATER: usize = bit(bindings::ip_conntrack_status_IPS_SEQ_ADJUST_BIT);
/// C: `IPS_SRC_NAT`, `IPS_DST_NAT`.
const SOURCE: usize = bit(bindings::ip_conntrack_status_IPS_SRC_NAT_BIT);
const DESTINATION: usize = bit(bindings::ip_conntrack_status_IPS_DST_NAT_BIT);

/// The connection is being forgotten. C: `IPS_DYING`.
const DYING: usize = bit(bindings::ip_conntrack_status_IPS_DYING_BIT);
/// There was an answer to more than its first packets. C: `IPS_ASSURED`.
const ASSURED: usize = bit(bindings::ip_conntrack_status_IPS_ASSURED_BIT);

const BEFORE_ROUTING: u32 = bindings::nf_inet_hooks_NF_INET_PRE_ROUTING;

/// Whether tracking is among hooks. It is told by its place, which it shares with nobody in its right
/// mind.
#[inline(never)]
fn does_track(hooks: Hooks<'_>) -> bool {
    const TRACKING: i32 = bindings::nf_ip_hook_priorities_NF_IP_PRI_CONNTRACK;
    hooks.registrations().any(|hook| hook.priority == TRACKING)
}

impl Namespace {
    /// Whether packets of a family are tracked here before they are routed.
    #[inline]
    pub(crate) fn tracks(&self, family: Family, rcu: ReadSide<'_>) -> bool {
        self.hooks(family, BEFORE_ROUTING, rcu)
            .is_some_and(does_track)
    }

    /// As [`Self::tracks`], for who has a hook before routing: the only one may be its own.
    #[inline(always)]
    pub(crate) fn tracks_before_us(&self, family: Family, rcu: ReadSide<'_>) -> bool {
        let alone = self
            .hooks(family, BEFORE_ROUTING, rcu)
            .is_some_and(|hooks| hooks.len() == 1);
        !alone && self.tracks(family, rcu)
    }
}

/// A packet, as far as tracking treats those of one protocol differently.
#[derive(Clone, Copy)]
pub(crate) enum Segment {
    /// Of TCP, whose state tracking follows, with the number of its first byte and the next one that
    /// its sender waits for.
    Tcp { sequence: u32, acknowledged: u32 },
    /// Of UDP.
    Datagram,
}

impl SkBuff {
    /// Whether tracking has noted anything on the packet.
    #[inline(always)]
    pub(crate) fn is_tracked(&self) -> bool {
        // SAFETY: the skb is valid and ours.
        unsafe { (*self.as_raw())._nfct != 0 }
    }

    /// What the packet is to its connection, and that, if there is one.
    #[inline(always)]
    fn connection(&self) -> (u32, *mut bindings::nf_conn) {
        // SAFETY: the skb is valid and ours.
        let nfct = unsafe { (*self.as_raw())._nfct };
        (
            (nfct & INFO) as u32,
            (nfct & !INFO) as *mut bindings::nf_conn,
        )
    }

    /// Whether tracking can do without most packets of this one's connection, which has to be
    /// settled: it is established, nothing is done to its packets anywhere, nobody counts them, and
    /// it will still be known when the next one is seen in some seconds. Tracking is told not to
    /// judge by what it has not seen. C: `flow_offload_fixup_tcp()`.
    pub(crate) fn lets_others_pass(&self, segment: Segment, _bh: BottomHalf<'_>) -> bool {
        if self.tracking() != Tracking::Settled {
            return false;
        }
        let (info, connection) = self.connection();
        let is_reply = info >= bindings::ip_conntrack_info_IP_CT_IS_REPLY;
        // SAFETY: the packet has a reference to its connection, and one that is settled exists.
        unsafe {
            let status = (&raw const (*connection).status).read_volatile();
            let ext = (*connection).ext;
            let account = bindings::nf_ct_ext_id_NF_CT_EXT_ACCT as usize;
            let is_counted = !ext.is_null() && (*ext).offset[account] != 0;
            if is_counted || status & (SOURCE | DESTINATION | DYING) != 0 {
                return false;
            }
            let (sequence, acknowledged) = match segment {
                Segment::Datagram => return lasts(connection),
                Segment::Tcp {
                    sequence,
                    acknowledged,
                } => (sequence, acknowledged),
            };
            let numbers = if is_reply {
                [acknowledged, sequence]
            } else {
                [sequence, acknowledged]
            };
            status & ASSURED != 0
                && lasts(connection)
                && stop_judging_if_established(connection, numbers)
        }
    }

    /// What tracking knows of the packet. Only before it is scrubbed.
    #[inline]
    pub(crate) fn tracking(&self) -> Tracking {
        let (info, connection) = self.connection();
        if info == bindings::ip_conntrack_info_IP_CT_UNTRACKED {
            return Tracking::Untracked;
        }
        if connection.is_null() {
            return Tracking::Unknown;
        }
        // SAFETY: the packet has a reference to its connection.
        let (status, has_helper) = unsafe {
            let status = (&raw const (*connection).status).read_volatile();
            let ext = (*connection).ext;
            let helper = bindings::nf_ct_ext_id_NF_CT_EXT_HELPER as usize;
            (status, !ext.is_null() && (*ext).offset[helper] != 0)
        };
        // An error is about a connection, and no part of it: rules let it through as related, or not.
        // And what stands for a zone is no connection.
        let related = info == bindings::ip_conntrack_info_IP_CT_RELATED
            || info == bindings::ip_conntrack_info_IP_CT_RELATED_REPLY;
        if status & TEMPLATE != 0 || related && status & CONFIRMED != 0 {
            return Tracking::Unsettled;
        }
        // The reply's source is what the original direction's destination was translated to.
        let source = if info >= bindings::ip_conntrack_info_IP_CT_IS_REPLY {
            DESTINATION
        } else {
            SOURCE
        };
        if status & CONFIRMED == 0 {
            Tracking::Unconfirmed
        } else if has_helper || status & (source | READ_LATER) != 0 {
            Tracking::Unsettled
        } else {
            Tracking::Settled
        }
    }
}

/// Whether a connection will be remembered for some seconds if no more of it is seen.
///
/// # Safety
///
/// `connection` must be one that somebody has a reference to.
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
/// As for [`lasts`]; softirqs are disabled.
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
            (*tcp).retrans = 0;
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
    // SAFETY: only reads a counter.
    unsafe { bindings::passthru_helper_jiffies() as u32 }
}
