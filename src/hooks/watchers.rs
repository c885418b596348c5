// SPDX-License-Identifier: GPL-2.0

//! What is done with a packet at each place.

use crate::{
    arrive,
    fib::{Answer, At, Claim, Parent},
    ip::{Ip, Ipv4, Ipv6},
    net::{
        conntrack::Tracking,
        device::Device,
        dst::Dst,
        netfilter::{Passing, Verdict, Watcher},
        skb::Protocol,
        socket::Connection,
    },
    passthru::{End, Fall},
    shortcut::{Set, Shortcut},
};
use core::marker::PhantomData;
use kernel::sync::Arc;

/// On each device, before the protocols.
pub(super) struct Ingress(pub(super) Arc<Parent>);

/// In a version of IP, before routing.
pub(super) struct BeforeRouting<I> {
    parent: Arc<Parent>,
    ip: PhantomData<fn() -> I>,
}

/// In a version of IP, before the sockets.
pub(super) struct BeforeSockets<I> {
    parent: Arc<Parent>,
    ip: PhantomData<fn() -> I>,
}

impl<I: Ip> BeforeRouting<I> {
    pub(super) fn new(parent: Arc<Parent>) -> Self {
        Self {
            parent,
            ip: PhantomData,
        }
    }
}

impl<I: Ip> BeforeSockets<I> {
    pub(super) fn new(parent: Arc<Parent>) -> Self {
        Self {
            parent,
            ip: PhantomData,
        }
    }
}

impl Watcher for Ingress {
    /// Here as at the other places, who lets a stranger's packet go saves no registers for what
    /// it does not do: all else is in a function of its own.
    #[inline(always)]
    fn packet<'a>(&self, packet: Passing<'a>) -> Verdict<'a> {
        match packet.skb().protocol() {
            Protocol::IPV4 if !Ipv4::is_for_stranger(&self.0, &packet) => {
                at_device::<Ipv4>(&self.0, packet)
            }
            Protocol::IPV6 if !Ipv6::is_for_stranger(&self.0, &packet) => {
                at_device::<Ipv6>(&self.0, packet)
            }
            _ => packet.pass(),
        }
    }
}

/// The packet comes from the device, and nothing of it was checked.
#[inline(never)]
fn at_device<'a, I: Ip>(parent: &Parent, packet: Passing<'a>) -> Verdict<'a> {
    if !is_for_ip(&packet) {
        return packet.pass();
    }
    let Some(header) = I::checked(packet.skb()) else {
        return packet.pass();
    };
    match I::recall(parent, &packet, &header) {
        Some(claim) => take_at_device::<I>(packet, &header, &claim),
        None => new_at_device::<I>(parent, packet, header),
    }
}

#[inline(always)]
fn take_at_device<'a, I: Ip>(
    packet: Passing<'a>,
    header: &I::Header,
    claim: &Claim<'a>,
) -> Verdict<'a> {
    if !claim.shortcuts.contains(Shortcut::Device) {
        return packet.pass();
    }
    let rcu = packet.bh().read_side();
    // What the child answers goes by the parent's rules, which then would take it for a
    // stranger's: there its connections have to be known from their first packet on.
    if packet.dev().namespace(rcu).tracks(I::FAMILY, rcu) {
        fall(packet, claim.child, Fall::Tracked)
    } else if arrive::fits::<I>(packet.skb(), claim, header) {
        take::<I>(packet, header, claim, Shortcut::Device, None)
    } else {
        packet.pass()
    }
}

/// As [`at_device`], for a packet of which nothing is remembered.
#[cold]
#[inline(never)]
fn new_at_device<'a, I: Ip>(
    parent: &Parent,
    mut packet: Passing<'a>,
    header: I::Header,
) -> Verdict<'a> {
    const OFFERS: Set = Set::NONE.with(Shortcut::Device);
    match I::find_out(parent, &mut packet, &header, OFFERS, At::Device) {
        Answer::Claimed(claim) => take_at_device::<I>(packet, &header, &claim),
        Answer::Refused(reason) => packet.refuse(reason),
        _ => packet.pass(),
    }
}

/// Whether a packet is one that only IP has to do with, and no more below it.
#[inline(always)]
fn is_for_ip(packet: &Passing<'_>) -> bool {
    !packet.skb().has_vlan_tag() && !packet.dev().has_rx_handler() && is_undecided(packet)
}

