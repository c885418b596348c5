// SPDX-License-Identifier: GPL-2.0

//! How long an IPv6 route that was found is the one that a lookup would find.
//!
//! C headers: `include/net/ip6_fib.h`, `include/net/ip6_route.h`.

use super::{dst::Dst, jiffies::jiffies};
use crate::net::bindings;

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
    /// A route found to have the cookie that it had before is the answer that a lookup would give.
    pub(crate) fn ipv6_cookie(self) -> Option<Cookie> {
        let route = self.as_raw().cast::<bindings::rt6_info>();
        // SAFETY: an IPv6 route, which exists; the field never changes.
        let sernum = unsafe { (&raw const (*route).sernum).read_volatile() };
        // With a number of its own the route is valid by another measure.
        let standing = self.ipv6_standing().filter(|_| sernum == 0)?;
        match standing.cookie()? {
            _ if standing.is_steady() => Some(Cookie::STEADY),
            Cookie::STEADY => None,
            cookie => Some(cookie),
        }
    }

    /// Whether the route, which had this cookie before, has it still.
    #[inline(always)]
    pub(crate) fn still_has_ipv6_cookie(self, cookie: Cookie) -> bool {
        cookie == Cookie::STEADY || self.has_ipv6_cookie(cookie)
    }

    #[inline(never)]
    fn has_ipv6_cookie(self, cookie: Cookie) -> bool {
        self.ipv6_standing().and_then(|standing| standing.cookie()) == Some(cookie)
    }

    /// None where the route is in no table.
    #[inline]
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
            // What was learned of a path ends before the route that it was learned on.
            let end = if own & bindings::RTF_EXPIRES != 0 {
                Some((&raw const (*self.as_raw()).expires).read_volatile())
            } else if all & bindings::RTF_EXPIRES != 0 {
                Some((&raw const (*from).expires).read_volatile())
            } else {
                None
            };
            Some(Standing {
                obsolete: (&raw const (*self.as_raw()).obsolete).read_volatile(),
                flags: own | all,
                kind: (*from).fib6_type.into(),
                protocol: (*from).fib6_protocol.into(),
                end,
                sernum: (&raw const (*node).fn_sernum).read_volatile() as u32,
            })
        }
    }
}

/// Whether a route of a table has come to its end, though it is still there. C: `fib6_check_expired()`.
pub(super) fn has_ended(route: &bindings::fib6_info) -> bool {
    // SAFETY: the route exists; single loads.
    let (flags, end) = unsafe {
        let flags = (&raw const route.fib6_flags).read_volatile();
        (flags, (&raw const route.expires).read_volatile())
    };
    flags & bindings::RTF_EXPIRES != 0 && has_come(end)
}

/// Whether a time is over. C: `time_after()`.
fn has_come(end: usize) -> bool {
    (end.wrapping_sub(jiffies()) as isize) < 0
}

/// What decides whether an IPv6 route may be used again. C: `ip6_dst_check()`.
struct Standing {
    obsolete: i16,
    flags: u32,
    kind: u32,
    protocol: u32,
    /// When the route ends, in jiffies, if it does at some time.
    end: Option<usize>,
    sernum: u32,
}

impl Standing {
    /// The cookie, if nobody has taken the route back, and it has not come to its end.
    #[inline]
    fn cookie(&self) -> Option<Cookie> {
        let is_current = i32::from(self.obsolete) == bindings::DST_OBSOLETE_FORCE_CHK;
        (is_current && !self.end.is_some_and(has_come)).then_some(Cookie(self.sernum))
    }

    /// Whether nothing ends the route but what [`Namespace::ipv6_state`] tells. It tells nothing of
    /// what was learned of a path and is forgotten, of a router that does not answer, and of routes
    /// that were to stay for ever and come to be given an end: those of prefixes that addresses and
    /// advertisements bring along. C: `rt6_remove_exception()`, `ip6_link_failure()`,
    /// `modify_prefix_route()`, `addrconf_prefix_rcv()`.
    ///
    /// [`Namespace::ipv6_state`]: super::namespace::Namespace::ipv6_state
    fn is_steady(&self) -> bool {
        const PASSING: u32 = bindings::RTF_CACHE
            | bindings::RTF_DEFAULT
            | bindings::RTF_ADDRCONF
            | bindings::RTF_EXPIRES;
        const BROUGHT_ALONG: [u32; 2] = [bindings::RTPROT_KERNEL, bindings::RTPROT_RA];
        let stays = self.kind == bindings::RTN_LOCAL || !BROUGHT_ALONG.contains(&self.protocol);
        self.flags & PASSING == 0 && stays
    }
}
