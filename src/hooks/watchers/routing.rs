// SPDX-License-Identifier: GPL-2.0

//! What is done with a packet before it is routed.

use super::{
    fall, fall_for_header, is_for_here,
    sockets::{admit, BeforeSockets},
    take,
};
use crate::{
    arrive::{self, Ahead},
    fib::{port_that_may_hold, Answer, At, Claim, Parent, Stranger, Way},
    ip::{Ip, TCP},
    net::{
        address_hashes::SocketNumber,
        conntrack::Tracking,
        context::BottomHalf,
        device::Device,
        dst::Dst,
        hint::{likely, unlikely},
        netfilter::{Passing, Verdict, Watcher},
        skb::SkBuff,
        socket::Connection,
    },
    passthru::{is_child, End, Fall},
    shortcut::{Set, Shortcut},
};
use core::marker::PhantomData;
use kernel::sync::Arc;

/// In a version of IP, before routing.
pub(in crate::hooks) struct BeforeRouting<I> {
    parent: Arc<Parent>,
    ip: PhantomData<fn() -> I>,
}

impl<I: Ip> BeforeRouting<I> {
    /// For a namespace of which `parent` knows what is to be known.
    pub(in crate::hooks) fn new(parent: Arc<Parent>) -> Self {
        Self {
            parent,
            ip: PhantomData,
        }
    }
}

/// As [`take`], past FORWARD: the next packets of a connection that tracking knows may go by `device`,
/// if the port allows that.
#[inline(always)]
fn take_past_forward<'a, I: Ip>(
    parent: &Parent,
    packet: Passing<'a>,
    header: &I::Header,
    claim: &Claim<'a>,
    place: Shortcut,
    ahead: Ahead<'a>,
) -> Verdict<'a> {
    if claim.shortcuts.contains(Shortcut::Device) && packet.skb().is_tracked() {
        note_established::<I>(parent, &packet, header, claim.child);
    }
    take::<I>(packet, header, claim, place, ahead)
}

#[cold]
#[inline(never)]
fn note_established<I: Ip>(
    parent: &Parent,
    packet: &Passing<'_>,
    header: &I::Header,
    child: &Device<End>,
) {
    let (skb, dev, bh) = (packet.skb(), packet.dev(), packet.bh());
    // What would not be taken is not to be noted either.
    if arrive::is_free(child, bh.read_side()) {
        let flows = parent.established();
        flows.note::<I>(skb, skb.linear(), header, dev, child, bh);
    }
}

/// Whether nobody has said yet where a packet that IP has seen is to go.
#[inline(always)]
fn is_undecided(packet: &Passing<'_>) -> bool {
    is_for_here(packet) && !packet.skb().has_assigned_socket()
}

impl<I: Ip> Watcher for BeforeRouting<I> {
    /// The packet has passed all hooks before routing, which is next.
    #[inline(always)]
    fn packet<'a>(&self, packet: Passing<'a>) -> Verdict<'a> {
        let (state, known) = I::meet(&self.parent, &packet);
        match known {
            Some(known) if port_that_may_hold(packet.dev()).is_some() => {
                stranger_by_port::<I>(&self.parent, packet, state, known)
            }
            Some(Stranger::Far) => packet.pass(),
            Some(Stranger::Near) => stranger::<I>(&self.parent, packet, state),
            None => before_routing::<I>(&self.parent, packet, state),
        }
    }
}

/// The packet is for no child, but comes from one, for which it may be the parent's to send.
#[cold]
#[inline(never)]
fn stranger_by_port<'a, I: Ip>(
    parent: &Parent,
    packet: Passing<'a>,
    state: I::State,
    known: Stranger,
) -> Verdict<'a> {
    match known {
        Stranger::Near if !I::VALIDATES => stranger::<I>(parent, packet, state),
        _ if I::may_leave(&packet) => from_held::<I>(parent, packet, state, known),
        Stranger::Far => packet.pass(),
        Stranger::Near => stranger::<I>(parent, packet, state),
    }
}

/// As [`stranger_by_port`], from an address that may be held for the child. To routing that is a forgery
/// (IPv4), whatever the packet carries.
fn from_held<'a, I: Ip>(
    parent: &Parent,
    mut packet: Passing<'a>,
    state: I::State,
    known: Stranger,
) -> Verdict<'a> {
    if known == Stranger::Near && is_undecided(&packet) {
        let header = I::plain(packet.skb());
        let known = header.and_then(|header| {
            let dst = I::recall_local(parent, &packet, &header, state).ok()?;
            Some((header, dst))
        });
        if let Some((header, dst)) = known {
            packet.skb_mut().set_dst(dst);
            return pass_routed::<I>(parent, packet, I::protocol(&header));
        }
    }
    before_routing::<I>(parent, packet, state)
}