/// Whether a packet is for this host, and nobody has said yet where it is to go: by a route, by a
/// socket (as TPROXY does), by what IPsec or a bridge has noted.
#[inline(always)]
fn is_undecided(packet: &Passing<'_>) -> bool {
    let skb = packet.skb();
    skb.is_for_host()
        && !skb.has_extensions()
        && !skb.has_assigned_socket()
        && skb.dst(packet.bh().read_side()).is_none()
}

impl<I: Ip> Watcher for BeforeRouting<I> {
    /// The packet has passed all hooks before routing, which is next.
    #[inline(always)]
    fn packet<'a>(&self, packet: Passing<'a>) -> Verdict<'a> {
        if is_for_other::<I>(&self.parent, &packet) {
            return packet.pass();
        }
        before_routing::<I>(&self.parent, packet)
    }
}

/// The packet may be a child's.
#[inline(never)]
fn before_routing<'a, I: Ip>(parent: &Parent, packet: Passing<'a>) -> Verdict<'a> {
    if !is_undecided(&packet) {
        return packet.pass();
    }
    let Some(header) = I::plain(packet.skb()) else {
        return packet.pass();
    };
    match I::recall(parent, &packet, &header) {
        Some(claim) => choose::<I>(packet, &header, &claim),
        None => new_before_routing::<I>(parent, packet, header),
    }
}

/// Whether a packet is known to be for no child, and not from one either: what comes by a port may
/// be the parent's to send for its child.
#[inline(always)]
fn is_for_other<I: Ip>(parent: &Parent, packet: &Passing<'_>) -> bool {
    I::is_for_stranger(parent, packet) && End::cast(packet.dev()).is_none()
}

/// What may be done with a packet before routing.
const BEFORE_ROUTING: Set = Set::NONE
    .with(Shortcut::Route)
    .with(Shortcut::Netfilter)
    .with(Shortcut::Socket);

/// A packet of which nothing is remembered, before routing.
#[cold]
#[inline(never)]
fn new_before_routing<'a, I: Ip>(
    parent: &Parent,
    mut packet: Passing<'a>,
    header: I::Header,
) -> Verdict<'a> {
    match I::find_out(parent, &mut packet, &header, BEFORE_ROUTING, At::Routing) {
        Answer::Claimed(claim) => choose::<I>(packet, &header, &claim),
        Answer::Refused(reason) => packet.refuse(reason),
        Answer::Leaves => packet.send(),
        Answer::Held | Answer::Pass => packet.pass(),
    }
}

/// Which of the shortcuts that the port allows is right for the packet.
#[inline(always)]
fn choose<'a, I: Ip>(
    mut packet: Passing<'a>,
    header: &I::Header,
    claim: &Claim<'a>,
) -> Verdict<'a> {
    let shortcuts = claim.shortcuts;
    if !shortcuts.intersects(BEFORE_ROUTING) || !arrive::fits::<I>(packet.skb(), claim, header) {
        return packet.pass();
    }
    if claim.near.is_none() || shortcuts.contains(Shortcut::Socket) {
        match packet.skb().tracking() {
            Tracking::Untracked | Tracking::Settled => {}
            // Where the address is held for the port INPUT has its say, tracked or not.
            _ if claim.near.is_some() => return remember_near(packet, claim.near),
            Tracking::Unconfirmed => return fall(packet, claim.child, Fall::Unconfirmed),
            Tracking::Unsettled => return fall(packet, claim.child, Fall::Unsettled),
        }
    }
    if shortcuts.contains(Shortcut::Socket) && claim.way.is_local {
        let (bh, protocol) = (packet.bh(), I::protocol(header));
        let found = Connection::find(packet.skb_mut(), claim.child, I::FAMILY, protocol, bh);
        if found.is_some() {
            return take::<I>(packet, header, claim, Shortcut::Socket, found);
        }
    }
    if claim.near.is_some() {
        return near::<I>(packet, header, claim);
    }
    if shortcuts.contains(Shortcut::Route) {
        return take::<I>(packet, header, claim, Shortcut::Route, None);
    }
    packet.pass()
}

