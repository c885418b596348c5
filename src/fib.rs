// SPDX-License-Identifier: GPL-2.0

//! Whose a packet is.
//!
//! The parent's table of routes is the only authority: an address belongs to the port that its
//! route names. What was found out about a flow, by real lookups and real source validation in
//! parent and child, is remembered; what is remembered holds for whatever has the same answer, and
//! only as long as nothing that was relied on has changed.

pub(crate) mod established;
pub(crate) mod exits;
pub(crate) mod ipv4;
pub(crate) mod ipv6;
mod strangers;

use crate::{
    ip::Ip,
    net::{
        address_hashes::{AddressHashes, SocketNumber},
        context::{ReadSide, Rtnl},
        device::{Device, NetDevice},
        dst::{Dst, KeptDst},
        flow_table::seeds,
        ipv4::{Destination, Kind},
        netfilter::Family,
        once::Once32,
        own_addresses::OwnAddresses,
        settling::Settling,
        skb::{DropReason, SkBuff},
    },
    passthru::{End, Role},
    shortcut::{Set, Shortcut},
};
use established::Established;
use kernel::{prelude::*, sync::Arc};
pub(crate) use strangers::Stranger;

/// Flows that are remembered of each namespace: 2 MiB of IPv4's and 4 MiB of IPv6's. With many more
/// places than flows most are found at the first look.
const IPV4_FLOWS: usize = 32768;
const IPV6_FLOWS: usize = 32768;

/// What is known of the packets that come into a namespace with ports.
pub(crate) struct Parent {
    /// Counts what happens to ports, which no generation of routes tells of. Of children those of their
    /// own namespaces tell, which are noted: see [`Namespace::forget_routes`].
    ///
    /// [`Namespace::forget_routes`]: crate::net::namespace::Namespace::forget_routes
    generation: Once32,
    ipv4: ipv4::Flows,
    ipv4_destinations: ipv4::destinations::Destinations,
    ipv4_locals: ipv4::Flows,
    ipv4_strangers: strangers::Ipv4Strangers,
    ipv4_own: OwnAddresses,
    ipv6: ipv6::Flows,
    ipv6_locals: ipv6::Flows,
    ipv6_settling: Settling,
    ipv6_strangers: strangers::Ipv6Strangers,
    /// Of its own addresses.
    address_hashes: AddressHashes,
    /// Ports note there what crosses them.
    established: Arc<Established>,
}

impl Parent {
    /// Nothing is known yet. May sleep. Fails with `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        let ipv6_seeds = seeds();
        Ok(Self {
            generation: Once32::new(0),
            ipv4: ipv4::Flows::new(IPV4_FLOWS)?,
            ipv4_destinations: ipv4::Flows::new(ipv4::destinations::SIZE)?,
            ipv4_locals: ipv4::Flows::new(ipv4::locals::SIZE)?,
            ipv4_strangers: strangers::Ipv4Strangers::new()?,
            ipv4_own: OwnAddresses::new(),
            ipv6: ipv6::Flows::with_seeds(IPV6_FLOWS, ipv6_seeds)?,
            ipv6_locals: ipv6::Flows::with_seeds(ipv6::locals::SIZE, ipv6_seeds)?,
            ipv6_settling: Settling::new(),
            ipv6_strangers: strangers::Ipv6Strangers::new()?,
            address_hashes: AddressHashes::new(),
            established: Arc::new(Established::new()?, GFP_KERNEL)?,
        })
    }

    /// Hashes of its own addresses.
    #[inline(always)]
    pub(crate) fn address_hashes(&self) -> &AddressHashes {
        &self.address_hashes
    }

    /// Flows of connections that tracking knows.
    #[inline(always)]
    pub(crate) fn established(&self) -> &Arc<Established> {
        &self.established
    }

    /// Forgets all, because something happened to a port: from here on nothing that was found out
    /// before is believed.
    pub(crate) fn changed(&self, rtnl: &Rtnl) {
        if self.count() {
            self.empty(rtnl);
        }
    }

    /// As [`Self::changed`], and lets go of all devices and routes that are remembered.
    pub(crate) fn purge(&self, rtnl: &Rtnl) {
        self.count();
        self.empty(rtnl);
    }

    /// Counts, and says whether [`is_due`].
    fn count(&self) -> bool {
        self.established.changed();
        let due = is_due(self.generation.increment());
        if due {
            self.ipv4_strangers.clear();
            self.ipv6_strangers.clear();
        }
        due
    }

    fn empty(&self, rtnl: &Rtnl) {
        self.ipv4.purge(rtnl);
        self.ipv4_destinations.purge(rtnl);
        self.ipv4_locals.purge(rtnl);
        self.ipv6.purge(rtnl);
        self.ipv6_locals.purge(rtnl);
    }
}

