// SPDX-License-Identifier: GPL-2.0

//! What the compiler is to expect, where C is inlined: how likely a condition is it learns from C only.
//!
//! C header: `include/linux/compiler.h`.

#[cfg(passthru_inline)]
use crate::net::bindings;

/// A condition that seldom holds: what is done where it does may cost more, and what is done else is to
/// keep its values in registers. C: `unlikely()`.
#[inline(always)]
pub(crate) fn unlikely(condition: bool) -> bool {
    #[cfg(passthru_inline)]
    // SAFETY: says what it was told.
    let condition = unsafe { bindings::passthru_helper_unlikely(condition) };
    condition
}

/// As [`unlikely`], for one that nearly always holds. C: `likely()`.
#[inline(always)]
pub(crate) fn likely(condition: bool) -> bool {
    !unlikely(!condition)
}
