// SPDX-License-Identifier: GPL-2.0

//! Whose an IPv4 packet is.

use super::{holder, owner, pair, Answer, At, Claim, Parent, Way};
use crate::{
    net::{
        context::{BottomHalf, ReadSide},
        device::{Device, NetDevice},
        flow_table::{Flow, FlowTable, Found, Key},
        ipv4::{destination, destination_of, Header, Kind, Route, Switches},
        namespace::Namespace,
        netfilter::Passing,
        skb::SkBuff,
    },
    passthru::End,
    shortcut::Set,
};

/// The flows: addresses, input device and mark, generations, switches; DSCP and more switches.
pub(super) type Flows = FlowTable<End, 4, 2>;

/// A packet for which an owner is sought.
struct Question<'r> {
    header: Header,
    dev: &'r NetDevice,
    mark: u32,
    bh: BottomHalf<'r>,
    generation: u32,
    state: u32,
    key: Key<4, 2>,
}

impl<'r> Question<'r> {
    /// None where the device that the packet came in by has no IPv4.
    #[inline(always)]
    fn new(parent: &Parent, packet: &Passing<'r>, header: &Header) -> Option<Self> {
        let (dev, bh) = (packet.dev(), packet.bh());
        let rcu = bh.read_side();
        let namespace = dev.namespace(rcu);
        let mark = packet.skb().mark();
        let switches = dev.ipv4_switches(namespace, mark, rcu)?;
        let state = parent.ipv4_state(namespace);
        let generation = parent.generation.read();
        Some(Self {
            header: *header,
            dev,
            mark,
            bh,
            generation,
            state,
            key: Key {
                words: [
                    pair(header.daddr, header.saddr),
                    pair(dev.ifindex() as u32, mark),
                    pair(namespace.ipv4_generation(), generation),
                    switches.numbers,
                ],
                rest: u32::from(switches.others) << 8 | u32::from(header.dscp()),
            },
        })
    }
}

