// SPDX-License-Identifier: GPL-2.0

//! Whether what the kernel has counted has come to pass.
//!
//! C header: `include/linux/rcupdate.h`.

use super::{
    context::BottomHalf,
    namespace::Namespace,
    once::{Once64, OnceAddress, Sequence},
};
use crate::net::bindings;

/// Tells of a count of a namespace's whether all that was counted is done.
///
/// There are counts that go up before what they count can be seen. Who finds the new count and asks
/// at once may be told the old state of affairs, and must not take that for what belongs to the
/// count. Both happen in one read-side critical section: a grace period later they have.
pub(crate) struct Settling {
    sequence: Sequence,
    namespace: Once64,
    count: Once64,
    /// What tells whether a grace period has passed since the count was first seen.
    grace_period: OnceAddress,
}

impl Settling {
    /// Nothing was seen yet.
    pub(crate) const fn new() -> Self {
        Self {
            sequence: Sequence::new(),
            namespace: Once64::new(0),
            count: Once64::new(0),
            grace_period: OnceAddress::new(0),
        }
    }

    /// Whether all that was counted so far is done, so that whoever asks from now on is told of it.
    /// If not, it will be soon. C: `poll_state_synchronize_rcu()`, `start_poll_synchronize_rcu()`.
    pub(crate) fn is_done(&self, namespace: &Namespace, count: u32, _bh: BottomHalf<'_>) -> bool {
        let count = u64::from(count);
        let begin = self.sequence.begin();
        let same = self.namespace.read() == namespace.cookie() && self.count.read() == count;
        let grace_period = self.grace_period.read();
        if same && self.sequence.unchanged_since(begin) {
            // SAFETY: only reads the state of RCU, in any context.
            return unsafe { bindings::poll_state_synchronize_rcu(grace_period) };
        }
        if self.sequence.try_write() {
            self.namespace.write(namespace.cookie());
            self.count.write(count);
            // SAFETY: waits for nothing, in any context.
            let grace_period = unsafe { bindings::start_poll_synchronize_rcu() };
            self.grace_period.write(grace_period);
            self.sequence.end_write();
        }
        false
    }
}
