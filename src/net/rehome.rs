// SPDX-License-Identifier: GPL-2.0

//! Packets that change namespace in the middle of their way in.
//!
//! What one stack began another one goes on with, as if the packet had come in by a device there.
//!
//! C headers: `include/linux/skbuff.h`, `include/net/ip.h`.

use super::{
    context::{BottomHalf, ReadSide},
    device::NetDevice,
    dst::HeldDst,
    ipv4::{Header, Kind},
    namespace::Namespace,
    netfilter::Family,
    percpu::Traffic,
    routes::question_ipv4,
    skb::{DropReason, SkBuff},
    TCP, UDP,
};
use crate::net::bindings;
use core::ptr::NonNull;
use kernel::{error::from_err_ptr, prelude::*};

/// The way on of a packet that passed the hooks before routing.
pub(crate) enum Hooked {
    /// No hook took it.
    Passed(SkBuff),
    /// It was dropped, or taken.
    Gone,
}

impl NetDevice {
    /// Whether anything looks at what this device receives before its protocols do: taps, tc, XDP,
    /// hooks, a bridge or the like. Such packets must be received by the device itself.
    #[inline(always)]
    pub(crate) fn is_watched(&self, namespace: &Namespace) -> bool {
        let (dev, net) = (self.as_raw(), namespace.as_raw());
        // All of it at once, because most devices have nothing of the kind: what is null counts
        // for nothing, nor does a list whose head points to itself, which is an empty one.
        // SAFETY: fields of a device and a namespace that exist, by single loads; all are pointers
        // or made of one.
        unsafe {
            let list = |head: *const bindings::list_head| {
                (&raw const (*head).next).read_volatile() as usize ^ head as usize
            };
            let watchers = list(&raw const (*dev).ptype_all)
                | list(&raw const (*dev).ptype_specific)
                | list(&raw const (*net).ptype_all)
                | list(&raw const (*net).ptype_specific)
                | (&raw const (*dev).rx_handler)
                    .cast::<usize>()
                    .read_volatile()
                | (&raw const (*dev).tcx_ingress).read_volatile() as usize
                | (&raw const (*dev).nf_hooks_ingress).read_volatile() as usize
                | (&raw const (*dev).xdp_prog).read_volatile() as usize;
            watchers != 0
        }
    }

    /// Whether programs of traffic control look at what this device receives.
    pub(crate) fn has_ingress_programs(&self) -> bool {
        // SAFETY: a field of ours, by a single load.
        unsafe {
            !(&raw const (*self.as_raw()).tcx_ingress)
                .read_volatile()
                .is_null()
        }
    }

    /// Whether a packet received by this device is not the IP stack's to have: a bridge, a bond or
    /// the like has it.
    #[inline]
    pub(crate) fn has_rx_handler(&self) -> bool {
        // SAFETY: a field of ours, by a single load.
        unsafe { (&raw const (*self.as_raw()).rx_handler).read_volatile() }.is_some()
    }

    /// Whether nothing that the device receives is the IP stack's to have as this device's: a bridge, a
    /// bond, a team or a virtual switch has it all. Under macvlan and the like some is.
    pub(crate) fn gives_all_away(&self) -> bool {
        // SAFETY: the device exists.
        unsafe { bindings::passthru_helper_is_lower_of_all(self.as_raw()) }
    }

    /// Whether the device is a port of a bridge. C: `netif_is_bridge_port()`.
    pub(crate) fn is_in_bridge(&self) -> bool {
        // SAFETY: the device exists.
        unsafe { bindings::passthru_helper_is_bridge_port(self.as_raw()) }
    }

    /// Whether the device is a part of a VRF, or is one: then routing begins anew elsewhere.
    pub(crate) fn is_in_vrf(&self) -> bool {
        const VRF: u32 = bindings::netdev_priv_flags_IFF_L3MDEV_MASTER
            | bindings::netdev_priv_flags_IFF_L3MDEV_SLAVE;
        // SAFETY: the device exists. The flags are the first 32 bits of a longer word; what bindgen
        // makes of its fields would read them one by one.
        let flags = unsafe {
            let word = &raw const (*self.as_raw()).__bindgen_anon_1.priv_flags_fast;
            word.cast::<u32>().read_volatile()
        };
        flags & VRF != 0
    }
}