/// Whether what is kept under a count of changes is to be emptied now that it has come to `count`, so
/// that nothing is left there when the count begins anew.
fn is_due(count: u32) -> bool {
    const OFTEN_ENOUGH: u32 = 1 << 24;
    count % OFTEN_ENOUGH == 0
}

/// Whether the ways of packets that come in by a device depend on nothing that is not kept of them.
fn depends_on_key<I: Ip>(dev: &NetDevice, rcu: ReadSide<'_>) -> bool {
    let namespace = dev.namespace(rcu);
    !I::rules_look_deeper(namespace) && !namespace.has_transform_policies() && !dev.is_in_vrf()
}

/// A packet's owner, and how to go on there.
#[derive(Clone, Copy)]
pub(crate) struct Claim<'r> {
    /// The device that the packet is to come in by.
    pub(crate) child: &'r Device<End>,
    /// The packet's way in the child.
    pub(crate) way: Way<'r>,
    /// The packet's route in the parent: there where that is local, as [`Self::is_near`] says.
    pub(crate) near: Option<Dst<'r>>,
    /// The shortcuts that the packet may take: those that the port allows, but `output` where the
    /// port allows it that the packet came in by, from another child of this parent.
    pub(crate) shortcuts: Set,
    /// By which its socket in the child is found, where that was found out.
    pub(crate) number: SocketNumber,
}

/// Where the shortcuts begin in what is noted of a claim.
const SHORTCUTS: u32 = 16;
/// Where something else may begin.
const AFTER_CLAIM: u32 = 23;

impl Claim<'_> {
    /// Whether the child itself does what the claim says, by its device. Where that serves others, as the
    /// port of a bridge does, those have addresses of the link, which the port's neighbours say. What is
    /// for the child itself a bridge takes by the device's own, but macvlan by its devices'.
    fn is_childs_own(&self) -> bool {
        !serves_others(self.child) || self.way.is_local() && self.child.is_in_bridge()
    }

    /// Whether the parent's route is local. To ask this is less than to look for it.
    #[inline(always)]
    pub(crate) fn is_near(&self) -> bool {
        self.way.bits & Way::NEAR != 0
    }

    /// Its way and its shortcuts, in the lowest bits of a word.
    fn to_note(self) -> u32 {
        const {
            assert!((Set::ALL.to_note() as u32) << SHORTCUTS < Way::NEAR);
            assert!(Way::NEAR < Way::LOCAL && Way::LOCAL < 1 << AFTER_CLAIM);
        };
        // The way may be from a note itself, of which the rest is not to be in this one.
        self.way.bits & Way::OWN | u32::from(self.shortcuts.to_note()) << SHORTCUTS
    }
}

/// The shortcuts of a claim in whose note [`Claim::to_note`] is.
#[inline(always)]
fn shortcuts_in(note: u32) -> Set {
    Set::from_note((note >> SHORTCUTS) as u8)
}

/// A packet's way in the child. As small as can be, so that it is handed on in registers.
#[derive(Clone, Copy)]
pub(crate) struct Way<'r> {
    /// The route.
    pub(crate) route: Dst<'r>,
    /// The lowest half is what the stack is to remember of the packet.
    bits: u32,
}

impl<'r> Way<'r> {
    /// Set for a route to the child's own sockets.
    const LOCAL: u32 = 1 << 22;
    /// Set where the parent's route is a local one.
    const NEAR: u32 = 1 << 21;
    /// All that is the way's in a note.
    const OWN: u32 = Self::LOCAL | Self::NEAR | u16::MAX as u32;

    /// A way by `route`, of a packet of which the child's stack is to remember `flags`, and which has a
    /// `near` route in the parent or not.
    fn new(route: Dst<'r>, flags: u16, near: bool) -> Self {
        let set = |bit: u32, is: bool| if is { bit } else { 0 };
        let bits =
            u32::from(flags) | set(Self::LOCAL, route.is_local_delivery()) | set(Self::NEAR, near);
        Self { route, bits }
    }

    /// The way of a claim in whose note [`Claim::to_note`] is; what else is in that does not matter.
    #[inline(always)]
    fn from_note(route: Dst<'r>, note: u32) -> Self {
        Self { route, bits: note }
    }

    /// Whether the route is one to the child's own sockets.
    #[inline(always)]
    pub(crate) fn is_local(self) -> bool {
        self.bits & Self::LOCAL != 0
    }

    /// Whether it is, and there is nothing to remember.
    #[inline(always)]
    pub(crate) fn is_plainly_local(self) -> bool {
        self.bits & (Self::LOCAL | u32::from(u16::MAX)) == Self::LOCAL
    }

