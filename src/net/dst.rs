// SPDX-License-Identifier: GPL-2.0

//! Routes: what is to be done with a packet (`struct dst_entry`).
//!
//! C header: `include/net/dst.h`.

use super::context::ReadSide;
use crate::net::bindings;
use core::{marker::PhantomData, mem::ManuallyDrop, ptr::NonNull};

/// A route, seen within an RCU read-side critical section.
#[derive(Clone, Copy)]
pub(crate) struct Dst<'r> {
    dst: NonNull<bindings::dst_entry>,
    scope: PhantomData<&'r bindings::dst_entry>,
}

impl<'r> Dst<'r> {
    /// # Safety
    ///
    /// `dst` must not be freed before a grace period after `_rcu` began.
    pub(super) unsafe fn from_raw(dst: NonNull<bindings::dst_entry>, _rcu: ReadSide<'r>) -> Self {
        Self {
            dst,
            scope: PhantomData,
        }
    }

    /// For C.
    pub(super) fn as_raw(self) -> *mut bindings::dst_entry {
        self.dst.as_ptr()
    }

    /// Whether who made the route has not taken it back. C: `dst->obsolete`.
    #[inline]
    pub(crate) fn is_current(self) -> bool {
        // SAFETY: the route exists; a single load of a field that others may write.
        let obsolete = unsafe { (&raw const (*self.as_raw()).obsolete).read_volatile() };
        i32::from(obsolete) == bindings::DST_OBSOLETE_FORCE_CHK
    }

    /// Whether packets on this route are for this namespace's own sockets.
    #[inline]
    pub(crate) fn is_local_delivery(self) -> bool {
        // SAFETY: the route exists, and the field is set once.
        let input = unsafe { (*self.as_raw()).input };
        input.map(|f| f as usize) == Some(bindings::ip_local_deliver as usize)
            || input.map(|f| f as usize) == Some(bindings::ip6_input as usize)
    }

    /// Whether something is to be done to the packet where it takes this route, by which it becomes
    /// another one: `ip route add ... encap`. C: `dst->lwtstate`.
    #[inline(always)]
    pub(crate) fn encapsulates(self) -> bool {
        // SAFETY: the route exists, and the field is set once.
        unsafe { !(*self.as_raw()).lwtstate.is_null() }
    }

    /// A reference that keeps the route; none if it is being freed. C: `dst_hold_safe()`.
    pub(crate) fn hold(self) -> Option<HeldDst> {
        // SAFETY: the route exists.
        let held = unsafe { bindings::passthru_helper_dst_hold_safe(self.as_raw()) };
        // Not made before that is known: dropping it releases the route.
        held.then(|| HeldDst(self.dst))
    }
}

/// A reference to a route.
pub(crate) struct HeldDst(NonNull<bindings::dst_entry>);

impl HeldDst {
    /// # Safety
    ///
    /// The caller passes on a reference to `dst`.
    pub(super) unsafe fn from_raw(dst: NonNull<bindings::dst_entry>) -> Self {
        Self(dst)
    }

    /// For C.
    pub(super) fn as_non_null(&self) -> NonNull<bindings::dst_entry> {
        self.0
    }

    /// Gives up the reference without releasing it.
    pub(super) fn into_raw(self) -> *mut bindings::dst_entry {
        ManuallyDrop::new(self).0.as_ptr()
    }
}

impl Drop for HeldDst {
    fn drop(&mut self) {
        // SAFETY: this is the end of our reference.
        unsafe { bindings::dst_release(self.0.as_ptr()) };
    }
}
