// SPDX-License-Identifier: GPL-2.0

//! What a namespace's tables of routes say to who asks without a packet.
//!
//! C headers: `include/net/ip_fib.h`, `include/net/ip6_fib.h`, `include/net/nexthop.h`,
//! `include/net/flow.h`.

use super::{
    context::ReadSide,
    device::NetDevice,
    dst::{Dst, HeldDst},
    ipv4::{Destination, Header, Kind},
    ipv6,
    ipv6_tree::{has_ended, origin},
    namespace::Namespace,
    skb::SkBuff,
    TCP, UDP,
};
use crate::net::bindings;
use core::{
    mem::MaybeUninit,
    ptr::{self, NonNull},
};
use kernel::{container_of, error::from_err_ptr, prelude::*};

/// What the kernel itself made a route for. C: `RTPROT_KERNEL`.
fn is_by_kernel(protocol: u8) -> bool {
    u32::from(protocol) == bindings::RTPROT_KERNEL
}

/// A question about an IPv4 address that no socket asks. C: `struct flowi4`.
///
/// Inline, like all that hands on what takes a call to copy.
#[inline(always)]
pub(super) fn question_ipv4(
    namespace: &Namespace,
    daddr: u32,
    saddr: u32,
    dscp: u8,
) -> bindings::flowi4 {
    let mut flow: bindings::flowi4 = pin_init::zeroed();
    flow.__fl_common.flowic_dscp = dscp;
    flow.__fl_common.flowic_uid = root_of(namespace);
    flow.daddr = daddr;
    flow.saddr = saddr;
    flow
}

/// As [`question_ipv4`], for IPv6. C: `struct flowi6`.
#[inline(always)]
fn question_ipv6(daddr: &ipv6::Address) -> bindings::flowi6 {
    let mut flow: bindings::flowi6 = pin_init::zeroed();
    flow.daddr = in6_addr(daddr);
    flow
}

fn in6_addr(address: &ipv6::Address) -> bindings::in6_addr {
    let mut bytes = [0; 16];
    for (to, half) in bytes.chunks_exact_mut(8).zip(address) {
        to.copy_from_slice(&half.to_ne_bytes());
    }
    bindings::in6_addr {
        in6_u: bindings::in6_addr__bindgen_ty_1 { u6_addr8: bytes },
    }
}

/// Who sends what no socket does. C: `sock_net_uid()`.
fn root_of(namespace: &Namespace) -> bindings::kuid_t {
    // SAFETY: the namespace exists.
    unsafe { bindings::passthru_helper_sock_net_uid(namespace.as_raw()) }
}

/// An answer of the IPv4 tables. What it points to exists for the read-side critical section.
struct Found(bindings::fib_result);

impl Found {
    /// C: `fib_lookup()`.
    #[inline(always)]
    fn look_up(
        namespace: &Namespace,
        question: &mut bindings::flowi4,
        _rcu: ReadSide<'_>,
    ) -> Option<Self> {
        let mut found = MaybeUninit::<bindings::fib_result>::uninit();
        // SAFETY: the namespace exists, and this is an RCU read-side critical section. The answer is
        // zero but for what was found, if anything was.
        unsafe {
            let place = found.as_mut_ptr();
            let error = bindings::passthru_helper_fib_lookup(namespace.as_raw(), question, place);
            (error == 0).then(|| Self(found.assume_init()))
        }
    }

    fn kind(&self) -> Kind {
        Kind::from_raw(self.0.type_.into())
    }

    /// Whether the route has several ways.
    fn is_multipath(&self, _rcu: ReadSide<'_>) -> bool {
        // SAFETY: what was found exists for the read-side critical section.
        unsafe {
            self.0.fi.as_ref().is_some_and(|route| {
                if route.nh.is_null() {
                    route.fib_nhs > 1
                } else {
                    is_group_of_many(route.nh)
                }
            })
        }
    }

    /// Whether it is a default route of several in its table. Of such a namespace takes another one for
    /// what it sends itself when a gateway is silent. C: `fib_select_default()`.
    fn is_default_of_many(&self, _rcu: ReadSide<'_>) -> bool {
        // SAFETY: as above; a single load.
        let defaults = unsafe { (&raw const (*self.0.table).tb_num_default).read_volatile() };
        self.0.prefixlen == 0 && defaults > 1
    }
}

