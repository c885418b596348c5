// SPDX-License-Identifier: GPL-2.0

//! Whose an IPv6 packet is.

pub(super) mod locals;

use super::{
    depends_on_key, holder, owner, pair, shortcuts_between, shortcuts_in, Answer, At, Claim,
    Parent, Way,
};
use crate::{
    ip::Ipv6,
    net::{
        context::{BottomHalf, ReadSide},
        device::{Device, NetDevice},
        dst::Dst,
        flow_table::{Flow, FlowTable, Found, Key},
        ipv4::{Destination, Kind},
        ipv6::{destination_of, is_discovery, is_ordinary, Address, Cookie, Header, Switches},
        namespace::Namespace,
        netfilter::Passing,
        skb::SkBuff,
    },
    passthru::End,
    shortcut::Set,
};

/// The flows: addresses, input device and mark, generation and flow. Where neither parent nor child
/// have rules or, for this destination, routes by source, there is no source, and the flow is
/// [`ANY`], so that all packets for a destination are one flow: a source is not validated. Noted are the cookies of both routes; the generation of the
/// child's, and what [`Claim::to_note`] says.
pub(super) type Flows = FlowTable<End, 6, 2>;

/// No packet's flow: theirs are smaller.
pub(super) const ANY: u32 = 1 << 31;

/// A packet for which an owner is sought.
struct Question<'r> {
    dev: &'r NetDevice,
    switches: Switches<'r>,
    mark: u32,
    bh: BottomHalf<'r>,
    state: u32,
    key: Key<6, 6>,
    /// Whether the key is one of a destination.
    of_destination: bool,
}

impl<'r> Question<'r> {
    /// None where the device that the packet came in by has no IPv6.
    #[inline(always)]
    fn new(parent: &Parent, packet: &Passing<'r>, header: &Header) -> Option<Self> {
        let (dev, bh) = (packet.dev(), packet.bh());
        let mark = packet.skb().mark();
        let switches = dev.ipv6_switches(bh.read_side())?;
        let state = parent.ipv6_flow_state(dev.namespace(bh.read_side()));
        // What is not ordinary may not come in, or not by every way.
        let of_destination =
            is_ordinary(header.saddr) && !dev.namespace(bh.read_side()).ipv6_has_rules();
        let key = if of_destination {
            key(dev, mark, state, [0, 0], header.daddr, ANY)
        } else {
            key(dev, mark, state, header.saddr, header.daddr, header.flow)
        };
        Some(Self {
            dev,
            switches,
            mark,
            bh,
            state,
            key,
            of_destination,
        })
    }

    /// Whether the packet's way depends on nothing that is not in its flow's key. Changing the
    /// rules, or the policies of IPsec, makes all cookies worthless.
    fn depends_on_key(&self, rcu: ReadSide<'_>) -> bool {
        depends_on_key::<Ipv6>(self.dev, rcu)
    }

    /// Whether the route that was found in the parent is that of all packets for this destination.
    fn goes_from_anywhere(&self, header: &Header, near: Dst<'_>) -> bool {
        let rcu = self.bh.read_side();
        let namespace = self.dev.namespace(rcu);
        self.of_destination && namespace.ipv6_goes_from_anywhere(near, header.daddr, rcu)
    }

    /// The key to remember an answer by that holds whatever the source is, or that does not.
    fn key_for(&self, header: &Header, from_anywhere: bool) -> Key<6, 6> {
        if from_anywhere {
            self.key
        } else {
            self.key_of_flow(header)
        }
    }

    /// The key of the packet's own flow.
    fn key_of_flow(&self, header: &Header) -> Key<6, 6> {
        key(
            self.dev,
            self.mark,
            self.state,
            header.saddr,
            header.daddr,
            header.flow,
        )
    }
}

#[inline(always)]
fn key(
    dev: &NetDevice,
    mark: u32,
    state: u32,
    [source, source_low]: Address,
    [destination, destination_low]: Address,
    flow: u32,
) -> Key<6, 6> {
    Key::counted([
        source,
        source_low,
        destination,
        destination_low,
        pair(dev.ifindex() as u32, mark),
        pair(state, flow),
    ])
}

