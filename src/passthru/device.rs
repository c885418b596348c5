// SPDX-License-Identifier: GPL-2.0

//! One end of a pair: its data, its life between up and down, and what it can do.

use super::{
    arrivals::Arrivals,
    demux::Demux,
    departures::Departures,
    drops::{self, Drops},
    link::OPERATIONS,
    sources::Sources,
    transmit::transmit,
    Mode, Role,
};
use crate::{
    fib::{established::Established, exits::Exits},
    hooks,
    net::{
        backlog::InFlight,
        context::{BottomHalf, ReadSide, Rtnl},
        device::{Device, NetDevice},
        driver::{Driver, OtherTraffic, Transmit},
        features::Features,
        once::{full_barrier, read_barrier, Once32, Once64},
        own_addresses::OwnAddresses,
        rcu_arc::RcuArc,
        rcu_device::RcuDevice,
        registration::NewDevice,
        rtnl_cell::RtnlCell,
        settling::Settling,
        setup::{ETH_MAX_MTU, ETH_MIN_MTU},
        skb::SkBuff,
    },
    shortcut::{self, Set},
};
use core::array;
use kernel::{
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        rcu, Arc,
    },
};

/// What both modes can do: all that costs nothing between two stacks of one machine.
const FEATURES: Features = Features::SCATTER
    .or(Features::CHECKSUM)
    .or(Features::SEGMENTATION);

/// One end of a pair.
pub(crate) struct End {
    mode: Mode,
    role: Role,
    /// Bytes of the link layer header.
    framing_len: u32,
    /// At the child: bytes of the longest packet that comes to it whole.
    longest: Once32,
    /// At the child: bytes of the longest packet of which the port need not be asked whether it would
    /// send it as it is, if it does not stand for many.
    unasked: Once32,
    /// The other end. Empty before the pair is tied and when it is being taken down.
    peer: RcuDevice<End>,
    drops: Drops,
    /// What came by shortcuts; counted at the child.
    arrivals: Arrivals,
    /// At the child: whether connected sockets are worth looking for.
    demux: Demux,
    /// At the child: addresses of its namespace.
    own_addresses: OwnAddresses,
    /// What left by the shortcut; counted at the child.
    departures: Departures,
    /// At the child, where its port allows what it sends to leave early: where that goes on.
    exits: RcuArc<Exits>,
    /// At the port, where it allows `device`: where flows are noted that may go by that.
    established: RcuArc<Established>,
    /// At the port: sources that were found to be its child's.
    sources: Sources,
    /// Whether routes of its namespace that were counted are there.
    settling: Settling,
    /// What the parent lets the packets of its port do. A child device is no port of anybody's:
    /// its policy stays that of no shortcut.
    policy: shortcut::Policy,
    /// Of its shortcuts those that all is there for which serves them.
    served: RtnlCell<Set>,
    /// What was handed to this end by way of a backlog.
    in_flight: InFlight,
    /// At the port, once it has no child any more: what that had counted.
    last: [Once64; 4],
    /// Room before packets that something above this end wants for what it receives.
    rx_headroom: Atomic<u32>,
}

impl End {
    /// An end that is not tied to another one yet.
    pub(super) fn new(mode: Mode, role: Role) -> Result<Self> {
        Ok(Self {
            mode,
            role,
            framing_len: mode.framing().header_len() as u32,
            longest: Once32::new(0),
            unasked: Once32::new(0),
            peer: RcuDevice::new(),
            drops: Drops::new()?,
            arrivals: Arrivals::new()?,
            demux: Demux::new(),
            own_addresses: OwnAddresses::new(),
            departures: Departures::new()?,
            exits: RcuArc::new(),
            established: RcuArc::new(),
            sources: Sources::new()?,
            settling: Settling::new(),
            policy: shortcut::Policy::new(),
            served: RtnlCell::new(Set::NONE),
            in_flight: InFlight::new(),
            last: array::from_fn(|_| Once64::new(0)),
            rx_headroom: Atomic::new(0),
        })
    }

    /// Whether the pair carries IP packets or Ethernet frames.
    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    /// Which end of the pair this is.
    pub(crate) fn role(&self) -> Role {
        self.role
    }

    /// The device as an end of a pair, if it is one.
    pub(crate) fn cast(dev: &NetDevice) -> Option<&Device<Self>> {
        OPERATIONS.cast(dev)
    }

