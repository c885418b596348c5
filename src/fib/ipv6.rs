// SPDX-License-Identifier: GPL-2.0

//! Whose an IPv6 packet is.

pub(super) mod locals;

use super::{
    depends_on_key, exits::lets_all_leave, holder, is_open, open_pair_behind, pair, pair_behind,
    port_that_may_hold, sends_less, shortcuts_between, shortcuts_in, Answer, At, Claim, Parent,
    Stranger, Way,
};
use crate::{
    ip::Ipv6,
    net::{
        address_hashes::SocketNumber,
        context::{BottomHalf, ReadSide},
        device::{Device, NetDevice},
        dst::Dst,
        flow_table::{Flow, FlowTable, Found, Key, Place},
        ipv4::{Destination, Kind},
        ipv6::{destination_of, is_discovery, is_ordinary, Address, Header},
        ipv6_cookie::Cookie,
        namespace::Namespace,
        netfilter::{Family, Passing},
        skb::SkBuff,
    },
    passthru::{holds_ipv6, End},
    shortcut::Set,
};

/// The flows: addresses, input device and mark, generation and flow. Where neither parent nor child
/// have rules or, for this destination, routes by source, there is no source, and the flow is
/// [`ANY`], so that all packets for a destination are one flow: a source is not validated. Noted are
/// the cookies of both routes; the state of the child's, and what [`Claim::to_note`] says; and by which
/// number the child's sockets are found. The nearer route is kept where its cookie is to be asked for, or
/// where it is local.
pub(super) type Flows = FlowTable<End, 6, 3>;

/// No packet's flow: theirs are smaller.
pub(super) const ANY: u32 = 1 << 31;

/// How things are with the parent when a packet comes, and what else is needed of it more than once.
#[derive(Clone, Copy)]
pub(crate) struct State {
    /// Counts what happens to routes, ports and children.
    pub(super) count: u32,
    /// What [`FlowTable::mix`] says of the destination. Of a packet of which that cannot be read nothing
    /// is remembered.
    pub(super) mixed: u64,
}

/// A packet for which an owner is sought.
struct Question<'r> {
    dev: &'r NetDevice,
    mark: u32,
    bh: BottomHalf<'r>,
    state: State,
    /// Whether it is the destination that is looked for first.
    of_destination: bool,
    /// Whether only a child will do for which the address is held.
    near_only: bool,
}

impl<'r> Question<'r> {
    #[inline(always)]
    fn new(packet: &Passing<'r>, state: State, of_destination: bool) -> Self {
        Self {
            dev: packet.dev(),
            mark: packet.skb().mark(),
            bh: packet.bh(),
            state,
            of_destination,
            near_only: false,
        }
    }

    /// Whether the packet's way depends on nothing that is not in its flow's key. Changing the
    /// rules, or the policies of IPsec, changes the state.
    fn depends_on_key(&self, rcu: ReadSide<'_>) -> bool {
        depends_on_key::<Ipv6>(self.dev, rcu)
    }

    /// Whether the route that was found in the parent is that of all packets for this destination. What
    /// comes by a port that allows only packets from held addresses to leave goes another way from these,
    /// unless to a held one.
    fn goes_from_anywhere(&self, header: &Header, near: Dst<'_>) -> bool {
        let rcu = self.bh.read_side();
        let namespace = self.dev.namespace(rcu);
        let alike = port_that_may_hold(self.dev).is_none_or(lets_all_leave)
            || near.ipv6_destination(rcu).kind == Kind::Local;
        self.of_destination && alike && namespace.ipv6_goes_from_anywhere(near, header.daddr, rcu)
    }

    /// By which device, and with which mark.
    #[inline(always)]
    fn input(&self) -> u64 {
        pair(self.dev.ifindex() as u32, self.mark)
    }

    /// The key of all packets for the destination. The state is not for finding the place.
    #[inline(always)]
    fn key_of_destination(&self, header: &Header) -> Key<6, 3> {
        let ([daddr, daddr_low], count) = (header.daddr, pair(self.state.count, ANY));
        Key::counted([daddr_low, daddr, self.input(), 0, 0, count])
    }

    /// What is known of all packets for the destination, and where that is looked for.
    #[inline(always)]
    fn of_destination(&self, flows: &Flows, header: &Header) -> (Option<Flow<'r, End, 3>>, Place) {
        let key = self.key_of_destination(header);
        let place = flows.place_by(&key, self.state.mixed);
        let known = flows.find_from(&key, place, self.bh.read_side());
        (known, place)
    }

