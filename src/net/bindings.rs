// SPDX-License-Identifier: GPL-2.0

//! What bindgen made of `bindings.h`, for [`crate::net`] only.
//!
//! The types here are this module's own: they describe the same memory as those of
//! [`kernel::bindings`], so pointers may be cast between the two.

#![allow(
    unknown_lints,
    clippy::all,
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    clippy::as_underscore,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    improper_ctypes,
    unnecessary_transmutes
)]

use kernel::ffi;
use pin_init::{MaybeZeroable, Zeroable};

// bindgen is told to leave these out, because it would make them depend on the word size.
type __kernel_size_t = usize;
type __kernel_ssize_t = isize;
type __kernel_ptrdiff_t = isize;

// SAFETY: a unit of bit fields is nothing but its storage.
unsafe impl<Storage> Zeroable for __BindgenBitfieldUnit<Storage> where Storage: Zeroable {}

include!(env!("PASSTHRU_BINDINGS"));
