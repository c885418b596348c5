// SPDX-License-Identifier: GPL-2.0

//! IPv4: headers, routes, and what decides over them.
//!
//! C headers: `include/net/ip.h`, `include/net/route.h`, `include/net/ip_fib.h`.

pub(crate) use super::routes::destination_ipv4 as destination;
use super::{
    context::{BottomHalf, ReadSide},
    device::NetDevice,
    dst::Dst,
    namespace::Namespace,
    skb::{DropReason, SkBuff},
    TCP,
};
use crate::net::bindings;
use kernel::{error::to_result, prelude::*};

/// Bytes of a header without options.
pub(crate) const HEADER_LEN: u32 = 20;
/// Words of 32 bits of that.
const WORDS: usize = 5;
/// Version 4, and the number of words.
const PLAIN: u8 = 0x40 | WORDS as u8;
/// More fragments, and where this one belongs.
const FRAGMENT: u32 = 0x3fff;
/// The bits of the type of service that routes look at. C: `INET_DSCP_MASK`.
const DSCP: u8 = 0xfc;

/// A header without options, of a packet that is not a fragment. Addresses are as on the wire.
#[derive(Clone, Copy)]
pub(crate) struct Header {
    /// Where from.
    pub(crate) saddr: u32,
    /// Where to.
    pub(crate) daddr: u32,
    /// DSCP and ECN.
    pub(crate) tos: u8,
    /// What it carries.
    pub(crate) protocol: u8,
    /// Bytes of the packet, by its own account.
    pub(crate) len: u16,
}

impl Header {
    /// The header of a packet whose data begins with it; none for what has options, is a fragment,
    /// or does not lie in the linear part.
    #[inline(always)]
    pub(crate) fn plain(skb: &SkBuff) -> Option<Self> {
        Self::read(&words(skb)?)
    }

    /// As [`Self::plain`], for bytes that begin with a header.
    pub(crate) fn plain_in(bytes: &[u8]) -> Option<Self> {
        Self::read(&words_in(bytes)?)
    }

    /// As [`Self::plain`], for a packet that no one has checked yet; none also for one that the
    /// kernel's input would refuse. C: `ip_rcv_core()`.
    #[inline(always)]
    pub(crate) fn checked(skb: &SkBuff) -> Option<Self> {
        let words = words(skb)?;
        let header = Self::read(&words)?;
        // The header is there, so a length that is too small wraps to one that is too large.
        let payload = u32::from(header.len).wrapping_sub(HEADER_LEN);
        let whole = payload <= skb.len().wrapping_sub(HEADER_LEN);
        (whole && sums_up(&words)).then_some(header)
    }

    /// As [`Self::checked`], for a packet that stands for many: whoever makes such writes how long it
    /// is, or nothing where the field cannot say that. Nobody cuts it. C: `iph_set_totlen()`.
    pub(crate) fn of_many(skb: &SkBuff) -> Option<Self> {
        let words = words(skb)?;
        let header = Self::read(&words)?;
        let whole = match header.len {
            0 => header.protocol == TCP && skb.len() > u16::MAX.into(),
            len => u32::from(len) == skb.len(),
        };
        (whole && sums_up(&words)).then_some(header)
    }

    /// The header of a packet without options, which may be a fragment.
    pub(crate) fn part(skb: &SkBuff) -> Option<Self> {
        let words = words(skb)?;
        let [version, ..] = words[0].to_ne_bytes();
        (version == PLAIN).then(|| Self::of(&words))
    }

    /// The header of a fragment, or of a packet with options, and of no other.
    pub(crate) fn extended(skb: &SkBuff) -> Option<Self> {
        let words = words(skb)?;
        let [version, ..] = words[0].to_ne_bytes();
        let extended = version >> 4 == PLAIN >> 4 && Self::read(&words).is_none();
        extended.then(|| Self::of(&words))
    }

    /// The header of any packet that begins with one: what it has besides is not told.
    pub(crate) fn any(skb: &SkBuff) -> Option<Self> {
        Some(Self::of(&words(skb)?))
    }

    #[inline(always)]
    fn read(words: &[u32; WORDS]) -> Option<Self> {
        let [version, ..] = words[0].to_ne_bytes();
        let plain = version == PLAIN && words[1] & FRAGMENT.to_be() == 0;
        plain.then(|| Self::of(words))
    }