    /// What came by shortcuts to this end, if it is a child.
    pub(crate) fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }

    /// Whether connected sockets are worth looking for, if this is a child.
    #[inline(always)]
    pub(crate) fn demux(&self) -> &Demux {
        &self.demux
    }

    /// The addresses of its namespace, if this is a child.
    pub(crate) fn own_addresses(&self) -> &OwnAddresses {
        &self.own_addresses
    }

    /// What left this end by the shortcut, if it is a child.
    pub(crate) fn departures(&self) -> &Departures {
        &self.departures
    }

    /// What was handed to this end by way of a backlog.
    #[inline(always)]
    pub(crate) fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    /// Where what this end sends may go on at once, if it is a child whose port allows that.
    #[inline(always)]
    pub(crate) fn exits<'r>(&'r self, rcu: ReadSide<'r>) -> Option<&'r Exits> {
        self.exits.get(rcu)
    }

    /// Lets what this end, a child, sends go on at once, or not any more.
    pub(crate) fn set_exits(&self, exits: Option<Arc<Exits>>, rtnl: &Rtnl) {
        self.exits.set(exits, rtnl);
    }

    /// Where flows to the child are noted that its parent's rules have let through, if this is a port
    /// that allows them to come by `device`.
    #[inline(always)]
    pub(crate) fn established<'r>(&'r self, rcu: ReadSide<'r>) -> Option<&'r Established> {
        self.established.get(rcu)
    }

    /// Has those of this port noted there, or not any more. May sleep.
    pub(crate) fn set_established(&self, flows: Option<Arc<Established>>, rtnl: &Rtnl) {
        self.established.set(flows, rtnl);
    }

    /// Whether what was counted of IPv6 routes in the namespace of this end is done.
    pub(crate) fn settling(&self) -> &Settling {
        &self.settling
    }

    /// Sources that were found to be the child's, if this is a port.
    pub(crate) fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Whether packets begin with an Ethernet header between the two ends.
    pub(crate) fn is_framed(&self) -> bool {
        self.mode == Mode::L2
    }

    /// Bytes of the link layer header, which devices count as well.
    #[inline(always)]
    pub(crate) fn framing_len(&self) -> usize {
        self.framing_len as usize
    }

    /// How long packets may be that come to this end, if it is a child, where they are routed: longer
    /// ones are told of that, or are made smaller.
    #[inline(always)]
    pub(crate) fn longest(&self) -> u32 {
        self.longest.read()
    }

    /// How long packets may be that come to this end, if it is a child, with nothing more to ask about
    /// them. None where the port finishes sums.
    #[inline(always)]
    pub(crate) fn unasked(&self) -> u32 {
        self.unasked.read()
    }

    /// The counters of what this end did not send.
    pub(super) fn drops(&self) -> &Drops {
        &self.drops
    }

    /// Counts a packet that it was given to send, and that was dropped for want of memory. Callable
    /// with softirqs disabled.
    pub(crate) fn count_no_memory(&self) {
        self.drops.count(drops::Drop::NoMemory);
    }

    /// What shortcuts this end allows, if it is a port.
    pub(crate) fn policy(&self) -> &shortcut::Policy {
        &self.policy
    }

    /// The shortcuts of this port for which its namespace has what serves them.
    pub(crate) fn served(&self, rtnl: &Rtnl) -> Set {
        self.served.get(rtnl)
    }

    /// Notes for which it has that now.
    pub(crate) fn set_served(&self, set: Set, rtnl: &Rtnl) {
        self.served.replace(set, rtnl);
    }

    /// The other end, for an RCU read-side critical section.
    #[inline(always)]
    pub(crate) fn peer<'r>(&self, rcu: ReadSide<'r>) -> Option<&'r Device<End>> {
        self.peer.get(rcu)
    }

    /// The other end, for as long as the RTNL is held.
    pub(crate) fn peer_locked<'r>(&self, rtnl: &'r Rtnl) -> Option<&'r Device<End>> {
        self.peer.get_locked(rtnl)
    }
}

/// Ties two ends to each other.
pub(super) fn tie(port: &Device<End>, child: &Device<End>, rtnl: &Rtnl) {
    port.driver().peer.set(child, rtnl);
    child.driver().peer.set(port, rtnl);
    match_sizes(port, rtnl);
}

/// Takes note of how long packets of a port may be: as its namespace sends them to it, and as its
/// child takes them.
pub(crate) fn match_sizes(port: &Device<End>, rtnl: &Rtnl) {
    let Some(child) = port.driver().peer_locked(rtnl) else {
        return;
    };
    let longest = port.mtu().min(child.mtu());
    let unasked = if port.leaves_sums() { longest } else { 0 };
    child.driver().longest.write(longest);
    child.driver().unasked.write(unasked);
}

/// Unties an end from the other one, which it returns; none if that was done before.
pub(super) fn untie<'r>(dev: &Device<End>, rtnl: &'r Rtnl) -> Option<&'r Device<End>> {
    let peer = dev.driver().peer_locked(rtnl)?;
    keep_traffic(dev, peer);
    for end in [dev, peer] {
        end.driver().peer.take(rtnl);
    }
    for end in [dev, peer] {
        if end.driver().role == Role::Port {
            hooks::purge(end, rtnl);
        }
    }
    Some(peer)
}