    /// What the child's stack is to remember of the packet.
    #[inline(always)]
    pub(crate) fn flags(self) -> u16 {
        self.bits as u16
    }
}

impl<'r> Claim<'r> {
    /// The answer to who asks for a packet that had its `kept` route already. It needs that: hooks that
    /// come later see it, and go by it ([`Ip::held_for`](crate::ip::Ip::held_for)).
    fn answer_at_sockets(self, skb: &mut SkBuff, kept: KeptDst<'r>) -> Answer<'r> {
        skb.put_dst(kept);
        if self.is_near() && self.shortcuts.contains(Shortcut::Netfilter) {
            Answer::Claimed(self)
        } else {
            Answer::Pass
        }
    }

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

impl At {
    /// The answer to who asks for a packet that cannot be judged.
    fn unknown<'r>(self) -> Answer<'r> {
        match self {
            Self::Device | Self::Routing => Answer::Pass,
            // Its address may be a child's, whose stack can judge it.
            Self::Sockets => Answer::Held,
        }
    }
}

/// What was found out about a packet.
pub(crate) enum Answer<'r> {
    /// It is a child's.
    Claimed(Claim<'r>),
    /// It is nobody's, or cannot be told: the stack that has it must see to it.
    Pass,
    /// It may be a child's for which the address is held, but not by this shortcut.
    Held,
    /// It comes from a child whose address the parent holds for it, so that the parent's stack
    /// would take it for a forgery (IPv4), or not send it on where it does not forward (IPv6): it is to
    /// be sent as if the parent had made it.
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
    End::cast(destination.dev?).filter(|port| may_hold(port))
}

/// Whether a port is one that addresses are held for, if there is a route that says so.
#[inline(always)]
pub(crate) fn may_hold(port: &Device<End>) -> bool {
    let shortcuts = port.driver().policy().shortcuts();
    shortcuts.contains(Shortcut::Netfilter)
}

/// A device, if it is such a port.
#[inline(always)]
pub(crate) fn port_that_may_hold(dev: &NetDevice) -> Option<&Device<End>> {
    End::cast(dev).filter(|port| may_hold(port))
}

/// The shortcuts of a packet that came in by `dev` and goes to `port`, whose address is held for
/// the port where it is `near`.
fn shortcuts_between(dev: &NetDevice, port: &Device<End>, near: bool) -> Set {
    let allowed = port.driver().policy().shortcuts().inward();
    // Without that the address is the parent's: then all of its packets have to be.
    if near && !allowed.contains(Shortcut::Netfilter) {
        return Set::NONE;
    }
    let is_siblings = |end: &Device<End>| {
        let shortcuts = end.driver().policy().shortcuts();
        end.driver().role() == Role::Port && !end.is(port) && shortcuts.contains(Shortcut::Output)
    };
    if !near && End::cast(dev).is_some_and(is_siblings) {
        allowed.with(Shortcut::Output)
    } else {
        allowed
    }
}

/// Whether packets to a child's device on an Ethernet link may be for others: through a bridge that
/// it is a port of, or for devices that share it, as macvlan.
pub(crate) fn serves_others(child: &Device<End>) -> bool {
    child.driver().is_framed() && child.has_rx_handler()
}

/// Whether the parent's route to a child sends shorter packets than the port takes: who says so has
/// longer ones refused, or made smaller, by routing. What the child takes is not asked: that may become
/// more at any time, with nothing that tells.
fn sends_less(near: Dst<'_>, family: Family, port: &Device<End>, rcu: ReadSide<'_>) -> bool {
    near.forward_mtu(family, rcu) < port.mtu()
}

/// The port that a route leads to, if it leads to one, and its child.
fn pair_behind<'r>(
    dev: &'r NetDevice,
    rcu: ReadSide<'r>,
) -> Option<(&'r Device<End>, &'r Device<End>)> {
    let port = End::cast(dev).filter(|port| port.driver().role() == Role::Port)?;
    Some((port, port.driver().peer(rcu)?))
}

/// As [`pair_behind`], for a packet that came in by `input`, where it may come to the child.
fn open_pair_behind<'r>(
    dev: &'r NetDevice,
    input: &NetDevice,
    rcu: ReadSide<'r>,
) -> Option<(&'r Device<End>, &'r Device<End>)> {
    pair_behind(dev, rcu).filter(|(port, child)| !dev.is(input) && is_open(port, child))
}

/// Whether packets for a port's child may come to it: both are up. A VRF would have them come in by
/// itself. Where the answer is kept the count of the child's routes is to be read first: it grows after
/// the child has changed.
fn is_open(port: &Device<End>, child: &Device<End>) -> bool {
    port.is_up() && child.is_up() && !child.is_in_vrf()
}
