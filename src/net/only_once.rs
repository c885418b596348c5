// SPDX-License-Identifier: GPL-2.0

//! What the kernel may be given once only at a time: it links statics into lists of its own.

use kernel::{
    prelude::*,
    sync::atomic::{Atomic, Full, Release},
};

/// Whether something is registered.
pub(super) struct OnlyOnce(Atomic<i32>);

impl OnlyOnce {
    /// It is not registered.
    pub(super) const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Registers by `register` what is not registered. Fails as that does, and with `EBUSY` where it is
    /// registered.
    pub(super) fn register(&self, register: impl FnOnce() -> Result) -> Result {
        if self.0.xchg(1, Full) != 0 {
            return Err(EBUSY);
        }
        register().inspect_err(|_| self.unregistered())
    }

    /// It was registered, and is not any more.
    pub(super) fn unregistered(&self) {
        self.0.store(0, Release);
    }
}
