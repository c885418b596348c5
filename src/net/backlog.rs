// SPDX-License-Identifier: GPL-2.0

//! Each CPU's backlog: packets that were handed to a device there and are yet to be received.
//!
//! C header: `include/linux/netdevice.h` (`struct softnet_data`).

use super::{context::BottomHalf, once::Once64};
use crate::net::bindings;
use core::array;

/// Kinds of packets that are told apart.
const KINDS: usize = 32;

/// Where the last packets of each kind are that were handed to one device by way of a backlog. Who
/// hands it a packet by a shorter way asks, so that none overtakes another of its kind.
///
/// A packet that RPS takes to another CPU is not followed there, nor one that GRO keeps.
pub(crate) struct InFlight([Once64; KINDS]);

impl InFlight {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self(array::from_fn(|_| Once64::new(0)))
    }

    #[inline(always)]
    fn of_kind(&self, kind: u8) -> &Once64 {
        &self.0[usize::from(kind) % KINDS]
    }

    /// Notes that a packet of this kind was put into this CPU's backlog just now.
    pub(crate) fn note(&self, kind: u8, _bh: BottomHalf<'_>) {
        // SAFETY: only reads what belongs to this CPU, which cannot change here.
        let mark = unsafe { bindings::passthru_helper_backlog_mark() };
        self.of_kind(kind).write(mark);
    }

    /// Whether a packet of this kind is in a backlog, as far as can be told from here. Callable in
    /// any context.
    #[inline(always)]
    pub(crate) fn is_ahead(&self, kind: u8) -> bool {
        let note = self.of_kind(kind);
        // Read once: another CPU may find out meanwhile that it is out of date.
        let mark = note.read();
        mark != 0 && is_queued(note, mark)
    }
}

/// Whether the packet of a note is in the backlog still. If not, that need not be asked again.
#[cold]
#[inline(never)]
fn is_queued(note: &Once64, mark: u64) -> bool {
    // SAFETY: only reads, and marks that are not zero name CPUs that exist.
    let queued = unsafe { bindings::passthru_helper_backlog_has(mark) };
    if !queued {
        note.replace(mark, 0);
    }
    queued
}
