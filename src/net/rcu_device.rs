// SPDX-License-Identifier: GPL-2.0

//! References to network devices that are kept.
//!
//! C headers: `include/linux/rcupdate.h`, `include/linux/netdevice.h`.

use super::{
    context::{ReadSide, Rtnl},
    device::Device,
    driver::Driver, //
};
use crate::net::bindings;
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

/// A place for a reference to a device that is read under RCU and changed under the RTNL.
///
/// # Invariants
///
/// `ptr` is null or a device of driver `D` that was registered when it was stored; this value
/// holds a reference to it, tracked by `tracker`.
pub(crate) struct RcuDevice<D> {
    ptr: AtomicPtr<bindings::net_device>,
    tracker: UnsafeCell<bindings::netdevice_tracker>,
    device: PhantomData<D>,
}

// SAFETY: what is referred to is shared by all CPUs; `tracker` is touched under the RTNL or when
// nobody else has access.
unsafe impl<D: Driver> Send for RcuDevice<D> {}
// SAFETY: as above.
unsafe impl<D: Driver> Sync for RcuDevice<D> {}

impl<D: Driver> RcuDevice<D> {
    /// A place that refers to nothing.
    pub(crate) fn new() -> Self {
        Self {
            ptr: AtomicPtr::new(ptr::null_mut()),
            tracker: UnsafeCell::new(pin_init::zeroed()),
            device: PhantomData,
        }
    }

    /// What the place refers to, for the RCU read-side critical section.
    #[inline(always)]
    pub(crate) fn get<'r>(&self, _rcu: ReadSide<'r>) -> Option<&'r Device<D>> {
        // The address dependency orders what is read through the pointer after this load, as for
        // `rcu_dereference()`.
        let ptr = self.ptr.load(Ordering::Relaxed);
        // SAFETY: a device that was registered, and is not freed before a grace period after it
        // was taken out of here (see `take()`), so not before `'r` ends.
        (!ptr.is_null()).then(|| unsafe { Device::from_raw(ptr) })
    }

    /// What the place refers to, while nobody can change that.
    pub(crate) fn get_locked<'r>(&self, _rtnl: &'r Rtnl) -> Option<&'r Device<D>> {
        let ptr = self.ptr.load(Ordering::Relaxed);
        // SAFETY: it is referred to until the RTNL is released at least.
        (!ptr.is_null()).then(|| unsafe { Device::from_raw(ptr) })
    }

    /// Makes the place, which must be empty, refer to `dev`.
    pub(crate) fn set(&self, dev: &Device<D>, rtnl: &Rtnl) {
        if self.get_locked(rtnl).is_some() {
            return;
        }
        // SAFETY: the device exists; `tracker` is ours because the RTNL is held.
        unsafe { bindings::passthru_helper_netdev_hold(dev.as_raw(), self.tracker.get()) };
        // Readers see the device as it was before this, as for `rcu_assign_pointer()`.
        // INVARIANT: a reference was taken above.
        self.ptr.store(dev.as_raw(), Ordering::Release);
    }

    /// Empties the place and returns what it referred to. The device exists until the RTNL is
    /// released at least, and until all readers have finished.
    pub(crate) fn take<'r>(&self, _rtnl: &'r Rtnl) -> Option<&'r Device<D>> {
        let ptr = self.ptr.swap(ptr::null_mut(), Ordering::SeqCst);
        if ptr.is_null() {
            return None;
        }
        // SAFETY: our reference was to an existing device, and keeps it until it is put.
        let dev: &'r Device<D> = unsafe { Device::from_raw(ptr) };
        if dev.reg_state() != bindings::netdev_reg_state_NETREG_REGISTERED {
            // A registered device waits for readers itself when it is unregistered, which is
            // after this. This one may have done so before.
            // SAFETY: the RTNL is held, under which it is right to sleep.
            unsafe { bindings::synchronize_net() };
        }
        // SAFETY: this is the end of the reference that `set()` took. Without it the device stays
        // until the RTNL is released, because freeing devices is done after that.
        unsafe { bindings::passthru_helper_netdev_put(ptr, self.tracker.get()) };
        Some(dev)
    }
}

impl<D> Drop for RcuDevice<D> {
    fn drop(&mut self) {
        let ptr = self.ptr.load(Ordering::Relaxed);
        if !ptr.is_null() {
            // SAFETY: nobody else has access to this place, so the reference is ours to put, once
            // those who read it before have finished.
            unsafe {
                bindings::synchronize_net();
                bindings::passthru_helper_netdev_put(ptr, self.tracker.get());
            }
        }
    }
}
