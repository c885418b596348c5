// SPDX-License-Identifier: GPL-2.0

//! IPv6: headers, routes, and what decides over them.
//!
//! C headers: `include/net/ipv6.h`, `include/net/ip6_fib.h`, `include/net/ip6_route.h`.

use super::{
    context::{BottomHalf, ReadSide},
    device::NetDevice,
    dst::Dst,
    namespace::Namespace,
    skb::SkBuff,
    TCP, UDP,
};
use crate::net::bindings;
use core::{ptr, ptr::NonNull};
use kernel::prelude::*;

/// Bytes of the fixed header.
pub(crate) const HEADER_LEN: u32 = 40;

/// An address, as on the wire.
pub(crate) type Address = [u64; 2];

/// A header of a packet that carries its payload right behind it.
#[derive(Clone, Copy)]
pub(crate) struct Header {
    /// Where from.
    pub(crate) saddr: Address,
    /// Where to.
    pub(crate) daddr: Address,
    /// The first word, as on the wire: version, traffic class and flow label.
    first: u32,
    /// What it carries.
    pub(crate) protocol: u8,
    /// Bytes of the packet, by its own account.
    pub(crate) len: u32,
}

/// Headers that say more about the packet: hop-by-hop, routing, fragment, destination options,
/// mobility, host identity, shim.
const EXTENSIONS: [u8; 7] = [0, 43, 44, 60, 135, 139, 140];

impl Header {
    /// The header of a packet whose data begins with it; none for what has extension headers, or
    /// does not lie in the linear part.
    #[inline(always)]
    pub(crate) fn plain(skb: &SkBuff) -> Option<Self> {
        let header = Self::read(skb.linear())?;
        // Most are of one of the two, which takes the least to tell.
        let plain = matches!(header.protocol, TCP | UDP) || may_be_plain(skb, header.protocol);
        (plain && header.is_ipv6()).then_some(header)
    }

    /// As [`Self::plain`], for what has extension headers, and nothing else.
    pub(crate) fn extended(skb: &SkBuff) -> Option<Self> {
        Self::read(skb.linear())
            .filter(|header| header.is_ipv6() && EXTENSIONS.contains(&header.protocol))
    }

    /// As [`Self::plain`], for what has extension headers or has none.
    pub(crate) fn any(skb: &SkBuff) -> Option<Self> {
        Self::read(skb.linear()).filter(Self::is_ipv6)
    }

    /// The header of TCP or UDP, in bytes that begin with it.
    pub(crate) fn plain_in(bytes: &[u8]) -> Option<Self> {
        let header = Self::read(bytes)?;
        (header.is_ipv6() && matches!(header.protocol, TCP | UDP)).then_some(header)
    }

    /// What lies there, of whatever version.
    #[inline(always)]
    fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_LEN as usize] = bytes.first_chunk()?;
        let half = |at: usize| bytes[at..at + 8].try_into().map_or(0, u64::from_ne_bytes);
        Some(Self {
            first: bytes[..4].try_into().map_or(0, u32::from_ne_bytes),
            saddr: [half(8), half(16)],
            daddr: [half(24), half(32)],
            protocol: bytes[6],
            len: HEADER_LEN + u32::from(u16::from_be_bytes([bytes[4], bytes[5]])),
        })
    }

    #[inline(always)]
    fn is_ipv6(&self) -> bool {
        const FIELD: u32 = u32::from_ne_bytes([0xf0, 0, 0, 0]);
        const IPV6: u32 = u32::from_ne_bytes([0x60, 0, 0, 0]);
        self.first & FIELD == IPV6
    }

    /// Traffic class and flow label. C: `ip6_flowinfo()`.
    #[inline(always)]
    pub(crate) fn flow(&self) -> u32 {
        flow_in(self.first)
    }

    /// Its traffic class. C: `ipv6_get_dsfield()`.
    #[inline(always)]
    pub(crate) fn traffic_class(&self) -> u8 {
        (u32::from_be(self.first) >> 20) as u8
    }

    /// Whether the packet goes from one host's address to another's, neither of which depends on
    /// the link.
    pub(crate) fn is_global(&self) -> bool {
        is_global(self.saddr) && is_global(self.daddr)
    }

    /// As [`Self::plain`], for a packet that no one has checked yet; none also for one that the
    /// kernel's input would refuse. C: `ip6_rcv_core()`.
    #[inline(always)]
    pub(crate) fn checked(skb: &SkBuff) -> Option<Self> {
        Self::plain(skb).filter(|header| header.len <= skb.len())
    }

    /// As [`Self::checked`], for a packet that stands for many: whoever makes such writes how long it
    /// is, or nothing where the field cannot say that. Nobody cuts it. C: `ipv6_set_payload_len()`.
    pub(crate) fn of_many(skb: &SkBuff) -> Option<Self> {
        Self::plain(skb).filter(|header| match header.len {
            HEADER_LEN => header.protocol == TCP && skb.len() - HEADER_LEN > u16::MAX.into(),
            len => len == skb.len(),
        })
    }

    /// Whether the two go the same way, as far as that is a matter of headers.
    pub(crate) fn routes_as(&self, other: &Self) -> bool {
        (self.saddr, self.daddr, self.first) == (other.saddr, other.daddr, other.first)
    }
}

