// SPDX-License-Identifier: GPL-2.0

//! `ip link ... type passthru`.
//!
//! `ip` loads `link_passthru.so` when it meets the type and calls it by the table in [`ffi`]. That
//! part alone touches pointers; [`link`] is what it calls, [`parse`] and [`print`] read the command
//! line and write the answer and know nothing of either, so their tests run without `ip`.
//!
//! There is no standard library in here: it would be most of the plugin, to print three words.

#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

#[cfg(not(test))]
#[allow(unsafe_code)]
mod ffi;
#[cfg(not(test))]
mod link;
#[cfg_attr(test, allow(dead_code))]
mod parse;
mod print;
mod uapi;
mod words;
