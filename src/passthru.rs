// SPDX-License-Identifier: GPL-2.0

//! The link type `passthru` and its devices.
//!
//! Devices come in pairs. The **port** is the one that was asked for, and belongs to the *parent*
//! namespace; the **child device** was made with it and usually is in the *child* namespace. What
//! one end sends the other receives, by the receiver's whole input path: complete separation.

mod arrivals;
mod demux;
mod departures;
mod device;
mod drops;
mod ethtool;
mod link;
mod sources;
mod transmit;

pub(crate) use arrivals::Fall;
pub(crate) use demux::Outlook;
pub(crate) use device::{match_sizes, End};
pub(crate) use sources::{holds_ipv4, holds_ipv6};
pub(crate) use transmit::{cross, Next};

use crate::{
    net::{device::NetDevice, skb::Framing},
    uapi,
};
use kernel::prelude::*;

/// What a pair carries. Fixed when the pair is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// IPv4 and IPv6 packets without a link layer header.
    L3,
    /// Ethernet frames.
    L2,
}

impl Mode {
    /// The mode that a number in a request means.
    fn from_uapi(value: u32) -> Result<Self> {
        match value {
            uapi::PASSTHRU_MODE_L3 => Ok(Self::L3),
            uapi::PASSTHRU_MODE_L2 => Ok(Self::L2),
            _ => Err(EINVAL),
        }
    }

    fn to_uapi(self) -> u32 {
        match self {
            Self::L3 => uapi::PASSTHRU_MODE_L3,
            Self::L2 => uapi::PASSTHRU_MODE_L2,
        }
    }

    /// What packets begin with between the two ends.
    fn framing(self) -> Framing {
        match self {
            Self::L3 => Framing::Bare,
            Self::L2 => Framing::Ethernet,
        }
    }
}

/// Which end of its pair a device is. Not which namespace it is in: both ends can move.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The parent's end.
    Port,
    /// The child's end.
    Child,
}

impl Role {
    fn to_uapi(self) -> u32 {
        match self {
            Self::Port => uapi::PASSTHRU_ROLE_PORT,
            Self::Child => uapi::PASSTHRU_ROLE_CHILD,
        }
    }
}

/// Whether the device is a parent's end of a pair.
#[inline(always)]
pub(crate) fn is_port(dev: &NetDevice) -> bool {
    End::cast(dev).is_some_and(|end| end.driver().role() == Role::Port)
}

/// Whether packets that come in by a device may be for a child's `device` shortcut: they come to the
/// parent from outside.
pub(crate) fn is_uplink(dev: &NetDevice) -> bool {
    !dev.is_loopback() && !is_port(dev)
}

/// Whether the device is a child's end of a pair. What a namespace sends by one goes on in another,
/// and may come back from there.
pub(crate) fn is_child(dev: &NetDevice) -> bool {
    End::cast(dev).is_some_and(|end| end.driver().role() == Role::Child)
}

/// The link type, registered for as long as this lives.
pub(crate) type Registration = crate::net::link::LinkRegistration<link::Passthru>;

/// Registers the link type: from here on pairs can be made. Dropping the result ends all pairs.
pub(crate) fn register() -> Result<Registration> {
    link::OPERATIONS.register()
}