/// [`Header::flow`], of a header of any kind.
pub(crate) fn flow_of(header: &[u8; HEADER_LEN as usize]) -> u32 {
    let [a, b, c, d, ..] = *header;
    flow_in(u32::from_ne_bytes([a, b, c, d]))
}

#[inline(always)]
fn flow_in(first: u32) -> u32 {
    u32::from_be(first) & 0x0fff_ffff
}

/// Whether a packet that carries this has no more headers of IPv6, and says nothing about the link.
#[inline(never)]
fn may_be_plain(skb: &SkBuff, protocol: u8) -> bool {
    match protocol {
        ICMPV6 => !may_be_of_link(skb),
        other => !EXTENSIONS.contains(&other),
    }
}

/// The destination of a packet whose data begins with a header of any kind; none where that does
/// not lie in the linear part.
#[inline(always)]
pub(crate) fn destination_of(skb: &SkBuff) -> Option<Address> {
    let bytes: &[u8; HEADER_LEN as usize] = skb.linear().first_chunk()?;
    let half = |at: usize| bytes[at..at + 8].try_into().map_or(0, u64::from_ne_bytes);
    Some([half(24), half(32)])
}

/// Changes what a header says that the packet carries.
pub(super) fn set_protocol(header: &mut [u8; HEADER_LEN as usize], protocol: u8) {
    header[6] = protocol;
}

/// Counts a hop in a header; `false` where it was the last.
pub(super) fn count_hop(header: &mut [u8; HEADER_LEN as usize]) -> bool {
    let [_, _, _, _, _, _, _, hops, ..] = header;
    let more = *hops > 1;
    if more {
        *hops -= 1;
    }
    more
}

/// ICMPv6.
const ICMPV6: u8 = 58;

/// Whether a packet, of which the stack has checked the header, comes from an address of the link.
pub(crate) fn is_from_link(skb: &SkBuff) -> bool {
    let source = skb
        .linear()
        .get(8..16)
        .and_then(|half| half.try_into().ok());
    source.is_none_or(|half| is_of_link([u64::from_ne_bytes(half), 0]))
}

/// Whether a packet, of which the stack has checked the header, is one of neighbour discovery,
/// whatever headers are before that. C: `ipv6_find_hdr()`.
pub(crate) fn is_discovery(skb: &SkBuff) -> bool {
    icmp_type(skb, 0).is_some_and(|kind| (133..=137).contains(&kind))
}

/// Whether a packet with an IPv6 header at `at`, which lies in the linear part, tells others where
/// to send theirs: a router's advertisement, or a redirect. Or it cannot be told, without memory.
pub(crate) fn is_routers(skb: &mut SkBuff, at: usize) -> bool {
    const NEXT_HEADER: usize = 6;
    if matches!(skb.linear().get(at + NEXT_HEADER), Some(&(TCP | UDP))) {
        return false;
    }
    // What its sender may still write is not what was looked at when others read it: not before it
    // is copied. Pages of a packet socket's ring are such.
    if !skb.may_pull(skb.len()) {
        return true;
    }
    if at == 0 {
        skb.reset_network_header();
    }
    matches!(icmp_type(skb, at as c_uint), Some(134 | 137))
}

/// The type of an ICMPv6 packet, whatever headers are before it; none if it is no such packet. Its
/// header is at `at`, or if that is 0 where the packet's network header is.
fn icmp_type(skb: &SkBuff, at: c_uint) -> Option<u8> {
    let (mut at, any, none) = (at, -1, ptr::null_mut());
    // SAFETY: the skb is valid. The function only reads it, and only where it has something.
    let found = unsafe { bindings::ipv6_find_hdr(skb.as_raw(), &mut at, any, none, none.cast()) };
    (found == c_int::from(ICMPV6))
        .then(|| skb.byte(at))
        .flatten()
}