impl Parent {
    /// As [`Parent::recall_ipv4`], for IPv6.
    #[inline(always)]
    pub(crate) fn recall_ipv6<'r>(
        &self,
        packet: &Passing<'r>,
        header: &Header,
    ) -> Option<Claim<'r>> {
        let question = Question::new(self, packet, header)?;
        let rcu = question.bh.read_side();
        recall(self.ipv6.find_first(&question.key, rcu)?, &question)
    }

    /// The state of ports and children, and of routes as far as cookies do not tell of it.
    #[inline(always)]
    fn ipv6_flow_state(&self, namespace: &Namespace) -> u32 {
        let generation = self.generation.read();
        namespace.ipv6_generation().wrapping_add(generation)
    }

    /// The state of routes, ports and children, where there are no rules.
    #[inline(always)]
    fn ipv6_state(&self, namespace: &Namespace) -> u32 {
        let generation = self.generation.read();
        namespace.ipv6_state().wrapping_add(generation)
    }

    /// As [`Parent::is_for_stranger_ipv4`], for IPv6.
    #[inline(always)]
    pub(crate) fn is_for_stranger_ipv6(&self, packet: &Passing<'_>) -> bool {
        let Some(daddr) = destination_of(packet.skb()) else {
            return false;
        };
        let state = self.ipv6_state(packet.dev().namespace(packet.bh().read_side()));
        self.ipv6_strangers.contains(daddr, state)
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
        let rcu = packet.bh().read_side();
        let Some(question) = Question::new(self, packet, header) else {
            return at.unknown();
        };
        let known = self.ipv6.find_elsewhere(&question.key, rcu).or_else(|| {
            // Remembered so where there are routes by source.
            question
                .of_destination
                .then(|| self.ipv6.find(&question.key_of_flow(header), rcu))
                .flatten()
        });
        match known.and_then(|flow| recall(flow, &question)) {
            Some(claim) => claim.answer(shortcuts),
            None => self.ask_ipv6(packet.skb_mut(), header, &question, shortcuts, at),
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
        let kept = (at == At::Sockets).then(|| skb.take_dst());
        // Before anything is asked, and once: a later count would not be the one that has settled.
        // What does not hold for sure is not remembered.
        let (routes, generation) = (namespace.ipv6_state(), self.generation.read());
        let settled = self.ipv6_settling.is_done(namespace, routes, question.bh)
            && self.ipv6_flow_state(namespace) == question.state;
        let stranger = settled.then(|| (header.daddr, routes.wrapping_add(generation)));
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
        stranger: Option<(Address, u32)>,
        settled: bool,
    ) -> Option<Claim<'r>> {
        let near = skb.route_ipv6(question.bh)?;
        let rcu = question.bh.read_side();
        let destination = near.ipv6_destination(rcu);
        let ours = destination.dev.is_some_and(|dev| End::cast(dev).is_some());
        let namespace = question.dev.namespace(rcu);
        let stranger = stranger
            .filter(|&(daddr, _)| !ours && namespace.ipv6_goes_from_anywhere(near, daddr, rcu));
        if let Some((daddr, state)) = stranger {
            self.ipv6_strangers.insert(daddr, state);
        }
        let claim = self.find_child_ipv6(skb, header, question, near, &destination, settled);
        // Where the child was asked its answer is not one that the parent may go by.
        if claim.is_none() && !skb.has_dst(near) {
            skb.drop_dst();
        }
        claim
    }

    /// Asks the child that the parent's route leads to what it will do with the packet, and
    /// remembers the answer.
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
            || !is_local && !question.switches.forward()
        {
            return None;
        }
        // As for IPv4.
        let dev = destination.dev?;
        if !is_local && dev.is(question.dev) {
            return None;
        }
        let (port, child) = owner(dev, rcu)?;
        let near_cookie = near.ipv6_cookie()?;
        let near_held = near.hold()?;
        let namespace = child.namespace(rcu);
        if namespace.ipv6_rules_look_deeper() {
            return None;
        }
        let switches = child.ipv6_switches(rcu)?;
        let generation = namespace.ipv6_generation();
        let settling = child.driver().settling();
        let settled = settling.is_done(namespace, generation, question.bh) && settled;
        let far = route_in_child(skb, question, child)?;
        let far_cookie = far.ipv6_cookie()?;
        let claim = Claim {
            child,
            way: Way::new(far, 0, is_local),
            near: is_local.then_some(near),
            shortcuts: shortcuts_between(question.dev, port, is_local),
        };
        if !claim.is_childs_own() || !claim.way.is_local() && !switches.forward() {
            return None;
        }
        let from_anywhere = question.goes_from_anywhere(header, near)
            && namespace.ipv6_goes_from_anywhere(far, header.daddr, rcu);
        let key = question.key_for(header, from_anywhere);
        if settled && self.ipv6.wants(&key, question.bh) {
            let found = Found {
                dev: Some(child),
                dst: far.hold()?,
                near: Some(near_held),
                notes: [
                    pair(far_cookie.0, near_cookie.0),
                    pair(generation, claim.to_note()),
                ],
            };
            let namespace = question.dev.namespace(rcu);
            let unchanged = || self.ipv6_flow_state(namespace) == question.state;
            self.ipv6.insert(&key, found, unchanged, question.bh);
        }
        Some(claim)
    }
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

/// What is remembered of a flow, if it still holds. Only what is forwarded depends on the switches.
#[inline(always)]
fn recall<'r>(flow: Flow<'r, End, 2>, question: &Question<'r>) -> Option<Claim<'r>> {
    let (child, [cookies, noted]) = (flow.dev?, flow.notes);
    let (generation, noted) = ((noted >> 32) as u32, noted as u32);
    let near = flow.near?;
    let way = Way::from_note(flow.dst, noted);
    let rcu = question.bh.read_side();
    let switches = child.ipv6_switches(rcu)?;
    let mut claim = Claim {
        child,
        way,
        near: None,
        shortcuts: shortcuts_in(noted),
    };
    let is_near = claim.is_near();
    let holds = child.namespace(rcu).ipv6_generation() == generation
        && (way.is_local() || switches.forward())
        && (is_near || question.switches.forward())
        && flow
            .dst
            .still_has_ipv6_cookie(Cookie((cookies >> 32) as u32))
        && near.still_has_ipv6_cookie(Cookie(cookies as u32));
    claim.near = is_near.then_some(near);
    holds.then_some(claim)
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
