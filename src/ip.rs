// SPDX-License-Identifier: GPL-2.0

//! IPv4 and IPv6 under one name, for what is done with a packet of either.

use crate::{
    fib::{
        self,
        established::{ipv4_flow, ipv6_flow, Established, Ipv4Flows, Ipv6Flows, Rest},
        Answer, At, Claim, Parent, Stranger, Way,
    },
    net::{
        backlog::Kind,
        context::BottomHalf,
        delivery::Summary,
        device::{Device, NetDevice},
        dst::Dst,
        flow_table::Place,
        ipv4, ipv6,
        namespace::Namespace,
        netfilter::{Family, Passing},
        percpu::Traffic,
        recent::Notes,
        skb::{DropReason, SkBuff},
    },
    passthru::{holds_ipv4, holds_ipv6, is_child, End},
    shortcut::Set,
};
use kernel::prelude::*;

pub(crate) use crate::net::{TCP, UDP};

/// A version of IP.
pub(crate) trait Ip: 'static {
    /// What is read of a header, once.
    type Header: Copy;

    /// Which flows are established ones.
    type Established: Notes;

    /// What changes with the parent's routes, ports and children, where that is read once for all
    /// that may be remembered of a packet. Who asks the routes anew has to read it anew.
    type State: Copy;

    /// Its number.
    const FAMILY: Family;

    /// Bytes of a header.
    const HEADER_LEN: u32;

    /// The header of a packet that the stack has checked, if it is one that can be judged.
    fn plain(skb: &SkBuff) -> Option<Self::Header>;

    /// As [`Self::plain`], for one that nobody has checked.
    fn checked(skb: &SkBuff) -> Option<Self::Header>;

    /// As [`Self::checked`], for one that stands for many (GSO).
    fn of_many(skb: &SkBuff) -> Option<Self::Header>;

    /// As [`Self::plain`], for bytes that begin with a header; TCP's and UDP's are told, others may
    /// not be.
    fn plain_in(bytes: &[u8]) -> Option<Self::Header>;

    /// Whether what comes in by a device is received there at all, as far as nobody asks for that
    /// later.
    fn is_on(dev: &NetDevice, bh: BottomHalf<'_>) -> bool;

    /// Bytes of the packet, by its own account.
    fn len(header: &Self::Header) -> u32;

    /// What the packet carries.
    fn protocol(header: &Self::Header) -> u8;

    /// Whether the packet was put together from fragments, by a stack that notes that.
    fn was_fragments(skb: &SkBuff) -> bool;

    /// Does what the input of the stack has left for who sends a packet on. Fails with `ENOMEM`.
    fn finish_input(skb: &mut SkBuff) -> Result;

    /// Whether the two go the same way.
    fn routes_as(header: &Self::Header, other: &Self::Header) -> bool;

    /// How things are with the parent when a packet comes, and what is known of its destination, if that
    /// is that it is no child's.
    fn meet(parent: &Parent, packet: &Passing<'_>) -> (Self::State, Option<Stranger>);

    /// The route of a packet for the parent itself, if that comes to mind at once. If not,
    /// [`Self::learn_local`] is to be asked, with what this says.
    fn recall_local<'r>(
        parent: &Parent,
        packet: &Passing<'r>,
        header: &Self::Header,
        state: Self::State,
    ) -> Result<Dst<'r>, Option<Place>>;

    /// Gives a packet that is about to be routed, and is for no child, its route, if that is for
    /// the parent itself and known, or worth being known. Others are left to the stack. Fails
    /// where routing refuses the packet.
    fn learn_local(
        parent: &Parent,
        packet: &mut Passing<'_>,
        header: &Self::Header,
        place: Option<Place>,
    ) -> Result<(), DropReason>;

    /// Whether routing asks of a packet for the parent itself where it comes from.
    const VALIDATES: bool;

    /// Notes the route that a packet for the parent itself has, which comes from an address that is held for
    /// a child, for [`Self::recall_local`]. The `state` is one from before there was that route.
    fn note_local(parent: &Parent, packet: &Passing<'_>, header: &Self::Header, state: Self::State);

    /// Whose the packet is, if that comes to mind at once. It is for a packet that came by before.
    fn recall<'r>(
        parent: &Parent,
        packet: &Passing<'r>,
        header: &Self::Header,
        state: Self::State,
    ) -> Option<Claim<'r>>;

    /// Whether what comes to mind of a packet has to be of its flow, and may not be of its destination.
    fn is_by_flow(packet: &Passing<'_>, header: &Self::Header) -> bool;

    /// As [`Self::recall`], for such a packet.
    fn recall_flow<'r>(
        parent: &Parent,
        packet: &Passing<'r>,
        header: &Self::Header,
        state: Self::State,
    ) -> Option<Claim<'r>>;

    /// Whose the packet is.
    fn find_out<'r>(
        parent: &Parent,
        packet: &mut Passing<'r>,
        header: &Self::Header,
        shortcuts: Set,
        at: At,
    ) -> Answer<'r>;

    /// Whether routes in a namespace depend on more than is kept of flows.
    fn rules_look_deeper(namespace: &Namespace) -> bool;

    /// The flow of a packet with this header, as it is noted if it is an established one.
    fn flow(header: &Self::Header, rest: Rest) -> <Self::Established as Notes>::Flow;

    /// Where that is noted.
    fn established(flows: &Established) -> &Self::Established;

    /// Whether a packet in the parent's input comes from an address that means nothing elsewhere.
    fn is_from_link(skb: &SkBuff) -> bool;

    /// The port that the destination of a packet in the parent's input is held for, if it is.
    fn held_for<'r>(packet: &Passing<'r>) -> Option<&'r Device<End>>;

    /// The port and the child that the parent would send a packet to that is about to be routed, where
    /// its header alone keeps it from all shortcuts; none for other packets.
    fn pair_of_extended<'r>(packet: &mut Passing<'r>)
        -> Option<(&'r Device<End>, &'r Device<End>)>;

    /// Makes the packet one that `dev` received and does what its stack does with it first; counts
    /// it as `traffic`.
    fn enter(skb: &mut SkBuff, dev: &NetDevice, tos: u8, traffic: Traffic<'_>, bh: BottomHalf<'_>);

    /// What of the header is counted, or gone by.
    fn summary(header: &Self::Header) -> Summary;

    /// Whether [`Answer::Leaves`] may be said of a packet that is about to be routed: it comes in by a port
    /// that addresses may be held for, and not from one that is known not to be.
    fn may_leave(packet: &Passing<'_>) -> bool;

    /// Whether what is sent after [`Self::is_part_from_held`] has said yes takes a hop, by the device that it
    /// leaves by.
    const COUNTS_UNJUDGED: fn(&NetDevice) -> bool;

    /// Whether the packet, which no shortcut takes because of its header, is one that [`Answer::Leaves`]
    /// would be said of if it had another one: a fragment (IPv4), or what has extension headers (IPv6).
    fn is_part_from_held(packet: &Passing<'_>) -> bool;

    /// Notes in the packet what goes with its route.
    fn note(skb: &mut SkBuff, way: Way<'_>);

    /// Finds the packet's route in its namespace.
    fn route(skb: &mut SkBuff, dev: &NetDevice, bh: BottomHalf<'_>) -> Result<(), DropReason>;
}

/// The kind of a packet that begins with its network header, if with any. A fragment is of the same
/// kind as what is whole.
#[inline(always)]
pub(crate) fn kind_of(packet: Option<&[u8]>) -> Kind {
    let packet = packet.unwrap_or_default();
    match packet.first_chunk::<20>() {
        Some(header) if header[0] >> 4 == 4 => Kind::new(word(header, 12), word(header, 16)),
        _ => packet.first_chunk::<40>().map_or(Kind::NONE, |header| {
            let address = |at| (0..4_usize).fold(0, |sum, nth| sum ^ word(header, at + 4 * nth));
            Kind::new(address(8), address(24))
        }),
    }
}

/// Four bytes of a header, as the number that they are.
#[inline(always)]
fn word<const LEN: usize>(header: &[u8; LEN], at: usize) -> u32 {
    u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

/// IPv4.
pub(crate) struct Ipv4;

/// IPv6.
pub(crate) struct Ipv6;

impl Ip for Ipv4 {
    type Header = ipv4::Header;
    type Established = Ipv4Flows;
    type State = u32;
    const FAMILY: Family = Family::Ipv4;
    const HEADER_LEN: u32 = ipv4::HEADER_LEN;
    const COUNTS_UNJUDGED: fn(&NetDevice) -> bool = is_child;
    const VALIDATES: bool = true;

    fn rules_look_deeper(namespace: &Namespace) -> bool {
        namespace.ipv4_rules_look_deeper()
    }

    #[inline(always)]
    fn plain(skb: &SkBuff) -> Option<Self::Header> {
        ipv4::Header::plain(skb)
    }

    #[inline(always)]
    fn checked(skb: &SkBuff) -> Option<Self::Header> {
        ipv4::Header::checked(skb)
    }

    fn of_many(skb: &SkBuff) -> Option<Self::Header> {
        ipv4::Header::of_many(skb)
    }

    fn plain_in(bytes: &[u8]) -> Option<Self::Header> {
        ipv4::Header::plain_in(bytes)
    }

    /// Who asks for a device's switches asks this too.
    #[inline(always)]
    fn is_on(_dev: &NetDevice, _bh: BottomHalf<'_>) -> bool {
        true
    }

    #[inline(always)]
    fn len(header: &Self::Header) -> u32 {
        header.len.into()
    }

    #[inline(always)]
    fn protocol(header: &Self::Header) -> u8 {
        header.protocol
    }

    #[inline(always)]
    fn was_fragments(skb: &SkBuff) -> bool {
        skb.was_ipv4_fragments()
    }

    fn finish_input(skb: &mut SkBuff) -> Result {
        skb.finish_options()
    }

    fn routes_as(header: &Self::Header, other: &Self::Header) -> bool {
        header.routes_as(other)
    }

    #[inline(always)]
    fn meet(parent: &Parent, packet: &Passing<'_>) -> (Self::State, Option<Stranger>) {
        parent.meet_ipv4(packet)
    }

    #[inline(always)]
    fn recall_local<'r>(
        parent: &Parent,
        packet: &Passing<'r>,
        header: &Self::Header,
        state: Self::State,
    ) -> Result<Dst<'r>, Option<Place>> {
        parent.recall_local_ipv4(packet, header, state)
    }

    fn learn_local(
        parent: &Parent,
        packet: &mut Passing<'_>,
        header: &Self::Header,
        place: Option<Place>,
    ) -> Result<(), DropReason> {
        parent.learn_local_ipv4(packet, header, place)
    }

    fn note_local(
        parent: &Parent,
        packet: &Passing<'_>,
        header: &Self::Header,
        state: Self::State,
    ) {
        parent.note_local_ipv4(packet, header, state);
    }

    #[inline(always)]
    fn recall<'r>(
        parent: &Parent,
        packet: &Passing<'r>,
        header: &Self::Header,
        state: Self::State,
    ) -> Option<Claim<'r>> {
        parent.recall_ipv4(packet, header, state)
    }

    /// The two are told apart by what is remembered.
    #[inline(always)]
    fn is_by_flow(_packet: &Passing<'_>, _header: &Self::Header) -> bool {
        false
    }

    #[inline(always)]
    fn recall_flow<'r>(
        parent: &Parent,
        packet: &Passing<'r>,
        header: &Self::Header,
        state: Self::State,
    ) -> Option<Claim<'r>> {
        Self::recall(parent, packet, header, state)
    }

    fn find_out<'r>(
        parent: &Parent,
        packet: &mut Passing<'r>,
        header: &Self::Header,
        shortcuts: Set,
        at: At,
    ) -> Answer<'r> {
        parent.find_out_ipv4(packet, header, shortcuts, at)
    }

    /// IPv4's are forwarded like all others.
    fn is_from_link(_skb: &SkBuff) -> bool {
        false
    }

    #[inline(always)]
    fn flow(header: &Self::Header, rest: Rest) -> <Self::Established as Notes>::Flow {
        ipv4_flow(header, rest)
    }

    #[inline(always)]
    fn established(flows: &Established) -> &Self::Established {
        &flows.ipv4
    }

    fn held_for<'r>(packet: &Passing<'r>) -> Option<&'r Device<End>> {
        fib::ipv4::held_for(packet)
    }

    fn pair_of_extended<'r>(
        packet: &mut Passing<'r>,
    ) -> Option<(&'r Device<End>, &'r Device<End>)> {
        fib::ipv4::pair_of_extended(packet)
    }

    #[inline(always)]
    fn enter(skb: &mut SkBuff, dev: &NetDevice, tos: u8, traffic: Traffic<'_>, bh: BottomHalf<'_>) {
        skb.enter_ipv4(dev, tos, traffic, bh);
    }

    #[inline(always)]
    fn summary(header: &Self::Header) -> Summary {
        Summary {
            tos: header.tos,
            protocol: header.protocol,
            routed: true,
        }
    }

    fn may_leave(packet: &Passing<'_>) -> bool {
        fib::port_that_may_hold(packet.dev()).is_some_and(|port| {
            let rcu = packet.bh().read_side();
            let held = Self::plain(packet.skb()).map(|header| holds_ipv4(port, &header, rcu));
            held.flatten() != Some(false)
        })
    }

    fn is_part_from_held(packet: &Passing<'_>) -> bool {
        fib::ipv4::is_part_from_held(packet)
    }

    #[inline(always)]
    fn note(skb: &mut SkBuff, way: Way<'_>) {
        skb.set_ip_flags(way.flags());
    }

    fn route(skb: &mut SkBuff, dev: &NetDevice, bh: BottomHalf<'_>) -> Result<(), DropReason> {
        skb.route_ipv4_again(dev, bh)
    }
}

