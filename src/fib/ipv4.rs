// SPDX-License-Identifier: GPL-2.0

//! Whose an IPv4 packet is.

pub(super) mod destinations;
pub(super) mod locals;

use super::{
    depends_on_key, holder, is_open, open_pair_behind, pair, pair_behind, port_that_may_hold,
    sends_less, shortcuts_between, shortcuts_in, Answer, At, Claim, Parent, Stranger, Way,
    AFTER_CLAIM,
};
use crate::{
    ip::Ipv4,
    net::{
        address_hashes::SocketNumber,
        context::{BottomHalf, ReadSide},
        device::{Device, NetDevice},
        dst::Dst,
        flow_table::{Flow, FlowTable, Found, Key},
        ipv4::{destination, destination_of, Checks, Header, Kind, Route},
        namespace::Namespace,
        netfilter::{Family, Passing},
        skb::SkBuff,
    },
    passthru::{holds_ipv4, End},
    shortcut::Set,
};

/// The flows: addresses; input device and mark; state of routes, ports and children, and DSCP.
pub(super) type Flows = FlowTable<End, 3, 1>;

/// A packet for which an owner is sought.
struct Question<'r> {
    header: Header,
    dev: &'r NetDevice,
    forwards: bool,
    mark: u32,
    bh: BottomHalf<'r>,
    state: u32,
    key: Key<3, 2>,
}

impl<'r> Question<'r> {
    /// None where the device that the packet came in by has no IPv4.
    #[inline(always)]
    fn new(parent: &Parent, packet: &Passing<'r>, header: &Header) -> Option<Self> {
        let namespace = packet.dev().namespace(packet.bh().read_side());
        Self::in_state(parent.ipv4_state(namespace), packet, header)
    }

    /// As [`Self::new`], with the state of the packet's parent.
    #[inline(always)]
    fn in_state(state: u32, packet: &Passing<'r>, header: &Header) -> Option<Self> {
        let (dev, bh) = (packet.dev(), packet.bh());
        let mark = packet.skb().mark();
        let forwards = dev.ipv4_forwards(bh.read_side())?;
        Some(Self {
            header: *header,
            dev,
            forwards,
            mark,
            bh,
            state,
            key: Key::counted([
                pair(header.daddr, header.saddr),
                pair(dev.ifindex() as u32, mark),
                pair(state, header.dscp().into()),
            ]),
        })
    }

    /// Whether the packet's way depends on nothing that is not in the key. Changing the rules, or
    /// the policies of IPsec, changes the generation of routes.
    fn depends_on_key(&self, rcu: ReadSide<'_>) -> bool {
        depends_on_key::<Ipv4>(self.dev, rcu)
    }
}

