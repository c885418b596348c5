// SPDX-License-Identifier: GPL-2.0

//! Things that a packet shows have to be done, and that may sleep.
//!
//! [`kernel::workqueue`] has no way to wait for work, or to end it, and a module must before it goes.
//!
//! C header: `include/linux/workqueue.h`.

use super::context::Rtnl;
use crate::net::bindings;
use core::marker::PhantomData;
use kernel::{
    prelude::*,
    sync::atomic::{Acquire, Atomic, Full, Release},
    types::Opaque,
};

/// What is to be done.
pub(crate) trait Task: 'static {
    /// Does it, in a thread of the kernel's.
    fn run(rtnl: &Rtnl);
}

/// A task that can be asked for anywhere. Asked for several times before it begins, it runs once.
pub(crate) struct Work<T> {
    work: Opaque<bindings::work_struct>,
    /// 0 before it is registered, 1 while that is done, 2 from then on.
    state: Atomic<u32>,
    task: PhantomData<fn() -> T>,
}

// SAFETY: the structure is changed by the kernel only, with atomic operations.
unsafe impl<T> Sync for Work<T> {}

impl<T: Task> Work<T> {
    /// For a static.
    pub(crate) const fn new() -> Self {
        Self {
            work: Opaque::uninit(),
            state: Atomic::new(0),
            task: PhantomData,
        }
    }

    /// Lets the task be asked for until the result is dropped. Fails with `EBUSY` where it is
    /// already.
    pub(crate) fn register(&'static self) -> Result<WorkRegistration<T>> {
        if self.state.cmpxchg(0, 1, Full).is_err() {
            return Err(EBUSY);
        }
        // SAFETY: static, and nobody else uses it in this state.
        unsafe { bindings::passthru_helper_init_work(self.work.get(), Some(Self::call)) };
        self.state.store(2, Release);
        Ok(WorkRegistration { work: self })
    }

    /// Has the task run soon, if it is registered. Callable in any context. C: `schedule_work()`.
    pub(crate) fn ask(&'static self) {
        if self.state.load(Acquire) == 2 {
            // SAFETY: initialized, and static.
            unsafe { bindings::passthru_helper_schedule_work(self.work.get()) };
        }
    }

    /// # Safety
    ///
    /// The caller must be allowed to sleep, and not hold the RTNL.
    unsafe extern "C" fn call(_work: *mut bindings::work_struct) {
        // SAFETY: by the caller's promise; released below.
        unsafe { bindings::rtnl_lock() };
        {
            // SAFETY: it is held until the value is gone.
            let rtnl = unsafe { Rtnl::assume() };
            T::run(&rtnl);
        }
        // SAFETY: taken above.
        unsafe { bindings::rtnl_unlock() };
    }
}

/// A task that may be asked for. Dropping this ends that, and waits for the task; it must not be
/// done under the RTNL, nor while anybody may still ask. C: `cancel_work_sync()`.
pub(crate) struct WorkRegistration<T: Task> {
    work: &'static Work<T>,
}

impl<T: Task> Drop for WorkRegistration<T> {
    fn drop(&mut self) {
        self.work.state.store(1, Release);
        // SAFETY: initialized, and nobody asks for it any more.
        unsafe { bindings::cancel_work_sync(self.work.work.get()) };
        self.work.state.store(0, Release);
    }
}