impl Namespace {
    /// Whether packets have hooks to pass before they come to a socket.
    #[inline(always)]
    pub(crate) fn has_input_hooks(&self, family: Family) -> bool {
        self.has_hooks_before_routing(family) || self.has_hooks_before_sockets(family)
    }

    /// Whether packets before routing have hooks to pass.
    #[inline(always)]
    pub(crate) fn has_hooks_before_routing(&self, family: Family) -> bool {
        self.has_hooks(family, bindings::nf_inet_hooks_NF_INET_PRE_ROUTING)
    }

    /// Whether packets before the sockets have hooks to pass.
    #[inline(always)]
    pub(crate) fn has_hooks_before_sockets(&self, family: Family) -> bool {
        self.has_hooks(family, bindings::nf_inet_hooks_NF_INET_LOCAL_IN)
    }
}

impl SkBuff {
    /// Makes the packet, which begins with its network header, one that `dev` received: forgets all
    /// that the stack that it comes from knew of it, and clears the control block.
    ///
    /// C: `skb_scrub_packet()`, `skb_orphan()`, and what `__netif_receive_skb_core()` sets.
    pub(crate) fn rehome(&mut self, dev: &NetDevice) {
        // SAFETY: the skb is valid and ours, and the device exists.
        unsafe { bindings::passthru_helper_skb_rehome(self.as_raw(), dev.as_raw()) };
    }

    /// As [`Self::rehome`]; then counts the packet, also as IPv4 of the namespace of `dev` does
    /// with what it receives. C: `ip_rcv_core()`.
    #[inline(always)]
    pub(crate) fn enter_ipv4(
        &mut self,
        dev: &NetDevice,
        tos: u8,
        traffic: Traffic<'_>,
        _bh: BottomHalf<'_>,
    ) {
        let (skb, counters, amount) = (self.as_raw(), traffic.counters(), traffic.amount());
        // SAFETY: as above, and the counters exist; softirqs are disabled.
        unsafe { bindings::passthru_helper_ip_enter(skb, dev.as_raw(), tos, counters, amount) };
    }

    /// As [`Self::enter_ipv4`], for IPv6. C: `ip6_rcv_core()`.
    #[inline(always)]
    pub(crate) fn enter_ipv6(
        &mut self,
        dev: &NetDevice,
        class: u8,
        traffic: Traffic<'_>,
        _bh: BottomHalf<'_>,
    ) {
        let (skb, counters, amount) = (self.as_raw(), traffic.counters(), traffic.amount());
        // SAFETY: as above.
        unsafe { bindings::passthru_helper_ip6_enter(skb, dev.as_raw(), class, counters, amount) };
    }

    /// Sends the packet the way of its route. It must have one, which also refusals are, and begin with
    /// the header that this was found for, in its linear part. Says what became of it, one of `NET_RX_*`
    /// mostly. C: `dst_input()`.
    pub(crate) fn follow_route(self, _bh: BottomHalf<'_>) -> c_int {
        // SAFETY: the skb is valid, and its reference passes to the callee. By this function's contract
        // it has a route, which is called without a look.
        unsafe { bindings::passthru_helper_dst_input(self.into_raw()) }
    }

    /// Whether IPsec's policies let the packet in, which has its local route. C: `xfrm_policy_check()`.
    pub(crate) fn passes_policies(&mut self, family: Family) -> bool {
        let family = match family {
            Family::Ipv4 => bindings::AF_INET,
            Family::Ipv6 => bindings::AF_INET6,
        };
        // SAFETY: the skb is valid and ours, and has its route.
        unsafe { bindings::passthru_helper_xfrm_input_allowed(self.as_raw(), family as c_ushort) }
    }