impl Parent {
    /// The owner of a packet that came in by `packet.dev()`, if that is remembered in the place
    /// where it is looked for first. If not, [`Self::find_out_ipv4`] is to be asked.
    #[inline(always)]
    pub(crate) fn recall_ipv4<'r>(
        &self,
        packet: &Passing<'r>,
        header: &Header,
    ) -> Option<Claim<'r>> {
        let question = Question::new(self, packet, header)?;
        let rcu = question.bh.read_side();
        recall(self.ipv4.find_first(&question.key, rcu)?, rcu)
    }

    /// Finds the owner of a packet that came in by `packet.dev()`; `shortcuts` are those that the
    /// place of asking can offer, so the answer is for a port that allows one of them.
    ///
    /// See [`At`] for what becomes of the packet's own route where it is nobody's.
    pub(crate) fn find_out_ipv4<'r>(
        &self,
        packet: &mut Passing<'r>,
        header: &Header,
        shortcuts: Set,
        at: At,
    ) -> Answer<'r> {
        let Some(question) = Question::new(self, packet, header) else {
            return Answer::Pass;
        };
        let rcu = question.bh.read_side();
        let known = self.ipv4.find(&question.key, rcu);
        match known.and_then(|flow| recall(flow, rcu)) {
            Some(claim) => claim.answer(shortcuts),
            None => self.ask_ipv4(packet.skb_mut(), &question, shortcuts, at),
        }
    }

    /// The state of routes, ports and children.
    #[inline(always)]
    fn ipv4_state(&self, namespace: &Namespace) -> u32 {
        let generation = self.generation.read();
        namespace.ipv4_generation().wrapping_add(generation)
    }

    /// Whether the destination is known to be no child's. Nothing is remembered here under rules,
    /// and adding the first one changes the generation. What else the packet is does not matter:
    /// to let it go is always right.
    #[inline(always)]
    pub(crate) fn is_for_stranger_ipv4(&self, packet: &Passing<'_>) -> bool {
        let Some((daddr, dscp)) = destination_of(packet.skb()) else {
            return false;
        };
        let state = self.ipv4_state(packet.dev().namespace(packet.bh().read_side()));
        self.ipv4_strangers.contains(daddr, dscp, state)
    }

    /// Asks the tables of routes, in parent and child.
    fn ask_ipv4<'r>(
        &self,
        skb: &mut SkBuff,
        question: &Question<'r>,
        shortcuts: Set,
        at: At,
    ) -> Answer<'r> {
        let rcu = question.bh.read_side();
        let namespace = question.dev.namespace(rcu);
        // Changing the rules, or the policies of IPsec, changes the generation of routes.
        if namespace.ipv4_rules_look_deeper()
            || namespace.has_transform_policies()
            || question.dev.is_in_vrf()
            || question.header.is_to_many()
        {
            return Answer::Pass;
        }
        if at == At::Routing && is_held_source(question, rcu) {
            return Answer::Leaves;
        }
        if at != At::Routing && !leads_to_port(question, rcu) {
            self.remember_stranger_ipv4(question, rcu);
            return Answer::Pass;
        }
        let kept = (at == At::Sockets).then(|| skb.take_dst());
        let answer = self.look_up(skb, question, at);
        match (answer, kept) {
            (Answer::Claimed(claim), _) => claim.answer(shortcuts),
            (answer, None) => answer,
            (_, Some(kept)) => {
                skb.put_dst(kept);
                Answer::Held
            }
        }
    }

    /// Remembers that the destination is no child's, if it alone decides.
    fn remember_stranger_ipv4(&self, question: &Question<'_>, rcu: ReadSide<'_>) {
        if !question.dev.namespace(rcu).ipv4_has_rules() {
            let (header, state) = (&question.header, question.state);
            self.ipv4_strangers
                .insert(header.daddr, header.dscp(), state);
        }
    }

    /// Routes the packet in the parent, and then in the child that this leads to.
    fn look_up<'r>(&self, skb: &mut SkBuff, question: &Question<'r>, at: At) -> Answer<'r> {
        let rcu = question.bh.read_side();
        if at == At::Device {
            skb.clear_ip_control();
        }
        let route = match skb.route_ipv4(&question.header, question.dev, question.bh) {
            Ok(route) => route,
            Err(reason) => return Answer::Refused(reason),
        };
        if let Some(claim) = self.find_child(skb, question, &route) {
            skb.drop_dst();
            return Answer::Claimed(claim);
        }
        let elsewhere = match route.kind {
            Kind::Unicast => !route.multipath && End::cast(route.dev).is_none(),
            Kind::Local => !leads_to_port(question, rcu),
            Kind::Other => false,
        };
        if elsewhere {
            self.remember_stranger_ipv4(question, rcu);
        }
        if at != At::Routing {
            skb.drop_dst();
        }
        Answer::Pass
    }

    /// Asks the child that the parent's `route` leads to what it will do with the packet, and
    /// remembers the answer.
    fn find_child<'r>(
        &self,
        skb: &mut SkBuff,
        question: &Question<'r>,
        route: &Route<'r>,
    ) -> Option<Claim<'r>> {
        let rcu = question.bh.read_side();
        if route.multipath || route.classified {
            return None;
        }
        let (dev, near) = match route.kind {
            Kind::Unicast => (route.dev, None),
            Kind::Local => (local_device(question, rcu)?, Some(route.dst.hold()?)),
            Kind::Other => return None,
        };
        let (port, child) = owner(dev, rcu)?;
        let shortcuts = port.driver().policy().shortcuts();
        let near_route = near.is_some().then_some(route.dst);

        let namespace = child.namespace(rcu);
        let generation = namespace.ipv4_generation();
        let switches = child.ipv4_switches(namespace, 0, rcu)?;
        let far = route_in_child(skb, question, child)?;
        let is_local = far.dst.is_local_delivery();
        let found = Found {
            dev: child,
            dst: far.dst.hold()?,
            near,
            notes: [
                circumstances(generation, &switches) | extras(shortcuts, is_local, far.flags),
                switches.numbers,
            ],
        };
        let claim = Claim {
            child,
            way: Way {
                route: far.dst,
                is_local,
                flags: far.flags,
            },
            near: near_route,
            shortcuts,
        };
        let unchanged = || self.generation.read() == question.generation;
        self.ipv4
            .insert(&question.key, found, unchanged, question.bh);
        Some(claim)
    }
}

