// SPDX-License-Identifier: GPL-2.0

//! Whose a packet is.
//!
//! The parent's table of routes is the only authority: an address belongs to the port that its
//! route names. What was found out about a flow, by real lookups and real source validation in
//! parent and child, is remembered; what is remembered holds for exactly that flow, and only as
//! long as nothing that was relied on has changed.

pub(crate) mod exits;
pub(crate) mod ipv4;
pub(crate) mod ipv6;
mod strangers;

use crate::{
    net::{
        context::{ReadSide, Rtnl},
        device::{Device, NetDevice},
        dst::Dst,
        ipv4::{Destination, Kind},
        once::Once32,
        skb::DropReason,
    },
    passthru::{End, Role},
    shortcut::{Set, Shortcut},
};
use kernel::prelude::*;

/// Flows that are remembered of each namespace and protocol.
const FLOWS: usize = 16384;

/// What is known of the packets that come into a namespace with ports.
pub(crate) struct Parent {
    /// Counts what happens to ports and children, which no generation of routes tells of.
    generation: Once32,
    ipv4: ipv4::Flows,
    ipv4_strangers: strangers::Ipv4Strangers,
    ipv6: ipv6::Flows,
    ipv6_strangers: strangers::Ipv6Strangers,
}

impl Parent {
    /// Nothing is known yet. May sleep. Fails with `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            generation: Once32::new(0),
            ipv4: ipv4::Flows::new(FLOWS)?,
            ipv4_strangers: strangers::Ipv4Strangers::new()?,
            ipv6: ipv6::Flows::new(FLOWS)?,
            ipv6_strangers: strangers::Ipv6Strangers::new()?,
        })
    }

    /// Forgets all, because something happened to a port or its child: from here on nothing that
    /// was found out before is believed.
    pub(crate) fn changed(&self) {
        self.generation.increment();
    }

    /// As [`Self::changed`], and lets go of all devices and routes that are remembered.
    pub(crate) fn purge(&self, rtnl: &Rtnl) {
        self.changed();
        self.ipv4.purge(rtnl);
        self.ipv6.purge(rtnl);
    }
}

/// A packet's owner, and how to go on there.
#[derive(Clone, Copy)]
pub(crate) struct Claim<'r> {
    /// The device that the packet is to come in by.
    pub(crate) child: &'r Device<End>,
    /// The packet's way in the child.
    pub(crate) way: Way<'r>,
    /// The packet's route in the parent, where that is local.
    pub(crate) near: Option<Dst<'r>>,
    /// The shortcuts that the port allows.
    pub(crate) shortcuts: Set,
}

/// A packet's way in the child.
#[derive(Clone, Copy)]
pub(crate) struct Way<'r> {
    /// The route.
    pub(crate) route: Dst<'r>,
    /// Whether that is one to the child's own sockets.
    pub(crate) is_local: bool,
    /// What the child's stack is to remember of the packet.
    pub(crate) flags: u16,
}

impl<'r> Claim<'r> {
    /// The answer to who asks for a port that allows one of `shortcuts`.
    #[inline(always)]
    fn answer(self, shortcuts: Set) -> Answer<'r> {
        if self.shortcuts.intersects(shortcuts) {
            Answer::Claimed(self)
        } else {
            Answer::Pass
        }
    }
}

/// Where on its way a packet is when its owner is sought.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// It comes from the device: IP has not seen it.
    Device,
    /// It is about to be routed, so it may be given the route that the stack would give it next.
    Routing,
    /// It has its route, which it must keep unless a child has it.
    Sockets,
}

/// What was found out about a packet.
pub(crate) enum Answer<'r> {
    /// It is a child's.
    Claimed(Claim<'r>),
    /// It is nobody's, or cannot be told: the stack that has it must see to it.
    Pass,
    /// It is a child's, but the child will not have it by this shortcut.
    Held,
    /// It comes from a child whose address the parent holds for it, so that the parent's stack
    /// would take it for a forgery: it is to be sent as if the parent had made it.
    Leaves,
    /// It must not be let in: the parent's stack would drop it for this reason.
    Refused(DropReason),
}

/// Two numbers in one word.
#[inline(always)]
fn pair(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// The port that an address is held for: by a local route that somebody set on it, and with leave
/// to take its packets where the parent's own would go to their sockets.
fn holder<'r>(destination: &Destination<'r>) -> Option<&'r Device<End>> {
    if destination.kind != Kind::Local || destination.by_kernel {
        return None;
    }
    let port = End::cast(destination.dev?)?;
    let shortcuts = port.driver().policy().shortcuts();
    shortcuts.contains(Shortcut::Netfilter).then_some(port)
}

/// The port that a route leads to, if it leads to one, and its child; both are up.
fn owner<'r>(dev: &'r NetDevice, rcu: ReadSide<'r>) -> Option<(&'r Device<End>, &'r Device<End>)> {
    let port = End::cast(dev).filter(|port| port.driver().role() == Role::Port)?;
    let child = port.driver().peer(rcu)?;
    (port.is_up() && child.is_up()).then_some((port, child))
}
