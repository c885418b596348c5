// SPDX-License-Identifier: GPL-2.0

//! Packets that go to their transport protocol at once: what IP does at the end of its input, without
//! what has nothing to do with them.
//!
//! C headers: `include/net/protocol.h`, `include/net/raw.h`.

use super::{
    context::{BottomHalf, ReadSide},
    device::NetDevice,
    dst::Dst,
    ipv4, ipv6,
    namespace::Namespace,
    netfilter::Family,
    percpu::Traffic,
    skb::{DropReason, SkBuff},
    socket::{Connection, Destructor},
    TCP, UDP,
};
use crate::net::bindings;
use core::mem;
use kernel::{container_of, prelude::*};

/// What is read of a header anyway and counted, or gone by.
pub(crate) use bindings::passthru_summary as Summary;

/// What a transport protocol takes packets by.
type Handler = unsafe extern "C" fn(skb: *mut bindings::sk_buff) -> c_int;

/// Whether a namespace has raw sockets that take a protocol.
#[inline(always)]
fn has_raw_sockets(
    namespace: &Namespace,
    family: Family,
    protocol: u8,
    _rcu: ReadSide<'_>,
) -> bool {
    let net = namespace.as_raw();
    // SAFETY: the namespace exists; where the sockets are is one of the places of a table that is
    // always there, found by a single load.
    let first = unsafe {
        let head = match family {
            Family::Ipv4 => bindings::passthru_helper_raw_v4_sockets(net, protocol.into()),
            Family::Ipv6 => bindings::passthru_helper_raw_v6_sockets(net, protocol.into()),
        };
        (&raw const (*head).first).read_volatile()
    };
    // SAFETY: a socket's, from the head of such a place, in the read-side critical section.
    !first.is_null() && unsafe { takes_any_of(first, namespace, protocol) }
}

/// Whether one of the sockets in a place of the table is the namespace's and takes the protocol: the
/// table is everybody's, and others may share the place.
///
/// # Safety
///
/// `first` must be found in the table of raw sockets, in an RCU read-side critical section that the
/// caller still is in.
#[cold]
#[inline(never)]
unsafe fn takes_any_of(
    first: *mut bindings::hlist_node,
    namespace: &Namespace,
    protocol: u8,
) -> bool {
    let mut node = first;
    while !node.is_null() {
        // SAFETY: by the caller's promise a socket of the table. Sockets and what links them are
        // found by single loads and freed after a grace period. The members of the unions overlay
        // each other.
        unsafe {
            let common = container_of!(node, bindings::sock_common, __bindgen_anon_6.skc_node);
            let number = (*common).__bindgen_anon_3.__bindgen_anon_1.skc_num;
            if (*common).skc_net.net == namespace.as_raw() && number == u16::from(protocol) {
                return true;
            }
            node = (&raw const (*node).next).read_volatile();
        }
    }
    false
}

/// What takes packets of a protocol that have passed all that asks for IPsec's policies.
#[inline(always)]
fn handler(family: Family, protocol: u8, _rcu: ReadSide<'_>) -> Option<Handler> {
    const FREE: u32 = bindings::INET6_PROTO_NOPOLICY | bindings::INET6_PROTO_FINAL;
    let place = usize::from(protocol);
    // SAFETY: what IP has of itself is filled in before it takes packets, and never changes. The tables
    // are always there; what is in them is found by single loads, does not change and exists for the
    // read-side critical section. All that are in them have a handler: IP calls it without a look.
    unsafe {
        let own = &raw const bindings::net_hotdata;
        let handler = match (family, protocol) {
            // These are free, and nobody else can take their places.
            (Family::Ipv4, UDP) => (*own).udp_protocol.handler,
            (Family::Ipv4, TCP) => (*own).tcp_protocol.handler,
            (Family::Ipv4, _) => {
                let found = (&raw const bindings::inet_protos[place]).read_volatile();
                let found = found.as_ref().filter(|found| found.no_policy() != 0)?;
                found.handler
            }
            // Empty where IPv6 is off; then no packets come either.
            (Family::Ipv6, UDP) => return (*own).udpv6_protocol.handler,
            (Family::Ipv6, TCP) => return (*own).tcpv6_protocol.handler,
            (Family::Ipv6, _) => {
                let found = (&raw const bindings::inet6_protos[place]).read_volatile();
                let found = found.as_ref().filter(|found| found.flags & FREE == FREE)?;
                found.handler
            }
        };
        Some(handler.unwrap_unchecked())
    }
}