/// Whether an ICMPv6 packet is one of those of neighbour discovery, or it cannot be told. They are
/// believed because their hop limit shows that no router forwarded them, and a shortcut leaves it
/// as it is. Those that ask or tell who listens to groups are the link's too, and tracking leaves them
/// alone, so that FORWARD has to see them all. C: `noct_valid_new`.
fn may_be_of_link(skb: &SkBuff) -> bool {
    let kind = skb.linear().get(HEADER_LEN as usize);
    kind.is_none_or(|kind| matches!(kind, 130..=137 | 143 | 151 | 152))
}

impl SkBuff {
    /// Whether the stack has put the packet together from fragments, which are to be as they were where
    /// it is sent on. C: `ip6_pkt_too_big()`.
    pub(crate) fn was_ipv6_fragments(&self) -> bool {
        // SAFETY: the skb is valid, and the stack, whose its control block is, has noted that, or that
        // there is nothing to note.
        unsafe {
            let control = &raw const (*self.as_raw()).cb;
            (*control.cast::<bindings::inet6_skb_parm>()).frag_max_size != 0
        }
    }
}

/// Whether an address is one of the link: then it means nothing elsewhere.
pub(crate) fn is_of_link(address: Address) -> bool {
    u64::from_be(address[0]) >> 54 == 0xfe80 >> 6
}

/// Whether an address is one of those that hosts commonly have, so that it need not be looked at
/// more closely: none with special beginnings, of the link's scope, or multicast. C: `ip6_rcv_core()`,
/// `ipv6_addr_type()`.
#[inline(always)]
pub(crate) fn is_ordinary(address: Address) -> bool {
    let [first, ..] = address[0].to_ne_bytes();
    (0x01..0xfe).contains(&first)
}

/// Whether an address may be one host's anywhere: not multicast, link-local, loopback or none.
fn is_global(address: Address) -> bool {
    let first = u64::from_be(address[0]);
    let multicast = first >> 56 == 0xff;
    let small = first == 0 && u64::from_be(address[1]) <= 1;
    !multicast && !is_of_link(address) && !small
}

impl NetDevice {
    /// What the device has of IPv6, if that is not switched off there. C: `ip6_rcv_core()`.
    #[inline(always)]
    pub(crate) fn ipv6<'r>(&'r self, rcu: ReadSide<'r>) -> Option<Part<'r>> {
        let part = self.part(rcu)?;
        // SAFETY: by the type's invariant; a single load.
        let is_off = unsafe { (&raw const (*part.own.as_ptr()).cnf.disable_ipv6).read_volatile() };
        (is_off == 0).then_some(part)
    }

    /// What the device has of IPv6, switched off or not.
    #[inline(always)]
    fn part<'r>(&'r self, rcu: ReadSide<'r>) -> Option<Part<'r>> {
        // SAFETY: the device exists; a single load.
        let own = unsafe { (&raw const (*self.as_raw()).ip6_ptr).read_volatile() };
        // INVARIANT: what a device has of IPv6 is freed a grace period after it is taken away, and the
        // namespace goes later than its devices.
        Some(Part {
            own: NonNull::new(own)?,
            namespace: self.namespace(rcu),
        })
    }

    /// Whether packets that come in by the device are forwarded, where it has IPv6. See
    /// [`NetDevice::ipv4_forwards`].
    #[inline(always)]
    pub(crate) fn ipv6_forwards(&self, rcu: ReadSide<'_>) -> bool {
        self.part(rcu).is_some_and(Part::forwards)
    }
}

/// What a device has of IPv6, for an RCU read-side critical section.
///
/// # Invariants
///
/// `own` is there, and so is what `namespace` has of IPv6, in which the device is.
#[derive(Clone, Copy)]
pub(crate) struct Part<'r> {
    own: NonNull<bindings::inet6_dev>,
    namespace: &'r Namespace,
}

impl<'r> Part<'r> {
    /// The namespace that the device is in.
    #[inline(always)]
    pub(crate) fn namespace(self) -> &'r Namespace {
        self.namespace
    }

    /// The state of routes, as [`Namespace::ipv6_state`] has it.
    #[inline(always)]
    pub(crate) fn state(self) -> u32 {
        // SAFETY: by the type's invariant.
        unsafe { self.namespace.known_ipv6_state() }
    }

    /// Whether packets that come in by the device are forwarded. See [`NetDevice::ipv4_forwards`].
    #[inline(always)]
    pub(crate) fn forwards(self) -> bool {
        // SAFETY: by the type's invariant; single loads.
        unsafe {
            self.namespace.ipv6_forwards()
                || (&raw const (*self.own.as_ptr()).cnf.force_forwarding).read_volatile() != 0
        }
    }
}