/// The packet is for no child. If it is for the parent's own sockets, routing may have to find out
/// nothing. Connections of TCP have their routes with them.
#[inline(never)]
fn stranger<'a, I: Ip>(parent: &Parent, mut packet: Passing<'a>, state: I::State) -> Verdict<'a> {
    if !is_undecided(&packet) {
        return packet.pass();
    }
    let Some(header) = I::plain(packet.skb()).filter(|header| I::protocol(header) != TCP) else {
        return packet.pass();
    };
    match I::recall_local(parent, &packet, &header, state) {
        Ok(dst) => packet.skb_mut().set_dst(dst),
        Err(place) => {
            if let Err(reason) = I::learn_local(parent, &mut packet, &header, place) {
                return packet.refuse(reason);
            }
        }
    }
    pass_routed::<I>(parent, packet, I::protocol(&header))
}

/// Lets a packet go on that may have its route by now. With one the stack will not look for its
/// connection before it is where the sockets are, so that rules which ask for it would not find it.
/// C: `ip_rcv_finish_core()`.
#[inline(always)]
fn pass_routed<'a, I: Ip>(parent: &Parent, mut packet: Passing<'a>, protocol: u8) -> Verdict<'a> {
    let (dev, bh) = (packet.dev(), packet.bh());
    let rcu = bh.read_side();
    if packet.skb().dst(rcu).is_some() && dev.namespace(rcu).demuxes_early(protocol) {
        let known = parent.address_hashes();
        let found = Connection::find(packet.skb_mut(), dev, known, I::FAMILY, protocol, bh);
        if let Some(connection) = found {
            connection.attach(packet.skb_mut());
        }
    }
    packet.pass()
}

/// The packet may be a child's.
#[inline(never)]
fn before_routing<'a, I: Ip>(parent: &Parent, packet: Passing<'a>, state: I::State) -> Verdict<'a> {
    if unlikely(!is_undecided(&packet)) {
        return packet.pass();
    }
    let Some(header) = I::plain(packet.skb()) else {
        return unjudged::<I>(packet);
    };
    if I::is_by_flow(&packet, &header) {
        return by_flow::<I>(parent, packet, header, state);
    }
    match I::recall(parent, &packet, &header, state) {
        Some(claim) => choose::<I>(parent, packet, &header, &claim),
        None => new_before_routing::<I>(parent, packet, header),
    }
}

/// As [`before_routing`], for a packet that is looked for by its flow.
#[inline(never)]
fn by_flow<'a, I: Ip>(
    parent: &Parent,
    packet: Passing<'a>,
    header: I::Header,
    state: I::State,
) -> Verdict<'a> {
    match I::recall_flow(parent, &packet, &header, state) {
        Some(claim) => choose::<I>(parent, packet, &header, &claim),
        None => new_before_routing::<I>(parent, packet, header),
    }
}

/// A packet that cannot be judged by its header. If a child sends it from an address that the parent
/// holds, the parent sends it like others.
#[cold]
#[inline(never)]
fn unjudged<'a, I: Ip>(packet: Passing<'a>) -> Verdict<'a> {
    if !I::is_part_from_held(&packet) {
        return fall_for_header::<I>(packet, Shortcut::Route);
    }
    packet
        .send(I::FAMILY, I::COUNTS_UNJUDGED)
        .unwrap_or_else(Passing::pass)
}

/// What may be done with a packet before routing.
pub(super) const BEFORE_ROUTING: Set = Set::NONE
    .with(Shortcut::Route)
    .with(Shortcut::Netfilter)
    .with(Shortcut::Socket)
    .with(Shortcut::Output);