impl Ip for Ipv6 {
    type Header = ipv6::Header;
    type Established = Ipv6Flows;
    type State = fib::ipv6::State;
    const FAMILY: Family = Family::Ipv6;
    const HEADER_LEN: u32 = ipv6::HEADER_LEN;
    /// Neighbours believe what they are told of the link if no hop was taken, and behind extension headers
    /// nobody here looks for that.
    const COUNTS_UNJUDGED: fn(&NetDevice) -> bool = |_| true;
    const VALIDATES: bool = false;

    fn rules_look_deeper(namespace: &Namespace) -> bool {
        namespace.ipv6_rules_look_deeper()
    }

    #[inline(always)]
    fn plain(skb: &SkBuff) -> Option<Self::Header> {
        ipv6::Header::plain(skb)
    }

    #[inline(always)]
    fn checked(skb: &SkBuff) -> Option<Self::Header> {
        ipv6::Header::checked(skb)
    }

    fn of_many(skb: &SkBuff) -> Option<Self::Header> {
        ipv6::Header::of_many(skb)
    }

    fn plain_in(bytes: &[u8]) -> Option<Self::Header> {
        ipv6::Header::plain_in(bytes)
    }

    #[inline(always)]
    fn is_on(dev: &NetDevice, bh: BottomHalf<'_>) -> bool {
        dev.ipv6(bh.read_side()).is_some()
    }