    /// Gives an IPv4 packet, which begins with its header, the route that it had if `namespace` had
    /// made it, if there is one; and says of what kind that is. C: `ip_route_output_key()`.
    pub(super) fn route_output_ipv4(&mut self, namespace: &Namespace) -> Option<Kind> {
        let header = Header::any(self)?;
        let (daddr, saddr, dscp) = (header.daddr, header.saddr, header.dscp());
        let mut question = question_ipv4(namespace, daddr, saddr, dscp);
        question.__fl_common.flowic_mark = self.mark();
        question.__fl_common.flowic_proto = header.protocol;
        if let Some([from, to]) = self.ports_ipv4(header.protocol) {
            let ports = bindings::flowi_uli__bindgen_ty_1 {
                dport: to,
                sport: from,
            };
            question.uli.ports = ports;
        }
        question.__fl_common.flowic_flags = bindings::FLOWI_FLAG_ANYSRC as u8;
        let (dst, kind) = namespace.route_ipv4(&mut question)?;
        let dst = self.transform(namespace, dst, &mut question)?;
        self.set_held_dst(dst);
        Some(kind)
    }

    /// As [`Self::route_output_ipv4`], for IPv6. IPsec has no say: to ask for its policies is the caller's.
    /// C: `ip6_route_output()`.
    pub(super) fn route_output_ipv6(
        &mut self,
        namespace: &Namespace,
        rcu: ReadSide<'_>,
    ) -> Option<Kind> {
        let dst = namespace.route_output_of_ipv6(self)?;
        // Some of what wraps or unwraps packets acts on what comes in only.
        let kind = match dst.get(rcu) {
            route if route.encapsulates() => Kind::Other,
            route => route.ipv6_destination(rcu).kind,
        };
        self.drop_dst();
        self.set_held_dst(dst);
        Some(kind)
    }

    /// Both ports of a packet that begins with a header of IPv4, as they are there, if it has any.
    fn ports_ipv4(&self, protocol: u8) -> Option<[u16; 2]> {
        if !matches!(protocol, TCP | UDP) {
            return None;
        }
        let (first, bytes) = self.linear().split_first()?;
        let words: usize = (first & 15).into();
        let is_later = u16::from_be_bytes([*bytes.get(5)?, *bytes.get(6)?]) & 0x1fff != 0;
        self.ports_at(4 * words).filter(|_| !is_later)
    }

    /// Both ports, as they are there, where they begin so far into the packet.
    pub(super) fn ports_at(&self, at: usize) -> Option<[u16; 2]> {
        let [a, b, c, d] = *self.linear().get(at..)?.first_chunk()?;
        Some([u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d])])
    }

    /// What IPsec makes of a route. Its policies look at ports too. C: `xfrm_lookup()`.
    fn transform(
        &self,
        namespace: &Namespace,
        dst: HeldDst,
        question: &mut bindings::flowi4,
    ) -> Option<HeldDst> {
        let (net, skb) = (namespace.as_raw(), self.as_raw());
        // SAFETY: the skb is valid and begins with an IPv4 header, and the namespace exists.
        if unsafe { bindings::passthru_helper_xfrm_decode_session(net, skb, question) } != 0 {
            return Some(dst);
        }
        // SAFETY: as above. The function takes the reference and answers with one, unless it fails.
        unsafe {
            let dst = bindings::passthru_helper_xfrm_lookup(net, dst.into_raw(), question);
            let dst = NonNull::new(from_err_ptr(dst).ok()?)?;
            Some(HeldDst::from_raw(dst))
        }
    }

    /// Has the packet, which begins with its network header, received by `dev` from the beginning,
    /// as if it had crossed the pair. Fails, and the packet is dropped, without memory or where the
    /// CPU's backlog is full: that the kernel has counted as `rx_dropped` of `dev`.
    /// C: `netif_rx()`.
    pub(crate) fn receive_again(
        mut self,
        dev: &NetDevice,
        source: &NetDevice,
        framed: bool,
        _bh: BottomHalf<'_>,
    ) -> Result {
        if framed && self.wrap_in_ethernet(dev, source).is_err() {
            self.drop_with(DropReason::NOMEM);
            return Err(ENOMEM);
        }
        if self.orphan_frags().is_err() {
            self.drop_with(DropReason::NOMEM);
            return Err(ENOMEM);
        }
        // SAFETY: the skb is valid and its reference passes to the callee; softirqs are
        // disabled.
        match unsafe { bindings::__netif_rx(self.into_raw()) } as c_uint {
            bindings::NET_RX_SUCCESS => Ok(()),
            _ => Err(ENOBUFS),
        }
    }
}