    /// The key of the packet's own flow.
    #[inline(always)]
    fn key_of_flow(&self, header: &Header) -> Key<6, 6> {
        let ([saddr, saddr_low], [daddr, daddr_low]) = (header.saddr, header.daddr);
        let flow = pair(self.state.count, header.flow());
        Key::counted([saddr_low, saddr, daddr_low, daddr, self.input(), flow])
    }

    /// What is known of the packet that was looked for by its destination in vain: where there are
    /// routes by source that is remembered of its flow.
    #[inline(never)]
    fn by_flow_after_all(&self, flows: &Flows, header: &Header) -> Option<Flow<'r, End, 3>> {
        if !self.of_destination {
            return None;
        }
        flows.find(&self.key_of_flow(header), self.bh.read_side())
    }

    /// Remembers what was found, if that is worth it: of all packets for the destination, or of the
    /// packet's flow.
    fn remember(
        &self,
        flows: &Flows,
        header: &Header,
        from_anywhere: bool,
        found: impl FnOnce() -> Option<Found<'r, End, 3>>,
        unchanged: impl Fn() -> bool,
    ) {
        if from_anywhere {
            insert(
                flows,
                &self.key_of_destination(header),
                found,
                unchanged,
                self.bh,
            );
        } else {
            insert(flows, &self.key_of_flow(header), found, unchanged, self.bh);
        }
    }
}

/// Remembers what was found under a key, if that is worth it.
fn insert<'r, const HASHED: usize>(
    flows: &Flows,
    key: &Key<6, HASHED>,
    found: impl FnOnce() -> Option<Found<'r, End, 3>>,
    unchanged: impl Fn() -> bool,
    bh: BottomHalf<'_>,
) {
    if !flows.wants(key, bh) {
        return;
    }
    if let Some(found) = found() {
        flows.insert(key, found, unchanged, bh);
    }
}

/// Whether a packet is looked for by its flow first, and not by its destination. What is not ordinary
/// may not come in, or not by every way.
#[inline(always)]
pub(crate) fn is_by_flow(packet: &Passing<'_>, header: &Header) -> bool {
    let namespace = packet.dev().namespace(packet.bh().read_side());
    namespace.ipv6_has_rules() || !is_ordinary(header.saddr)
}