/// Whether a nexthop that is an object of its own is a group which shares the load: what that is
/// made of changes, and no generation tells. C: `nexthop_is_multipath()`, `nh_rt_cache_flush()`.
///
/// # Safety
///
/// `hop` must be null or exist for the RCU read-side critical section that the caller is in.
unsafe fn is_group_of_many(hop: *const bindings::nexthop) -> bool {
    // SAFETY: by the caller's promise; whether it is a group does not change, and the group itself
    // is found by a single load.
    unsafe {
        !hop.is_null() && (*hop).is_group && {
            let group = (&raw const (*hop).__bindgen_anon_1.nh_grp).read_volatile();
            (*group).is_multipath
        }
    }
}

/// Looks a destination up as for a packet that came in by `dev`, without asking whether it may
/// have. C: `fib_lookup()`.
pub(crate) fn destination_ipv4<'r>(
    header: &Header,
    mark: u32,
    dev: &NetDevice,
    rcu: ReadSide<'r>,
) -> Option<Destination<'r>> {
    let namespace = dev.namespace(rcu);
    let mut question = question_ipv4(namespace, header.daddr, header.saddr, header.dscp());
    question.__fl_common.flowic_iif = dev.ifindex();
    question.__fl_common.flowic_mark = mark;
    let found = Found::look_up(namespace, &mut question, rcu)?;
    let (hop, route) = (found.0.nhc, found.0.fi);
    // SAFETY: what was found exists for the read-side critical section, and so do devices of routes.
    let (dev, by_kernel) = unsafe {
        let dev = hop.as_ref().map_or(ptr::null_mut(), |hop| hop.nhc_dev);
        let dev = (!dev.is_null()).then(|| NetDevice::from_raw(dev));
        let route = route.as_ref();
        (
            dev,
            route.is_some_and(|route| is_by_kernel(route.fib_protocol)),
        )
    };
    Some(Destination {
        kind: found.kind(),
        dev,
        multipath: found.is_multipath(rcu),
        by_kernel,
    })
}

