// SPDX-License-Identifier: GPL-2.0

//! The kernel's trees of IPv6 routes, as far as they are read without asking for a route.
//!
//! C header: `include/net/ip6_fib.h`.

use super::{context::ReadSide, dst::Dst, ipv6::Address, jiffies::has_come, namespace::Namespace};
use crate::net::bindings;
use core::{iter, ptr, ptr::NonNull};

/// A node.
pub(super) type Node = bindings::fib6_node;

/// A route of a table. Others write it while it is read: it is not for references.
pub(super) type Info = bindings::fib6_info;

/// Bits of an address.
pub(super) const BITS: u16 = 128;

/// An address as a number, whose highest bit is the first.
pub(super) fn number([high, low]: Address) -> u128 {
    u128::from(u64::from_be(high)) << 64 | u128::from(u64::from_be(low))
}

impl Namespace {
    /// The tables that are asked where there are no rules, in their order. The first may be null. They
    /// exist as long as the namespace.
    ///
    /// # Safety
    ///
    /// As for [`Namespace::ipv6_forwards`].
    pub(super) unsafe fn plain_ipv6_tables(&self) -> [*const bindings::fib6_table; 2] {
        // SAFETY: the namespace exists, and by the caller's promise its tables were made.
        unsafe {
            let ipv6 = &raw const (*self.as_raw()).ipv6;
            #[cfg(CONFIG_IPV6_MULTIPLE_TABLES)]
            let local = (*ipv6).fib6_local_tbl;
            #[cfg(not(CONFIG_IPV6_MULTIPLE_TABLES))]
            let local = ptr::null();
            [local, (*ipv6).fib6_main_tbl]
        }
    }
}

/// What an IPv6 route was made from, which exists for the read-side critical section.
pub(super) fn origin(route: Dst<'_>, _rcu: ReadSide<'_>) -> Option<NonNull<Info>> {
    let route = route.as_raw().cast::<bindings::rt6_info>();
    // SAFETY: an IPv6 route, which exists; what it was made from is freed after a grace period.
    NonNull::new(unsafe { (&raw const (*route).from).read_volatile() })
}

/// Flags of a route, `RTF_*`.
///
/// # Safety
///
/// `route` must exist.
unsafe fn flags_of(route: *const Info) -> u32 {
    // SAFETY: by the caller's promise; a single load.
    unsafe { (&raw const (*route).fib6_flags).read_volatile() }
}

/// Whether a route has come to its end, though it is still there. C: `fib6_check_expired()`.
///
/// # Safety
///
/// `route` must exist.
pub(super) unsafe fn has_ended(route: *const Info) -> bool {
    // SAFETY: by the caller's promise; a single load.
    let end = unsafe { (&raw const (*route).expires).read_volatile() };
    // SAFETY: as above.
    unsafe { flags_of(route) & bindings::RTF_EXPIRES != 0 && has_come(end) }
}

/// Whether a route is for an address. What it is for never changes.
///
/// # Safety
///
/// `route` must exist.
pub(super) unsafe fn covers(route: *const Info, daddr: u128) -> bool {
    // SAFETY: by the caller's promise.
    let (prefix, bits) = unsafe {
        let key = &raw const (*route).fib6_dst;
        let bytes = (&raw const (*key).addr).cast::<[u8; 16]>().read();
        (u128::from_be_bytes(bytes), (*key).plen as u32)
    };
    let rest = u32::from(BITS).saturating_sub(bits);
    (daddr ^ prefix).checked_shr(rest).unwrap_or(0) == 0
}

/// The root of a table, or null.
pub(super) fn root(table: *const bindings::fib6_table) -> *const Node {
    if table.is_null() {
        return ptr::null();
    }
    // SAFETY: no access, only where it lies.
    unsafe { &raw const (*table).tb6_root }
}

/// The nodes that a lookup comes by, from one of them on. C: `fib6_node_lookup_1()`.
///
/// # Safety
///
/// `from` must be null, or exist for the RCU read-side critical section that the caller is in, in
/// which all that this gives must be used.
pub(super) unsafe fn way_down(from: *const Node, daddr: u128) -> impl Iterator<Item = *const Node> {
    let existing = |node: *const Node| (!node.is_null()).then_some(node);
    iter::successors(existing(from), move |&node| {
        // SAFETY: by the caller's promise: nodes are freed after a grace period.
        let next = unsafe {
            let bit = (*node).fn_bit;
            if bit >= BITS {
                return None;
            }
            if daddr >> (BITS - 1 - bit) & 1 == 0 {
                (&raw const (*node).left).read_volatile()
            } else {
                (&raw const (*node).right).read_volatile()
            }
        };
        existing(next)
    })
    // Each is further down than the one before, unless the tree changes meanwhile.
    .take(usize::from(BITS) + 1)
}
