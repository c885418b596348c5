// SPDX-License-Identifier: GPL-2.0

//! How long an IPv6 route that was found is the one that a lookup would find.
//!
//! C headers: `include/net/ip6_fib.h`, `include/net/ip6_route.h`.

use super::{
    context::ReadSide,
    device::NetDevice,
    dst::Dst,
    hint::unlikely,
    ipv6_tree::{covers, Info},
    jiffies::has_come,
};
use crate::net::bindings;
use core::ptr;

/// What an IPv6 route is worth: the state of the tree of routes that it was found in. C: the
/// cookie of `dst_check()`.
///
/// It is no more than a part of what is to be asked: see [`Namespace::ipv6_state`].
///
/// [`Namespace::ipv6_state`]: super::namespace::Namespace::ipv6_state
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cookie(pub(crate) u32);

impl Cookie {
    /// That of a route which nothing ends but what changes the state of its namespace as well. It is
    /// the state of no tree that has anything in it.
    pub(crate) const STEADY: Self = Self(0);
}

impl Dst<'_> {
    /// The cookie of an IPv6 route; none for one that is not to be kept: it is no longer current, or
    /// is so by another measure. C: `rt6_get_cookie()`, `ip6_dst_check()`.
    ///
    /// A route that has the cookie that it had before is there, and no other has come to be before
    /// it, but for those of which [`Namespace::ipv6_answer_stays`] tells.
    ///
    /// [`Namespace::ipv6_answer_stays`]: super::namespace::Namespace::ipv6_answer_stays
    pub(crate) fn ipv6_cookie(self, rcu: ReadSide<'_>) -> Option<Cookie> {
        let route = self.as_raw().cast::<bindings::rt6_info>();
        // SAFETY: an IPv6 route, which exists; the field never changes.
        let sernum = unsafe { (&raw const (*route).sernum).read_volatile() };
        // With a number of its own the route is valid by another measure.
        let standing = self.ipv6_standing().filter(|_| sernum == 0)?;
        match standing.cookie()? {
            _ if standing.is_steady(self.device(rcu)) => Some(Cookie::STEADY),
            // Nor what a router that does not answer leaves, as often as that happens.
            Cookie::STEADY | Cookie(u32::MAX) => None,
            cookie => Some(cookie),
        }
    }

    /// Whether the route, which had this cookie before, has it still.
    #[inline(always)]
    pub(crate) fn still_has_ipv6_cookie(self, cookie: Cookie) -> bool {
        cookie == Cookie::STEADY || self.has_ipv6_cookie(cookie)
    }

    #[inline(always)]
    fn has_ipv6_cookie(self, cookie: Cookie) -> bool {
        self.ipv6_standing().and_then(|standing| standing.cookie()) == Some(cookie)
    }

    /// Whether this is what was learned of an IPv6 path: its MTU may become smaller in place, and nothing
    /// tells. C: `rt6_do_update_pmtu()`.
    pub(crate) fn is_learned_ipv6(self) -> bool {
        let route = self.as_raw().cast::<bindings::rt6_info>();
        // SAFETY: an IPv6 route, which exists; a single load.
        let flags = unsafe { (&raw const (*route).rt6i_flags).read_volatile() };
        flags & bindings::RTF_CACHE != 0
    }

    /// None where the route is in no table, or has come to its end.
    #[inline(always)]
    fn ipv6_standing(self) -> Option<Standing> {
        let route = self.as_raw().cast::<bindings::rt6_info>();
        // SAFETY: an IPv6 route, which exists, as do what it was made from and the node of that for
        // as long as the read-side critical section lasts. What may change is read by single loads.
        unsafe {
            let from = (&raw const (*route).from).read_volatile();
            if from.is_null() {
                return None;
            }
            let node = (&raw const (*from).fib6_node).read_volatile();
            if node.is_null() {
                return None;
            }
            let own = (&raw const (*route).rt6i_flags).read_volatile();
            let all = (&raw const (*from).fib6_flags).read_volatile();
            // What was learned of a path has an end of its own besides.
            if unlikely((own | all) & bindings::RTF_EXPIRES != 0) {
                let own_end = (&raw const (*self.as_raw()).expires).read_volatile();
                let end = (&raw const (*from).expires).read_volatile();
                if has_ended(own, own_end) || has_ended(all, end) {
                    return None;
                }
            }
            Some(Standing {
                obsolete: (&raw const (*self.as_raw()).obsolete).read_volatile(),
                flags: own | all,
                from,
                sernum: (&raw const (*node).fn_sernum).read_volatile() as u32,
            })
        }
    }
}