impl Namespace {
    /// Whether routes depend on more than addresses, flow, input device and mark.
    #[inline(always)]
    pub(crate) fn ipv6_rules_look_deeper(&self) -> bool {
        // SAFETY: the namespace exists; a single load.
        unsafe {
            (&raw const (*self.as_raw()).ipv6.fib6_rules_require_fldissect).read_volatile() != 0
        }
    }

    /// Whether there are rules besides those that every namespace begins with.
    #[inline(always)]
    pub(crate) fn ipv6_has_rules(&self) -> bool {
        // SAFETY: as above.
        unsafe { (&raw const (*self.as_raw()).ipv6.fib6_has_custom_rules).read_volatile() }
    }

    /// Whether there are routes for packets from some sources only.
    #[cfg(CONFIG_IPV6_SUBTREES)]
    #[inline(always)]
    pub(crate) fn ipv6_has_source_routes(&self) -> bool {
        // SAFETY: as above.
        unsafe { (&raw const (*self.as_raw()).ipv6.fib6_routes_require_src).read_volatile() != 0 }
    }

    #[cfg(not(CONFIG_IPV6_SUBTREES))]
    #[inline(always)]
    pub(crate) fn ipv6_has_source_routes(&self) -> bool {
        false
    }

    /// A number that changes with rules, and with each route that is added to whatever table or
    /// removed from it: to be read before routes are asked, and to have settled by then, as both
    /// happen before or after it changes. A sum of what only grows. C: `rt_genid_ipv6()`,
    /// `fib6_del_route()`.
    ///
    /// A cookie tells of the part of a table that its route was found in. But another table may come
    /// first, and where a route by source goes the kernel finds others again that it had passed over
    /// for that.
    #[inline(always)]
    pub(crate) fn ipv6_state(&self) -> u32 {
        // SAFETY: as above; the statistics are there as long as the namespace has IPv6.
        unsafe {
            let stats = (*self.as_raw()).ipv6.rt6_stats;
            if stats.is_null() {
                return 0;
            }
            self.known_ipv6_state()
        }
    }

    /// As [`Self::ipv6_state`].
    ///
    /// # Safety
    ///
    /// The namespace must have IPv6.
    #[inline(always)]
    unsafe fn known_ipv6_state(&self) -> u32 {
        // SAFETY: the namespace exists, and by the caller's promise its statistics do; single loads.
        unsafe {
            let ipv6 = &raw const (*self.as_raw()).ipv6;
            let added = (&raw const (*ipv6).fib6_sernum.counter).read_volatile() as u32;
            let removed = &raw const (*(*ipv6).rt6_stats).fib_discarded_routes;
            added.wrapping_add(removed.read_volatile())
        }
    }

    /// Whether packets are forwarded unless a device says otherwise.
    ///
    /// # Safety
    ///
    /// The namespace must have IPv6, as one has of which there is a route.
    #[inline(always)]
    pub(super) unsafe fn ipv6_forwards(&self) -> bool {
        // SAFETY: the namespace exists, and by the caller's promise its switches do; a single load.
        unsafe { (&raw const (*(*self.as_raw()).ipv6.devconf_all).forwarding).read_volatile() != 0 }
    }
}

impl SkBuff {
    /// Finds the way of a packet as one that came in by the device that it has, and gives it that
    /// route, which may be one that refuses it. C: `ip6_route_input()`.
    pub(crate) fn route_ipv6<'r>(&mut self, bh: BottomHalf<'r>) -> Option<Dst<'r>> {
        // SAFETY: the skb is valid and ours, begins with an IPv6 header, and has its device.
        unsafe { bindings::ip6_route_input(self.as_raw()) };
        self.dst(bh.read_side())
    }

    /// As [`Self::route_ipv6`], as if the packet had come in by `dev`.
    pub(crate) fn route_ipv6_by<'r>(
        &mut self,
        dev: &NetDevice,
        bh: BottomHalf<'r>,
    ) -> Option<Dst<'r>> {
        let place = self.raw_dev();
        // SAFETY: the skb is valid and ours; its own device is put back before anybody looks.
        let kept = unsafe { place.replace(dev.as_raw()) };
        let dst = self.route_ipv6(bh);
        // SAFETY: as above.
        unsafe { place.write(kept) };
        dst
    }
}