    #[inline(always)]
    fn of(words: &[u32; WORDS]) -> Self {
        let [first, _, third, saddr, daddr] = *words;
        let [_, tos, len @ ..] = first.to_ne_bytes();
        let [_, protocol, ..] = third.to_ne_bytes();
        Self {
            saddr,
            daddr,
            tos,
            protocol,
            len: u16::from_be_bytes(len),
        }
    }

    /// Whether the destination stands for more than one host: multicast, limited broadcast.
    pub(crate) fn is_to_many(&self) -> bool {
        u32::from_be(self.daddr) >> 29 == 7
    }

    /// Whether the destination is one that no packet may come in for: of the first net, or loopback.
    pub(crate) fn is_to_this_host(&self) -> bool {
        let [first, ..] = self.daddr.to_ne_bytes();
        matches!(first, 0 | 127)
    }

    /// The header of a packet that goes back where this one comes from.
    pub(crate) fn back(&self) -> Self {
        Self {
            saddr: self.daddr,
            daddr: self.saddr,
            ..*self
        }
    }

    /// Whether the two go the same way, as far as that is a matter of headers.
    pub(crate) fn routes_as(&self, other: &Self) -> bool {
        (self.saddr, self.daddr, self.dscp()) == (other.saddr, other.daddr, other.dscp())
    }

    /// The bits of the type of service that routes look at.
    #[inline(always)]
    pub(crate) fn dscp(&self) -> u8 {
        self.tos & DSCP
    }
}

/// The destination and DSCP of a packet whose data begins with a header of any kind; none where
/// that does not lie in the linear part.
#[inline(always)]
pub(crate) fn destination_of(skb: &SkBuff) -> Option<(u32, u8)> {
    let [first, .., daddr] = words(skb)?;
    let [_, tos, ..] = first.to_ne_bytes();
    Some((daddr, tos & DSCP))
}

/// The header's words, as they lie there: each is read once.
#[inline(always)]
fn words(skb: &SkBuff) -> Option<[u32; WORDS]> {
    words_in(skb.linear())
}

#[inline(always)]
fn words_in(bytes: &[u8]) -> Option<[u32; WORDS]> {
    let bytes: &[u8; HEADER_LEN as usize] = bytes.first_chunk()?;
    // SAFETY: as many bytes as were just found. They are aligned in no particular way.
    Some(unsafe { bytes.as_ptr().cast::<[u32; WORDS]>().read_unaligned() })
}

/// Whether the header is as it was sent: then its halves of words add up to all ones, with what is
/// carried out at one end coming in at the other. That is the sum modulo 0xffff, for halves and
/// words alike, and never zero of a header that says its version.
#[inline(always)]
fn sums_up(words: &[u32; WORDS]) -> bool {
    let sum: u64 = words.iter().map(|word| u64::from(*word)).sum();
    sum % 0xffff == 0
}

/// Changes what a header says that the packet carries.
pub(super) fn set_protocol(header: &mut [u8; HEADER_LEN as usize], protocol: u8) {
    header[9] = protocol;
}

/// Counts a hop in a header; `false` where it was the last. C: `ip_decrease_ttl()`.
pub(super) fn count_hop(header: &mut [u8; HEADER_LEN as usize]) -> bool {
    let [_, _, _, _, _, _, _, _, hops, _, sum @ ..] = header;
    if *hops <= 1 {
        return false;
    }
    *hops -= 1;
    // What the half of a word that begins with the hops shrinks by its complement grows by. All ones
    // are as much as zero, of which the former is not sent.
    let [upper, lower, ..] = sum;
    let grown = u32::from(u16::from_be_bytes([*upper, *lower])) + 0x0100;
    [*upper, *lower] = ((grown + u32::from(grown >= 0xffff)) as u16).to_be_bytes();
    true
}

/// A switch of a device or of all of them. C: `IPV4_DEVCONF_*`.
///
/// # Safety
///
/// `conf` must be valid and `number` one of its switches.
#[inline(always)]
unsafe fn switch(conf: *const bindings::ipv4_devconf, number: u32) -> i32 {
    // SAFETY: by the caller's promise.
    unsafe { (&raw const (*conf).data[number as usize - 1]).read_volatile() }
}

