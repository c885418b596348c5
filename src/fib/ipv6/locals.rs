// SPDX-License-Identifier: GPL-2.0

//! The routes of IPv6 packets for the parent's own sockets, as `ipv4/locals.rs` has it.

use super::{is_by_flow, Cookie, End, Header, Kind, Parent, Passing, Question, State};
use crate::net::{
    dst::Dst,
    flow_table::{Flow, Found, Place},
    skb::DropReason,
};

/// Flows that are remembered of each namespace: half a MiB.
pub(in crate::fib) const SIZE: usize = 4096;

impl Parent {
    /// As [`Parent::recall_local_ipv4`], for IPv6.
    #[inline(always)]
    pub(crate) fn recall_local_ipv6<'r>(
        &self,
        packet: &Passing<'r>,
        header: &Header,
        state: State,
    ) -> Result<Dst<'r>, Option<Place>> {
        let question = Question::new(packet, state, !is_by_flow(packet, header));
        if !question.of_destination {
            return self.recall_local_flow_ipv6(question, *header);
        }
        let (known, place) = question.of_destination(&self.ipv6_locals, header);
        known.and_then(recall).ok_or(Some(place))
    }

    /// As [`Self::recall_local_ipv6`], for a packet that [`is_by_flow`] says yes of.
    #[inline(never)]
    fn recall_local_flow_ipv6<'r>(
        &self,
        question: Question<'r>,
        header: Header,
    ) -> Result<Dst<'r>, Option<Place>> {
        let (table, rcu) = (&self.ipv6_locals, question.bh.read_side());
        let key = question.key_of_flow(&header);
        let place = table.place(&key);
        let known = table.find_from(&key, place, rcu);
        known.and_then(recall).ok_or(Some(place))
    }

    /// As [`Parent::learn_local_ipv4`], for IPv6.
    #[cold]
    #[inline(never)]
    pub(crate) fn learn_local_ipv6(
        &self,
        packet: &mut Passing<'_>,
        header: &Header,
        place: Option<Place>,
    ) -> Result<(), DropReason> {
        if !place.is_some_and(|place| self.ipv6_locals.invites(place, packet.bh())) {
            return Ok(());
        }
        // What depends on the link is never remembered.
        if !header.is_global() {
            return Ok(());
        }
        let question = self.ask_of_ipv6(packet, header);
        let known = question
            .by_flow_after_all(&self.ipv6_locals, header)
            .and_then(recall);
        match known {
            Some(dst) => {
                packet.skb_mut().set_dst(dst);
                Ok(())
            }
            None => {
                self.remember_local_ipv6(packet, header, &question);
                Ok(())
            }
        }
    }

    /// Routes the packet, and remembers that.
    fn remember_local_ipv6(
        &self,
        packet: &mut Passing<'_>,
        header: &Header,
        question: &Question<'_>,
    ) {
        let (bh, rcu) = (question.bh, question.bh.read_side());
        let namespace = question.dev.namespace(rcu);
        let unchanged = || self.ipv6_count(namespace) == question.state.count;
        let settled = self
            .ipv6_settling
            .is_done(namespace, namespace.ipv6_state(), bh);
        if !settled || !unchanged() || !question.depends_on_key(rcu) {
            return;
        }
        let skb = packet.skb_mut();
        let Some(dst) = skb.route_ipv6(bh) else {
            return;
        };
        let destination = dst.ipv6_destination(rcu);
        if destination.kind != Kind::Local || !destination.is_plain() {
            return;
        }
        if !namespace.ipv6_answer_stays(dst, header.daddr, rcu) {
            return;
        }
        let Some(cookie) = dst.ipv6_cookie(rcu) else {
            return;
        };
        let from_anywhere = question.goes_from_anywhere(header, dst);
        let found = || {
            Some(Found {
                dev: None,
                dst: dst.hold()?,
                near: None,
                notes: [cookie.0.into(), 0, 0],
            })
        };
        question.remember(&self.ipv6_locals, header, from_anywhere, found, unchanged);
    }
}

/// What is remembered, if it still holds.
#[inline(always)]
fn recall<'r>(flow: Flow<'r, End, 3>) -> Option<Dst<'r>> {
    let [cookie, ..] = flow.notes;
    let holds = flow.dst.still_has_ipv6_cookie(Cookie(cookie as u32));
    holds.then_some(flow.dst)
}
