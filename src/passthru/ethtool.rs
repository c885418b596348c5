// SPDX-License-Identifier: GPL-2.0

//! What `ethtool` shows and changes.

use super::{arrivals, departures, device::End, drops, Role};
use crate::net::{
    context::Rtnl,
    device::{Device, Queues},
    ethtool::Ethtool,
};
use kernel::prelude::*;

/// Counters besides the number of the other end.
const COUNTERS: [&[&CStr]; 3] = [&drops::NAMES, &arrivals::NAMES, &departures::NAMES];

/// The number of the other end in its namespace, why packets were dropped, how they came to the
/// child by shortcuts or left it, and why others did not.
const STATISTICS: [&CStr;
    1 + drops::NAMES.len() + arrivals::NAMES.len() + departures::NAMES.len()] = {
    let mut names =
        [c"peer_ifindex"; 1 + drops::NAMES.len() + arrivals::NAMES.len() + departures::NAMES.len()];
    let (mut next, mut group) = (1, 0);
    while group < COUNTERS.len() {
        let mut index = 0;
        while index < COUNTERS[group].len() {
            names[next] = COUNTERS[group][index];
            index += 1;
            next += 1;
        }
        group += 1;
    }
    names
};

impl Ethtool for End {
    const DRIVER: &'static CStr = c"passthru";
    const STATISTICS: &'static [&'static CStr] = &STATISTICS;

    fn statistics(dev: &Device<Self>, values: &mut [u64], rtnl: &Rtnl) {
        let end = dev.driver();
        let peer = end.peer_locked(rtnl);
        let ifindex = peer.map_or(0, |peer| peer.ifindex());
        // Shortcuts are the pair's: both ends tell of them.
        let child = match end.role() {
            Role::Child => Some(end),
            Role::Port => peer.map(|peer| peer.driver()),
        };
        let Some((first, rest)) = values.split_first_mut() else {
            return;
        };
        *first = ifindex.unsigned_abs().into();
        let shortcuts = child.into_iter().flat_map(|child| {
            Iterator::chain(child.arrivals().values(), child.departures().values())
        });
        let counters = Iterator::chain(end.drops().values(), shortcuts);
        for (to, value) in rest.iter_mut().zip(counters) {
            *to = value;
        }
    }

    /// Queues hold nothing here, so all there is to do is to tell the kernel. Receive queues first:
    /// where the second change fails the first one is taken back.
    fn set_channels(dev: &Device<Self>, queues: Queues, rtnl: &Rtnl) -> Result {
        let before = dev.queues();
        dev.set_rx_queues(queues.rx, rtnl)?;
        dev.set_tx_queues(queues.tx, rtnl).inspect_err(|_| {
            if dev.set_rx_queues(before.rx, rtnl).is_err() {
                pr_warn!("cannot go back to {} receive queues\n", before.rx);
            }
        })
    }
}
