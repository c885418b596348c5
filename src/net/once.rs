// SPDX-License-Identifier: GPL-2.0

//! Words that one CPU writes while others read them, without a lock.
//!
//! The loads and stores of [`kernel::sync::atomic`] are calls of C functions. That is too much for
//! what a packet's way reads a dozen times; here they are the single instructions that
//! `READ_ONCE()`, `WRITE_ONCE()`, `smp_load_acquire()` and `smp_store_release()` are in C.
//!
//! C headers: `include/asm-generic/rwonce.h`, `include/asm-generic/barrier.h`.

use crate::net::bindings;
use core::sync::atomic::{fence, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use kernel::{alloc::flags::__GFP_ZERO, prelude::*};

macro_rules! once {
    ($(#[$doc:meta])* $name:ident, $atomic:ident, $int:ident) => {
        $(#[$doc])*
        #[repr(transparent)]
        pub(crate) struct $name($atomic);

        impl $name {
            /// A word with a value.
            pub(crate) const fn new(value: $int) -> Self {
                Self($atomic::new(value))
            }

            /// Reads the word. C: `READ_ONCE()`.
            #[inline(always)]
            pub(crate) fn read(&self) -> $int {
                self.0.load(Ordering::Relaxed)
            }

            /// Writes the word. C: `WRITE_ONCE()`.
            #[inline(always)]
            pub(crate) fn write(&self, value: $int) {
                self.0.store(value, Ordering::Relaxed);
            }
        }
    };
}

once! {
    /// A word of 16 bits.
    Once16, AtomicU16, u16
}
once! {
    /// A word of 32 bits.
    Once32, AtomicU32, u32
}
once! {
    /// A word of 64 bits.
    Once64, AtomicU64, u64
}
once! {
    /// A word of the size of an address.
    OnceAddress, AtomicUsize, usize
}

/// A table of words, all of them zero at first; `N` is a power of two.
pub(crate) struct Words<const N: usize>(KVBox<[Once64; N]>);

impl<const N: usize> Words<N> {
    /// May sleep. Fails with `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        const { assert!(N.is_power_of_two()) };
        let words = KVBox::<[Once64; N]>::new_uninit(GFP_KERNEL_ACCOUNT | __GFP_ZERO)?;
        // SAFETY: what was allocated is zero, and a word of any value is valid.
        Ok(Self(unsafe { words.assume_init() }))
    }

    /// One of the words; what is too large begins anew.
    #[inline(always)]
    pub(crate) fn word(&self, index: usize) -> &Once64 {
        &self.0[index % N]
    }

    /// Has all be zero, one after the other.
    pub(crate) fn clear(&self) {
        for word in self.0.iter() {
            word.write(0);
        }
    }
}

impl Once32 {
    /// Adds one, in order with everything before and after it. C: `atomic_inc_return()`.
    pub(crate) fn increment(&self) -> u32 {
        self.0.fetch_add(1, Ordering::SeqCst).wrapping_add(1)
    }

    /// Sets bits, in order with everything before and after it. C: `atomic_fetch_or()`.
    pub(crate) fn set(&self, bits: u32) {
        let _ = self.0.fetch_or(bits, Ordering::SeqCst);
    }

    /// Clears bits, in order with everything before and after it. C: `atomic_fetch_andnot()`.
    pub(crate) fn clear(&self, bits: u32) {
        let _ = self.0.fetch_and(!bits, Ordering::SeqCst);
    }
}

/// Counts the changes of data that it protects, so that a reader can tell whether there was one
/// while it read. Odd while the data is being changed. C: `seqcount_t`, and a trylock for writers.
pub(crate) struct Sequence(AtomicU32);

impl Sequence {
    /// For data that was never changed.
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Begins to read; what to compare with in [`Self::unchanged_since`]. C: `raw_read_seqcount()`.
    #[inline(always)]
    pub(crate) fn begin(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// Whether what was read since `begin` belongs together. C: `!read_seqcount_retry()`.
    #[inline(always)]
    pub(crate) fn unchanged_since(&self, begin: u32) -> bool {
        fence(Ordering::Acquire);
        begin & 1 == 0 && self.0.load(Ordering::Relaxed) == begin
    }

    /// Begins to write, if nobody else does. Nobody may wait for a writer who can be interrupted.
    pub(crate) fn try_write(&self) -> bool {
        let now = self.0.load(Ordering::Relaxed);
        let locked = now & 1 == 0
            && self
                .0
                .compare_exchange(
                    now,
                    now.wrapping_add(1),
                    Ordering::Acquire,
                    Ordering::Relaxed,
                )
                .is_ok();
        // Readers who see what is written next must see that the count is odd.
        fence(Ordering::Release);
        locked
    }

    /// Ends what [`Self::try_write`] began.
    pub(crate) fn end_write(&self) {
        let now = self.0.load(Ordering::Relaxed);
        self.0.store(now.wrapping_add(1), Ordering::Release);
    }
}

/// Orders what was written before against what is read after. C: `smp_mb()`, which is less than what
/// Rust's own fence is on x86.
#[inline(always)]
pub(crate) fn full_barrier() {
    // SAFETY: touches no memory, and may be called anywhere.
    unsafe { bindings::passthru_helper_smp_mb() };
}

/// Orders what was read before against what is read after. C: `smp_rmb()`.
pub(crate) fn read_barrier() {
    fence(Ordering::Acquire);
}