/// A packet of which nothing is remembered, before routing.
#[cold]
#[inline(never)]
fn new_before_routing<'a, I: Ip>(
    parent: &Parent,
    mut packet: Passing<'a>,
    header: I::Header,
) -> Verdict<'a> {
    // Before anything is asked.
    let (state, _) = I::meet(parent, &packet);
    match I::find_out(parent, &mut packet, &header, BEFORE_ROUTING, At::Routing) {
        Answer::Claimed(claim) => choose::<I>(parent, packet, &header, &claim),
        Answer::Refused(reason) => packet.refuse(reason),
        Answer::Leaves => packet.send(I::FAMILY, is_child).unwrap_or_else(|packet| {
            I::note_local(parent, &packet, &header, state);
            pass_routed::<I>(parent, packet, I::protocol(&header))
        }),
        Answer::Held | Answer::Pass => pass_routed::<I>(parent, packet, I::protocol(&header)),
    }
}

/// Whether connection tracking has nothing to do with a packet before routing.
#[inline(always)]
fn is_untracked<I: Ip>(packet: &Passing<'_>) -> bool {
    let (skb, rcu) = (packet.skb(), packet.bh().read_side());
    if skb.is_tracked() {
        return skb.is_left_untracked();
    }
    !packet.dev().namespace(rcu).tracks_before_us(I::FAMILY, rcu)
}

/// Whether connection tracking has nothing to do with a packet, and did not put it together for a child
/// that has to cut it again. Where no other hook is, nobody has.
#[inline(always)]
fn is_untouched<I: Ip>(packet: &Passing<'_>, claim: &Claim<'_>) -> bool {
    let (skb, rcu) = (packet.skb(), packet.bh().read_side());
    let alone = !skb.is_tracked()
        && packet
            .dev()
            .namespace(rcu)
            .has_one_hook_before_routing(I::FAMILY, rcu);
    alone || is_untracked::<I>(packet) && !is_to_be_cut_again::<I>(packet, claim)
}

/// Whether a packet was put together from fragments, and the child sends it on, or has hooks which may
/// see to that: the parent takes it apart as it was, and who gets it whole does not know how that was.
#[inline(always)]
fn is_to_be_cut_again<I: Ip>(packet: &Passing<'_>, claim: &Claim<'_>) -> bool {
    I::was_fragments(packet.skb()) && may_be_sent_on::<I>(claim.child, claim.way, packet.bh())
}

/// Whether a child sends a packet on by its routes, or may, because hooks before routing can see to that.
#[cold]
#[inline(never)]
fn may_be_sent_on<I: Ip>(child: &Device<End>, way: Way<'_>, bh: BottomHalf<'_>) -> bool {
    let namespace = child.namespace(bh.read_side());
    !way.is_local() || namespace.has_hooks_before_routing(I::FAMILY)
}

/// Which of the shortcuts that the port allows is right for the packet. Where `route` is the first
/// that may be, and nothing speaks against it, there is no choice; or only whether `socket` is, which
/// is found out when the packet arrives.
#[inline(always)]
fn choose<'a, I: Ip>(
    parent: &Parent,
    packet: Passing<'a>,
    header: &I::Header,
    claim: &Claim<'a>,
) -> Verdict<'a> {
    let shortcuts = claim.shortcuts;
    let plain = shortcuts.contains(Shortcut::Route)
        && !shortcuts.contains(Shortcut::Output)
        && !claim.is_near()
        && is_untouched::<I>(&packet, claim)
        && arrive::is_short(packet.skb(), claim.child);
    let plain = likely(plain);
    if plain && !shortcuts.contains(Shortcut::Socket) {
        return take::<I>(packet, header, claim, Shortcut::Route, Ahead::Unknown);
    }
    if plain && arrive::goes_at_once::<I>(header, claim, packet.bh().read_side()) {
        return take::<I>(packet, header, claim, Shortcut::Socket, Ahead::Nothing);
    }
    // There is no choice either where the address is held for the port, which allows nothing else.
    let held = claim.is_near()
        && shortcuts.contains(Shortcut::Netfilter)
        && !shortcuts.contains(Shortcut::Socket);
    if held {
        return to_near::<I>(packet, header, claim);
    }
    let Claim {
        child, way, near, ..
    } = *claim;
    choose_among::<I>(parent, packet, child, way, near, shortcuts)
}

