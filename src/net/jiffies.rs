// SPDX-License-Identifier: GPL-2.0

//! What time it is, as coarsely as it is cheap to know.
//!
//! C header: `include/linux/jiffies.h`.

use crate::net::bindings;

/// Ticks since some time before the machine started; `CONFIG_HZ` of them are a second. They begin
/// anew at some time. Callable in any context. C: `jiffies`.
#[inline(always)]
pub(crate) fn jiffies() -> usize {
    // SAFETY: the counter is always there, and read by a single load.
    unsafe { (&raw const bindings::jiffies).read_volatile() }
}

/// Whether a time, in jiffies, is over. Callable in any context. C: `time_after()`.
#[inline(always)]
pub(crate) fn has_come(end: usize) -> bool {
    (end.wrapping_sub(jiffies()) as isize) < 0
}

/// The number of the present second. One that has passed does not come back while anything of it is
/// remembered: there are 136 years of them. Callable in any context.
#[inline(always)]
pub(crate) fn second() -> u32 {
    (jiffies() / bindings::CONFIG_HZ as usize) as u32
}

/// A moment, in jiffies: some 130 to 210 milliseconds of the kernel's usual ticks.
pub(crate) const MOMENT: usize = 1 << MOMENT_SHIFT;
const MOMENT_SHIFT: u32 = bindings::CONFIG_HZ.ilog2() - 2;

/// The number of the present [`MOMENT`]. It comes back after two hours. Callable in any context.
#[inline(always)]
pub(crate) fn moment() -> u16 {
    (jiffies() >> MOMENT_SHIFT) as u16
}