    #[inline(always)]
    fn len(header: &Self::Header) -> u32 {
        header.len
    }

    #[inline(always)]
    fn protocol(header: &Self::Header) -> u8 {
        header.protocol
    }

    #[inline(always)]
    fn was_fragments(skb: &SkBuff) -> bool {
        skb.was_ipv6_fragments()
    }

    fn finish_input(_skb: &mut SkBuff) -> Result {
        Ok(())
    }

    fn routes_as(header: &Self::Header, other: &Self::Header) -> bool {
        header.routes_as(other)
    }

    #[inline(always)]
    fn meet(parent: &Parent, packet: &Passing<'_>) -> (Self::State, Option<Stranger>) {
        parent.meet_ipv6(packet)
    }

    #[inline(always)]
    fn recall_local<'r>(
        parent: &Parent,
        packet: &Passing<'r>,
        header: &Self::Header,
        state: Self::State,
    ) -> Result<Dst<'r>, Option<Place>> {
        parent.recall_local_ipv6(packet, header, state)
    }

    fn learn_local(
        parent: &Parent,
        packet: &mut Passing<'_>,
        header: &Self::Header,
        place: Option<Place>,
    ) -> Result<(), DropReason> {
        parent.learn_local_ipv6(packet, header, place)
    }

    /// Theirs is that of all others.
    fn note_local(_: &Parent, _: &Passing<'_>, _: &Self::Header, _: Self::State) {}

    #[inline(always)]
    fn recall<'r>(
        parent: &Parent,
        packet: &Passing<'r>,
        header: &Self::Header,
        state: Self::State,
    ) -> Option<Claim<'r>> {
        parent.recall_ipv6(packet, header, state)
    }

    #[inline(always)]
    fn is_by_flow(packet: &Passing<'_>, header: &Self::Header) -> bool {
        fib::ipv6::is_by_flow(packet, header)
    }

    #[inline(always)]
    fn recall_flow<'r>(
        parent: &Parent,
        packet: &Passing<'r>,
        header: &Self::Header,
        state: Self::State,
    ) -> Option<Claim<'r>> {
        parent.recall_flow_ipv6(packet, header, state)
    }

    fn find_out<'r>(
        parent: &Parent,
        packet: &mut Passing<'r>,
        header: &Self::Header,
        shortcuts: Set,
        at: At,
    ) -> Answer<'r> {
        parent.find_out_ipv6(packet, header, shortcuts, at)
    }

    fn is_from_link(skb: &SkBuff) -> bool {
        ipv6::is_from_link(skb)
    }

    #[inline(always)]
    fn flow(header: &Self::Header, rest: Rest) -> <Self::Established as Notes>::Flow {
        ipv6_flow(header, rest)
    }

    #[inline(always)]
    fn established(flows: &Established) -> &Self::Established {
        &flows.ipv6
    }

    fn held_for<'r>(packet: &Passing<'r>) -> Option<&'r Device<End>> {
        fib::ipv6::held_for(packet)
    }

    fn pair_of_extended<'r>(
        packet: &mut Passing<'r>,
    ) -> Option<(&'r Device<End>, &'r Device<End>)> {
        fib::ipv6::pair_of_extended(packet)
    }

    #[inline(always)]
    fn enter(skb: &mut SkBuff, dev: &NetDevice, tos: u8, traffic: Traffic<'_>, bh: BottomHalf<'_>) {
        skb.enter_ipv6(dev, tos, traffic, bh);
    }

    #[inline(always)]
    fn summary(header: &Self::Header) -> Summary {
        Summary {
            tos: header.traffic_class(),
            protocol: header.protocol,
            routed: true,
        }
    }

    fn may_leave(packet: &Passing<'_>) -> bool {
        fib::port_that_may_hold(packet.dev()).is_some_and(|port| {
            let rcu = packet.bh().read_side();
            let held = Self::plain(packet.skb()).map(|header| holds_ipv6(port, &header, rcu));
            held.flatten() != Some(false)
        })
    }

    fn is_part_from_held(packet: &Passing<'_>) -> bool {
        fib::ipv6::is_part_from_held(packet)
    }

    /// IPv6 keeps nothing of the kind.
    #[inline(always)]
    fn note(_skb: &mut SkBuff, _way: Way<'_>) {}

    fn route(skb: &mut SkBuff, _dev: &NetDevice, bh: BottomHalf<'_>) -> Result<(), DropReason> {
        match skb.route_ipv6(bh) {
            Some(_) => Ok(()),
            None => Err(DropReason::NOMEM),
        }
    }
}
