// SPDX-License-Identifier: GPL-2.0

//! The shortcut for what a child sends: where a packet leaves the child it goes on by its parent's
//! output path, or into the child of another port.
//!
//! A socket's packet leaves at the end of its namespace's hooks of output, if nothing that comes
//! after them would look at it; all others where the child's device is to send them. Hop limits
//! stay as they are, as for what comes in: a shortcut is a delivery, not a hop.

mod parents;

use crate::{
    arrive,
    fib::{
        self,
        exits::{lets_all_leave, Exit, Exits},
    },
    hooks,
    ip::{self, Ip, Ipv4, Ipv6},
    net::{
        context::{with_bottom_halves_disabled, BottomHalf, ReadSide},
        departure::{From, Sent},
        device::{Device, NetDevice},
        driver::Transmit,
        dst::Dst,
        hint::unlikely,
        netfilter::{Sender, Sending, Verdict},
        percpu::Traffic,
        skb::{DropReason, Framing, Protocol, SkBuff},
    },
    passthru::{is_child, End, Fall, Role},
};
use core::marker::PhantomData;
use parents::to_parent;

/// How many devices may send one from within the other until a packet goes by the full path, which
/// begins with an empty stack and counts hops. Namespaces can be children of each other in a ring.
const MOST_NESTED: u32 = 4;

/// A version of IP, as far as packets leave.
pub(crate) trait Outgoing: Ip {
    /// Where the packet goes on, or why it goes by the full path, if that comes to mind at once.
    fn recall_exit<'r>(
        exits: &Exits,
        port: &'r Device<End>,
        header: &Self::Header,
        rcu: ReadSide<'r>,
    ) -> Option<Result<Exit<'r>, Fall>>;

    /// Where the packet goes on, or why it goes by the full path.
    fn find_exit<'r>(
        exits: &Exits,
        skb: &mut SkBuff,
        port: &'r Device<End>,
        header: &Self::Header,
        bh: BottomHalf<'r>,
    ) -> Result<Exit<'r>, Fall>;

    /// Whether the packet is as long as its header says, or stands for many.
    fn is_whole(skb: &SkBuff, header: &Self::Header) -> bool;

    /// Sends the packet by a route of the parent.
    fn depart(
        skb: SkBuff,
        header: &Self::Header,
        from: From<'_>,
        port: &NetDevice,
        dst: Dst<'_>,
        traffic: Traffic<'_>,
        rcu: ReadSide<'_>,
    ) -> Sent;
}

impl Outgoing for Ipv4 {
    #[inline(always)]
    fn recall_exit<'r>(
        exits: &Exits,
        port: &'r Device<End>,
        header: &Self::Header,
        rcu: ReadSide<'r>,
    ) -> Option<Result<Exit<'r>, Fall>> {
        exits.recall_ipv4(port, header, rcu)
    }

    fn find_exit<'r>(
        exits: &Exits,
        skb: &mut SkBuff,
        port: &'r Device<End>,
        header: &Self::Header,
        bh: BottomHalf<'r>,
    ) -> Result<Exit<'r>, Fall> {
        exits.find_out_ipv4(skb, port, header, bh)
    }

    /// The stack writes the length, whoever made the packet. C: `__ip_local_out()`.
    #[inline(always)]
    fn is_whole(_skb: &SkBuff, _header: &Self::Header) -> bool {
        true
    }

    #[inline(always)]
    fn depart(
        skb: SkBuff,
        header: &Self::Header,
        from: From<'_>,
        port: &NetDevice,
        dst: Dst<'_>,
        traffic: Traffic<'_>,
        rcu: ReadSide<'_>,
    ) -> Sent {
        skb.depart_ipv4(from, port, dst, header.tos, traffic, rcu)
    }
}

