// SPDX-License-Identifier: GPL-2.0

//! Packets that take a shortcut, from the moment that it is clear whose they are: into the child.
//!
//! Functions that are seldom needed take what they work on in a few values: what is lent to a
//! function has to be in memory, for the packets that never need it as well.

use crate::{
    fib::{Claim, Way},
    ip::{self, Ip, TCP, UDP},
    net::{
        address_hashes::SocketNumber,
        context::{BottomHalf, ReadSide},
        delivery::Summary,
        device::{Device, NetDevice},
        dst::Dst,
        hint::{likely, unlikely},
        percpu::Traffic,
        rehome::Hooked,
        skb::{Addressee, DropReason, SkBuff},
        socket::{Connection, Datagram},
    },
    passthru::{is_child, End, Fall, Outlook},
    shortcut::Shortcut,
};
use kernel::prelude::*;

/// Whether a packet is short enough to be sent to the child, as who forwards it would find, and would be
/// sent as it is. So are those to an address that is held for the child: the parent receives them, which
/// may even have put them together.
#[inline(always)]
pub(crate) fn fits<I: Ip>(
    skb: &mut SkBuff,
    claim: &Claim<'_>,
    header: &I::Header,
    rcu: ReadSide<'_>,
) -> Result<(), Fall> {
    // The header of one that stands for very many says nothing of its length.
    if is_short(skb, claim.child) || claim.is_near() {
        return Ok(());
    }
    fits_whole(skb, I::len(header), claim.child, rcu)
}

/// Whether a packet is so short, and such, that the port of its child would send it as it is, without
/// being asked.
#[inline(always)]
pub(crate) fn is_short(skb: &SkBuff, child: &Device<End>) -> bool {
    skb.len() <= child.driver().unasked() && !skb.is_gso()
}

/// As [`fits`], for a packet of which the child's port has to be asked, with `len` bytes by its own
/// account. Of one that stands for many these have to be short enough.
#[inline(never)]
pub(crate) fn fits_whole(
    skb: &mut SkBuff,
    len: u32,
    child: &Device<End>,
    rcu: ReadSide<'_>,
) -> Result<(), Fall> {
    let longest = child.driver().longest();
    let is_short = if skb.is_gso() {
        skb.segments_fit(longest)
    } else {
        len <= longest
    };
    if !is_short {
        return Err(Fall::TooLong);
    }
    let port = child.driver().peer(rcu).ok_or(Fall::Unrouted)?;
    if skb.is_sent_whole_by(port) {
        Ok(())
    } else {
        Err(Fall::PortTc)
    }
}

/// Whether nothing on the child's port has a say in what goes to the child: such packets have to
/// go by it.
#[inline(always)]
pub(crate) fn is_free(child: &Device<End>, rcu: ReadSide<'_>) -> bool {
    let port = child.driver().peer(rcu);
    port.is_some_and(|port| port.sends_all(rcu))
}

/// What is known of what lies before a packet in the child that claims it.
pub(crate) enum Ahead<'r> {
    /// Nothing is.
    Unknown,
    /// There is nothing but the way, as [`goes_at_once`] says.
    Nothing,
    /// The socket that it is for.
    Connection(Connection<'r>),
}

/// Gives a packet to the child that claims it: hooks before routing, the route that was found out
/// before, and what lies on it. The packet begins with its header, which was checked. By `socket` the
/// socket that is not known yet is sought in the end, and where there is none that was `route`.
#[inline(always)]
pub(crate) fn by_route<I: Ip>(
    skb: SkBuff,
    header: &I::Header,
    claim: &Claim<'_>,
    place: Shortcut,
    ahead: Ahead<'_>,
    bh: BottomHalf<'_>,
) {
    let Some(skb) = prepare::<I>(skb, header) else {
        return;
    };
    let child = claim.child;
    let len = skb.len();
    let namespace = child.namespace(bh.read_side());
    if child.is_watched(namespace) || is_behind(child, &skb) {
        let (protocol, onward) = (I::protocol(header), !claim.way.is_local());
        return receive_in_place::<I>(skb, protocol, child, place, onward, bh);
    }
    let way = claim.way;
    let connection = match ahead {
        Ahead::Unknown => None,
        Ahead::Nothing => {
            return at_once::<I>(skb, header, claim.child, way, claim.number, place, bh);
        }
        Ahead::Connection(connection) => Some(connection),
    };
    if connection.is_some() || !goes_at_once::<I>(header, claim, bh.read_side()) {
        let traffic = traffic(child, place_with(place, connection.is_some()), len);
        return in_turn::<I>(skb, I::summary(header), child, way, traffic, connection, bh);
    }
    at_once::<I>(skb, header, claim.child, way, claim.number, place, bh);
}