impl NetDevice {
    /// Whether packets that come in by this device are forwarded; none where it has no IPv4.
    ///
    /// Turning a switch need not change the generation of routes (before Linux 7.3 it does not
    /// where netlink turns it), so who remembers a route that one had a say in must ask again.
    #[inline(always)]
    pub(crate) fn ipv4_forwards(&self, _rcu: ReadSide<'_>) -> Option<bool> {
        // SAFETY: the device exists; what it points to is freed after a grace period.
        unsafe {
            let in_dev = (&raw const (*self.as_raw()).ip_ptr).read_volatile();
            if in_dev.is_null() {
                return None;
            }
            let own = &raw const (*in_dev).cnf;
            Some(switch(own, bindings::IPV4_DEVCONF_FORWARDING) != 0)
        }
    }

    /// Whether [`Self::ipv4_checks`] are [`Checks::NONE`] for a packet without a mark.
    pub(crate) fn ipv4_checks_nothing(&self, namespace: &Namespace, _rcu: ReadSide<'_>) -> bool {
        use bindings::{IPV4_DEVCONF_ACCEPT_LOCAL, IPV4_DEVCONF_RP_FILTER};
        // SAFETY: as above; the namespace's own switches are freed with the namespace.
        unsafe {
            let in_dev = (&raw const (*self.as_raw()).ip_ptr).read_volatile();
            if in_dev.is_null() {
                return false;
            }
            let own = &raw const (*in_dev).cnf;
            let all = (*namespace.as_raw()).ipv4.devconf_all;
            let either = |number| switch(own, number) | switch(all, number);
            either(IPV4_DEVCONF_RP_FILTER) | either(IPV4_DEVCONF_ACCEPT_LOCAL) == 0
        }
    }

    /// How this device checks where packets come from: with the same answer, the same source is
    /// let in. None where the device has no IPv4. `mark` is the packet's, which one of the
    /// switches is about; `namespace` is the device's.
    pub(crate) fn ipv4_checks(
        &self,
        namespace: &Namespace,
        mark: u32,
        _rcu: ReadSide<'_>,
    ) -> Option<Checks> {
        use bindings::{IPV4_DEVCONF_ACCEPT_LOCAL, IPV4_DEVCONF_RP_FILTER, IPV4_DEVCONF_SRC_VMARK};
        // SAFETY: as above; the namespace's own switches are freed with the namespace.
        unsafe {
            let in_dev = (&raw const (*self.as_raw()).ip_ptr).read_volatile();
            if in_dev.is_null() {
                return None;
            }
            let own = &raw const (*in_dev).cnf;
            let all = (*namespace.as_raw()).ipv4.devconf_all;
            let either = |number| (switch(own, number) | switch(all, number)) != 0;
            // The kernel goes by the larger one. C: `IN_DEV_RPFILTER()`.
            let filter = i32::max(
                switch(own, IPV4_DEVCONF_RP_FILTER),
                switch(all, IPV4_DEVCONF_RP_FILTER),
            );
            // It knows none, the strict one, and all others.
            let filter = match filter {
                0 | 1 => filter as u8,
                _ => 2,
            };
            let local = u8::from(either(IPV4_DEVCONF_ACCEPT_LOCAL)) << 2;
            let marked = u8::from(mark != 0 && either(IPV4_DEVCONF_SRC_VMARK)) << 3;
            Some(Checks(filter | local | marked))
        }
    }
}

/// How a device checks sources: `rp_filter`, `accept_local` and `src_valid_mark`, as far as they
/// make a difference. C: `IPV4_DEVCONF_*`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checks(u8);

impl Checks {
    /// Bits of [`Self::to_note`].
    pub(crate) const BITS: u32 = 4;
    /// No check but that the source is none of this host's own.
    pub(crate) const NONE: Self = Self(0);
    /// A source that any check lets in.
    pub(crate) const ALL: Self = Self(0xf);

    /// In a few bits; see [`Self::from_note`].
    pub(crate) fn to_note(self) -> u32 {
        self.0.into()
    }

    /// What is in the lowest bits of a note.
    pub(crate) fn from_note(note: u32) -> Self {
        Self(note as u8 & Self::ALL.0)
    }
}

