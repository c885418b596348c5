// SPDX-License-Identifier: GPL-2.0

//! Network namespaces.
//!
//! C header: `include/net/net_namespace.h`.

use crate::net::bindings;
use kernel::types::Opaque;

/// A network namespace, `struct net`.
///
/// A reference to one says that it exists, not that it is alive: a namespace that is being taken
/// down can still be referred to.
#[repr(transparent)]
pub(crate) struct Namespace(Opaque<bindings::net>);

// SAFETY: a namespace is shared by all CPUs by its nature; nothing here modifies it.
unsafe impl Sync for Namespace {}

impl Namespace {
    /// # Safety
    ///
    /// `net` must point to a namespace that exists for all of `'a`.
    pub(super) unsafe fn from_raw<'a>(net: *mut bindings::net) -> &'a Self {
        // SAFETY: by the caller's promise; `Self` is a transparent wrapper of `struct net`.
        unsafe { &*net.cast() }
    }

    /// The pointer to hand to C.
    pub(super) fn as_raw(&self) -> *mut bindings::net {
        self.0.get()
    }
}

impl PartialEq for Namespace {
    /// Whether the two are one namespace, as `net_eq()` tells.
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }
}