impl Parent {
    /// The owner of a packet that came in by `packet.dev()`, if that is remembered of its flow. If not,
    /// [`Self::find_out_ipv4`] is to be asked.
    #[inline(always)]
    pub(crate) fn recall_ipv4<'r>(
        &self,
        packet: &Passing<'r>,
        header: &Header,
        state: u32,
    ) -> Option<Claim<'r>> {
        let question = Question::in_state(state, packet, header)?;
        let flow = self.ipv4.find(&question.key, question.bh.read_side())?;
        recall(flow, &question)
    }

    /// Finds the owner of a packet that came in by `packet.dev()`, where [`Self::recall_ipv4`] had
    /// no answer; `shortcuts` are those that the place of asking can offer, so the answer is for a
    /// port that allows one of them.
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
            return at.unknown();
        };
        let place = self.ipv4.place(&question.key);
        match self.recall_destination(&question, place) {
            Some(claim) => claim.answer(shortcuts),
            None => self.ask_ipv4(packet.skb_mut(), &question, shortcuts, at),
        }
    }

    /// The state of routes, ports and children: a sum of what only grows.
    #[inline(always)]
    pub(crate) fn ipv4_state(&self, namespace: &Namespace) -> u32 {
        let generation = self.generation.read();
        namespace.ipv4_generation().wrapping_add(generation)
    }

    /// How things are when a packet comes, and whether its destination is known to be no child's.
    /// Nothing is remembered of that under rules, and adding the first one changes the generation. What
    /// else the packet is does not matter: to let it go is always right.
    #[inline(always)]
    pub(crate) fn meet_ipv4(&self, packet: &Passing<'_>) -> (u32, Option<Stranger>) {
        let state = self.ipv4_state(packet.dev().namespace(packet.bh().read_side()));
        let stranger = destination_of(packet.skb())
            .and_then(|(daddr, dscp)| self.ipv4_strangers.find(daddr, dscp, state));
        (state, stranger)
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
        if question.header.is_to_many() {
            return Answer::Pass;
        }
        // Unless it is known to be for another child, which is found out before the sockets.
        if at == At::Routing && is_held_source(question, rcu) {
            return Answer::Leaves;
        }
        if !question.depends_on_key(rcu) {
            return at.unknown();
        }
        if at != At::Routing && !self.is_ours(question, rcu) {
            return Answer::Pass;
        }
        // What the parent itself sends has its route already, and comes from an address that nobody
        // may come in from.
        if at == At::Sockets && question.dev.is_loopback() {
            return Answer::Held;
        }
        let kept = (at == At::Sockets).then(|| skb.take_dst(rcu));
        let from_held = (at == At::Sockets)
            .then(|| self.look_up_held(skb, question))
            .flatten();
        let answer = match from_held {
            Some(claim) => Answer::Claimed(claim),
            None => self.look_up(skb, question, at),
        };
        match (answer, kept) {
            (Answer::Claimed(claim), None) => claim.answer(shortcuts),
            (Answer::Claimed(claim), Some(kept)) => claim.answer_at_sockets(skb, kept),
            (answer, None) => answer,
            (_, Some(kept)) => {
                skb.put_dst(kept);
                Answer::Held
            }
        }
    }

    /// Whether the destination's route leads to a port, which is remembered if it alone decides.
    fn is_ours(&self, question: &Question<'_>, rcu: ReadSide<'_>) -> bool {
        let (daddr, dscp, state) = (
            question.header.daddr,
            question.header.dscp(),
            question.state,
        );
        let alone = !question.dev.namespace(rcu).ipv4_has_rules();
        if alone && self.ipv4_strangers.seems_ours(daddr, dscp, state) {
            return true;
        }
        let ours = leads_to_port(question, rcu);
        match (alone, ours) {
            (true, true) => self.ipv4_strangers.insert_ours(daddr, dscp, state),
            (true, false) => {
                let strangers = &self.ipv4_strangers;
                strangers.insert(daddr, dscp, state, Stranger::Near);
            }
            (false, _) => {}
        }
        ours
    }

    /// Remembers that the destination is no child's, if the parent's `route` says so, and it alone decides.
    fn remember_stranger_ipv4(
        &self,
        question: &Question<'_>,
        route: &Route<'_>,
        rcu: ReadSide<'_>,
    ) {
        let stranger = match route.kind {
            Kind::Unicast if !route.multipath && End::cast(route.dev).is_none() => Stranger::Far,
            Kind::Local if !leads_to_port(question, rcu) => Stranger::Near,
            _ => return,
        };
        if !question.dev.namespace(rcu).ipv4_has_rules() {
            let (header, state) = (&question.header, question.state);
            self.ipv4_strangers
                .insert(header.daddr, header.dscp(), state, stranger);
        }
    }

    /// Routes the packet in the parent, and then in the child that this leads to.
    fn look_up<'r>(&self, skb: &mut SkBuff, question: &Question<'r>, at: At) -> Answer<'r> {
        let rcu = question.bh.read_side();
        if at == At::Device {
            skb.clear_ip_control();
        }
        let namespace = question.dev.namespace(rcu);
        let Some(checks) = question.dev.ipv4_checks(namespace, question.mark, rcu) else {
            return Answer::Pass;
        };
        let route = match skb.route_ipv4(&question.header, question.dev, question.bh) {
            Ok(route) => route,
            Err(reason) => return Answer::Refused(reason),
        };
        if let Some(claim) = self.find_child(skb, question, &route, checks) {
            skb.drop_dst();
            return Answer::Claimed(claim);
        }
        self.remember_stranger_ipv4(question, &route, rcu);
        // Where the child was asked its answer is not one that the parent may go by.
        if at != At::Routing || !skb.has_dst(route.dst) {
            skb.drop_dst();
        }
        Answer::Pass
    }

    /// As [`Self::look_up`], for a packet from an address that is held for the port that it came in by, to
    /// one that is held for a child. Coming from there the first is a forgery to routing, so the packet is
    /// routed as what the parent sends. Rules of output may ask for more than is known here.
    fn look_up_held<'r>(&self, skb: &mut SkBuff, question: &Question<'r>) -> Option<Claim<'r>> {
        let rcu = question.bh.read_side();
        let (namespace, header) = (question.dev.namespace(rcu), &question.header);
        if !is_held_source(question, rcu) || namespace.ipv4_has_rules() {
            return None;
        }
        local_device(question, rcu).and_then(port_that_may_hold)?;
        let dst = namespace.route_output_ipv4(header.daddr, header.saddr, header.dscp())?;
        let near = dst.get(rcu);
        let route = Route {
            kind: near.ipv4_kind(),
            dev: near.device(rcu),
            multipath: false,
            classified: false,
            dst: near,
            flags: 0,
        };
        if route.kind != Kind::Local {
            return None;
        }
        let claim = self.find_child(skb, question, &route, Checks::ALL);
        skb.drop_dst();
        claim
    }

    /// Asks the child that the parent's `route` leads to what it will do with the packet, and
    /// remembers the answer. `near_checks` is how the parent checked its source.
    fn find_child<'r>(
        &self,
        skb: &mut SkBuff,
        question: &Question<'r>,
        route: &Route<'r>,
        near_checks: Checks,
    ) -> Option<Claim<'r>> {
        let rcu = question.bh.read_side();
        if route.multipath || route.classified || route.dst.encapsulates() {
            return None;
        }
        let (dev, near) = match route.kind {
            Kind::Unicast => (route.dev, None),
            Kind::Local => (local_device(question, rcu)?, Some(route.dst)),
            Kind::Other => return None,
        };
        // Back where it came from a packet goes by hops only: a child that sends on what it gets (tc)
        // would have it again and again.
        if near.is_none() && dev.is(question.dev) {
            return None;
        }
        let (port, child) = pair_behind(dev, rcu)?;
        let namespace = child.namespace(rcu);
        // Before anything is asked of the child.
        let generation = namespace.ipv4_generation();
        if !is_open(port, child) || namespace.ipv4_rules_look_deeper() {
            return None;
        }
        if near.is_none() && sends_less(route.dst, Family::Ipv4, port, rcu) {
            return None;
        }
        let far_checks = child.ipv4_checks(namespace, 0, rcu)?;
        let far = route_in_child(skb, question, child)?;
        let claim = Claim {
            child,
            way: Way::new(far.dst, far.flags, near.is_some()),
            near,
            shortcuts: shortcuts_between(question.dev, port, near.is_some()),
            number: SocketNumber::UNKNOWN,
        };
        if !claim.is_childs_own() {
            return None;
        }
        let checks = [near_checks, far_checks];
        self.remember_destination(question, &claim, generation, checks);
        if self.ipv4.wants(&question.key, question.bh) {
            self.remember_flow(question, &claim, generation, checks);
        }
        Some(claim)
    }

    /// Remembers what was found out about a flow, of which the child's routes said their part in
    /// `generation`; `checks` are how parent and child check sources.
    fn remember_flow(
        &self,
        question: &Question<'_>,
        claim: &Claim<'_>,
        generation: u32,
        [near, far]: [Checks; 2],
    ) {
        let rcu = question.bh.read_side();
        if may_move(question.dev, question, rcu) || may_move(claim.child, question, rcu) {
            return;
        }
        let near = material(question.dev, question, near, rcu);
        let far = material(claim.child, question, far, rcu);
        let key = &question.key;
        self.keep(&self.ipv4, key, question, claim, generation, [near, far]);
    }

    /// Puts what was found out into a table.
    fn keep(
        &self,
        table: &Flows,
        key: &Key<3, 2>,
        question: &Question<'_>,
        claim: &Claim<'_>,
        generation: u32,
        [near, far]: [Checks; 2],
    ) {
        let rcu = question.bh.read_side();
        let Some(dst) = claim.way.route.hold() else {
            return;
        };
        let held = claim.near.map(Dst::hold);
        if held.as_ref().is_some_and(Option::is_none) {
            return;
        }
        let found = Found {
            dev: Some(claim.child),
            dst,
            near: held.flatten(),
            notes: [note(generation, claim, near, far)],
        };
        let unchanged = || self.ipv4_state(question.dev.namespace(rcu)) == question.state;
        table.insert(key, found, unchanged, question.bh);
    }
}