impl Namespace {
    /// A number that changes with each change of routes, rules or addresses, and when that has come
    /// true which [`Self::ipv4_has_custom_local_routes`] tells: the kernel says so after all else of
    /// such a route. A sum of what only grows.
    ///
    /// The kernel does not count that a route goes or is another one which nobody has looked up so far,
    /// and who does so just then would not be told: but listeners to routes are. They are told before the
    /// route is given back, too, and the count is made after that, when who finds it unchanged may have a
    /// route that does not last as long as it reads. C: `rt_genid_ipv4()`, `call_fib4_notifiers()`.
    #[inline(always)]
    pub(crate) fn ipv4_generation(&self) -> u32 {
        // SAFETY: the namespace exists; single loads.
        let (routes, told) = unsafe {
            let ipv4 = &raw const (*self.as_raw()).ipv4;
            (
                (&raw const (*ipv4).rt_genid.counter).read_volatile(),
                (&raw const (*ipv4).fib_seq).read_volatile(),
            )
        };
        (routes as u32)
            .wrapping_add(told)
            .wrapping_add(self.ipv4_has_custom_local_routes().into())
    }

    /// Whether routes depend on more than addresses, DSCP, input device and mark.
    #[inline(always)]
    pub(crate) fn ipv4_rules_look_deeper(&self) -> bool {
        // SAFETY: as above.
        unsafe {
            (&raw const (*self.as_raw()).ipv4.fib_rules_require_fldissect).read_volatile() != 0
        }
    }

    /// Whether IPsec has a say in what is let in, forwarded or sent.
    #[inline(always)]
    pub(crate) fn has_transform_policies(&self) -> bool {
        const IN: usize = bindings::XFRM_POLICY_IN as usize;
        const FORWARD: usize = bindings::XFRM_POLICY_FWD as usize;
        const OUT: usize = bindings::XFRM_POLICY_OUT as usize;
        // SAFETY: as above.
        unsafe {
            let xfrm = &raw const (*self.as_raw()).xfrm;
            let accept = bindings::XFRM_USERPOLICY_ACCEPT as u8;
            [IN, FORWARD, OUT].into_iter().any(|way| {
                (&raw const (*xfrm).policy_count[way]).read_volatile() != 0
                    || (&raw const (*xfrm).policy_default[way]).read_volatile() != accept
            })
        }
    }

    /// Whether neither routes nor, with [`Checks::NONE`], what is let in depends on more of a source
    /// than whether it is this namespace's own; see [`Self::ipv4_has_custom_local_routes`]. What
    /// decides that changes the generation. C: `ip_can_use_hint()`, `fib_validate_source()`.
    pub(crate) fn ipv4_goes_by_destination(&self) -> bool {
        !self.has_classes() && !self.ipv4_has_rules()
    }

    /// Whether somebody ever set a local route: from then on the kernel looks up all sources, to tell
    /// whether they are its own.
    #[inline(always)]
    pub(crate) fn ipv4_has_custom_local_routes(&self) -> bool {
        // SAFETY: as above.
        unsafe { (&raw const (*self.as_raw()).ipv4.fib_has_custom_local_routes).read_volatile() }
    }

    /// Whether routes put packets into classes. C: `fib_num_tclassid_users()`.
    #[cfg(CONFIG_IP_ROUTE_CLASSID)]
    fn has_classes(&self) -> bool {
        // SAFETY: as above.
        unsafe {
            (&raw const (*self.as_raw()).ipv4.fib_num_tclassid_users.counter).read_volatile() != 0
        }
    }

    #[cfg(not(CONFIG_IP_ROUTE_CLASSID))]
    fn has_classes(&self) -> bool {
        false
    }

    /// Whether an address is this namespace's own. C: `__ip_dev_find()`.
    pub(crate) fn holds_ipv4(&self, address: u32, _rcu: ReadSide<'_>) -> bool {
        // SAFETY: the namespace exists, and this is an RCU read-side critical section.
        !unsafe { bindings::__ip_dev_find(self.as_raw(), address, false) }.is_null()
    }

    /// Whether there are rules besides those that every namespace begins with.
    #[inline(always)]
    pub(crate) fn ipv4_has_rules(&self) -> bool {
        // SAFETY: as above.
        unsafe { (&raw const (*self.as_raw()).ipv4.fib_has_custom_rules).read_volatile() }
    }
}

/// What kind of answer a route is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The destination is one host elsewhere.
    Unicast,
    /// The destination is here.
    Local,
    /// Anything else: refused, dropped, broadcast, multicast.
    Other,
}

impl Kind {
    /// From one of `RTN_*`.
    pub(super) fn from_raw(kind: u32) -> Self {
        match kind {
            bindings::RTN_UNICAST => Self::Unicast,
            bindings::RTN_LOCAL => Self::Local,
            _ => Self::Other,
        }
    }
}

