// SPDX-License-Identifier: GPL-2.0

//! Counters of which each CPU has its own.
//!
//! C header: `include/linux/percpu.h`.

use crate::net::bindings;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{cpu::nr_cpu_ids, prelude::*};

/// `N` event counters, counted without touching a line that another CPU writes.
///
/// A counter is an `unsigned long`: it is never seen half written.
///
/// # Invariants
///
/// `first` is a per-CPU allocation of `N` counters that this value owns.
pub(crate) struct Counters<const N: usize> {
    first: NonNull<c_ulong>,
}

// SAFETY: the allocation belongs to no thread, and every CPU may count in its own part of it.
unsafe impl<const N: usize> Send for Counters<N> {}
// SAFETY: as above; reading the parts of other CPUs is done with single loads.
unsafe impl<const N: usize> Sync for Counters<N> {}

impl<const N: usize> Counters<N> {
    /// Allocates the counters, all zero. May sleep. Fails with `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: only allocates.
        let first = unsafe { bindings::passthru_helper_alloc_percpu(N as c_uint) };
        // INVARIANT: a fresh allocation of `N` counters.
        Ok(Self {
            first: NonNull::new(first).ok_or(ENOMEM)?,
        })
    }

    /// The per-CPU address of a counter.
    fn counter(&self, index: usize) -> *mut c_ulong {
        assert!(index < N);
        self.first.as_ptr().wrapping_add(index)
    }

    /// Counts one event on this CPU. Callable in any context.
    pub(crate) fn increment(&self, index: usize) {
        // SAFETY: by the type's invariant and the check in `counter()` this is one of our
        // per-CPU counters.
        unsafe { bindings::passthru_helper_this_cpu_inc(self.counter(index)) };
    }

    /// A counter of events and the next one, which is of what they amount to, for one event that
    /// amounts to `amount`. It is counted by whoever gets this.
    #[inline(always)]
    pub(crate) fn traffic(&self, index: usize, amount: usize) -> Traffic<'_> {
        assert!(index + 1 < N);
        Traffic {
            counters: self.first.as_ptr().wrapping_add(index),
            amount,
            scope: PhantomData,
        }
    }

    /// What all CPUs counted until now.
    pub(crate) fn sum(&self, index: usize) -> u64 {
        let counter = self.counter(index);
        possible_cpus()
            // SAFETY: as in `increment()`; each CPU that there can be has one, read by a single load.
            .map(|cpu| unsafe {
                bindings::passthru_helper_per_cpu_ptr(counter, cpu).read_volatile()
            })
            .fold(0, c_ulong::wrapping_add) as u64
    }
}

/// The numbers of all CPUs that there can be. C: `for_each_possible_cpu()`.
pub(super) fn possible_cpus() -> impl Iterator<Item = c_int> {
    core::iter::successors(Some(-1), |before| {
        // SAFETY: only reads the set of them, which does not change.
        let cpu = unsafe { bindings::passthru_helper_next_possible_cpu(*before) };
        (cpu < nr_cpu_ids()).then_some(cpu as c_int)
    })
    .skip(1)
}

/// An event to be counted, and what it amounts to.
///
/// # Invariants
///
/// `counters` are two per-CPU counters that live for `'a`.
pub(crate) struct Traffic<'a> {
    counters: *mut c_ulong,
    amount: usize,
    scope: PhantomData<&'a c_ulong>,
}

impl Traffic<'_> {
    /// The two counters, for C to count in.
    #[inline(always)]
    pub(super) fn counters(&self) -> *mut c_ulong {
        self.counters
    }

    /// Counts the event on this CPU. Callable in any context.
    pub(crate) fn count(&self) {
        // SAFETY: by the type's invariant these are two per-CPU counters.
        unsafe { bindings::passthru_helper_this_cpu_count(self.counters, self.amount()) };
    }

    /// What the event amounts to.
    #[inline(always)]
    pub(super) fn amount(&self) -> c_ulong {
        self.amount as c_ulong
    }
}

impl<const N: usize> Drop for Counters<N> {
    fn drop(&mut self) {
        // SAFETY: by the type's invariant we own the allocation, and nobody can use it any more.
        unsafe { bindings::free_percpu(self.first.as_ptr().cast()) };
    }
}
