// SPDX-License-Identifier: GPL-2.0

//! Evidence of the context that code runs in.
//!
//! Each type here is a value of no size that stands for "this holds as long as I live". The
//! callbacks of the kernel make them, because they know how they are called, and who has a guard
//! or disables softirqs; functions that rely on a context take them as arguments.

use crate::net::bindings;
use core::marker::PhantomData;
use kernel::{sync::rcu, types::NotThreadSafe};

/// Evidence that the calling thread holds the RTNL.
pub(crate) struct Rtnl(NotThreadSafe);

impl Rtnl {
    /// Claims that the RTNL is held.
    ///
    /// # Safety
    ///
    /// The calling thread must hold the RTNL for as long as the returned value lives.
    pub(super) unsafe fn assume() -> Self {
        Self(NotThreadSafe)
    }
}

/// Evidence of an RCU read-side critical section that lasts for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct ReadSide<'a>(PhantomData<&'a ()>, NotThreadSafe);

impl<'a> ReadSide<'a> {
    /// Claims that an RCU read-side critical section lasts for `'a`.
    ///
    /// # Safety
    ///
    /// The calling thread must be in an RCU read-side critical section (of any flavour: they have
    /// been one since Linux 5.0) that does not end before `'a` does.
    pub(super) unsafe fn assume(_scope: &'a ()) -> Self {
        Self(PhantomData, NotThreadSafe)
    }
}

impl<'a> From<&'a rcu::Guard> for ReadSide<'a> {
    fn from(_guard: &'a rcu::Guard) -> Self {
        Self(PhantomData, NotThreadSafe)
    }
}

/// Evidence that for `'a` softirqs are disabled for who runs, or this is one. Then it stays on its
/// CPU, and no other softirq comes in between there, unless the kernel is PREEMPT_RT: there each is
/// a task, of which a more urgent one may.
#[derive(Clone, Copy)]
pub(crate) struct BottomHalf<'a>(PhantomData<&'a ()>, NotThreadSafe);

impl<'a> BottomHalf<'a> {
    /// Claims that softirqs are disabled for `'a`.
    ///
    /// # Safety
    ///
    /// The caller must have disabled softirqs, or be one, until `'a` ends.
    pub(super) unsafe fn assume(_scope: &'a ()) -> Self {
        Self(PhantomData, NotThreadSafe)
    }

    /// A region without softirqs is an RCU read-side critical section as well.
    pub(crate) fn read_side(self) -> ReadSide<'a> {
        ReadSide(PhantomData, NotThreadSafe)
    }
}

/// Runs `f`, which nothing interrupts but interrupts: for a moment that others may wait for. On
/// PREEMPT_RT it must not sleep, nor take locks that do there.
/// C: `preempt_disable_nested()`, `preempt_enable_nested()`.
#[inline]
pub(crate) fn without_preemption(_bh: BottomHalf<'_>, f: impl FnOnce()) {
    // SAFETY: softirqs are disabled, and this is undone below.
    unsafe { bindings::passthru_helper_preempt_disable_nested() };
    f();
    // SAFETY: disabled above.
    unsafe { bindings::passthru_helper_preempt_enable_nested() };
}

/// Runs `f` with softirqs disabled. What they have to do by then is done at the end,
/// unless they were disabled before. C: `local_bh_disable()`, `local_bh_enable()`.
pub(crate) fn with_bottom_halves_disabled<R>(f: impl FnOnce(BottomHalf<'_>) -> R) -> R {
    let scope = ();
    // SAFETY: may be nested, and is undone below.
    unsafe { bindings::passthru_helper_local_bh_disable() };
    // SAFETY: they are disabled for as long as the callee can have this.
    let result = f(unsafe { BottomHalf::assume(&scope) });
    // SAFETY: disabled above.
    unsafe { bindings::passthru_helper_local_bh_enable() };
    result
}