/// The route of a packet that came in.
pub(crate) struct Route<'r> {
    /// What kind it is.
    pub(crate) kind: Kind,
    /// By which device it goes on.
    pub(crate) dev: &'r NetDevice,
    /// Whether it is one of several that share the load, or of a group of nexthops, which may
    /// become several or others.
    pub(crate) multipath: bool,
    /// Whether its packets are accounted by class.
    pub(crate) classified: bool,
    /// The route itself.
    pub(crate) dst: Dst<'r>,
    /// What the stack is to remember of the packet. C: `IPCB(skb)->flags`.
    pub(crate) flags: u16,
}

/// What the table of routes says of a destination.
pub(crate) struct Destination<'r> {
    /// What kind of route leads there.
    pub(crate) kind: Kind,
    /// By which device.
    pub(crate) dev: Option<&'r NetDevice>,
    /// Whether it is one of several that share the load, or of a group of nexthops, which may
    /// become several or others.
    pub(crate) multipath: bool,
    /// Whether the kernel made the route by itself, for an address.
    pub(crate) by_kernel: bool,
}

impl Destination<'_> {
    /// Whether packets for it are taken, and there is one way that they go.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.kind, Kind::Unicast | Kind::Local) && !self.multipath
    }
}

impl Dst<'_> {
    /// What kind of IPv4 route this is.
    pub(crate) fn ipv4_kind(self) -> Kind {
        // SAFETY: an IPv4 route, which exists; the field is set once.
        Kind::from_raw(unsafe { (*self.as_raw().cast::<bindings::rtable>()).rt_type }.into())
    }

    /// Whether a part of this IPv4 route was learned, of its path or of a better gateway: its MTU may
    /// become smaller in place, and nothing tells. Of any other the first thing that is learned ends it,
    /// but for one by a gateway of which all that was learned was flushed: that looks like any.
    /// C: `fill_route_from_fnhe()`, `update_or_create_fnhe()`, `rt_bind_exception()`.
    pub(crate) fn is_learned_ipv4(self) -> bool {
        let route = self.as_raw().cast::<bindings::rtable>();
        // SAFETY: an IPv4 route, which exists; what may change is read by single loads.
        let is_learned = unsafe {
            let flags = (&raw const (*route).rt_flags).read_volatile();
            let has_next = (&raw const (*route).rt_gw_family).read_volatile() != 0;
            let is_gateway = (&raw const (*route).rt_uses_gateway).read_volatile() != 0;
            // Nowhere else is a neighbour a hop to itself.
            flags & bindings::RTCF_REDIRECTED != 0 || has_next && !is_gateway
        };
        is_learned || self.ipv4_path() != 0
    }

    /// Whether this IPv4 route leads to a gateway of IPv6's. C: `rt->rt_gw_family`.
    #[inline(always)]
    pub(super) fn has_ipv6_gateway(self) -> bool {
        let route = self.as_raw().cast::<bindings::rtable>();
        // SAFETY: an IPv4 route, which exists; a single load. Where it changes it comes to be another.
        let family = unsafe { (&raw const (*route).rt_gw_family).read_volatile() };
        c_uint::from(family) == bindings::AF_INET6
    }

    /// What was learned of the path of this IPv4 route, and whether that is fixed: they share a word.
    #[inline(always)]
    pub(super) fn ipv4_path(self) -> u32 {
        let route = self.as_raw().cast::<bindings::rtable>();
        // SAFETY: an IPv4 route, which exists; a single load.
        unsafe {
            (&raw const (*route)._bitfield_1)
                .cast::<u32>()
                .read_volatile()
        }
    }
}

impl SkBuff {
    /// What the IPv4 stack keeps in the control block.
    fn ip_control(&self) -> *mut bindings::inet_skb_parm {
        // SAFETY: the skb is valid.
        unsafe { (&raw mut (*self.as_raw()).cb).cast() }
    }

    /// Whether the stack has put the packet together from fragments, which are to be as they were where
    /// it is sent on. C: `ip_forward()`.
    pub(crate) fn was_ipv4_fragments(&self) -> bool {
        // SAFETY: the stack has noted that, or that there is nothing to note.
        unsafe { (*self.ip_control()).frag_max_size != 0 }
    }