impl Parent {
    /// As [`Parent::recall_ipv4`], for IPv6: a packet that [`is_by_flow`] says no of.
    #[inline(always)]
    pub(crate) fn recall_ipv6<'r>(
        &self,
        packet: &Passing<'r>,
        header: &Header,
        state: State,
    ) -> Option<Claim<'r>> {
        let question = Question::new(packet, state, true);
        let (known, _place) = question.of_destination(&self.ipv6, header);
        recall(known?, &question)
    }

    /// As [`Self::recall_ipv6`], for all others.
    #[inline(always)]
    pub(crate) fn recall_flow_ipv6<'r>(
        &self,
        packet: &Passing<'r>,
        header: &Header,
        state: State,
    ) -> Option<Claim<'r>> {
        let question = Question::new(packet, state, false);
        let key = question.key_of_flow(header);
        recall(self.ipv6.find(&key, question.bh.read_side())?, &question)
    }

    /// Counts what happens to routes, ports and children.
    #[inline(always)]
    fn ipv6_count(&self, namespace: &Namespace) -> u32 {
        let generation = self.generation.read();
        namespace.ipv6_state().wrapping_add(generation)
    }

    /// How things are with the packet for `daddr`, which came into `namespace`.
    #[inline(always)]
    fn ipv6_state(&self, namespace: &Namespace, [daddr, daddr_low]: Address) -> State {
        State {
            count: self.ipv6_count(namespace),
            mixed: self.ipv6.mix([daddr_low, daddr]),
        }
    }

    /// As [`Parent::meet_ipv4`], for IPv6.
    #[inline(always)]
    pub(crate) fn meet_ipv6(&self, packet: &Passing<'_>) -> (State, Option<Stranger>) {
        let daddr = destination_of(packet.skb());
        let namespace = packet.dev().namespace(packet.bh().read_side());
        let state = self.ipv6_state(namespace, daddr.unwrap_or_default());
        let stranger = daddr.and_then(|daddr| self.ipv6_strangers.find(daddr, state));
        (state, stranger)
    }

    /// The question whose a packet is, as things are now.
    #[inline(always)]
    fn ask_of_ipv6<'r>(&self, packet: &Passing<'r>, header: &Header) -> Question<'r> {
        let namespace = packet.dev().namespace(packet.bh().read_side());
        let state = self.ipv6_state(namespace, header.daddr);
        Question::new(packet, state, !is_by_flow(packet, header))
    }

    /// As [`Parent::find_out_ipv4`], for IPv6.
    pub(crate) fn find_out_ipv6<'r>(
        &self,
        packet: &mut Passing<'r>,
        header: &Header,
        shortcuts: Set,
        at: At,
    ) -> Answer<'r> {
        // What depends on the link is never remembered, so that need not be asked of what is.
        if !header.is_global() {
            return at.unknown();
        }
        let held = (at == At::Routing)
            .then(|| held_by(packet, header))
            .flatten();
        let mut question = self.ask_of_ipv6(packet, header);
        // Siblings have it at once with leave for that, or behind the parent's rules of input.
        question.near_only = held.is_some_and(|port| !lets_all_leave(port));
        // Rules of output may ask for more than is known here.
        if question.near_only
            && question
                .dev
                .namespace(packet.bh().read_side())
                .ipv6_has_rules()
        {
            return Answer::Leaves;
        }
        let known = question.by_flow_after_all(&self.ipv6, header);
        let answer = match known.and_then(|flow| recall(flow, &question)) {
            Some(claim) => claim.answer(shortcuts),
            None => self.ask_ipv6(packet.skb_mut(), header, &question, shortcuts, at),
        };
        match answer {
            Answer::Claimed(claim) => Answer::Claimed(claim),
            _ if held.is_some() => Answer::Leaves,
            other => other,
        }
    }

    /// Asks the tables of routes, in parent and child.
    fn ask_ipv6<'r>(
        &self,
        skb: &mut SkBuff,
        header: &Header,
        question: &Question<'r>,
        shortcuts: Set,
        at: At,
    ) -> Answer<'r> {
        let rcu = question.bh.read_side();
        let namespace = question.dev.namespace(rcu);
        if !question.depends_on_key(rcu) {
            return at.unknown();
        }
        let kept = (at == At::Sockets).then(|| skb.take_dst(rcu));
        // Before anything is asked, and once: a later count would not be the one that has settled.
        // What does not hold for sure is not remembered.
        let (routes, generation) = (namespace.ipv6_state(), self.generation.read());
        let settled = self.ipv6_settling.is_done(namespace, routes, question.bh)
            && routes.wrapping_add(generation) == question.state.count;
        let stranger = settled.then_some((header.daddr, question.state));
        let claim = self.look_up_ipv6(skb, header, question, stranger, settled);
        if let Some(claim) = claim {
            skb.drop_dst();
            return match kept {
                Some(kept) => claim.answer_at_sockets(skb, kept),
                None => claim.answer(shortcuts),
            };
        }
        if at == At::Device {
            skb.drop_dst();
        }
        match kept {
            Some(kept) => {
                skb.put_dst(kept);
                Answer::Held
            }
            None => Answer::Pass,
        }
    }

    /// Routes the packet in the parent, and then in the child that this leads to.
    fn look_up_ipv6<'r>(
        &self,
        skb: &mut SkBuff,
        header: &Header,
        question: &Question<'r>,
        stranger: Option<(Address, State)>,
        settled: bool,
    ) -> Option<Claim<'r>> {
        let near = skb.route_ipv6(question.bh)?;
        let rcu = question.bh.read_side();
        let destination = near.ipv6_destination(rcu);
        let ours = destination.dev.is_some_and(|dev| End::cast(dev).is_some());
        let namespace = question.dev.namespace(rcu);
        let stranger = stranger
            .filter(|_| !ours && may_be_outlived(near, &destination, rcu))
            .filter(|&(daddr, _)| namespace.ipv6_goes_from_anywhere(near, daddr, rcu))
            .filter(|&(daddr, _)| namespace.ipv6_answer_stays(near, daddr, rcu));
        if let Some((daddr, state)) = stranger {
            let stranger = match destination.kind {
                Kind::Local => Stranger::Near,
                _ => Stranger::Far,
            };
            self.ipv6_strangers.insert(daddr, state, stranger);
        }
        let claim = self.find_child_ipv6(skb, header, question, near, &destination, settled);
        // Where the child was asked its answer is not one that the parent may go by.
        if claim.is_none() && !skb.has_dst(near) {
            skb.drop_dst();
        }
        claim
    }

    /// Asks the child that the parent's route leads to what it will do with the packet, and
    /// remembers the answer, if that is `settled`.
    fn find_child_ipv6<'r>(
        &self,
        skb: &mut SkBuff,
        header: &Header,
        question: &Question<'r>,
        near: Dst<'r>,
        destination: &Destination<'r>,
        settled: bool,
    ) -> Option<Claim<'r>> {
        let rcu = question.bh.read_side();
        let is_local = destination.kind == Kind::Local;
        if !destination.is_plain()
            || near.encapsulates()
            || is_local && destination.by_kernel
            || !is_local && question.near_only
            || !is_local && !question.dev.ipv6_forwards(rcu)
        {
            return None;
        }
        // As for IPv4.
        let dev = destination.dev?;
        if !is_local && dev.is(question.dev) {
            return None;
        }
        let (port, child) = pair_behind(dev, rcu)?;
        // Before anything is asked of the child.
        let state = child.ipv6(rcu)?.state();
        if !is_open(port, child) || !is_local && sends_less(near, Family::Ipv6, port, rcu) {
            return None;
        }
        let near_cookie = near.ipv6_cookie(rcu)?;
        let namespace = child.namespace(rcu);
        if namespace.ipv6_rules_look_deeper() {
            return None;
        }
        let settling = child.driver().settling();
        let settled = settling.is_done(namespace, state, question.bh) && settled;
        let far = route_in_child(skb, question, child)?;
        let far_cookie = far.ipv6_cookie(rcu)?;
        let claim = Claim {
            child,
            way: Way::new(far, 0, is_local),
            near: is_local.then_some(near),
            shortcuts: shortcuts_between(question.dev, port, is_local),
            number: SocketNumber::of_ipv6(header.daddr, namespace),
        };
        if !claim.is_childs_own() || !claim.way.is_local() && !child.ipv6_forwards(rcu) {
            return None;
        }
        if settled {
            let cookies = [near_cookie, far_cookie];
            self.remember_ipv6(header, question, &claim, near, state, cookies);
        }
        Some(claim)
    }

    /// Remembers what was found out by the parent's route `near`, and by that in the child, which had these
    /// `cookies` when the child's routes were in `state`.
    fn remember_ipv6<'r>(
        &self,
        header: &Header,
        question: &Question<'r>,
        claim: &Claim<'r>,
        near: Dst<'r>,
        state: u32,
        [near_cookie, far_cookie]: [Cookie; 2],
    ) {
        let rcu = question.bh.read_side();
        let (child, far, is_local) = (claim.child, claim.way.route, claim.is_near());
        let namespace = child.namespace(rcu);
        let from_anywhere = question.goes_from_anywhere(header, near)
            && namespace.ipv6_goes_from_anywhere(far, header.daddr, rcu);
        let parents = question.dev.namespace(rcu);
        let found = || {
            // Last, as it takes a while.
            if !parents.ipv6_answer_stays(near, header.daddr, rcu)
                || !namespace.ipv6_answer_stays(far, header.daddr, rcu)
            {
                return None;
            }
            let asked = is_local || near_cookie != Cookie::STEADY;
            Some(Found {
                dev: Some(child),
                dst: far.hold()?,
                near: if asked { Some(near.hold()?) } else { None },
                notes: [
                    pair(far_cookie.0, near_cookie.0),
                    pair(state, claim.to_note()),
                    claim.number.to_note(),
                ],
            })
        };
        let unchanged = || self.ipv6_count(parents) == question.state.count;
        question.remember(&self.ipv6, header, from_anywhere, found, unchanged);
    }
}

