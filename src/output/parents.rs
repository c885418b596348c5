// SPDX-License-Identifier: GPL-2.0

//! What a child's socket sends to the parent itself. It takes the full path, on which nothing may look at
//! it between the end of OUTPUT and the other end of the pair: then it crosses that at once.

use super::{count_fall, finish_output, lost};
use crate::{
    ip::Ip,
    net::{
        context::with_bottom_halves_disabled,
        departure::Sent,
        device::Device,
        netfilter::{Sending, Verdict},
        skb::DropReason,
    },
    passthru::{cross, End, Fall, Next},
};

/// Has a packet that is known to be for the parent received by the `port`, if the child's device would
/// be given it as it is.
#[inline(never)]
pub(super) fn to_parent<'a, I: Ip>(
    packet: Sending<'a>,
    child: &Device<End>,
    port: &Device<End>,
    fall: Fall,
) -> Verdict<'a> {
    let rcu = packet.rcu();
    if !child.would_be_given(packet.skb(), rcu) {
        return packet.pass();
    }
    let (skb, taken) = packet.take();
    let (mut skb, sent) = match finish_output::<I>(skb, child, rcu) {
        Ok(passed) => passed,
        Err(refused) => return taken.tell(refused),
    };
    if child.driver().is_framed() && skb.add_ethernet(port, child).is_err() {
        skb.drop_with(DropReason::NOMEM);
        return taken.tell(Sent::by(lost(child)));
    }
    count_fall(child, port, fall);
    let crossed = with_bottom_halves_disabled(|bh| {
        skb.prepare_for_driver();
        cross(child, skb, Next::Crosses, bh)
    });
    taken.tell(Sent::by(crossed).or(sent))
}