/// Whether a route with these flags was given an end, and that is over.
fn has_ended(flags: u32, end: usize) -> bool {
    flags & bindings::RTF_EXPIRES != 0 && has_come(end)
}

/// What decides whether an IPv6 route may be used again. C: `ip6_dst_check()`.
struct Standing {
    obsolete: i16,
    flags: u32,
    from: *const Info,
    sernum: u32,
}

impl Standing {
    /// The cookie, if nobody has taken the route back.
    #[inline]
    fn cookie(&self) -> Option<Cookie> {
        let is_current = i32::from(self.obsolete) == bindings::DST_OBSOLETE_FORCE_CHK;
        is_current.then_some(Cookie(self.sernum))
    }

    /// Whether nothing ends the route, which leads to `dev`, but what [`Namespace::ipv6_state`] tells.
    /// It tells nothing of what was learned of a path and is forgotten, of a router that does not
    /// answer, and of routes that were to stay for ever and come to be given an end: those of prefixes
    /// that advertisements bring along, and whatever has the prefix of an address of its device.
    /// C: `rt6_remove_exception()`, `ip6_link_failure()`, `addrconf_prefix_rcv()`,
    /// `modify_prefix_route()`.
    ///
    /// [`Namespace::ipv6_state`]: super::namespace::Namespace::ipv6_state
    fn is_steady(&self, dev: &NetDevice) -> bool {
        const PASSING: u32 = bindings::RTF_CACHE
            | bindings::RTF_DEFAULT
            | bindings::RTF_ADDRCONF
            | bindings::RTF_EXPIRES;
        const LOCAL: u32 = bindings::rt_class_t_RT_TABLE_LOCAL;
        // SAFETY: what the route was made from exists, and its table; neither field changes.
        let is_of_local_table = unsafe {
            let table = (*self.from).fib6_table;
            !table.is_null() && (*table).tb6_id == LOCAL
        };
        let stays = is_of_local_table
            || self.flags & bindings::RTF_GATEWAY != 0
            // SAFETY: the route exists, and this is a part of the read-side critical section in which
            // it was found.
            || unsafe { !is_of_address(self.from, dev) };
        self.flags & PASSING == 0 && stays
    }
}

/// Whether a device has an address, or is to reach one, with the prefix that a route is for. An
/// address that comes later brings a route along.
///
/// # Safety
///
/// `route` must exist, and the caller be in an RCU read-side critical section.
unsafe fn is_of_address(route: *const Info, dev: &NetDevice) -> bool {
    type Owned = bindings::inet6_ifaddr;
    const LINK: usize = core::mem::offset_of!(Owned, if_list);
    // SAFETY: by the caller's promise the route exists, and what a device has of IPv6, and its
    // addresses, are freed a grace period after this read-side critical section at the earliest. The
    // list is changed by RCU's functions only; single loads.
    unsafe {
        let idev = (&raw const (*dev.as_raw()).ip6_ptr).read_volatile();
        if idev.is_null() {
            return false;
        }
        let head = &raw const (*idev).addr_list;
        let mut link = (&raw const (*head).next).read_volatile();
        while !ptr::eq(link, head) {
            let owned = link.byte_sub(LINK).cast::<Owned>();
            let bits = (&raw const (*owned).prefix_len).read_volatile();
            let has_prefix = |address: *const bindings::in6_addr| {
                let bytes = address.cast::<[u8; 16]>().read_volatile();
                covers(route, u128::from_be_bytes(bytes))
            };
            if bits == (*route).fib6_dst.plen as u32
                && (has_prefix(&raw const (*owned).addr)
                    || has_prefix(&raw const (*owned).peer_addr))
            {
                return true;
            }
            link = (&raw const (*link).next).read_volatile();
        }
    }
    false
}
