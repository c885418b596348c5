// SPDX-License-Identifier: GPL-2.0

//! IPv6 routes that a lookup passes over although they are there, and may not another time.
//!
//! A route that has come to its end stays until the kernel removes it (up to `gc_interval`, half a
//! minute), and is given another end, or none, by an advertisement or a request for the same route
//! once more. Of those of one metric that share nothing it depends on routers and on whose turn it is
//! which one is the answer; in a namespace that does not forward, of any by a router, whether that
//! answers. None of this changes [`Namespace::ipv6_state`], nor a cookie.
//!
//! C headers: `include/net/ip6_fib.h`, `include/net/ip6_route.h`.

use super::{
    context::ReadSide,
    dst::Dst,
    ipv6::Address,
    ipv6_tree::{covers, has_ended, number, origin, root, way_down, Info, Node},
    namespace::Namespace,
};
use crate::net::bindings;
use core::{iter, ptr};

type Table = bindings::fib6_table;

impl Namespace {
    /// Whether no other route may come to be the answer for `daddr` in place of this one, which is,
    /// with nothing that tells. It must be a route of this namespace.
    /// C: `find_rr_leaf()`, `fib6_add_rt2node()`.
    pub(crate) fn ipv6_answer_stays(
        &self,
        route: Dst<'_>,
        daddr: Address,
        rcu: ReadSide<'_>,
    ) -> bool {
        let Some(from) = origin(route, rcu) else {
            return false;
        };
        let daddr = number(daddr);
        let from = from.as_ptr().cast_const();
        // SAFETY: there is an IPv6 route of the namespace, so it has IPv6.
        let asks_routers = unsafe { !self.ipv6_forwards() };
        // SAFETY: tables exist as long as the namespace, nodes and routes that are found in them
        // until a grace period after they are gone.
        let stays = |table| unsafe { !has_passed_over(table, from, daddr, asks_routers) };
        if self.ipv6_has_rules() {
            // SAFETY: as above.
            return unsafe { self.all_ipv6_tables() }.all(stays);
        }
        // What comes after the table with the answer is not asked.
        // SAFETY: `from` exists, as above; its table never changes. The namespace has IPv6, as above.
        let (own, tables) = unsafe {
            let own = (*from).fib6_table.cast_const();
            (own, self.plain_ipv6_tables())
        };
        let asked = if ptr::eq(tables[0], own) { 1 } else { 2 };
        tables.into_iter().take(asked).all(stays)
    }

    /// All tables, whichever rules ask for. They exist as long as the namespace.
    ///
    /// # Safety
    ///
    /// As for [`Namespace::ipv6_forwards`].
    unsafe fn all_ipv6_tables(&self) -> impl Iterator<Item = *const Table> {
        const HEADS: usize = bindings::FIB6_TABLE_HASHSZ as usize;
        // SAFETY: the namespace exists, and by the caller's promise its tables were made; what links
        // them with each other is the first member of each.
        let heads = unsafe { (*self.as_raw()).ipv6.fib_table_hash };
        const { assert!(core::mem::offset_of!(Table, tb6_hlist) == 0) };
        (0..HEADS).flat_map(move |at| {
            // SAFETY: there are so many heads, for as long as the namespace exists; a single load.
            let first = unsafe { (&raw const (*heads.add(at)).first).read_volatile() };
            let existing = |link: *mut bindings::hlist_node| (!link.is_null()).then_some(link);
            iter::successors(existing(first), move |&link| {
                // SAFETY: a table is never taken out of the list while the namespace exists.
                existing(unsafe { (&raw const (*link).next).read_volatile() })
            })
            .map(|link| link.cast::<Table>().cast_const())
        })
    }
}

/// Whether a lookup for `daddr` passes over a route of a table that may be found in place of the one
/// that was made `from` this; `asks_routers` where it does so for those that do not answer.
///
/// # Safety
///
/// `table` must be null or exist, `from` exist, and the caller be in an RCU read-side critical section.
unsafe fn has_passed_over(
    table: *const Table,
    from: *const Info,
    daddr: u128,
    asks_routers: bool,
) -> bool {
    // SAFETY: by the caller's promise. What may change is read by single loads.
    unsafe {
        if table.is_null() {
            return false;
        }
        let may_end = !(&raw const (*table).tb6_gc_hlist.first)
            .read_volatile()
            .is_null();
        let others = |node| {
            routes_at(node).filter(move |&other| !ptr::eq(other, from) && covers(other, daddr))
        };
        way_down(root(table), daddr).any(|node| {
            // Routes by source below it are not looked at one by one.
            may_end && has_subtree(node)
                || others(node).any(|other| {
                    has_ended(other)
                        || is_alike(other, from)
                        || asks_routers && depends_on_router(other, from)
                })
        })
    }
}

/// Routes of a node, or of one below that where it has none.
///
/// # Safety
///
/// `node` must exist, and the caller be in an RCU read-side critical section, in which all that this
/// gives must be used.
unsafe fn routes_at(node: *const Node) -> impl Iterator<Item = *const Info> {
    let existing = |route: *mut Info| (!route.is_null()).then_some(route.cast_const());
    // SAFETY: by the caller's promise.
    let first = unsafe { (&raw const (*node).leaf).read_volatile() };
    iter::successors(existing(first), move |&route| {
        // SAFETY: by the caller's promise: routes are freed a grace period after they are taken out.
        existing(unsafe { (&raw const (*route).fib6_next).read_volatile() })
    })
}

/// Whether two routes of the same node are alike to the kernel, until it asks their routers.
///
/// # Safety
///
/// Both must exist.
unsafe fn is_alike(other: *const Info, from: *const Info) -> bool {
    // SAFETY: by the caller's promise; single loads. The metric never changes.
    unsafe {
        let nodes = [other, from].map(|route| (&raw const (*route).fib6_node).read_volatile());
        ptr::eq(nodes[0], nodes[1]) && (*other).fib6_metric == (*from).fib6_metric
    }
}

/// Whether it depends on a router that answers, or not, which of two routes for the same address is the
/// answer. C: `rt6_score_route()`.
///
/// # Safety
///
/// As for [`is_alike`].
unsafe fn depends_on_router(other: *const Info, from: *const Info) -> bool {
    // SAFETY: by the caller's promise; kinds and prefixes never change.
    unsafe {
        // Where it is in an object of its own, that may be.
        let is_by_router = |route: *const Info| {
            !(*route).nh.is_null() || {
                let hop = (&raw const (*route).fib6_nh).cast::<bindings::fib6_nh>();
                (*hop).nh_common.nhc_gw_family != 0
            }
        };
        let is_way = u32::from((*other).fib6_type) == bindings::RTN_UNICAST;
        let comes_first = (*other).fib6_dst.plen >= (*from).fib6_dst.plen
            || !ptr::eq((*other).fib6_table, (*from).fib6_table);
        is_way && (is_by_router(from) || is_by_router(other) && comes_first)
    }
}

/// Whether routes by source hang below a node.
///
/// # Safety
///
/// As for [`routes_at`].
unsafe fn has_subtree(node: *const Node) -> bool {
    #[cfg(CONFIG_IPV6_SUBTREES)]
    // SAFETY: by the caller's promise.
    let has = unsafe { !(&raw const (*node).subtree).read_volatile().is_null() };
    #[cfg(not(CONFIG_IPV6_SUBTREES))]
    let has = {
        let _ = node;
        false
    };
    has
}