impl SkBuff {
    /// What takes the packet, if nothing but hooks comes before that: no raw sockets, no IPsec, no
    /// copy of what the sender still owns.
    #[inline(always)]
    fn direct(
        &self,
        family: Family,
        protocol: u8,
        namespace: &Namespace,
        rcu: ReadSide<'_>,
    ) -> Option<Handler> {
        if self.is_zero_copy() || has_raw_sockets(namespace, family, protocol, rcu) {
            return None;
        }
        handler(family, protocol, rcu)
    }

    /// Whether [`Self::deliver`] would give a packet to the protocol at once, if no hooks are before
    /// the sockets of this namespace.
    pub(crate) fn is_direct(
        &self,
        family: Family,
        protocol: u8,
        namespace: &Namespace,
        rcu: ReadSide<'_>,
    ) -> bool {
        self.direct(family, protocol, namespace, rcu).is_some()
    }

    /// Gives the packet to its transport protocol at once, if nothing that comes in between has
    /// anything to do with it: hooks before the sockets, which the caller says with `direct` that
    /// there are none of, raw sockets, IPsec. Otherwise it is sent the way of its route, which is
    /// local delivery. C: `ip_local_deliver()`, `ip6_input()`.
    ///
    /// The packet must begin with a plain header of `family`, in its linear part: one that was found
    /// there by its version, without options or extensions. It must have its device and its route.
    #[inline(always)]
    pub(crate) fn deliver(self, family: Family, protocol: u8, direct: bool, bh: BottomHalf<'_>) {
        let Some(handler) = self.direct_here(family, protocol, direct, bh) else {
            self.follow_route(bh);
            return;
        };
        let hand_over: HandOver = match family {
            Family::Ipv4 => bindings::passthru_helper_ip_hand_over,
            Family::Ipv6 => bindings::passthru_helper_ip6_hand_over,
        };
        // SAFETY: the skb is valid and ours, and has its device, and softirqs are disabled. By this
        // function's contract a plain header lies in the linear part, so that as much can be taken off,
        // and by IPv6 there is a route.
        unsafe {
            let skb = self.into_raw();
            taken(family, skb, hand_over(skb, Some(handler)), bh);
        }
    }

    /// As [`Self::direct`], in the namespace where the packet is.
    #[inline(always)]
    fn direct_here(
        &self,
        family: Family,
        protocol: u8,
        direct: bool,
        bh: BottomHalf<'_>,
    ) -> Option<Handler> {
        if !direct {
            return None;
        }
        let rcu = bh.read_side();
        // SAFETY: the packet has its device, which exists.
        let dev = unsafe { NetDevice::from_raw(self.raw_dev().read()) };
        self.direct(family, protocol, dev.namespace(rcu), rcu)
    }