/// The packet's address is held for the port. Where no rule of the parent's comes before its
/// sockets there is nothing to wait for.
#[inline(always)]
fn near<'a, I: Ip>(packet: Passing<'a>, header: &I::Header, claim: &Claim<'a>) -> Verdict<'a> {
    let rcu = packet.bh().read_side();
    let namespace = packet.dev().namespace(rcu);
    if claim.shortcuts.contains(Shortcut::Netfilter)
        && namespace.has_before_sockets_only::<BeforeSockets<I>>(I::FAMILY, rcu)
    {
        return admit::<I>(packet, header, claim);
    }
    remember_near(packet, claim.near)
}

/// The packet goes on to the hooks before the parent's sockets, without being routed once more.
#[inline(always)]
fn remember_near<'a>(mut packet: Passing<'a>, near: Option<Dst<'a>>) -> Verdict<'a> {
    if let Some(near) = near {
        packet.skb_mut().set_dst(near);
    }
    packet.pass()
}

#[inline(always)]
fn take<'a, I: Ip>(
    packet: Passing<'a>,
    header: &I::Header,
    claim: &Claim<'a>,
    place: Shortcut,
    connection: Option<Connection<'a>>,
) -> Verdict<'a> {
    let bh = packet.bh();
    let (skb, verdict) = packet.take();
    arrive::by_route::<I>(skb, header, claim, place, connection, bh);
    verdict
}

/// The packet goes on.
#[cold]
#[inline(never)]
fn fall<'a>(packet: Passing<'a>, child: &Device<End>, fall: Fall) -> Verdict<'a> {
    child.driver().arrivals().count_fall(fall);
    packet.pass()
}

impl<I: Ip> Watcher for BeforeSockets<I> {
    /// The packet has passed all of the parent's hooks. If its address was given to a port it is
    /// the child's, and none of the parent's own sockets may have it.
    #[inline(always)]
    fn packet<'a>(&self, packet: Passing<'a>) -> Verdict<'a> {
        if I::is_for_stranger(&self.parent, &packet) {
            return packet.pass();
        }
        before_sockets::<I>(&self.parent, packet)
    }
}

/// The packet may be a child's.
#[inline(never)]
fn before_sockets<'a, I: Ip>(parent: &Parent, packet: Passing<'a>) -> Verdict<'a> {
    let Some(header) = I::plain(packet.skb()) else {
        return hand_over::<I>(packet);
    };
    match I::recall(parent, &packet, &header) {
        Some(claim) => admit::<I>(packet, &header, &claim),
        None => new_before_sockets::<I>(parent, packet, header),
    }
}

/// The packet is one that cannot be judged, or that the child will not have by this way. If its
/// address is held for a child that one's stack must see to it, and never the parent's sockets.
#[cold]
fn hand_over<'a, I: Ip>(packet: Passing<'a>) -> Verdict<'a> {
    let Some(port) = I::held_for(&packet) else {
        return packet.pass();
    };
    let bh = packet.bh();
    let (mut skb, verdict) = packet.take();
    match skb.confirm() {
        Ok(()) => arrive::by_device(skb, port, Shortcut::Netfilter, bh),
        Err(reason) => skb.drop_with(reason),
    }
    verdict
}

/// A packet of which nothing is remembered, before the sockets.
#[cold]
#[inline(never)]
fn new_before_sockets<'a, I: Ip>(
    parent: &Parent,
    mut packet: Passing<'a>,
    header: I::Header,
) -> Verdict<'a> {
    const OFFERS: Set = Set::NONE.with(Shortcut::Netfilter);
    match I::find_out(parent, &mut packet, &header, OFFERS, At::Sockets) {
        Answer::Claimed(claim) => admit::<I>(packet, &header, &claim),
        Answer::Held => hand_over::<I>(packet),
        _ => packet.pass(),
    }
}

/// The parent's rules have let the packet in.
#[inline(always)]
fn admit<'a, I: Ip>(packet: Passing<'a>, header: &I::Header, claim: &Claim<'a>) -> Verdict<'a> {
    if claim.near.is_none() || !claim.shortcuts.contains(Shortcut::Netfilter) {
        return packet.pass();
    }
    let bh = packet.bh();
    let (mut skb, verdict) = packet.take();
    match skb.confirm() {
        Ok(()) => arrive::to_sockets::<I>(skb, header, claim, bh),
        Err(reason) => skb.drop_with(reason),
    }
    verdict
}