/// Whether it does no harm to believe in a route that leads to no child when it is gone: the packet
/// goes on by the kernel's own lookup, unless it is before the parent's sockets.
fn may_be_outlived(route: Dst<'_>, destination: &Destination<'_>, rcu: ReadSide<'_>) -> bool {
    destination.kind != Kind::Local || route.ipv6_cookie(rcu) == Some(Cookie::STEADY)
}

/// The port that the destination of a packet in the parent's input is held for. What is said on
/// the link about that address is the parent's to answer, which lives there.
#[cold]
pub(crate) fn held_for<'r>(packet: &Passing<'r>) -> Option<&'r Device<End>> {
    if is_discovery(packet.skb()) {
        return None;
    }
    let rcu = packet.bh().read_side();
    holder(&packet.skb().dst(rcu)?.ipv6_destination(rcu))
}

/// The port that a packet comes in by, if that allows the shortcut at INPUT and the packet comes from an
/// address that the parent has made its own for that port: by a local route.
fn held_by<'r>(packet: &Passing<'r>, header: &Header) -> Option<&'r Device<End>> {
    let (dev, rcu) = (packet.dev(), packet.bh().read_side());
    // Who sends it from here does not ask IPsec.
    let port = port_that_may_hold(dev).filter(|_| depends_on_key::<Ipv6>(dev, rcu))?;
    let held = holds_ipv6(port, header, rcu).unwrap_or_else(|| {
        port.owns_ipv6(&header.saddr, &header.daddr, header.flow(), rcu)
            .is_some_and(|owned| owned.held)
    });
    held.then_some(port)
}