    /// As [`Self::enter_ipv4`], or the same for IPv6, and then, by the local route `dst`,
    /// [`Self::deliver`] at once. Nothing may stand before the sockets.
    ///
    /// The packet must begin with a plain header of `family`, in its linear part, of which `header` is
    /// the summary; that also says whether the packet has a route by now, which it then loses. `dst`
    /// must be one of `family`, of the namespace of `dev`.
    #[inline(always)]
    pub(crate) fn arrive(
        self,
        family: Family,
        dev: &NetDevice,
        dst: Dst<'_>,
        header: Summary,
        traffic: Traffic<'_>,
        bh: BottomHalf<'_>,
    ) {
        let Some(handler) = self.final_handler(family, header, bh) else {
            return self.arrive_by_route(family, dev, dst, header, traffic, None, bh);
        };
        let arrive: Arrive = match family {
            Family::Ipv4 => bindings::passthru_helper_ip_arrive,
            Family::Ipv6 => bindings::passthru_helper_ip6_arrive,
        };
        let (counters, amount) = (traffic.counters(), traffic.amount());
        let (to, route) = (dev.as_raw(), dst.as_raw());
        // SAFETY: the skb is valid and ours, and by this function's contract begins with a plain header
        // in its linear part, so that as much can be taken off. The device, the counters and, until the
        // read-side critical section ends, the route exist, which is one of the family; softirqs are
        // disabled. Where raw sockets come first nothing was done.
        unsafe {
            let skb = self.into_raw();
            let answer = arrive(skb, to, route, header, counters, amount, Some(handler));
            if answer == RAW_SOCKETS {
                let skb = SkBuff::from_raw(skb);
                return skb.arrive_by_route(family, dev, dst, header, traffic, None, bh);
            }
            taken(family, skb, answer, bh);
        }
    }

    /// As [`Self::arrive`], with all that is asked for there, for a packet whose socket is known.
    #[inline(always)]
    // All that is known of the packet, in registers.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn arrive_at(
        self,
        connection: Connection<'_>,
        family: Family,
        dev: &NetDevice,
        dst: Dst<'_>,
        header: Summary,
        traffic: Traffic<'_>,
        bh: BottomHalf<'_>,
    ) {
        let Some(handler) = self.final_handler(family, header, bh) else {
            return self.arrive_by_route(family, dev, dst, header, traffic, Some(connection), bh);
        };
        let arrive: ArriveAt = match family {
            Family::Ipv4 => bindings::passthru_helper_ip_arrive_at,
            Family::Ipv6 => bindings::passthru_helper_ip6_arrive_at,
        };
        let (counters, amount) = (traffic.counters(), traffic.amount());
        let (to, route) = (dev.as_raw(), dst.as_raw());
        let (sk, destructor) = connection.as_raw();
        let (handler, destructor) = (Some(handler), Some(destructor));
        // SAFETY: as in `arrive()`. The reference to the socket, if it is counted, passes to the skb,
        // which has none once it has entered.
        unsafe {
            let skb = self.into_raw();
            let answer = arrive(
                skb, to, route, header, counters, amount, handler, sk, destructor,
            );
            if answer == RAW_SOCKETS {
                let (skb, connection) = (SkBuff::from_raw(skb), Some(connection));
                return skb.arrive_by_route(family, dev, dst, header, traffic, connection, bh);
            }
            mem::forget(connection);
            taken(family, skb, answer, bh);
        }
    }

    /// What takes packets of the protocol, if that may have this one.
    #[inline(always)]
    fn final_handler(
        &self,
        family: Family,
        header: Summary,
        bh: BottomHalf<'_>,
    ) -> Option<Handler> {
        let found = handler(family, header.protocol, bh.read_side());
        found.filter(|_| !self.is_zero_copy())
    }

    /// As [`Self::arrive`] or [`Self::arrive_at`], where there may be more between.
    #[cold]
    #[inline(never)]
    #[allow(clippy::too_many_arguments)]
    fn arrive_by_route(
        mut self,
        family: Family,
        dev: &NetDevice,
        dst: Dst<'_>,
        header: Summary,
        traffic: Traffic<'_>,
        connection: Option<Connection<'_>>,
        bh: BottomHalf<'_>,
    ) {
        match family {
            Family::Ipv4 => self.enter_ipv4(dev, header.tos, traffic, bh),
            Family::Ipv6 => self.enter_ipv6(dev, header.tos, traffic, bh),
        }
        if let Some(connection) = connection {
            connection.attach(&mut self);
        }
        self.set_dst(dst);
        self.deliver(family, header.protocol, true, bh);
    }
}

/// Raw sockets come first: the table's place for them is not empty.
const RAW_SOCKETS: c_int = bindings::PASSTHRU_RAW_SOCKETS as c_int;

