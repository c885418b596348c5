// SPDX-License-Identifier: GPL-2.0

//! Which IPv6 routes are not a matter of the destination alone.
//!
//! Where a namespace has a route for packets from some sources, the kernel does not reuse any route
//! without asking again. But such a route concerns its own destination only: it hangs below the
//! node of that, and no lookup sees it that does not come by there. For a source that it is not for
//! the kernel passes over all other routes of that node too.
//!
//! C headers: `include/net/ip6_fib.h`.

use super::{
    context::ReadSide,
    dst::Dst,
    ipv6::Address,
    ipv6_tree::{number, origin, root, way_down, Info, Node, BITS},
    namespace::Namespace,
};
use core::ptr;

impl Namespace {
    /// Whether this IPv6 route is the answer to packets for `daddr` from whatever source: in a
    /// namespace without rules, of which it must be a route. C: `fib6_node_lookup()`.
    ///
    /// Not where it is made from none: that answer is the kernel's own, where there is no route, and
    /// also where there is no memory for one, which lasts for this packet only.
    ///
    /// Another answer needs another route, or that one goes which hid it: [`Self::ipv6_state`] tells
    /// when this ends.
    pub(crate) fn ipv6_goes_from_anywhere(
        &self,
        route: Dst<'_>,
        daddr: Address,
        rcu: ReadSide<'_>,
    ) -> bool {
        let Some(from) = origin(route, rcu) else {
            return false;
        };
        // SAFETY: it exists for the read-side critical section, and is of this namespace.
        let no_source_matters = || unsafe { self.no_source_matters(from.as_ptr(), daddr) };
        !self.ipv6_has_rules() && (!self.ipv6_has_source_routes() || no_source_matters())
    }

    /// Whether no lookup for `daddr` comes by a route by source before it finds this one.
    ///
    /// # Safety
    ///
    /// `from` must be a route of this namespace that exists, and the caller be in an RCU read-side
    /// critical section.
    unsafe fn no_source_matters(&self, from: *const Info, daddr: Address) -> bool {
        let daddr = number(daddr);
        // SAFETY: by the caller's promise a route that exists, as do its node and those below it for
        // as long as the read-side critical section lasts, and tables as long as the namespace, which
        // has IPv6 as there is a route of it. All that may change is read by single loads.
        unsafe {
            if (*from).fib6_src.plen != 0 {
                return false;
            }
            let [first, last] = self.plain_ipv6_tables().map(root);
            let node = (&raw const (*from).fib6_node).read_volatile().cast_const();
            let none = |from| !way_down(from, daddr).any(|node| depends_on_source(node, daddr));
            // A host looks for a neighbour that answers, up to the root, before it takes another.
            if node.is_null() || !self.ipv6_forwards() {
                return none(first) && none(last);
            }
            let in_first = !first.is_null() && ptr::eq(root((*from).fib6_table), first);
            none(node) && (in_first || none(first))
        }
    }
}

/// Whether packets for `daddr` that come by a node are asked for their source there.
///
/// # Safety
///
/// `node` must exist for the RCU read-side critical section that the caller is in.
#[cfg(CONFIG_IPV6_SUBTREES)]
unsafe fn depends_on_source(node: *const Node, daddr: u128) -> bool {
    // SAFETY: by the caller's promise; routes are freed after a grace period as well.
    unsafe {
        if (&raw const (*node).subtree).read_volatile().is_null() {
            return false;
        }
        // None for as long as it takes to put another one there.
        let leaf = (&raw const (*node).leaf).read_volatile();
        if leaf.is_null() {
            return true;
        }
        // The leaf may be a longer route, of a node below. All that can be have the node's bits.
        let differs = daddr ^ u128::from_be_bytes((*leaf).fib6_dst.addr.in6_u.u6_addr8);
        let rest = u32::from(BITS.saturating_sub((*node).fn_bit));
        differs.checked_shr(rest).unwrap_or(0) == 0
    }
}

/// There are no routes by source.
///
/// # Safety
///
/// None: the name is that of the other one.
#[cfg(not(CONFIG_IPV6_SUBTREES))]
unsafe fn depends_on_source(_node: *const Node, _daddr: u128) -> bool {
    false
}