impl<'r> Dst<'r> {
    /// What kind of IPv6 route this is, and where it leads.
    pub(crate) fn ipv6_destination(self, rcu: ReadSide<'r>) -> Destination<'r> {
        let route = self.as_raw().cast::<bindings::rt6_info>();
        // SAFETY: an IPv6 route, which exists; so does what it was made from, which is found by a
        // single load, and its device, for the read-side critical section.
        unsafe {
            let from = (&raw const (*route).from).read_volatile();
            if (*self.as_raw()).error != 0 || from.is_null() {
                return Destination {
                    kind: Kind::Other,
                    dev: Some(self.device(rcu)),
                    multipath: false,
                    by_kernel: false,
                };
            }
            // What an object is may change, so that it is like several.
            let (hop, multipath) = if (*from).nh.is_null() {
                ((*from).fib6_nh.as_ptr().cast_mut(), siblings(from) > 0)
            } else {
                (bindings::passthru_helper_nexthop_fib6_nh((*from).nh), true)
            };
            let dev = hop
                .as_ref()
                .map_or(ptr::null_mut(), |hop| hop.nh_common.nhc_dev);
            Destination {
                kind: Kind::from_raw((*from).fib6_type.into()),
                dev: (!dev.is_null()).then(|| NetDevice::from_raw(dev)),
                multipath,
                by_kernel: is_by_kernel((*from).fib6_protocol),
            }
        }
    }
}

/// How many other routes share the load of one.
///
/// # Safety
///
/// `route` must exist.
unsafe fn siblings(route: *const bindings::fib6_info) -> c_uint {
    // SAFETY: by the caller; a single load.
    unsafe { (&raw const (*route).fib6_nsiblings).read_volatile() }
}

/// Whether one of the ways of a route is by a device. C: `fib6_info_uses_dev()`.
///
/// # Safety
///
/// `route` must exist for the RCU read-side critical section that the caller is in.
unsafe fn uses(route: *mut bindings::fib6_info, dev: &NetDevice) -> bool {
    /// # Safety
    ///
    /// `hop` must exist.
    unsafe extern "C" fn is_by(hop: *mut bindings::fib6_nh, dev: *mut c_void) -> c_int {
        // SAFETY: by the caller.
        let is_by = unsafe { ptr::eq((*hop).nh_common.nhc_dev, dev.cast()) };
        is_by.into()
    }
    // SAFETY: by the caller's promise; the object of a route exists as long, as do siblings. They
    // are found by single loads.
    unsafe {
        let object = (*route).nh;
        if !object.is_null() {
            let dev = dev.as_raw().cast();
            return bindings::nexthop_for_each_fib6_nh(object, Some(is_by), dev) != 0;
        }
        let goes_by_dev = |route: *const bindings::fib6_info| {
            ptr::eq((*(*route).fib6_nh.as_ptr()).nh_common.nhc_dev, dev.as_raw())
        };
        if goes_by_dev(route) {
            return true;
        }
        let head = &raw mut (*route).__bindgen_anon_1.fib6_siblings;
        let mut next = head;
        // A route that is taken out of the list meanwhile keeps its way into it: it would not end.
        while siblings(route) > 0 {
            next = (&raw const (*next).next).read_volatile();
            if next == head {
                break;
            }
            let sibling = container_of!(next, bindings::fib6_info, __bindgen_anon_1.fib6_siblings);
            if goes_by_dev(sibling) {
                return true;
            }
        }
        false
    }
}

impl Namespace {
    /// The route that an IPv4 packet of this namespace's own would take from any source.
    /// C: `ip_route_output_key()`.
    pub(crate) fn route_output_ipv4(&self, daddr: u32, saddr: u32, dscp: u8) -> Option<HeldDst> {
        let mut question = question_ipv4(self, daddr, saddr, dscp);
        question.__fl_common.flowic_flags = bindings::FLOWI_FLAG_ANYSRC as u8;
        self.route_ipv4(&mut question).map(|(dst, _)| dst)
    }

    /// Whether [`Self::route_output_ipv4`] may answer otherwise the next time with nothing changed: by the
    /// packet's ports, or by whether a gateway answers. C: `fib_select_path()`.
    pub(crate) fn output_varies_ipv4(
        &self,
        daddr: u32,
        saddr: u32,
        dscp: u8,
        rcu: ReadSide<'_>,
    ) -> bool {
        let mut question = question_ipv4(self, daddr, saddr, dscp);
        question.__fl_common.flowic_iif = bindings::LOOPBACK_IFINDEX as c_int;
        Found::look_up(self, &mut question, rcu)
            .is_some_and(|found| found.is_multipath(rcu) || found.is_default_of_many(rcu))
    }

    /// As [`Self::route_output_ipv4`], for a question that may say more, in which the answer leaves
    /// what it has chosen; and of what kind the route is.
    pub(super) fn route_ipv4(&self, question: &mut bindings::flowi4) -> Option<(HeldDst, Kind)> {
        // SAFETY: the namespace exists. The route comes with a reference, which is ours.
        unsafe {
            let route = bindings::ip_route_output_flow(self.as_raw(), question, ptr::null());
            let route = from_err_ptr(route).ok()?;
            let dst = NonNull::new(&raw mut (*route).dst)?;
            let kind = Kind::from_raw((*route).rt_type.into());
            Some((HeldDst::from_raw(dst), kind))
        }
    }

    /// Whether there are tables of IPv6 routes: none are in a kernel that began with `ipv6.disable=1`.
    fn has_ipv6_routes(&self) -> bool {
        // SAFETY: the namespace exists; the field is set before anybody can see it.
        let main = unsafe { (&raw const (*self.as_raw()).ipv6.fib6_main_tbl).read_volatile() };
        !main.is_null()
    }

