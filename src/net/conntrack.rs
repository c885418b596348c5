// SPDX-License-Identifier: GPL-2.0

//! What connection tracking knows of a packet.
//!
//! C headers: `include/net/netfilter/nf_conntrack.h`,
//! `include/uapi/linux/netfilter/nf_conntrack_common.h`.

use super::{
    context::ReadSide,
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
    /// The packet may be the first of its connection, which is known to nobody yet; or what it has changed
    /// of that is still to be told (`conntrack -E`), which tracking does at the end of its way.
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
/// The numbers that packets of TCP count by are changed. C: `IPS_SEQ_ADJUST`. That a helper reads them is
/// told by its extension, however it came there: `IPS_HELPER` is of those that a rule has set only.
const ADJUSTED: usize = bit(bindings::ip_conntrack_status_IPS_SEQ_ADJUST_BIT);
/// C: `IPS_SRC_NAT`, `IPS_DST_NAT`.
const SOURCE: usize = bit(bindings::ip_conntrack_status_IPS_SRC_NAT_BIT);
const DESTINATION: usize = bit(bindings::ip_conntrack_status_IPS_DST_NAT_BIT);

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
        !self.has_one_hook_before_routing(family, rcu) && self.tracks(family, rcu)
    }

    /// Whether a single hook sees packets before they are routed: for who has one there, its own.
    #[inline(always)]
    pub(crate) fn has_one_hook_before_routing(&self, family: Family, rcu: ReadSide<'_>) -> bool {
        self.hooks(family, BEFORE_ROUTING, rcu)
            .is_some_and(|hooks| hooks.len() == 1)
    }
}

/// Whether the source of packets of one direction is not what those of the other are sent to. IPVS
/// translates by hooks of its own, and says so by tuples only. C: `ip_vs_update_conntrack()`.
#[inline]
fn changes_source(
    this: &bindings::nf_conntrack_tuple,
    other: &bindings::nf_conntrack_tuple,
) -> bool {
    // TCP, UDP and SCTP: others have no ports, or none that are alike in both directions.
    const WITH_PORTS: [u8; 3] = [6, 17, 132];
    // SAFETY: any bytes make addresses and ports. The other direction's may change until a connection
    // is confirmed.
    unsafe {
        let ports = WITH_PORTS.contains(&this.dst.protonum);
        this.src.u3.all != other.dst.u3.all || ports && this.src.u.all != other.dst.u.all
    }
}

impl SkBuff {
    /// Whether tracking has noted anything on the packet.
    #[inline(always)]
    pub(crate) fn is_tracked(&self) -> bool {
        // SAFETY: the skb is valid and ours.
        unsafe { (*self.as_raw())._nfct != 0 }
    }

    /// Whether that is that the packet is none of its business.
    #[inline(always)]
    pub(crate) fn is_left_untracked(&self) -> bool {
        self.connection().0 == bindings::ip_conntrack_info_IP_CT_UNTRACKED
    }

    /// What the packet is to its connection, and that, if there is one.
    #[inline(always)]
    pub(super) fn connection(&self) -> (u32, *mut bindings::nf_conn) {
        // SAFETY: the skb is valid and ours.
        let nfct = unsafe { (*self.as_raw())._nfct };
        (
            (nfct & INFO) as u32,
            (nfct & !INFO) as *mut bindings::nf_conn,
        )
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
        let (status, has_helper, has_news) = unsafe {
            let status = (&raw const (*connection).status).read_volatile();
            let ext = (*connection).ext;
            let helper = bindings::nf_ct_ext_id_NF_CT_EXT_HELPER as usize;
            let has_more = !ext.is_null();
            (
                status,
                has_more && (*ext).offset[helper] != 0,
                has_more && bindings::passthru_helper_ct_has_events(connection),
            )
        };
        // An error is about a connection, and no part of it: rules let it through as related, or not.
        // And what stands for a zone is no connection.
        let related = info == bindings::ip_conntrack_info_IP_CT_RELATED
            || info == bindings::ip_conntrack_info_IP_CT_RELATED_REPLY;
        if status & TEMPLATE != 0 || related && status & CONFIRMED != 0 {
            return Tracking::Unsettled;
        }
        // The reply's source is what the original direction's destination was translated to.
        let is_reply = info >= bindings::ip_conntrack_info_IP_CT_IS_REPLY;
        let source = if is_reply { DESTINATION } else { SOURCE };
        // SAFETY: as above; what tracking goes by does not change once a connection is confirmed.
        let [this, other] = unsafe {
            let tuples = &raw const (*connection).tuplehash;
            [is_reply, !is_reply].map(|of| (&raw const (*tuples)[usize::from(of)].tuple).read())
        };
        if status & CONFIRMED == 0 {
            Tracking::Unconfirmed
        } else if has_helper || status & (source | ADJUSTED) != 0 || changes_source(&this, &other) {
            Tracking::Unsettled
        } else if has_news {
            Tracking::Unconfirmed
        } else {
            Tracking::Settled
        }
    }
}