/// As [`choose`], for all packets. Takes the claim apart, and reads the header once more, so that
/// neither has to be in memory for those that need nothing of this.
#[inline(never)]
fn choose_among<'a, I: Ip>(
    parent: &Parent,
    mut packet: Passing<'a>,
    child: &'a Device<End>,
    way: Way<'a>,
    near: Option<Dst<'a>>,
    shortcuts: Set,
) -> Verdict<'a> {
    let Some(header) = I::plain(packet.skb()) else {
        return packet.pass();
    };
    let claim = Claim {
        child,
        way,
        near,
        shortcuts,
        number: SocketNumber::UNKNOWN,
    };
    let (header, claim) = (&header, &claim);
    if !shortcuts.intersects(BEFORE_ROUTING)
        || !claim.is_near() && is_to_be_cut_again::<I>(&packet, claim)
    {
        return packet.pass();
    }
    let rcu = packet.bh().read_side();
    if let Err(reason) = arrive::fits::<I>(packet.skb_mut(), claim, header, rcu) {
        return fall(packet, claim.child, reason);
    }
    if !claim.is_near() || shortcuts.contains(Shortcut::Socket) {
        match tracking::<I>(packet.skb_mut(), I::protocol(header)) {
            Tracking::Untracked | Tracking::Settled => {}
            Tracking::Unknown if is_untracked::<I>(&packet) => {}
            // Where the address is held for the port INPUT has its say, tracked or not.
            _ if claim.is_near() => return remember_near(packet, claim.near),
            // What is of no connection the parent's rules have to see.
            Tracking::Unconfirmed | Tracking::Unknown => {
                return fall(packet, claim.child, Fall::Unconfirmed)
            }
            Tracking::Unsettled => return fall(packet, claim.child, Fall::Unsettled),
        }
    }
    if shortcuts.contains(Shortcut::Socket) && claim.way.is_local() {
        let (bh, protocol) = (packet.bh(), I::protocol(header));
        let found = arrive::find::<I>(packet.skb_mut(), claim.child, protocol, bh);
        if let Some(found) = found {
            // As below: where it comes from may be a forgery to routing.
            if claim.is_near() && !arrive::is_free(child, rcu) {
                child.driver().arrivals().count_fall(Fall::PortTc);
                return remember_near(packet, claim.near);
            }
            let ahead = Ahead::Connection(found);
            return take_past_forward::<I>(parent, packet, header, claim, Shortcut::Socket, ahead);
        }
    }
    if claim.is_near() {
        return to_near::<I>(packet, header, claim);
    }
    if shortcuts.contains(Shortcut::Output) {
        return from_sibling::<I>(packet, header, claim);
    }
    if shortcuts.contains(Shortcut::Route) {
        return take_past_forward::<I>(
            parent,
            packet,
            header,
            claim,
            Shortcut::Route,
            Ahead::Unknown,
        );
    }
    packet.pass()
}

/// What tracking knows of the packet. Rules of FORWARD may have to do with both packets that begin a
/// connection of TCP (the largest segment is agreed on by these), so the second one is like the first.
#[inline(always)]
fn tracking<I: Ip>(skb: &mut SkBuff, protocol: u8) -> Tracking {
    match skb.tracking() {
        Tracking::Settled if protocol == TCP && begins::<I>(skb) => Tracking::Unconfirmed,
        known => known,
    }
}

/// Whether a packet of TCP begins a connection, or nobody can tell.
fn begins<I: Ip>(skb: &mut SkBuff) -> bool {
    const FLAGS: u32 = 13;
    const SYN: u8 = 2;
    let at = I::HEADER_LEN + FLAGS;
    !skb.may_pull(at + 1)
        || skb
            .linear()
            .get(at as usize)
            .is_none_or(|flags| flags & SYN != 0)
}

/// The packet came from another child, and crossed the pair because the parent tracks connections
/// or would not let it go at once.
#[inline(never)]
fn from_sibling<'a, I: Ip>(
    mut packet: Passing<'a>,
    header: &I::Header,
    claim: &Claim<'a>,
) -> Verdict<'a> {
    let (dev, rcu) = (packet.dev(), packet.bh().read_side());
    if !arrive::is_free(claim.child, rcu) {
        return fall(packet, claim.child, Fall::PortTc);
    }
    if arrive::is_too_deep(packet.skb_mut(), dev) {
        return fall(packet, claim.child, Fall::Nested);
    }
    if let Some(sender) = End::cast(dev).and_then(|port| port.driver().peer(rcu)) {
        sender.driver().departures().count_crossed();
    }
    take::<I>(packet, header, claim, Shortcut::Output, Ahead::Unknown)
}

/// The packet's address is held for the port. Where no rule of the parent's comes before its
/// sockets there is nothing to wait for.
#[inline(always)]
fn to_near<'a, I: Ip>(packet: Passing<'a>, header: &I::Header, claim: &Claim<'a>) -> Verdict<'a> {
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
