// SPDX-License-Identifier: GPL-2.0

//! Data that the RTNL protects.

use super::context::Rtnl;
use core::cell::UnsafeCell;

/// A value that is read and changed under the RTNL only.
pub(crate) struct RtnlCell<T>(UnsafeCell<T>);

// SAFETY: one thread at a time holds the RTNL, and only that one gets at the value.
unsafe impl<T: Send> Sync for RtnlCell<T> {}

impl<T> RtnlCell<T> {
    /// A cell with a value.
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Puts a value in the cell, and returns what was there.
    pub(crate) fn replace(&self, value: T, _rtnl: &Rtnl) -> T {
        // SAFETY: the RTNL is held, so nobody else is here; the reference does not leave.
        core::mem::replace(unsafe { &mut *self.0.get() }, value)
    }
}

impl<T: Copy> RtnlCell<T> {
    /// A copy of what is in it now.
    pub(crate) fn get(&self, _rtnl: &Rtnl) -> T {
        // SAFETY: as above.
        unsafe { *self.0.get() }
    }
}

impl<T: Default> RtnlCell<T> {
    /// Takes the value out, lets `f` have it, and puts it back. What looks into the cell
    /// meanwhile finds the default.
    pub(crate) fn with<R>(&self, rtnl: &Rtnl, f: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self.replace(T::default(), rtnl);
        let result = f(&mut value);
        self.replace(value, rtnl);
        result
    }
}
