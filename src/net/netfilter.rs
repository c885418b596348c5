// SPDX-License-Identifier: GPL-2.0

//! Netfilter hooks: places on a packet's way where others may look at it, and take it.
//!
//! C header: `include/linux/netfilter.h`.

mod delays;
mod hook;
mod packets;
mod passage;
mod tables;

use super::device::NetDevice;
use crate::net::bindings;
use kernel::prelude::*;

pub(crate) use delays::Delays;
pub(crate) use hook::{Ending, Hook, Place};
pub(crate) use packets::{Passing, Sender, Sending, Verdict, Watcher};
pub(super) use passage::{At, Onward};
pub(super) use tables::{Hooks, Registration};

impl PartialEq for NetDevice {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }
}

impl Eq for NetDevice {}

/// A network protocol.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// Where our own hooks stand: behind all others that are not there, too.
const LAST: c_int = c_int::MAX;

impl Family {
    fn number(self) -> u32 {
        match self {
            Self::Ipv4 => bindings::NFPROTO_IPV4,
            Self::Ipv6 => bindings::NFPROTO_IPV6,
        }
    }
}