impl Outgoing for Ipv6 {
    #[inline(always)]
    fn recall_exit<'r>(
        exits: &Exits,
        port: &'r Device<End>,
        header: &Self::Header,
        rcu: ReadSide<'r>,
    ) -> Option<Result<Exit<'r>, Fall>> {
        exits.recall_ipv6(port, header, rcu)
    }

    fn find_exit<'r>(
        exits: &Exits,
        skb: &mut SkBuff,
        port: &'r Device<End>,
        header: &Self::Header,
        bh: BottomHalf<'r>,
    ) -> Result<Exit<'r>, Fall> {
        exits.find_out_ipv6(skb, port, header, bh)
    }

    /// A raw socket's packet says what its sender likes. C: `rawv6_send_hdrinc()`.
    #[inline(always)]
    fn is_whole(skb: &SkBuff, header: &Self::Header) -> bool {
        Self::len(header) == skb.len() || skb.is_gso()
    }

    #[inline(always)]
    fn depart(
        skb: SkBuff,
        _header: &Self::Header,
        from: From<'_>,
        port: &NetDevice,
        dst: Dst<'_>,
        traffic: Traffic<'_>,
        rcu: ReadSide<'_>,
    ) -> Sent {
        skb.depart_ipv6(from, port, dst, traffic, rcu)
    }
}

/// At the end of the hooks of output in a child's namespace.
pub(crate) struct AfterOutput<I>(PhantomData<fn() -> I>);

impl<I> AfterOutput<I> {
    /// There is nothing that it has to know.
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<I: Outgoing> Sender for AfterOutput<I> {
    /// What is not taken here is sent by the namespace's own devices, and may be taken there.
    #[inline(always)]
    fn packet<'a>(&self, packet: Sending<'a>) -> Verdict<'a> {
        let rcu = packet.rcu();
        let Some(dst) = packet.skb().dst(rcu) else {
            return packet.pass();
        };
        let Some(child) = packet.dev().and_then(End::cast) else {
            return packet.pass();
        };
        // Not yet, or not any more.
        if unlikely(!dst.device(rcu).is(child)) {
            return packet.pass();
        }
        let Some(exits) = child.driver().exits(rcu) else {
            return packet.pass();
        };
        let namespace = packet.namespace();
        // What another namespace sent came here by a shortcut: it goes on where levels count.
        let is_plain = child.sends_unseen(namespace, I::FAMILY, rcu)
            && dst.sends_plainly(I::FAMILY)
            && packet.is_from_socket_of(namespace)
            && dst.fits(packet.skb(), I::FAMILY, child.driver().longest());
        if unlikely(!is_plain) {
            return packet.pass();
        }
        let Some(port) = child.driver().peer(rcu) else {
            return packet.pass();
        };
        // Where the port is in the same namespace the packet would come here again at once.
        if unlikely(port.namespace(rcu).id() == namespace.id() || !port.receives_all(rcu)) {
            return packet.pass();
        }
        if unlikely(is_unfinished(packet.skb())) {
            return packet.pass();
        }
        let Some(header) =
            I::plain(packet.skb()).filter(|header| I::is_whole(packet.skb(), header))
        else {
            return packet.pass();
        };
        let kind = || ip::kind_of(Some(packet.skb().linear()));
        if port.driver().in_flight().is_ahead(kind) {
            return packet.pass();
        }
        match I::recall_exit(exits, port, &header, rcu) {
            Some(Ok(Exit::Uplink(dst))) => {
                let (skb, taken) = packet.take();
                let traffic = child.driver().departures().uplink(child, skb.len());
                let from = From::Socket(namespace);
                taken.tell(I::depart(skb, &header, from, port, dst, traffic, rcu))
            }
            Some(Ok(Exit::Narrow(dst))) => by_narrow::<I>(packet, child, port, dst),
            Some(Ok(Exit::Sibling(sibling))) => to_sibling::<I>(packet, exits, child, sibling),
            Some(Err(fall)) => to_parent::<I>(packet, child, port, fall),
            None => new_after_output::<I>(packet, exits, child, port),
        }
    }
}

/// Whether the child's device has something to do with a packet before others may have it: to encrypt
/// what IPsec left to devices, to tell the sender when it leaves, or to take it from its socket. That is
/// done there because security modules ask for the socket after routing.
#[inline(always)]
fn is_unfinished(skb: &SkBuff) -> bool {
    skb.asks_for_times() || skb.leaves_socket() || skb.has_extensions() && skb.has_security_path()
}

/// A packet by an uplink that does not take all that the pair does.
#[cold]
#[inline(never)]
fn by_narrow<'a, I: Outgoing>(
    packet: Sending<'a>,
    child: &Device<End>,
    port: &Device<End>,
    dst: Dst<'_>,
) -> Verdict<'a> {
    let (rcu, namespace) = (packet.rcu(), packet.namespace());
    let Some(header) = I::plain(packet.skb()) else {
        return packet.pass();
    };
    if !fits_uplink::<I>(packet.skb(), dst, rcu) {
        return packet.pass();
    }
    let (skb, taken) = packet.take();
    let traffic = child.driver().departures().uplink(child, skb.len());
    let from = From::Socket(namespace);
    taken.tell(I::depart(skb, &header, from, port, dst, traffic, rcu))
}