/// What is remembered of a flow, if it still holds in the child.
#[inline(always)]
fn recall<'r>(flow: Flow<'r, End, 2>, rcu: ReadSide<'r>) -> Option<Claim<'r>> {
    let [noted, numbers] = flow.notes;
    let namespace = flow.dev.namespace(rcu);
    let switches = flow.dev.ipv4_switches(namespace, 0, rcu)?;
    let holds = noted & !EXTRAS == circumstances(namespace.ipv4_generation(), &switches)
        && numbers == switches.numbers
        && flow.dst.is_current();
    holds.then_some(Claim {
        child: flow.dev,
        way: Way {
            route: flow.dst,
            is_local: noted & LOCAL != 0,
            flags: noted as u16,
        },
        near: flow.near,
        shortcuts: Set::from_note((noted >> 16) as u8),
    })
}

/// The part of the first note that holds [`extras`]; the others are [`circumstances`].
const EXTRAS: u64 = 0x0fff_ffff;
/// Whether the child's route is one to its own sockets.
const LOCAL: u64 = 1 << 24;

/// What must be the same in the child, besides the switches that are numbers.
#[inline(always)]
fn circumstances(generation: u32, switches: &Switches) -> u64 {
    pair(generation, u32::from(switches.others) << 28)
}

/// What is remembered for whoever claims the packet: what the port allows, and what the child's
/// stack is to remember of each packet.
fn extras(shortcuts: Set, is_local: bool, flags: u16) -> u64 {
    u64::from(is_local) << 24 | u64::from(shortcuts.to_note()) << 16 | u64::from(flags)
}

/// Whether the destination's route leads to a port.
fn leads_to_port(question: &Question<'_>, rcu: ReadSide<'_>) -> bool {
    destination(&question.header, question.mark, question.dev, rcu).is_some_and(|answer| {
        let ours = answer.dev.is_some_and(|dev| End::cast(dev).is_some());
        ours && !answer.multipath && !(answer.kind == Kind::Local && answer.by_kernel)
    })
}

/// The device of a destination's local route, where somebody set that route: those that the kernel
/// makes by itself are for the parent's own addresses.
fn local_device<'r>(question: &Question<'_>, rcu: ReadSide<'r>) -> Option<&'r NetDevice> {
    let answer = destination(&question.header, question.mark, question.dev, rcu)?;
    (answer.kind == Kind::Local && !answer.by_kernel)
        .then_some(answer.dev)
        .flatten()
}

/// The port that the destination of a packet in the parent's input is held for.
#[cold]
pub(crate) fn held_for<'r>(packet: &Passing<'r>) -> Option<&'r Device<End>> {
    let header = Header::any(packet.skb())?;
    let rcu = packet.bh().read_side();
    let answer = destination(&header, packet.skb().mark(), packet.dev(), rcu)?;
    holder(&answer)
}

/// Whether the packet comes from a child by a port that allows the shortcut at INPUT, and from an
/// address that the parent has made its own for that port: by a local route.
fn is_held_source(question: &Question<'_>, rcu: ReadSide<'_>) -> bool {
    let Some(port) = End::cast(question.dev) else {
        return false;
    };
    let back = Header {
        saddr: question.header.daddr,
        daddr: question.header.saddr,
        ..question.header
    };
    destination(&back, question.mark, question.dev, rcu)
        .and_then(|answer| holder(&answer))
        .is_some_and(|holder| holder.is(port))
}

/// The packet's route in the child, as for one that came in there, with nothing of the parent's.
fn route_in_child<'r>(
    skb: &mut SkBuff,
    question: &Question<'r>,
    child: &'r Device<End>,
) -> Option<Route<'r>> {
    let kept = skb.ip_flags();
    skb.drop_dst();
    skb.set_ip_flags(0);
    skb.set_mark(0);
    let far = skb.route_ipv4(&question.header, child, question.bh);
    skb.set_mark(question.mark);
    skb.set_ip_flags(kept);
    let far = far.ok()?;
    let plain =
        matches!(far.kind, Kind::Unicast | Kind::Local) && !far.multipath && !far.classified;
    plain.then_some(far)
}
