// SPDX-License-Identifier: GPL-2.0

//! The netlink interface: what bindgen made of `uapi.h`.
//!
//! Numbers of attributes and their values come from `include/uapi/linux/if_passthru.h`, the file
//! the kernel module is built from too.

#![allow(dead_code, non_camel_case_types, non_upper_case_globals)]

include!(env!("PASSTHRU_UAPI"));

/// The largest attribute number, which C spells as an expression that bindgen leaves out.
pub const IFLA_PASSTHRU_MAX: passthru_attr = __IFLA_PASSTHRU_MAX - 1;