/// Whether the parent's route takes the packet in one piece.
fn fits_uplink<I: Ip>(skb: &SkBuff, dst: Dst<'_>, rcu: ReadSide<'_>) -> bool {
    dst.fits(skb, I::FAMILY, dst.device(rcu).mtu())
}

/// A packet of which nothing is remembered. It may still go by the parent's route here the first
/// time: who its own device sends it for is asked the same.
#[cold]
#[inline(never)]
fn new_after_output<'a, I: Outgoing>(
    mut packet: Sending<'a>,
    exits: &Exits,
    child: &'a Device<End>,
    port: &'a Device<End>,
) -> Verdict<'a> {
    let Some(header) = I::plain(packet.skb()) else {
        return packet.pass();
    };
    if !port.is_up() || !child.is_up() || packet.skb().has_extensions() {
        return packet.pass();
    }
    // Most that such a port's child sends may not leave.
    if !lets_all_leave(port) {
        return packet.pass();
    }
    // On an Ethernet link the packet may have to wait for its neighbour. Who finds the way here
    // meanwhile would overtake it.
    if child.driver().is_framed() {
        return packet.pass();
    }
    // What is found out is remembered, so the device finds it at once. Here the route would have
    // to outlive the region without softirqs.
    with_bottom_halves_disabled(|bh| {
        let _ = I::find_exit(exits, packet.skb_mut(), port, &header, bh);
    });
    packet.pass()
}

/// A packet for another child of the parent.
#[inline(never)]
fn to_sibling<'a, I: Ip>(
    mut packet: Sending<'a>,
    exits: &Exits,
    child: &Device<End>,
    sibling: &Device<End>,
) -> Verdict<'a> {
    let rcu = packet.rcu();
    // Read once more, so that it need not be in memory for all others.
    let Some(header) = I::plain(packet.skb()) else {
        return packet.pass();
    };
    // A device would have to encrypt it.
    if packet.skb().is_decrypted()
        || may_meet::<I>(exits, sibling, packet.skb_mut(), &header, rcu).is_err()
    {
        return packet.pass();
    }
    let (skb, taken) = packet.take();
    let (skb, sent) = match finish_output::<I>(skb, child, rcu) {
        Ok(passed) => passed,
        Err(refused) => return taken.tell(refused),
    };
    with_bottom_halves_disabled(|bh| meet(skb, child, sibling, bh));
    taken.tell(sent)
}

/// What is left of its namespace's output, where nothing looks at what `child` sends: hooks of the
/// machine, and the programs of its sender's cgroups. Returns the packet and what its sender is to hear;
/// fails with that where one has dropped it.
#[inline(always)]
fn finish_output<I: Ip>(
    skb: SkBuff,
    child: &Device<End>,
    rcu: ReadSide<'_>,
) -> Result<(SkBuff, Sent), Sent> {
    let mut skb = skb.pass_hooks_after_routing(I::FAMILY, child, rcu)?;
    match skb.run_egress_programs(I::FAMILY, child, rcu) {
        Ok(sent) => Ok((skb, sent)),
        Err(refused) => {
            skb.drop_with(DropReason::BPF_CGROUP_EGRESS);
            Err(refused)
        }
    }
}

/// Whether a packet may go to the child of another port at once.
fn may_meet<I: Ip>(
    exits: &Exits,
    sibling: &Device<End>,
    skb: &mut SkBuff,
    header: &I::Header,
    rcu: ReadSide<'_>,
) -> Result<(), Fall> {
    let port = sibling.driver().peer(rcu).ok_or(Fall::Unrouted)?;
    if !sibling.is_up() {
        return Err(Fall::Unrouted);
    }
    if !port.sends_all(rcu) {
        return Err(Fall::PortTc);
    }
    // Asked again: not all that has a device for others says so when it has begun.
    if fib::serves_others(sibling) {
        return Err(Fall::Unrouted);
    }
    // The parent's rules have to see a connection's first packet, and its tracking them all: they
    // cross the pair, and those of connections that are settled are taken before routing.
    let tracked = port.namespace(rcu).tracks(I::FAMILY, rcu);
    if tracked != exits.are_tracked() {
        hooks::tracking_changed(exits, port.namespace(rcu), rcu);
    }
    if tracked {
        return Err(Fall::Tracked);
    }
    if arrive::is_short(skb, sibling) {
        return Ok(());
    }
    arrive::fits_whole(skb, I::len(header), sibling, rcu)
}

