// SPDX-License-Identifier: GPL-2.0

//! Where what a child sends goes on in its parent.
//!
//! As for what comes in, the parent's table of routes is the only authority, asked as for a packet
//! that came in by the child's port; and what was found out is remembered for exactly that flow,
//! with the check of its source, for as long as nothing that was relied on has changed.

mod ipv4;
mod ipv6;

use super::{is_due, is_open, pair_behind, sends_less, serves_others};
use crate::{
    net::{
        context::{ReadSide, Rtnl},
        device::Device,
        dst::Dst,
        hint::unlikely,
        netfilter::Family,
        once::Once32,
        settling::Settling,
    },
    passthru::{is_port, End, Fall},
    shortcut::Shortcut,
};
use kernel::prelude::*;

/// Flows that are remembered of each namespace and protocol.
const FLOWS: usize = 8192;

/// What is known of the packets that children send into their parent's namespace.
pub(crate) struct Exits {
    /// Counts what happens to ports, which no generation of routes tells of. Of what is kept nothing
    /// depends on children's devices.
    generation: Once32,
    /// Not zero where the parent was seen to track connections.
    tracked: Once32,
    ipv4: ipv4::Flows,
    ipv6: ipv6::Flows,
    /// Whether IPv6 routes of the parent that were counted are there.
    settling: Settling,
}

impl Exits {
    /// Nothing is known yet. May sleep. Fails with `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            generation: Once32::new(0),
            tracked: Once32::new(0),
            ipv4: ipv4::Flows::new(FLOWS)?,
            ipv6: ipv6::Flows::new(FLOWS)?,
            settling: Settling::new(),
        })
    }

    /// Whether the parent's hooks are those of one that tracks connections, where what children
    /// send each other is taken before routing.
    pub(crate) fn are_tracked(&self) -> bool {
        self.tracked.read() != 0
    }

    /// Takes note of that.
    pub(crate) fn set_tracked(&self, tracked: bool) {
        self.tracked.write(tracked.into());
    }

    /// Forgets all, because something happened to a port.
    pub(crate) fn changed(&self, rtnl: &Rtnl) {
        if is_due(self.generation.increment()) {
            self.empty(rtnl);
        }
    }

    /// As [`Self::changed`], and lets go of all devices and routes that are remembered.
    pub(crate) fn purge(&self, rtnl: &Rtnl) {
        self.generation.increment();
        self.empty(rtnl);
    }

    fn empty(&self, rtnl: &Rtnl) {
        self.ipv4.purge(rtnl);
        self.ipv6.purge(rtnl);
    }
}

/// Where a packet goes on.
#[derive(Clone, Copy)]
pub(crate) enum Exit<'r> {
    /// By the parent's route, as if the parent had sent it.
    Uplink(Dst<'r>),
    /// Likewise, by a route that does not take the longest packets of the pair in one piece. What is too
    /// long goes by the full path: its sender must not be in the midst of sending when it hears of that,
    /// or it does not, or takes it for a failure to send; and of many packets in one it hears once.
    Narrow(Dst<'r>),
    /// To another child of the same parent.
    Sibling(&'r Device<End>),
}

impl<'r> Exit<'r> {
    /// What an entry of a table says: where it names nobody the route is meant.
    #[inline(always)]
    fn remembered(sibling: Option<&'r Device<End>>, dst: Dst<'r>) -> Self {
        if unlikely(sibling.is_some()) {
            sibling.map_or(Self::Uplink(dst), Self::Sibling)
        } else {
            Self::Uplink(dst)
        }
    }

    /// Who receives the packet, if it does not leave.
    fn sibling(self) -> Option<&'r Device<End>> {
        match self {
            Self::Uplink(_) | Self::Narrow(_) => None,
            Self::Sibling(child) => Some(child),
        }
    }
}

/// Whether a route that was `learned` in part sends shorter packets than the pair of this port takes, or
/// may come to do so: the child may have its device take more at any time, up to what the port does. What
/// the parent's output would refuse is asked, and not what forwarding would: the latter is by the full
/// path, where it decides for itself.
fn is_narrow(dst: Dst<'_>, learned: bool, port: &Device<End>) -> bool {
    learned || dst.mtu() < port.mtu()
}

/// The same exit, for a route that [`is_narrow`] or not.
#[inline(always)]
fn narrowed(exit: Exit<'_>, narrow: bool) -> Exit<'_> {
    match exit {
        Exit::Uplink(dst) if narrow => Exit::Narrow(dst),
        other => other,
    }
}

/// Whether an answer is one to remember: where a packet goes on, or that it is for the parent itself. The
/// latter need not hold: what it says is always right.
fn is_kept(answer: &Result<Exit<'_>, Fall>) -> bool {
    matches!(answer, Ok(_) | Err(Fall::Parents))
}

/// Whether packets from a source may not leave early by `port`: one that is not its child's
/// `own`, where sources are checked; or one that the port has no shortcut for. Without `netfilter` an
/// address that is `held` is the parent's, and with that alone no other may leave.
fn refuses(own: bool, held: bool, port: &Device<End>) -> bool {
    let policy = port.driver().policy();
    let needed = if held {
        Shortcut::Netfilter
    } else {
        Shortcut::Output
    };
    !own && policy.checks_sources() || !policy.shortcuts().contains(needed)
}

/// Whether all that the child of a port sends may leave early, and not only what comes from addresses
/// that are held for it.
pub(crate) fn lets_all_leave(port: &Device<End>) -> bool {
    port.driver()
        .policy()
        .shortcuts()
        .contains(Shortcut::Output)
}

/// The exit by a route that packets from `port` have in its namespace. Where the port did not say that
/// siblings' packets may pass the parent's rules by, what is for one leaves by the sibling's port.
fn by_route<'r>(
    dst: Dst<'r>,
    port: &Device<End>,
    family: Family,
    rcu: ReadSide<'r>,
) -> Result<Exit<'r>, Fall> {
    let dev = dst.device(rcu);
    if dev.is_loopback() {
        return Err(Fall::Parents);
    }
    if dev.is(port) {
        return Err(Fall::Unrouted);
    }
    if dst.encapsulates() {
        return Err(Fall::Unrouted);
    }
    match pair_behind(dev, rcu) {
        // A port whose child cannot be asked, as one in a VRF, is not the way out. Who is sent to is
        // asked this again, or finds out himself: he receives the packet by his device.
        Some((port, child)) if !is_open(port, child) => Err(Fall::Unrouted),
        None if is_port(dev) => Err(Fall::Unrouted),
        // The frame is for the child's device, and on a link it may be for who is behind that.
        Some((_, child)) if serves_others(child) => Err(Fall::Unrouted),
        Some((port, _)) if sends_less(dst, family, port, rcu) => Err(Fall::TooLong),
        Some((_, child)) if lets_all_leave(port) => Ok(Exit::Sibling(child)),
        _ if dst.sends_plainly(family) => Ok(Exit::Uplink(dst)),
        _ => Err(Fall::Unrouted),
    }
}