/// Whether there is nothing but the way before the packet's socket.
#[inline(always)]
pub(crate) fn goes_at_once<I: Ip>(
    header: &I::Header,
    claim: &Claim<'_>,
    rcu: ReadSide<'_>,
) -> bool {
    // The protocol last: it is what is asked next.
    likely(
        claim.way.is_plainly_local()
            && !claim.child.namespace(rcu).has_input_hooks(I::FAMILY)
            && is_of_sockets(I::protocol(header)),
    )
}

/// Straight to the sockets, if nothing that IP itself has stands before them.
#[inline(always)]
fn at_once<I: Ip>(
    mut skb: SkBuff,
    header: &I::Header,
    child: &Device<End>,
    way: Way<'_>,
    number: SocketNumber,
    place: Shortcut,
    bh: BottomHalf<'_>,
) {
    let (mut header, route, len) = (I::summary(header), way.route, skb.len());
    header.routed = place == Shortcut::Netfilter;
    let connection = match (header.protocol, place) {
        (UDP, _) => connected::<I>(&mut skb, child, number, place, bh),
        // What goes at once to sockets by that is of one of the two.
        (_, Shortcut::Socket) => return by_connection::<I>(skb, header.tos, child, route, bh),
        _ => None,
    };
    let place = place_with(place, connection.is_some());
    hand_over::<I>(
        skb,
        header,
        child,
        route,
        traffic(child, place, len),
        connection,
        bh,
    );
}

/// As [`at_once`], for TCP by `socket`.
#[inline(never)]
fn by_connection<I: Ip>(
    mut skb: SkBuff,
    tos: u8,
    child: &Device<End>,
    route: Dst<'_>,
    bh: BottomHalf<'_>,
) {
    let header = Summary {
        tos,
        protocol: TCP,
        routed: false,
    };
    let len = skb.len();
    let connection = Connection::find_tcp(&mut skb, child, I::FAMILY, bh);
    let place = place_with(Shortcut::Socket, connection.is_some());
    hand_over::<I>(
        skb,
        header,
        child,
        route,
        traffic(child, place, len),
        connection,
        bh,
    );
}

/// To the sockets, of which the packet's may be known.
#[inline(always)]
fn hand_over<I: Ip>(
    skb: SkBuff,
    header: Summary,
    child: &Device<End>,
    route: Dst<'_>,
    traffic: Traffic<'_>,
    connection: Option<Connection<'_>>,
    bh: BottomHalf<'_>,
) {
    match connection {
        None => skb.arrive(I::FAMILY, child, route, header, traffic, bh),
        Some(connection) => {
            skb.arrive_at(connection, I::FAMILY, child, route, header, traffic, bh);
        }
    }
}

/// Where a packet is counted that was to go by `place`, and for which a connected socket is known or
/// not.
#[inline(always)]
fn place_with(place: Shortcut, connected: bool) -> Shortcut {
    if place == Shortcut::Socket && !connected {
        Shortcut::Route
    } else {
        place
    }
}

/// As [`receive_again`], for a packet that was to go by `place`, and may have a connected socket.
#[cold]
#[inline(never)]
fn receive_in_place<I: Ip>(
    mut skb: SkBuff,
    protocol: u8,
    child: &Device<End>,
    place: Shortcut,
    onward: bool,
    bh: BottomHalf<'_>,
) {
    let place = if place == Shortcut::Socket {
        let found = find::<I>(&mut skb, child, protocol, bh);
        place_with(place, found.is_some())
    } else {
        place
    };
    receive_again(skb, child, place, onward, bh);
}

/// The connected socket of a datagram, where it pays to look for one.
#[inline(always)]
fn connected<'r, I: Ip>(
    skb: &mut SkBuff,
    child: &'r Device<End>,
    number: SocketNumber,
    place: Shortcut,
    bh: BottomHalf<'r>,
) -> Option<Connection<'r>> {
    let outlook = child.driver().demux().outlook();
    if unlikely(outlook == Outlook::Off) {
        return None;
    }
    match Datagram::of(skb, I::FAMILY) {
        Some(datagram) if likely(outlook == Outlook::Sure) => {
            expect(datagram, child, number, place, bh)
        }
        Some(datagram) if place == Shortcut::Socket => seek(datagram, child, number, bh),
        Some(datagram) => demux(datagram, child, bh),
        None if place == Shortcut::Socket => find::<I>(skb, child, UDP, bh),
        None => None,
    }
}