    /// Whether an IPv6 address is one of this namespace's. C: `ipv6_chk_addr()`.
    fn holds_ipv6(&self, address: &ipv6::Address, _rcu: ReadSide<'_>) -> bool {
        let address = in6_addr(address);
        // SAFETY: the namespace exists, and any device will do.
        unsafe { bindings::ipv6_chk_addr(self.as_raw(), &address, ptr::null(), 0) != 0 }
    }

    /// As [`Self::route_output_ipv4`], for IPv6; it may be a route that refuses the packet.
    /// C: `ip6_route_output()`.
    pub(crate) fn route_output_ipv6(
        &self,
        daddr: &ipv6::Address,
        saddr: &ipv6::Address,
    ) -> Option<HeldDst> {
        let mut question = question_ipv6(daddr);
        question.saddr = in6_addr(saddr);
        question.__fl_common.flowic_flags = bindings::FLOWI_FLAG_ANYSRC as u8;
        question.__fl_common.flowic_uid = root_of(self);
        self.answer_output_ipv6(&mut question)
    }

    /// As [`Self::route_output_ipv6`], by all that a header says, for a packet that begins with it; none
    /// for what has none.
    pub(super) fn route_output_of_ipv6(&self, skb: &SkBuff) -> Option<HeldDst> {
        let header = ipv6::Header::any(skb)?;
        let mut question = question_ipv6(&header.daddr);
        question.saddr = in6_addr(&header.saddr);
        question.flowlabel = header.flow().to_be();
        question.__fl_common.flowic_proto = header.protocol;
        if matches!(header.protocol, TCP | UDP) {
            if let Some([from, to]) = skb.ports_at(ipv6::HEADER_LEN as usize) {
                let ports = bindings::flowi_uli__bindgen_ty_1 {
                    dport: to,
                    sport: from,
                };
                question.uli.ports = ports;
            }
        }
        question.__fl_common.flowic_mark = skb.mark();
        question.__fl_common.flowic_flags = bindings::FLOWI_FLAG_ANYSRC as u8;
        question.__fl_common.flowic_uid = root_of(self);
        self.answer_output_ipv6(&mut question)
    }

    /// The route of what this namespace sends. C: `ip6_route_output()`.
    fn answer_output_ipv6(&self, question: &mut bindings::flowi6) -> Option<HeldDst> {
        // SAFETY: the namespace exists. The route comes with a reference, which is ours.
        unsafe {
            let dst = bindings::ip6_route_output_flags(self.as_raw(), ptr::null(), question, 0);
            NonNull::new(dst).map(|dst| HeldDst::from_raw(dst))
        }
    }

    /// The best route to an address, whatever device it is by. C: `ip6_route_lookup()`.
    fn best_answer_ipv6(&self, question: &mut bindings::flowi6, flags: c_int) -> Option<HeldDst> {
        // SAFETY: the namespace exists and has tables. The route comes with a reference, which is ours.
        unsafe {
            let dst = bindings::ip6_route_lookup(self.as_raw(), question, ptr::null(), flags);
            NonNull::new(dst).map(|dst| HeldDst::from_raw(dst))
        }
    }
}

/// What the table of routes says of an address.
pub(crate) struct Owned<T> {
    /// By what it says so, where that may be kept: as long as it is current, so is the answer.
    pub(crate) by: Option<T>,
    /// Whether it is by a local route that somebody set: the address is this namespace's own, held
    /// for whoever is behind the device.
    pub(crate) held: bool,
}

/// Whether a route to an address may make that a device's. What a namespace holds for others it has a
/// route for that somebody set.
fn may_own(kind: Kind, by_kernel: bool) -> bool {
    match kind {
        Kind::Unicast => true,
        Kind::Local => !by_kernel,
        Kind::Other => false,
    }
}

impl NetDevice {
    /// The VRF that the device is in. C: `l3mdev_master_ifindex_rcu()`.
    fn vrf(&self, _rcu: ReadSide<'_>) -> c_int {
        // SAFETY: the device exists, and this is an RCU read-side critical section.
        unsafe { bindings::passthru_helper_l3mdev_master_ifindex(self.as_raw()) }
    }

