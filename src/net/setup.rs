// SPDX-License-Identifier: GPL-2.0

//! How a network device is set up between its allocation and its registration.
//!
//! C headers: `include/linux/netdevice.h`, `include/linux/etherdevice.h`.

use super::{
    driver::{Driver, Operations},
    ethtool,
    features::Features,
    registration::NewDevice,
};
use crate::net::bindings;
use kernel::prelude::*;

/// The smallest MTU of an IPv4 device.
pub(crate) const ETH_MIN_MTU: u32 = bindings::ETH_MIN_MTU;
/// The largest MTU that there is.
pub(crate) const ETH_MAX_MTU: u32 = bindings::ETH_MAX_MTU;

impl<D: Driver> NewDevice<'_, D> {
    /// What every device of a `Driver` needs, before the driver's own setup.
    pub(super) fn set_up_operations(&mut self) {
        let dev = self.raw_mut();
        dev.ethtool_ops = ethtool::table::<D>();
        dev.priv_destructor = Some(Operations::<D>::destroy);
        dev.needs_free_netdev = true;
        // `Device::count_tx()` and `bpf_redirect_peer()` count there.
        dev.set_pcpu_stat_type(bindings::netdev_stat_type_NETDEV_PCPU_STAT_TSTATS);
    }

    /// Makes it an Ethernet device. C: `ether_setup()`.
    pub(crate) fn set_up_ethernet(&mut self) {
        self.raw_mut().netdev_ops = const { &Operations::<D>::ETHERNET };
        // SAFETY: the device is valid and nobody else sees it.
        unsafe { bindings::ether_setup(self.as_raw()) };
    }

    /// Makes it a device for IP packets without a link layer header, between two points: no
    /// address, no broadcast, no neighbours to resolve.
    ///
    /// This is what tunnels without a header of their own do (`ARPHRD_NONE`): packet sockets see
    /// packets that begin with the IP header, IPv6 makes up a random interface identifier, and one
    /// neighbour entry serves the device.
    pub(crate) fn set_up_bare_ip(&mut self) {
        let dev = self.raw_mut();
        dev.netdev_ops = const { &Operations::<D>::BARE };
        dev.type_ = bindings::ARPHRD_NONE as u16;
        dev.header_ops = &raw const bindings::ip_tunnel_header_ops;
        dev.hard_header_len = 0;
        dev.min_header_len = 0;
        dev.addr_len = 0;
        dev.broadcast = [0; 32];
        dev.flags = bindings::net_device_flags_IFF_POINTOPOINT
            | bindings::net_device_flags_IFF_NOARP
            | bindings::net_device_flags_IFF_MULTICAST;
    }

    /// Makes it a device that passes packets on at once and has no queue of its own: transmit runs
    /// without a lock, packets are the driver's to change, and netpoll has nothing to poll.
    pub(crate) fn set_up_passing(&mut self) {
        let dev = self.raw_mut();
        // SAFETY: the union's members are the same bits under two names, and nobody else sees the
        // device.
        let flags = unsafe { &mut dev.__bindgen_anon_1.__bindgen_anon_1 };
        let mut priv_flags = flags.priv_flags();
        priv_flags &= !(bindings::netdev_priv_flags_IFF_TX_SKB_SHARING as c_ulong);
        priv_flags |= (bindings::netdev_priv_flags_IFF_LIVE_ADDR_CHANGE
            | bindings::netdev_priv_flags_IFF_NO_QUEUE
            | bindings::netdev_priv_flags_IFF_PHONY_HEADROOM
            | bindings::netdev_priv_flags_IFF_DISABLE_NETPOLL) as c_ulong;
        flags.set_priv_flags(priv_flags);
        flags.set_lltx(1);
    }

    /// What the device can do with packets that are not finished, for itself and for devices above
    /// it. C: `features` and its kin.
    pub(crate) fn set_features(&mut self, features: Features, vlan: bool) {
        let dev = self.raw_mut();
        let tagged = if vlan {
            features.or(Features::VLAN)
        } else {
            features
        };
        dev.hw_features = tagged.0;
        dev.hw_enc_features = tagged.0;
        dev.features = tagged.0;
        if vlan {
            dev.vlan_features = features.0;
        } else {
            dev.vlan_features = 0;
            dev.features |= Features::VLAN_CHALLENGED.0;
        }
        dev.mpls_features = Features::bit(bindings::NETIF_F_HW_CSUM_BIT) | Features::SEGMENTATION.0;
    }

    /// Takes packets that stand for as many bytes as the kernel can make them (BIG TCP).
    pub(crate) fn allow_largest_segmentation(&mut self) {
        // SAFETY: the device is valid and nobody else sees it.
        unsafe { bindings::netif_set_tso_max_size(self.as_raw(), bindings::GSO_MAX_SIZE) };
    }

    /// Takes over the limits of `other` on packets that stand for many.
    pub(crate) fn inherit_segmentation(&mut self, other: &NewDevice<'_, D>) {
        // SAFETY: both devices are valid and nobody else sees them.
        unsafe { bindings::netif_inherit_tso_max(self.as_raw(), other.as_raw()) };
    }

    /// The range that the MTU can be set to.
    pub(crate) fn set_mtu_range(&mut self, min: u32, max: u32) {
        let dev = self.raw_mut();
        dev.min_mtu = min;
        dev.max_mtu = max;
    }

    /// Gives it a random MAC address. C: `eth_hw_addr_random()`.
    pub(crate) fn set_random_address(&mut self) {
        // SAFETY: the device is valid and nobody else sees it.
        unsafe { bindings::passthru_helper_eth_hw_addr_random(self.as_raw()) };
    }

    /// Asks for a number in its namespace.
    pub(crate) fn set_ifindex(&mut self, ifindex: i32) {
        self.raw_mut().ifindex = ifindex;
    }
}