/// As [`connected`], where all were found until now. What follows on a first miss is in `demux()`.
#[inline(always)]
fn expect<'r>(
    datagram: Datagram<'_>,
    child: &'r Device<End>,
    number: SocketNumber,
    place: Shortcut,
    bh: BottomHalf<'r>,
) -> Option<Connection<'r>> {
    let known = child.driver().demux();
    if place != Shortcut::Socket && unlikely(!child.namespace(bh.read_side()).demuxes_early(UDP)) {
        known.turn_off();
        return None;
    }
    let found = datagram.demux_with(number, child, known.hashes(), bh);
    if unlikely(found.is_none()) {
        known.miss(datagram.port_low());
    }
    found
}

/// The connection of a packet in the child's namespace.
#[inline(always)]
pub(crate) fn find<'r, I: Ip>(
    skb: &mut SkBuff,
    child: &'r Device<End>,
    protocol: u8,
    bh: BottomHalf<'r>,
) -> Option<Connection<'r>> {
    let known = child.driver().demux().hashes();
    Connection::find(skb, child, known, I::FAMILY, protocol, bh)
}

/// As [`connected`], for a port that asks for sockets, where the child may have any: then it asks
/// for those of all its ports, whatever the child says of early demultiplexing.
#[inline(always)]
fn seek<'r>(
    datagram: Datagram<'_>,
    child: &'r Device<End>,
    number: SocketNumber,
    bh: BottomHalf<'r>,
) -> Option<Connection<'r>> {
    let known = child.driver().demux();
    if !known.pays_at_all() {
        return None;
    }
    let port = datagram.port_low();
    let found = datagram.demux_with(number, child, known.hashes(), bh);
    match found {
        Some(_) => known.hit(),
        None => known.miss_again(port),
    }
    found
}

/// As [`connected`], beside other places, where the child may have any.
#[inline(never)]
fn demux<'r>(
    datagram: Datagram<'_>,
    child: &'r Device<End>,
    bh: BottomHalf<'r>,
) -> Option<Connection<'r>> {
    let (known, port) = (child.driver().demux(), datagram.port_low());
    if !child.namespace(bh.read_side()).demuxes_early(UDP) {
        known.turn_off();
        return None;
    }
    if !known.pays(port) {
        return None;
    }
    let found = datagram.demux(child, known.hashes(), bh);
    match found {
        Some(_) => known.hit(),
        None => known.miss(port),
    }
    found
}

/// The packet has more before it than its socket.
#[inline(never)]
fn in_turn<I: Ip>(
    mut skb: SkBuff,
    header: Summary,
    child: &Device<End>,
    way: Way<'_>,
    traffic: Traffic<'_>,
    connection: Option<Connection<'_>>,
    bh: BottomHalf<'_>,
) {
    I::enter(&mut skb, child, header.tos, traffic, bh);
    let ruled = child.namespace(bh.read_side()).has_input_hooks(I::FAMILY);
    let looked_at = ruled || !way.is_local();
    if looked_at && child.driver().is_framed() && frame(&mut skb, child, bh).is_err() {
        return skb.drop_with(DropReason::NOMEM);
    }
    pass_on::<I>(skb, header.protocol, child, way, connection, bh);
}

/// Puts the header of the link before a packet, which the child's rules may ask for.
#[cold]
#[inline(never)]
fn frame(skb: &mut SkBuff, child: &Device<End>, bh: BottomHalf<'_>) -> Result {
    match child.driver().peer(bh.read_side()) {
        Some(port) => skb.wrap_in_ethernet(child, port),
        None => Ok(()),
    }
}

/// By the child's hooks before routing, if it has any.
#[inline(always)]
fn pass_on<I: Ip>(
    skb: SkBuff,
    protocol: u8,
    child: &Device<End>,
    way: Way<'_>,
    connection: Option<Connection<'_>>,
    bh: BottomHalf<'_>,
) {
    let namespace = child.namespace(bh.read_side());
    if namespace.has_hooks_before_routing(I::FAMILY) {
        return hooked::<I>(skb, child, way, connection, bh);
    }
    go_on::<I>(skb, protocol, child, way, connection, bh);
}