    /// Whether the routes of this device's namespace lead to it for `address`; `other` is the other
    /// address of the packet. C: `__fib_validate_source()`, `fib_info_nh_uses_dev()`.
    pub(crate) fn owns_ipv4(
        &self,
        address: u32,
        other: u32,
        dscp: u8,
        rcu: ReadSide<'_>,
    ) -> Option<Owned<()>> {
        let namespace = self.namespace(rcu);
        let mut question = question_ipv4(namespace, address, other, dscp);
        question.__fl_common.flowic_iif = bindings::LOOPBACK_IFINDEX as c_int;
        question.__fl_common.flowic_l3mdev = self.vrf(rcu);
        let found = Found::look_up(namespace, &mut question, rcu)?;
        let (kind, route) = (found.kind(), found.0.fi);
        if route.is_null() {
            return None;
        }
        // SAFETY: the route exists for the read-side critical section.
        let (owns, lasts) = unsafe {
            let owns = may_own(kind, is_by_kernel((*route).fib_protocol))
                && bindings::fib_info_nh_uses_dev(route, self.as_raw());
            (owns, !is_group_of_many((*route).nh))
        };
        owns.then_some(Owned {
            by: lasts.then_some(()),
            held: kind == Kind::Local,
        })
    }

    /// As [`Self::owns_ipv4`], for IPv6: by a route. It is the best one that is asked for, not the
    /// best one by this device, which may be worth less than another's. The other address is asked for
    /// by rules and by routes for some sources; where it is the namespace's own that would have a route by
    /// its device preferred, but not for what the namespace sends itself. Rules may also ask for `flow`,
    /// the packet's traffic class and flow label.
    ///
    /// One of several ways, or by an object that may become another, is not to be kept: it may refer
    /// to devices that know nothing of who keeps it, and would wait for it when they go.
    pub(crate) fn owns_ipv6(
        &self,
        address: &ipv6::Address,
        other: &ipv6::Address,
        flow: u32,
        rcu: ReadSide<'_>,
    ) -> Option<Owned<HeldDst>> {
        let namespace = self.namespace(rcu);
        if !namespace.has_ipv6_routes() {
            return None;
        }
        let mut question = question_ipv6(address);
        question.flowlabel = flow.to_be();
        question.__fl_common.flowic_iif = bindings::LOOPBACK_IFINDEX as c_int;
        question.__fl_common.flowic_l3mdev = self.vrf(rcu);
        let by = if !namespace.ipv6_has_rules() && !namespace.ipv6_has_source_routes() {
            namespace.best_answer_ipv6(&mut question, 0)?
        } else {
            question.saddr = in6_addr(other);
            if namespace.holds_ipv6(other, rcu) {
                namespace.answer_output_ipv6(&mut question)?
            } else {
                let flags = bindings::RT6_LOOKUP_F_HAS_SADDR as c_int;
                namespace.best_answer_ipv6(&mut question, flags)?
            }
        };
        let route = by.get(rcu);
        let destination = route.ipv6_destination(rcu);
        let held = destination.kind == Kind::Local;
        if !may_own(destination.kind, destination.by_kernel) || !route.is_made_for(self, rcu) {
            return None;
        }
        // Lookups of this kind find it all the same, until the kernel has removed it.
        // SAFETY: what the route was made from exists for the read-side critical section.
        if origin(route, rcu).is_none_or(|from| unsafe { has_ended(from.as_ptr()) }) {
            return None;
        }
        // Local routes are of the loopback, or of a VRF, which may go.
        let own =
            (route.device(rcu).is(self) || held && !self.is_in_vrf()) && destination.is_plain();
        Some(Owned {
            by: own.then_some(by),
            held,
        })
    }
}

impl Dst<'_> {
    /// Whether what this IPv6 route was made from leads to a device, by one of its ways.
    fn is_made_for(self, dev: &NetDevice, _rcu: ReadSide<'_>) -> bool {
        let route = self.as_raw().cast::<bindings::rt6_info>();
        // SAFETY: an IPv6 route, which exists, and so does what it was made from for the read-side
        // critical section; that is found by a single load.
        unsafe {
            let from = (&raw const (*route).from).read_volatile();
            !from.is_null() && uses(from, dev)
        }
    }
}