/// Whether [`held_by`] knows a port, for what has extension headers: fragments are among those.
#[cold]
pub(crate) fn is_part_from_held(packet: &Passing<'_>) -> bool {
    Header::extended(packet.skb())
        .filter(Header::is_global)
        .is_some_and(|header| held_by(packet, &header).is_some())
}

/// As [`super::ipv4::pair_of_extended`], for IPv6. The packet has no route yet, nor afterwards.
#[cold]
pub(crate) fn pair_of_extended<'r>(
    packet: &mut Passing<'r>,
) -> Option<(&'r Device<End>, &'r Device<End>)> {
    let (dev, bh) = (packet.dev(), packet.bh());
    let rcu = bh.read_side();
    Header::extended(packet.skb()).filter(Header::is_global)?;
    if !depends_on_key::<Ipv6>(dev, rcu) || !dev.ipv6_forwards(rcu) {
        return None;
    }
    let skb = packet.skb_mut();
    let answer = skb.route_ipv6(bh)?.ipv6_destination(rcu);
    skb.drop_dst();
    let plain = answer.kind == Kind::Unicast && answer.is_plain();
    open_pair_behind(answer.dev.filter(|_| plain)?, dev, rcu)
}

/// What is remembered of a flow, if it still holds. Only what is forwarded depends on the switches.
#[inline(always)]
fn recall<'r>(flow: Flow<'r, End, 3>, question: &Question<'r>) -> Option<Claim<'r>> {
    let (child, [cookies, noted, number]) = (flow.dev?, flow.notes);
    let (state, noted) = ((noted >> 32) as u32, noted as u32);
    let rcu = question.bh.read_side();
    let claim = Claim {
        child,
        way: Way::from_note(flow.dst, noted),
        near: flow.near,
        shortcuts: shortcuts_in(noted),
        number: SocketNumber::from_note(number),
    };
    let childs = child.ipv6(rcu)?;
    let holds = childs.state() == state
        && (claim.way.is_local() || childs.forwards())
        && (claim.is_near() || question.dev.ipv6_forwards(rcu))
        && (cookies == BOTH_STEADY || still_have(flow.dst, flow.near, cookies));
    holds.then_some(claim)
}

/// The cookies of two routes of which nothing more is to be asked.
const BOTH_STEADY: u64 = (Cookie::STEADY.0 as u64) << 32 | Cookie::STEADY.0 as u64;

/// Whether the routes in the child and in the parent still have their cookies.
#[inline(never)]
fn still_have(far: Dst<'_>, near: Option<Dst<'_>>, cookies: u64) -> bool {
    let (far_cookie, near_cookie) = (Cookie((cookies >> 32) as u32), Cookie(cookies as u32));
    far.still_has_ipv6_cookie(far_cookie)
        && near.is_none_or(|near| near.still_has_ipv6_cookie(near_cookie))
}

/// The packet's route in the child, as for one that came in there, with nothing of the parent's.
fn route_in_child<'r>(
    skb: &mut SkBuff,
    question: &Question<'r>,
    child: &'r Device<End>,
) -> Option<Dst<'r>> {
    skb.drop_dst();
    skb.set_mark(0);
    let far = skb.route_ipv6_by(child, question.bh);
    skb.set_mark(question.mark);
    let far = far?;
    far.ipv6_destination(question.bh.read_side())
        .is_plain()
        .then_some(far)
}
