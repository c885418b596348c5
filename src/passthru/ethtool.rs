// SPDX-License-Identifier: GPL-2.0

//! What `ethtool` shows and changes.

use super::{device::End, drops};
use crate::net::{
    context::Rtnl,
    device::{Device, Queues},
    ethtool::Ethtool,
};
use kernel::prelude::*;

/// The number of the other end in its namespace, then why packets were dropped.
const STATISTICS: [&CStr; 1 + drops::NAMES.len()] = {
    let mut names = [c"peer_ifindex"; 1 + drops::NAMES.len()];
    let mut index = 0;
    while index < drops::NAMES.len() {
        names[1 + index] = drops::NAMES[index];
        index += 1;
    }
    names
};

impl Ethtool for End {
    const DRIVER: &'static CStr = c"passthru";
    const STATISTICS: &'static [&'static CStr] = &STATISTICS;

    fn statistics(dev: &Device<Self>, values: &mut [u64], rtnl: &Rtnl) {
        let end = dev.driver();
        let peer = end.peer_locked(rtnl).map_or(0, |peer| peer.ifindex());
        let Some((first, rest)) = values.split_first_mut() else {
            return;
        };
        *first = peer.unsigned_abs().into();
        for (to, value) in rest.iter_mut().zip(end.drops().values()) {
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