/// Gives a packet that has passed the parent's hooks before its sockets to the child's sockets.
/// Where the child `holds` addresses for children of its own those are not the only ones it may be
/// for.
#[inline(always)]
pub(crate) fn to_sockets<I: Ip>(
    skb: SkBuff,
    header: &I::Header,
    child: &Device<End>,
    way: Way<'_>,
    number: SocketNumber,
    holds: bool,
    bh: BottomHalf<'_>,
) {
    let Some(mut skb) = prepare::<I>(skb, header) else {
        return;
    };
    let (place, len) = (Shortcut::Netfilter, skb.len());
    let rcu = bh.read_side();
    // Rules of the child's that are asked at all have to be asked from the first one on.
    let ruled = child.namespace(rcu).has_hooks_before_sockets(I::FAMILY)
        && !skb.is_direct(I::FAMILY, I::protocol(header), child.namespace(rcu), rcu);
    if holds || ruled || !way.is_local() || is_behind(child, &skb) {
        // The child sends it on, so its own rules have to see it; or others are before it.
        let onward = holds || !way.is_local();
        return receive_again(skb, child, place, onward, bh);
    }
    // What stands before the child's sockets is not asked: the parent's rules were.
    let protocol = I::protocol(header);
    if way.is_plainly_local() {
        return at_once::<I>(skb, header, child, way, number, place, bh);
    }
    let tos = I::summary(header).tos;
    I::enter(&mut skb, child, tos, traffic(child, place, len), bh);
    I::note(&mut skb, way);
    skb.set_dst(way.route);
    skb.deliver(I::FAMILY, protocol, true, bh);
}

/// Whether packets of the same flow wait to be received by the child's device.
#[inline(always)]
fn is_behind(child: &Device<End>, skb: &SkBuff) -> bool {
    // Who has a header read has it in memory for all others too.
    let kind = || ip::kind_of(Some(skb.linear()));
    child.driver().in_flight().is_ahead(kind)
}

/// Sees to it that the packet may be changed, and ends where it says.
#[inline(always)]
fn prepare<I: Ip>(skb: SkBuff, header: &I::Header) -> Option<SkBuff> {
    skb.unshare()?.trimmed(I::len(header))
}

/// A packet of `len` bytes, to be counted.
#[inline(always)]
fn traffic(child: &Device<End>, place: Shortcut, len: u32) -> Traffic<'_> {
    let end = child.driver();
    end.arrivals()
        .traffic(place, len as usize + end.framing_len())
}

/// Whether nobody but sockets has to do with what comes by this protocol.
#[inline(always)]
fn is_of_sockets(protocol: u8) -> bool {
    protocol == UDP || protocol == TCP
}

/// On to the sockets, or to where the child sends the packet.
#[inline(always)]
fn go_on<I: Ip>(
    mut skb: SkBuff,
    protocol: u8,
    child: &Device<End>,
    way: Way<'_>,
    connection: Option<Connection<'_>>,
    bh: BottomHalf<'_>,
) {
    let namespace = child.namespace(bh.read_side());
    let ruled = way.is_local() && namespace.has_hooks_before_sockets(I::FAMILY);
    match connection {
        Some(connection) => connection.attach(&mut skb),
        None if ruled => show_connection::<I>(&mut skb, protocol, child, bh),
        None => {}
    }
    I::note(&mut skb, way);
    skb.set_dst(way.route);
    if way.is_local() {
        // What else there is may have more to do before the sockets.
        skb.deliver(I::FAMILY, protocol, is_of_sockets(protocol) && !ruled, bh);
    } else {
        skb.follow_route(bh);
    }
}

/// Gives a packet its connection, if it has one: rules before the child's sockets may ask whose it is,
/// as they can of what the kernel routes. The packet begins with a plain header.
/// C: `ip_rcv_finish_core()`.
#[cold]
#[inline(never)]
fn show_connection<I: Ip>(skb: &mut SkBuff, protocol: u8, child: &Device<End>, bh: BottomHalf<'_>) {
    let known = child.driver().demux().hashes();
    Connection::show(skb, child, known, I::FAMILY, protocol, bh);
}

/// The child has hooks before routing. What they do to the packet may make another route of it,
/// and then it is for another socket too, if for any.
#[cold]
#[inline(never)]
fn hooked<I: Ip>(
    mut skb: SkBuff,
    child: &Device<End>,
    way: Way<'_>,
    connection: Option<Connection<'_>>,
    bh: BottomHalf<'_>,
) {
    let (before, was_between) = (I::plain(&skb), ports::<I>(&skb));
    deepen(&mut skb);
    let Hooked::Passed(mut skb) = skb.pass_hooks(I::FAMILY, child, bh) else {
        return;
    };
    if skb.dst(bh.read_side()).is_none() {
        let same = before
            .zip(I::plain(&skb))
            .filter(|(before, now)| I::routes_as(before, now));
        if let Some((_, now)) = same.filter(|_| skb.mark() == 0) {
            // Of a packet that is for another port now it is not the one.
            let connection = connection
                .filter(|_| !skb.has_assigned_socket() && ports::<I>(&skb) == was_between);
            return go_on::<I>(skb, I::protocol(&now), child, way, connection, bh);
        }
        if let Some(header) = I::plain(&skb) {
            show_connection::<I>(&mut skb, I::protocol(&header), child, bh);
        }
        if let Err(reason) = I::route(&mut skb, child, bh) {
            return skb.drop_refused(reason);
        }
    }
    skb.follow_route(bh);
}