/// From one child into the other: received there as from outside, from an empty stack on.
fn meet(mut skb: SkBuff, child: &Device<End>, sibling: &Device<End>, bh: BottomHalf<'_>) {
    skb.tx_timestamp();
    skb.confirm_nobody();
    child.driver().departures().count_sibling(child, skb.len());
    arrive::from_sibling(skb, sibling, bh);
}

/// Where a child's device is to send a packet. Gives it back if it has to go by the full path.
#[inline]
pub(crate) fn at_device(
    child: &Device<End>,
    skb: SkBuff,
    bh: BottomHalf<'_>,
) -> Result<Transmit, SkBuff> {
    if child.driver().role() != Role::Child {
        return Err(skb);
    }
    let Some(exits) = child.driver().exits(bh.read_side()) else {
        return Err(skb);
    };
    if child.driver().is_framed() {
        framed(child, exits, skb, bh)
    } else {
        bare(child, exits, skb, bh)
    }
}

/// A packet that begins with an Ethernet header: if the frame is for the port what it carries is.
fn framed(
    child: &Device<End>,
    exits: &Exits,
    mut skb: SkBuff,
    bh: BottomHalf<'_>,
) -> Result<Transmit, SkBuff> {
    const HEADER: u32 = Framing::Ethernet.header_len() as u32;
    let Some(port) = child.driver().peer(bh.read_side()) else {
        return Err(skb);
    };
    if skb.has_vlan_tag() || !skb.may_pull(HEADER) || !skb.is_frame_for(port) {
        return Err(skb);
    }
    // Others may have a part in the description of the packet, which is changed now.
    let Some(mut skb) = skb.unshare() else {
        return Ok(lost(child));
    };
    if !skb.pull(HEADER) {
        return Err(skb);
    }
    bare(child, exits, skb, bh).or_else(|skb| framed_again(child, skb))
}

/// A packet that goes by the full path as what it was before its Ethernet header was taken off. There is
/// room for that as long as nobody has moved the packet.
#[inline]
fn framed_again(child: &Device<End>, mut skb: SkBuff) -> Result<Transmit, SkBuff> {
    if skb.push(Framing::Ethernet.header_len() as u32) {
        Err(skb)
    } else {
        Ok(lost(child))
    }
}

/// A packet that begins with its network header, or that is none of IP.
fn bare(
    child: &Device<End>,
    exits: &Exits,
    skb: SkBuff,
    bh: BottomHalf<'_>,
) -> Result<Transmit, SkBuff> {
    match skb.protocol() {
        Protocol::IPV4 => leave::<Ipv4>(child, exits, skb, bh),
        Protocol::IPV6 => leave::<Ipv6>(child, exits, skb, bh),
        _ => Err(skb),
    }
}

/// A packet was dropped for want of memory.
#[cold]
fn lost(child: &Device<End>) -> Transmit {
    child.driver().count_no_memory();
    Transmit::Dropped
}

/// A packet of one version of IP that the child's device is to send.
fn leave<I: Outgoing>(
    child: &Device<End>,
    exits: &Exits,
    mut skb: SkBuff,
    bh: BottomHalf<'_>,
) -> Result<Transmit, SkBuff> {
    let port = child.driver().peer(bh.read_side());
    let Some(port) = port.filter(|port| port.is_up()) else {
        return Err(skb);
    };
    match find_way::<I>(child, port, exits, &mut skb, bh) {
        Ok((header, exit)) => Ok(go::<I>(skb, &header, child, port, exit, bh)),
        Err(reason) => {
            if let Some(fall) = reason {
                count_fall(child, port, fall);
            }
            Err(skb)
        }
    }
}

/// Counts a packet that does not leave early where all that the child sends should. Of others nobody
/// said so.
fn count_fall(child: &Device<End>, port: &Device<End>, fall: Fall) {
    if lets_all_leave(port) {
        child.driver().arrivals().count_fall(fall);
    }
}

