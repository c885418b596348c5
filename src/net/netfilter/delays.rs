// SPDX-License-Identifier: GPL-2.0

//! Packets that wait in a program's hands (NFQUEUE), and go on by a function of this module
//! ([`super::Onward`]) once it lets them.

use crate::net::bindings;

/// How often such packets are dropped. While that is done some are between two programs: those
/// wait again afterwards, behind one hook more each time.
const ROUNDS: usize = 3;

/// Stands for all that may delay packets. When it is dropped, nobody must pass packets on to hooks
/// any more, but for who is in the midst of it.
///
/// Where hooks are taken away the kernel drops what waits in that namespace, but not what was on
/// its way to wait just then. That is found here. May sleep when it is dropped.
pub(crate) struct Delays(());

impl Delays {
    /// There may be some from now on.
    pub(crate) const fn begin() -> Self {
        Self(())
    }
}

impl Drop for Delays {
    fn drop(&mut self) {
        for _ in 0..ROUNDS {
            // SAFETY: dropped at the module's end, by a process that holds no lock and may sleep.
            unsafe { bindings::synchronize_net() };
            // SAFETY: takes RCU's read lock itself, for the namespaces and their queues.
            unsafe { bindings::passthru_helper_nf_queue_drop_all() };
        }
        // SAFETY: as above. What a program has let go on passes in a read-side critical section.
        unsafe { bindings::synchronize_net() };
    }
}