/// What of `checks` has a say in whether a packet from this source may come in by `dev`. Nothing,
/// if its own routes lead back there: that is as it should be for the strictest.
/// C: `__fib_validate_source()`.
fn material(dev: &NetDevice, question: &Question<'_>, checks: Checks, rcu: ReadSide<'_>) -> Checks {
    let header = &question.header;
    // Rules may ask for the mark, or for the device that an answer comes in by, and lead elsewhere.
    if dev.namespace(rcu).ipv4_has_rules() {
        return checks;
    }
    let back = dev.owns_ipv4(header.saddr, header.daddr, header.dscp(), rcu);
    if back.is_some_and(|back| !back.held) {
        Checks::ALL
    } else {
        checks
    }
}

/// Whether the packet's source is where a group of nexthops says, which may say another place with
/// no generation that tells.
fn may_move(dev: &NetDevice, question: &Question<'_>, rcu: ReadSide<'_>) -> bool {
    let (header, namespace) = (&question.header, dev.namespace(rcu));
    let by_group = || {
        dev.owns_ipv4(header.saddr, header.daddr, header.dscp(), rcu)
            .is_some_and(|owned| owned.by.is_none())
    };
    // Which routes rules lead to is not told.
    namespace.has_nexthops() && (namespace.ipv4_has_rules() || by_group())
}

