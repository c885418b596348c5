// SPDX-License-Identifier: GPL-2.0

//! Shared values that are looked up under RCU.
//!
//! C header: `include/linux/rcupdate.h`.

use super::context::{ReadSide, Rtnl};
use crate::net::bindings;
use core::marker::PhantomData;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};
use kernel::sync::Arc;

/// A place for a share of a value, or for none, that is read under RCU and changed under the RTNL.
///
/// # Invariants
///
/// `ptr` is null or came from [`Arc::into_raw`], and this owns that share.
pub(crate) struct RcuArc<T> {
    ptr: AtomicPtr<T>,
    share: PhantomData<Arc<T>>,
}

impl<T> RcuArc<T> {
    /// A place with nothing in it.
    pub(crate) const fn new() -> Self {
        Self {
            ptr: AtomicPtr::new(ptr::null_mut()),
            share: PhantomData,
        }
    }

    /// The value, for the RCU read-side critical section, and as long as this place is there: its end waits
    /// for nobody. C: `rcu_dereference()`.
    #[inline(always)]
    pub(crate) fn get<'r>(&'r self, _rcu: ReadSide<'r>) -> Option<&'r T> {
        // The address dependency orders what is read through the pointer after this load.
        let ptr = self.ptr.load(Ordering::Relaxed);
        // SAFETY: by the type's invariant a share of ours keeps the value, and `set()` gives one
        // up only when those who read it before have finished.
        unsafe { ptr.as_ref() }
    }

    /// Whether there is a value.
    pub(crate) fn is_some(&self, _rtnl: &Rtnl) -> bool {
        !self.ptr.load(Ordering::Relaxed).is_null()
    }

    /// Puts another value in place, or none. May sleep: where there was one, it waits until nobody
    /// reads that any more. C: `rcu_assign_pointer()`, `synchronize_net()`.
    pub(crate) fn set(&self, value: Option<Arc<T>>, _rtnl: &Rtnl) {
        let new = value.map_or(ptr::null_mut(), |value| Arc::into_raw(value).cast_mut());
        // INVARIANT: the share passes to this place, and that of the old value from it.
        let old = self.ptr.swap(new, Ordering::AcqRel);
        if !old.is_null() {
            // SAFETY: the RTNL is held, under which it is right to sleep; the share was this
            // place's, and no reader is left.
            unsafe {
                bindings::synchronize_net();
                drop(Arc::from_raw(old));
            }
        }
    }
}

impl<T> Drop for RcuArc<T> {
    fn drop(&mut self) {
        let old = *self.ptr.get_mut();
        if !old.is_null() {
            // SAFETY: nobody else has access to this place any more, and what is in it is a share
            // of ours. Devices are freed after all readers have finished.
            drop(unsafe { Arc::from_raw(old) });
        }
    }
}
