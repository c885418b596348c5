// SPDX-License-Identifier: GPL-2.0

//! Whose an IPv6 packet is.

use super::{holder, owner, pair, Answer, At, Claim, Parent, Way};
use crate::{
    net::{
        context::{BottomHalf, ReadSide},
        device::{Device, NetDevice},
        dst::Dst,
        flow_table::{Flow, FlowTable, Found, Key},
        ipv4::{Destination, Kind},
        ipv6::{destination_of, forwards, Address, Cookie, Header},
        namespace::Namespace,
        netfilter::Passing,
        skb::SkBuff,
    },
    passthru::End,
    shortcut::Set,
};

/// The flows: addresses, input device and mark, generation and flow; switches. Noted are the
/// cookies of both routes, and the child's switches and the port's shortcuts.
pub(super) type Flows = FlowTable<End, 6, 2>;

/// A packet for which an owner is sought.
struct Question<'r> {
    dev: &'r NetDevice,
    switches: u32,
    mark: u32,
    bh: BottomHalf<'r>,
    generation: u32,
    key: Key<6, 6>,
}

impl<'r> Question<'r> {
    /// None where the device that the packet came in by has no IPv6.
    #[inline(always)]
    fn new(parent: &Parent, packet: &Passing<'r>, header: &Header) -> Option<Self> {
        let (dev, bh) = (packet.dev(), packet.bh());
        let mark = packet.skb().mark();
        let switches = dev.ipv6_switches(bh.read_side())?;
        let generation = parent.generation.read();
        let [source, source_low] = header.saddr;
        let [destination, destination_low] = header.daddr;
        Some(Self {
            dev,
            switches,
            mark,
            bh,
            generation,
            key: Key {
                words: [
                    source,
                    source_low,
                    destination,
                    destination_low,
                    pair(dev.ifindex() as u32, mark),
                    pair(generation, header.flow),
                ],
                rest: switches,
            },
        })
    }
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
        recall(self.ipv6.find_first(&question.key, rcu)?, rcu)
    }

    /// The state of routes, ports and children.
    #[inline(always)]
    fn ipv6_state(&self, namespace: &Namespace) -> u32 {
        let generation = self.generation.read();
        namespace.ipv6_generation().wrapping_add(generation)
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
            return match at {
                At::Sockets => Answer::Held,
                At::Device | At::Routing => Answer::Pass,
            };
        }
        let rcu = packet.bh().read_side();
        let Some(question) = Question::new(self, packet, header) else {
            return Answer::Pass;
        };
        let known = self.ipv6.find(&question.key, rcu);
        match known.and_then(|flow| recall(flow, rcu)) {
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
        let rules = namespace.ipv6_has_rules();
        // Changing the rules, or the policies of IPsec, makes all cookies worthless.
        if namespace.ipv6_rules_look_deeper() || namespace.has_transform_policies() {
            return Answer::Pass;
        }
        if question.dev.is_in_vrf() {
            return Answer::Pass;
        }
        let kept = (at == At::Sockets).then(|| skb.take_dst());
        let stranger = (!rules).then(|| (header.daddr, self.ipv6_state(namespace)));
        let claim = self.look_up_ipv6(skb, question, stranger);
        if let Some(claim) = claim {
            skb.drop_dst();
            return claim.answer(shortcuts);
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
        question: &Question<'r>,
        stranger: Option<(Address, u32)>,
    ) -> Option<Claim<'r>> {
        let near = skb.route_ipv6(question.bh)?;
        let destination = near.ipv6_destination(question.bh.read_side());
        let ours = destination.dev.is_some_and(|dev| End::cast(dev).is_some());
        if let Some((daddr, state)) = stranger.filter(|_| !ours) {
            self.ipv6_strangers.insert(daddr, state);
        }
        self.find_child_ipv6(skb, question, near, &destination)
    }

    /// Asks the child that the parent's route leads to what it will do with the packet, and
    /// remembers the answer.
    fn find_child_ipv6<'r>(
        &self,
        skb: &mut SkBuff,
        question: &Question<'r>,
        near: Dst<'r>,
        destination: &Destination<'r>,
    ) -> Option<Claim<'r>> {
        let rcu = question.bh.read_side();
        let is_local = destination.kind == Kind::Local;
        if !destination.is_plain()
            || is_local && destination.by_kernel
            || !is_local && !forwards(question.switches)
        {
            return None;
        }
        let (port, child) = owner(destination.dev?, rcu)?;
        let shortcuts = port.driver().policy().shortcuts();
        let switches = child.ipv6_switches(rcu)?;
        let near_cookie = near.ipv6_cookie()?;
        let near_held = near.hold()?;
        let far = route_in_child(skb, question, child)?;
        let far_cookie = far.ipv6_cookie()?;
        let marks = Marks {
            shortcuts,
            near: is_local,
            far: far.is_local_delivery(),
        };
        let found = Found {
            dev: child,
            dst: far.hold()?,
            near: Some(near_held),
            notes: [pair(far_cookie.0, near_cookie.0), note(switches, marks)],
        };
        let unchanged = || self.generation.read() == question.generation;
        self.ipv6
            .insert(&question.key, found, unchanged, question.bh);
        Some(Claim {
            child,
            way: Way {
                route: far,
                is_local: marks.far,
                flags: 0,
            },
            near: is_local.then_some(near),
            shortcuts,
        })
    }
}

/// The port that the destination of a packet in the parent's input is held for.
#[cold]
pub(crate) fn held_for<'r>(packet: &Passing<'r>) -> Option<&'r Device<End>> {
    let rcu = packet.bh().read_side();
    holder(&packet.skb().dst(rcu)?.ipv6_destination(rcu))
}

/// What is noted beside the cookies and the child's switches.
#[derive(Clone, Copy)]
struct Marks {
    /// The shortcuts that the port allows.
    shortcuts: Set,
    /// Whether the parent's route is local.
    near: bool,
    /// Whether the child's is.
    far: bool,
}

/// The bits of [`Marks`] in a note.
const NEAR: u64 = 0x100;
const FAR: u64 = 0x200;

fn note(switches: u32, marks: Marks) -> u64 {
    pair(switches, marks.shortcuts.to_note().into())
        | (u64::from(marks.near) * NEAR)
        | (u64::from(marks.far) * FAR)
}

/// What is remembered of a flow, if it still holds.
#[inline(always)]
fn recall<'r>(flow: Flow<'r, End, 2>, rcu: ReadSide<'r>) -> Option<Claim<'r>> {
    let [cookies, noted] = flow.notes;
    let near = flow.near?;
    let switches = flow.dev.ipv6_switches(rcu)?;
    let holds = (noted >> 32) as u32 == switches
        && flow
            .dst
            .still_has_ipv6_cookie(Cookie((cookies >> 32) as u32))
        && near.still_has_ipv6_cookie(Cookie(cookies as u32));
    holds.then_some(Claim {
        child: flow.dev,
        way: Way {
            route: flow.dst,
            is_local: noted & FAR != 0,
            flags: 0,
        },
        near: (noted & NEAR != 0).then_some(near),
        shortcuts: Set::from_note(noted as u8),
    })
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