/// What is remembered of a flow, if it still holds. What the parent's routes, ports and children
/// had to say is in the key.
#[inline(always)]
fn recall<'r>(flow: Flow<'r, End, 1>, question: &Question<'r>) -> Option<Claim<'r>> {
    let rcu = question.bh.read_side();
    let (child, [noted]) = (flow.dev?, flow.notes);
    let claim = Claim {
        child,
        way: Way::from_note(flow.dst, noted as u32),
        near: flow.near,
        shortcuts: shortcuts_in(noted as u32),
        number: SocketNumber::UNKNOWN,
    };
    let holds = (noted >> 32) as u32 == child.namespace(rcu).ipv4_generation()
        && flow.dst.is_current()
        && (question.forwards || claim.is_near())
        && (claim.way.is_local() || child.ipv4_forwards(rcu) == Some(true))
        && (noted & CHECKED == 0
            || checks_are_the_same(noted as u32, question.dev, question.mark, child, rcu));
    holds.then_some(claim)
}

/// Whether `dev`, where the packet comes in, and the child check sources as when the note was made.
#[inline(never)]
fn checks_are_the_same(
    noted: u32,
    dev: &NetDevice,
    mark: u32,
    child: &Device<End>,
    rcu: ReadSide<'_>,
) -> bool {
    let same = |noted: Checks, dev: &NetDevice, mark| {
        noted == Checks::ALL || dev.ipv4_checks(dev.namespace(rcu), mark, rcu) == Some(noted)
    };
    same(Checks::from_note(noted >> NEAR), dev, mark)
        && same(Checks::from_note(noted >> FAR), child, 0)
}

/// Parts of a note, which begins with the generation of the child's routes and ends with the claim.
/// Whether the switches of any device have a say in where the packet may come from:
const CHECKED: u64 = 1 << AFTER_CLAIM;
/// Where the checks of parent and child begin.
const NEAR: u32 = AFTER_CLAIM + 1;
const FAR: u32 = NEAR + Checks::BITS;

fn note(generation: u32, claim: &Claim<'_>, near: Checks, far: Checks) -> u64 {
    const { assert!(FAR + Checks::BITS == u32::BITS) };
    let checks = near.to_note() << NEAR | far.to_note() << FAR;
    let note = pair(generation, checks | claim.to_note());
    if (near, far) == (Checks::ALL, Checks::ALL) {
        note
    } else {
        note | CHECKED
    }
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
    (answer.kind == Kind::Local && !answer.by_kernel && !answer.multipath)
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

/// The pair that the parent would send a packet to that no shortcut takes because of its header: a
/// fragment, or one with options. None for all others.
#[cold]
pub(crate) fn pair_of_extended<'r>(
    packet: &Passing<'r>,
) -> Option<(&'r Device<End>, &'r Device<End>)> {
    let (dev, rcu) = (packet.dev(), packet.bh().read_side());
    let header = Header::extended(packet.skb()).filter(|header| !header.is_to_many())?;
    if !depends_on_key::<Ipv4>(dev, rcu) || dev.ipv4_forwards(rcu) != Some(true) {
        return None;
    }
    let answer = destination(&header, packet.skb().mark(), dev, rcu)?;
    let plain = answer.kind == Kind::Unicast && !answer.multipath;
    open_pair_behind(answer.dev.filter(|_| plain)?, dev, rcu)
}

/// Whether the packet comes from a child by a port that allows the shortcut at INPUT, and from an
/// address that the parent has made its own for that port: by a local route.
fn is_held_source(question: &Question<'_>, rcu: ReadSide<'_>) -> bool {
    is_from_held(&question.header, question.dev, question.mark, rcu)
}

/// As [`is_held_source`], for a fragment without options.
#[cold]
pub(crate) fn is_part_from_held(packet: &Passing<'_>) -> bool {
    let rcu = packet.bh().read_side();
    let (skb, dev) = (packet.skb(), packet.dev());
    Header::part(skb)
        .filter(|header| !header.is_to_many())
        .is_some_and(|header| is_from_held(&header, dev, skb.mark(), rcu))
}

fn is_from_held(header: &Header, dev: &NetDevice, mark: u32, rcu: ReadSide<'_>) -> bool {
    let Some(port) = port_that_may_hold(dev) else {
        return false;
    };
    // What never leaves a host never leaves a child.
    if header.is_to_this_host() {
        return false;
    }
    if let Some(held) = holds_ipv4(port, header, rcu) {
        return held;
    }
    destination(&header.back(), mark, dev, rcu)
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