    /// Writes the header's sum where the stack has left that for later, because it wrote options. The
    /// packet begins with its header. Fails with `ENOMEM`. C: `ip_forward_options()`.
    pub(crate) fn finish_options(&mut self) -> Result {
        // SAFETY: the skb is valid and ours, and its control block is that of the IPv4 stack.
        to_result(unsafe { bindings::passthru_helper_ip_finish_options(self.as_raw()) })
    }

    /// Forgets what others kept in the control block, for the IPv4 stack to use it.
    pub(crate) fn clear_ip_control(&mut self) {
        // SAFETY: the control block is larger, and belongs to who has the packet.
        unsafe { self.ip_control().write_bytes(0, 1) };
    }

    /// Forgets what the input of IPv4 noted of the packet, but for how it was put together from
    /// fragments: it is taken apart as it was.
    pub(super) fn forget_input_ipv4(&mut self) {
        let control = self.ip_control();
        // SAFETY: as above; the stack has noted something. The union is written as it is read in
        // `SkBuff::protocol()`.
        unsafe {
            let (most, flags) = ((*control).frag_max_size, (*control).flags);
            control.write_bytes(0, 1);
            (*control).frag_max_size = most;
            (*control).flags = flags & bindings::PASSTHRU_IPSKB_FRAG_PMTU as u16;
            if most == 0 {
                (*self.as_raw())
                    .__bindgen_anon_4
                    .headers
                    .as_mut()
                    .set_ignore_df(0);
            }
        }
    }

    /// What the stack is to remember of the packet. C: `IPCB(skb)->flags`.
    pub(crate) fn ip_flags(&self) -> u16 {
        // SAFETY: as above.
        unsafe { (*self.ip_control()).flags }
    }

    /// Changes what the stack is to remember of the packet.
    #[inline]
    pub(crate) fn set_ip_flags(&mut self, flags: u16) {
        // SAFETY: as above.
        unsafe { (*self.ip_control()).flags = flags };
    }

    /// Finds the way of a packet as one that came in by `dev`, by source validation and all, and
    /// gives it that route. Refused packets come with the reason that the kernel has for it.
    /// The caller has cleared the control block, or the stack has. C: `ip_route_input_noref()`.
    pub(crate) fn route_ipv4<'r>(
        &mut self,
        header: &Header,
        dev: &'r NetDevice,
        bh: BottomHalf<'r>,
    ) -> Result<Route<'r>, DropReason> {
        self.find_route_ipv4(header, dev)?;
        let rcu = bh.read_side();
        let dst = self.dst(rcu).ok_or(DropReason::NOT_SPECIFIED)?;
        // The route does not tell whether it is by a group of one nexthop.
        let by_group = dev.namespace(rcu).has_nexthops()
            && destination(header, self.mark(), dev, rcu).is_none_or(|answer| answer.multipath);
        let route = dst.as_raw().cast::<bindings::rtable>();
        // SAFETY: the function gave the packet an IPv4 route, which exists as long as the packet
        // has it or the read-side critical section lasts; so does its device.
        unsafe {
            let flags = (*self.ip_control()).flags;
            Ok(Route {
                kind: Kind::from_raw((*route).rt_type.into()),
                dev: dst.device(rcu),
                multipath: by_group || u32::from(flags) & bindings::PASSTHRU_IPSKB_MULTIPATH != 0,
                // Without classes nobody sets the field, not even to zero.
                classified: cfg!(CONFIG_IP_ROUTE_CLASSID) && (*route).dst.tclassid != 0,
                dst,
                flags,
            })
        }
    }

    /// As [`Self::route_ipv4`], for a packet whose header may be any.
    pub(crate) fn route_ipv4_again(
        &mut self,
        dev: &NetDevice,
        _bh: BottomHalf<'_>,
    ) -> Result<(), DropReason> {
        let header = Header::any(self).ok_or(DropReason::IP_INHDR)?;
        self.find_route_ipv4(&header, dev)
    }

    fn find_route_ipv4(&mut self, header: &Header, dev: &NetDevice) -> Result<(), DropReason> {
        // SAFETY: the skb is valid and ours, and the device exists.
        let reason = unsafe {
            bindings::ip_route_input_noref(
                self.as_raw(),
                header.daddr,
                header.saddr,
                header.dscp(),
                dev.as_raw(),
            )
        };
        if reason == bindings::skb_drop_reason_SKB_NOT_DROPPED_YET {
            Ok(())
        } else {
            Err(DropReason::from_raw(reason))
        }
    }
}
