// SPDX-License-Identifier: GPL-2.0

//! Whose an IPv6 packet is.

use super::{holder, owner, pair, Answer, At, Claim, Parent};
use crate::{
    net::{
        context::{BottomHalf, ReadSide},
        device::{Device, NetDevice},
        dst::Dst,
        flow_table::{Flow, FlowTable, Found, Key},
        ipv4::{Destination, Kind},
        ipv6::{forwards, Cookie, Header},
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

impl Parent {
    /// As [`Parent::claim_ipv4`], for IPv6.
    #[inline(always)]
    pub(crate) fn claim_ipv6<'r>(
        &self,
        packet: &mut Passing<'r>,
        header: &Header,
        shortcuts: Set,
        at: At,
    ) -> Answer<'r> {
        let (dev, bh) = (packet.dev(), packet.bh());
        let rcu = bh.read_side();
        let mark = packet.skb().mark();
        let Some(switches) = dev.ipv6_switches(rcu) else {
            return Answer::Pass;
        };
        let generation = self.generation.read();
        let [source, source_low] = header.saddr;
        let [destination, destination_low] = header.daddr;
        let question = Question {
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
        };
        if let Some(claim) = self
            .ipv6
            .find(&question.key, rcu)
            .and_then(|flow| recall(flow, rcu))
        {
            return claim.answer(shortcuts);
        }
        self.find_out_ipv6(packet.skb_mut(), header, &question, shortcuts, at)
    }

    /// Finds out what is not remembered.
    #[cold]
    #[inline(never)]
    fn find_out_ipv6<'r>(
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
        // Rules aside the answer is a matter of the destination; each half of it is compared.
        let stranger = [
            header.daddr[0] ^ pair(question.generation, namespace.ipv6_generation()),
            header.daddr[1],
        ];
        if question.dev.is_in_vrf() || !rules && self.ipv6_strangers.contains(stranger) {
            return Answer::Pass;
        }
        let kept = (at == At::Sockets).then(|| skb.take_dst());
        let stranger = (!rules).then_some(stranger);
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
        stranger: Option<[u64; 2]>,
    ) -> Option<Claim<'r>> {
        let near = skb.route_ipv6(question.bh)?;
        let destination = near.ipv6_destination(question.bh.read_side());
        let ours = destination.dev.is_some_and(|dev| End::cast(dev).is_some());
        if let Some(stranger) = stranger.filter(|_| !ours) {
            self.ipv6_strangers.insert(stranger);
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
        let found = Found {
            dev: child,
            dst: far.hold()?,
            near: Some(near_held),
            notes: [
                pair(far_cookie.0, near_cookie.0),
                note(switches, shortcuts, is_local),
            ],
        };
        let unchanged = || self.generation.read() == question.generation;
        self.ipv6
            .insert(&question.key, found, unchanged, question.bh);
        Some(Claim {
            child,
            route: far,
            near: is_local.then_some(near),
            shortcuts,
            flags: 0,
        })
    }
}

/// The port that the destination of a packet in the parent's input is held for.
#[cold]
pub(crate) fn held_for<'r>(packet: &Passing<'r>) -> Option<&'r Device<End>> {
    let rcu = packet.bh().read_side();
    holder(&packet.skb().dst(rcu)?.ipv6_destination(rcu))
}

/// What is noted beside the cookies.
#[inline(always)]
fn note(switches: u32, shortcuts: Set, is_local: bool) -> u64 {
    pair(
        switches,
        u32::from(is_local) << 8 | u32::from(shortcuts.to_note()),
    )
}

/// What is remembered of a flow, if it still holds.
#[inline(always)]
fn recall<'r>(flow: Flow<'r, End, 2>, rcu: ReadSide<'r>) -> Option<Claim<'r>> {
    let [cookies, noted] = flow.notes;
    let near = flow.near?;
    let shortcuts = Set::from_note(noted as u8);
    let is_local = noted & 0x100 != 0;
    let switches = flow.dev.ipv6_switches(rcu)?;
    let holds = note(switches, shortcuts, is_local) == noted
        && flow.dst.ipv6_cookie() == Some(Cookie((cookies >> 32) as u32))
        && near.ipv6_cookie() == Some(Cookie(cookies as u32));
    holds.then_some(Claim {
        child: flow.dev,
        route: flow.dst,
        near: is_local.then_some(near),
        shortcuts,
        flags: 0,
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