type Arrive = unsafe extern "C" fn(
    skb: *mut bindings::sk_buff,
    dev: *mut bindings::net_device,
    dst: *mut bindings::dst_entry,
    header: Summary,
    counters: *mut c_ulong,
    amount: c_ulong,
    handler: Option<Handler>,
) -> c_int;

type ArriveAt = unsafe extern "C" fn(
    skb: *mut bindings::sk_buff,
    dev: *mut bindings::net_device,
    dst: *mut bindings::dst_entry,
    header: Summary,
    counters: *mut c_ulong,
    amount: c_ulong,
    handler: Option<Handler>,
    sk: *mut bindings::sock,
    destructor: Option<Destructor>,
) -> c_int;

type HandOver =
    unsafe extern "C" fn(skb: *mut bindings::sk_buff, handler: Option<Handler>) -> c_int;

/// What a protocol said of a packet that it was given. UDP, which has taken its header off, may say
/// which protocol is inside, by IPv4 as a negative number. C: `ip_protocol_deliver_rcu()`,
/// `ip6_protocol_deliver_rcu()`.
///
/// # Safety
///
/// `skb` is the packet, and `answer` what its handler said.
#[inline(always)]
unsafe fn taken(family: Family, skb: *mut bindings::sk_buff, answer: c_int, bh: BottomHalf<'_>) {
    if answer == 0 {
        return;
    }
    if let Some(protocol) = inside(family, answer) {
        // SAFETY: by the caller's promise; of a packet that is to begin again the handler gave back
        // its reference.
        unsafe { SkBuff::from_raw(skb) }.resubmit(family, protocol, bh);
    }
}

/// The protocol that a packet is to begin again with, if a handler's answer says so.
#[inline(always)]
fn inside(family: Family, answer: c_int) -> Option<u8> {
    let protocol = match family {
        Family::Ipv4 => answer.wrapping_neg(),
        Family::Ipv6 => answer,
    };
    (protocol > 0).then_some(protocol as u8)
}

impl SkBuff {
    /// The packet begins with what was inside. Hooks before the sockets were passed, or passed by,
    /// before it was unwrapped. They are asked again only where others than a handler have to do with
    /// it, with all else that stands there.
    #[cold]
    #[inline(never)]
    fn resubmit(mut self, family: Family, mut protocol: u8, bh: BottomHalf<'_>) {
        loop {
            let Some(handler) = self.direct_here(family, protocol, true, bh) else {
                return self.resubmit_by_route(family, protocol);
            };
            let give: HandOver = match family {
                Family::Ipv4 => bindings::passthru_helper_ip_give,
                Family::Ipv6 => bindings::passthru_helper_ip6_give,
            };
            // SAFETY: the skb is valid and ours, and begins with what the handler takes; of one that is
            // to begin again it gives back its reference.
            self = unsafe {
                let skb = self.into_raw();
                match inside(family, give(skb, Some(handler))) {
                    Some(next) => protocol = next,
                    None => return,
                }
                SkBuff::from_raw(skb)
            };
        }
    }

    /// Where others than a handler have to do with the packet: all of the way to the sockets.
    fn resubmit_by_route(mut self, family: Family, protocol: u8) {
        let len = self.network_header_len();
        let Some(len) = len.filter(|&len| self.push(len)) else {
            return self.drop_with(DropReason::IP_INHDR);
        };
        let written = match family {
            Family::Ipv4 => self
                .own_bytes()
                .map(|header| ipv4::set_protocol(header, protocol)),
            Family::Ipv6 => self
                .own_bytes()
                .map(|header| ipv6::set_protocol(header, protocol)),
        };
        if written.is_err() {
            return self.drop_with(DropReason::NOMEM);
        }
        let skb = self.into_raw();
        // SAFETY: the skb is valid and begins with its header again, has its device and its route;
        // its reference passes to the callee. What is added to the sum is what IPv6 takes off again.
        unsafe {
            match family {
                Family::Ipv4 => bindings::ip_local_deliver(skb),
                Family::Ipv6 => {
                    bindings::passthru_helper_skb_postpush_rcsum(skb, (*skb).data.cast(), len);
                    bindings::ip6_input(skb)
                }
            }
        };
    }
}