/// Where a packet goes on that `child` is to send, or why it goes by the full path, if that is counted.
fn find_way<'r, I: Outgoing>(
    child: &'r Device<End>,
    port: &'r Device<End>,
    exits: &Exits,
    skb: &mut SkBuff,
    bh: BottomHalf<'r>,
) -> Result<(I::Header, Exit<'r>), Option<Fall>> {
    let rcu = bh.read_side();
    if skb.len() > child.driver().longest() && !skb.is_gso() {
        return Err(Some(Fall::TooLong));
    }
    if !port.receives_all(rcu) {
        return Err(Some(Fall::PortTc));
    }
    if !skb.may_pull(I::HEADER_LEN) {
        return Err(None);
    }
    skb.reset_network_header();
    let header = if skb.is_gso() {
        I::of_many(skb)
    } else {
        I::checked(skb)
    };
    let header = header.filter(|_| !skb.writes_sum_before(I::HEADER_LEN));
    let header = header.ok_or(Fall::Unrouted)?;
    // Others of its flow went by the full path, and are not far yet.
    let kind = || ip::kind_of(Some(skb.linear()));
    if port.driver().in_flight().is_ahead(kind) {
        return Err(None);
    }
    if is_nested(child, port, skb, bh) {
        return Err(Some(Fall::Nested));
    }
    // What IPsec has said of the packet in the child is nothing for the parent to go by.
    if skb.has_extensions() {
        skb.drop_extensions();
    }
    let exit = match I::recall_exit(exits, port, &header, rcu) {
        Some(answer) => answer,
        None => I::find_exit(exits, skb, port, &header, bh),
    }?;
    may_go::<I>(child, exits, skb, &header, exit, rcu)?;
    Ok((header, exit))
}

/// Whether a packet would begin anew, because it goes back to where its socket is; or nobody counts how
/// deep it is nested, because others sent it and the device has a queue.
fn is_nested(child: &Device<End>, port: &Device<End>, skb: &SkBuff, bh: BottomHalf<'_>) -> bool {
    let rcu = bh.read_side();
    skb.is_sent_by(port.namespace(rcu))
        || child.has_queue(rcu) && !skb.is_sent_by(child.namespace(rcu))
        || NetDevice::recursion_level(bh) > MOST_NESTED
}

/// Whether nothing at an exit speaks against it, for this packet.
fn may_go<I: Ip>(
    child: &Device<End>,
    exits: &Exits,
    skb: &mut SkBuff,
    header: &I::Header,
    exit: Exit<'_>,
    rcu: ReadSide<'_>,
) -> Result<(), Fall> {
    let dst = match exit {
        Exit::Sibling(sibling) => return may_meet::<I>(exits, sibling, skb, header, rcu),
        Exit::Narrow(dst) if !fits_uplink::<I>(skb, dst, rcu) => return Err(Fall::TooLong),
        Exit::Uplink(dst) | Exit::Narrow(dst) => dst,
    };
    // A queue above the way out hides how deep packets are nested, too.
    let dev = dst.device(rcu);
    let others = !skb.is_sent_by(child.namespace(rcu));
    if others && !is_child(dev) && dev.is_above(is_child, rcu) {
        return Err(Fall::Nested);
    }
    Ok(())
}

/// Sends a packet by its exit, as long as its header says.
fn go<I: Outgoing>(
    skb: SkBuff,
    header: &I::Header,
    child: &Device<End>,
    port: &Device<End>,
    exit: Exit<'_>,
    bh: BottomHalf<'_>,
) -> Transmit {
    let Some(mut skb) = skb.unshare() else {
        return lost(child);
    };
    // Others may look at what comes before the packet, where the uplink's header is written. And what
    // its sender can still write rules would see as it is not sent.
    if skb.own_head().and_then(|()| skb.orphan_frags()).is_err() {
        skb.drop_with(DropReason::NOMEM);
        return lost(child);
    }
    skb.forward_csum();
    let Some(mut skb) = skb.trimmed(I::len(header)) else {
        return lost(child);
    };
    match exit {
        Exit::Uplink(dst) | Exit::Narrow(dst) => {
            skb.keep_inet_socket();
            skb.enter_output(I::HEADER_LEN);
            let traffic = child.driver().departures().uplink(child, skb.len());
            let rcu = bh.read_side();
            I::depart(skb, header, From::Device, port, dst, traffic, rcu).transmit()
        }
        Exit::Sibling(sibling) => {
            meet(skb, child, sibling, bh);
            Transmit::Sent
        }
    }
}