/// Keeps for the port what its child has counted: the last that is heard of a device is what it carried.
fn keep_traffic(dev: &Device<End>, peer: &Device<End>) {
    let (port, child) = match dev.driver().role {
        Role::Port => (dev.driver(), peer.driver()),
        Role::Child => (peer.driver(), dev.driver()),
    };
    let (sent, got) = (child.arrivals.total(), child.departures.total());
    let totals = [got.packets, got.bytes, sent.packets, sent.bytes];
    for (last, total) in port.last.iter().zip(totals) {
        last.write(total);
    }
    // Who finds no child finds this.
    full_barrier();
}

/// Gives a device that is not registered yet the shape that its mode asks for.
pub(super) fn shape(dev: &mut NewDevice<'_, End>, mode: Mode) {
    match mode {
        Mode::L2 => dev.set_features(FEATURES, true),
        Mode::L3 => {
            dev.set_up_bare_ip();
            dev.set_features(FEATURES, false);
        }
    }
}

/// Room before each packet, in bytes, that senders to one end leave for the other end's sake. All
/// headers of a tunnel in a tunnel take less.
const MOST_FOR_OTHERS: u16 = 512;

impl Driver for End {
    /// An Ethernet device, because the mode is not known yet: see [`shape`].
    fn setup(dev: &mut NewDevice<'_, Self>) {
        dev.set_up_ethernet();
        dev.set_up_passing();
        dev.set_mtu_range(ETH_MIN_MTU, ETH_MAX_MTU);
        dev.allow_largest_segmentation();
    }

    /// The link is up when both ends are.
    fn open(dev: &Device<Self>, rtnl: &Rtnl) -> Result {
        let peer = dev.driver().peer_locked(rtnl).ok_or(ENOTCONN)?;
        if peer.is_up() {
            dev.carrier_on();
            peer.carrier_on();
        }
        Ok(())
    }

    fn stop(dev: &Device<Self>, rtnl: &Rtnl) {
        dev.carrier_off();
        if let Some(peer) = dev.driver().peer_locked(rtnl) {
            peer.carrier_off();
        }
    }

    fn transmit(dev: &Device<Self>, skb: SkBuff, bh: BottomHalf<'_>) -> Transmit {
        transmit(dev, skb, bh)
    }

    /// All that does not leave early crosses the pair.
    #[inline(always)]
    fn receives_later(dev: &Device<Self>, rcu: ReadSide<'_>) -> bool {
        dev.driver().exits(rcu).is_none()
    }

    fn tx_dropped(dev: &Device<Self>) -> u64 {
        dev.driver().drops.total()
    }

    /// What came to the child by shortcuts the port has sent, and the other way round.
    fn other_traffic(dev: &Device<Self>, rcu: ReadSide<'_>) -> OtherTraffic {
        match dev.driver().role {
            Role::Child => {
                let came = dev.driver().arrivals.total();
                let went = dev.driver().departures.total();
                OtherTraffic {
                    rx_packets: came.packets,
                    rx_bytes: came.bytes,
                    tx_packets: went.packets,
                    tx_bytes: went.bytes,
                }
            }
            Role::Port => {
                let Some(child) = dev.driver().peer(rcu) else {
                    // What was kept before the child was gone.
                    read_barrier();
                    let [rx_packets, rx_bytes, tx_packets, tx_bytes] =
                        array::from_fn(|index| dev.driver().last[index].read());
                    return OtherTraffic {
                        rx_packets,
                        rx_bytes,
                        tx_packets,
                        tx_bytes,
                    };
                };
                let went = child.driver().arrivals.total();
                let came = child.driver().departures.total();
                OtherTraffic {
                    rx_packets: came.packets,
                    rx_bytes: came.bytes,
                    tx_packets: went.packets,
                    tx_bytes: went.bytes,
                }
            }
        }
    }

    fn peer<'r>(dev: &Device<Self>, rcu: ReadSide<'r>) -> Option<&'r NetDevice> {
        dev.driver().peer(rcu).map(|peer| &**peer)
    }

    /// What a child sends is looked at: it has to send it.
    fn receiver<'r>(dev: &Device<Self>, rcu: ReadSide<'r>) -> Option<&'r NetDevice> {
        match dev.driver().role {
            Role::Port => <Self as Driver>::peer(dev, rcu),
            Role::Child => None,
        }
    }

    /// What one end receives the other one sends, so both ask their senders for the room. But not for
    /// any that the other's namespace comes up with: each packet may have to be copied for it.
    fn set_rx_headroom(dev: &Device<Self>, bytes: u16) {
        let guard = rcu::read_lock();
        let end = dev.driver();
        end.rx_headroom.store(bytes.into(), Relaxed);
        if let Some(peer) = end.peer((&guard).into()) {
            let others = peer.driver().rx_headroom.load(Relaxed) as u16;
            dev.set_needed_headroom(bytes.max(others.min(MOST_FOR_OTHERS)));
            peer.set_needed_headroom(others.max(bytes.min(MOST_FOR_OTHERS)));
        }
    }
}