/// Both ports of TCP and UDP, of a packet that begins with a plain header.
fn ports<I: Ip>(skb: &SkBuff) -> Option<[u8; 4]> {
    let behind = skb.linear().get(I::HEADER_LEN as usize..)?;
    behind.first_chunk().copied()
}

/// How many namespaces a packet may go through by shortcuts, each a child's of the one before,
/// until it goes by the full path, which begins with an empty stack and counts hops. Namespaces can
/// be children of each other in a ring.
const MOST_LEVELS: u32 = 4;

/// The packet is about to pass hooks, of which one may be ours.
fn deepen(skb: &mut SkBuff) {
    skb.note_levels(skb.levels().saturating_add(1));
}

/// Whether a packet that came in by `dev` has gone through too many namespaces to take one more
/// shortcut.
#[inline(always)]
pub(crate) fn is_too_deep(skb: &mut SkBuff, dev: &NetDevice) -> bool {
    unlikely(skb.has_levels()) && count_levels(skb, dev)
}

/// Not a function of its own: what is lent to one has to be in memory, for all other packets as well.
#[inline(always)]
fn count_levels(skb: &mut SkBuff, dev: &NetDevice) -> bool {
    // What came by other devices was sent anew since, and that is a hop.
    if !is_child(dev) {
        skb.note_levels(0);
    }
    skb.levels() >= MOST_LEVELS
}

/// Has the child of `port` receive a packet that begins with its network header, whatever it is;
/// `onward` where it may go on by a shortcut there.
#[cold]
pub(crate) fn by_device(
    skb: SkBuff,
    port: &Device<End>,
    place: Shortcut,
    onward: bool,
    bh: BottomHalf<'_>,
) {
    let child = port.driver().peer(bh.read_side());
    // IPv4 keeps local routes by a device that is down.
    let Some(child) = child.filter(|child| port.is_up() && child.is_up()) else {
        return skb.drop_with(DropReason::DEV_READY);
    };
    // What the link had for all stays that in the child, which answers to less of it.
    let addressee = skb.addressee();
    receive_from(skb, child, port, place, addressee, onward, bh);
}

/// Somebody looks at what the child's device receives, so it has to receive the packet itself.
#[cold]
#[inline(never)]
fn receive_again(
    skb: SkBuff,
    child: &Device<End>,
    place: Shortcut,
    onward: bool,
    bh: BottomHalf<'_>,
) {
    match child.driver().peer(bh.read_side()) {
        Some(port) => receive_from(skb, child, port, place, Addressee::HOST, onward, bh),
        None => skb.drop_with(DropReason::DEV_READY),
    }
}

/// The child's device receives a packet as if `port` had sent it, to this `addressee`. Counted is what
/// it got: where it could not the packet was dropped, with a reason and a count of the kernel's.
fn receive_from(
    mut skb: SkBuff,
    child: &Device<End>,
    port: &Device<End>,
    place: Shortcut,
    addressee: Addressee,
    onward: bool,
    bh: BottomHalf<'_>,
) {
    // A BPF program keeps something of its own where it is noted how deep the packet is. So that
    // it does not go in circles this has to be a hop.
    if onward && child.has_ingress_programs() && skb.count_hop().is_err() {
        return skb.drop_with(DropReason::RECURSION_LIMIT);
    }
    let (kind, len) = (ip::kind_of(Some(skb.linear())), skb.len());
    skb.rehome(child);
    skb.set_addressee(addressee);
    deepen(&mut skb);
    if skb
        .receive_again(child, port, child.driver().is_framed(), bh)
        .is_ok()
    {
        traffic(child, place, len).count();
        child.driver().in_flight().note(kind, false, bh);
    }
}

/// Has a child receive what another child sent it: the whole packet, which begins with its network
/// header, as long as its header says if that is checked.
pub(crate) fn from_sibling(skb: SkBuff, child: &Device<End>, bh: BottomHalf<'_>) {
    receive_again(skb, child, Shortcut::Output, false, bh);
}
