// SPDX-License-Identifier: GPL-2.0

//! Drivers of network devices: `struct net_device_ops` as a trait, and how a device is set up.
//!
//! C header: `include/linux/netdevice.h`.

use super::{
    context::{BottomHalf, ReadSide, Rtnl},
    device::{Device, NetDevice, NewDevice},
    ethtool::{self, Ethtool},
    skb::SkBuff,
};
use crate::bindings;
use core::{marker::PhantomData, ptr};
use kernel::{error::from_result, prelude::*};

/// The smallest MTU of an IPv4 device.
pub(crate) const ETH_MIN_MTU: u32 = bindings::ETH_MIN_MTU;
/// The largest MTU that there is.
pub(crate) const ETH_MAX_MTU: u32 = bindings::ETH_MAX_MTU;

/// What became of a packet that a driver was given to send.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transmit {
    /// It was sent.
    Sent,
    /// It was dropped, and its sender may be told.
    Dropped,
}

/// The driver of a kind of network device. The implementing type is the driver's data, of which
/// each device has one value, from before it is registered until nobody can see it any more.
pub(crate) trait Driver: Ethtool + Sized + Send + Sync + 'static {
    /// Sets up a device that was just allocated, as far as that is the same for all devices.
    /// C: `rtnl_link_ops::setup`.
    fn setup(dev: &mut NewDevice<'_, Self>);

    /// The device is being brought up. C: `ndo_open`.
    fn open(dev: &Device<Self>, rtnl: &Rtnl) -> Result;

    /// The device is being brought down. C: `ndo_stop`.
    fn stop(dev: &Device<Self>, rtnl: &Rtnl);

    /// Sends a packet. C: `ndo_start_xmit`.
    fn transmit(dev: &Device<Self>, skb: SkBuff, bh: BottomHalf<'_>) -> Transmit;

    /// Packets that the driver was given to send and dropped, in all.
    fn tx_dropped(dev: &Device<Self>) -> u64;

    /// The device at the other end, where packets sent on this one are received.
    /// C: `ndo_get_peer_dev`, `ndo_get_iflink`.
    fn peer<'r>(dev: &Device<Self>, rcu: ReadSide<'r>) -> Option<&'r NetDevice>;

    /// A bridge or the like that `dev` has become a part of wants so much room before each packet
    /// received, or none any more. C: `ndo_set_rx_headroom`.
    fn set_rx_headroom(dev: &Device<Self>, bytes: u16);
}

/// The operations of the driver `D` as C sees them.
struct Operations<D>(PhantomData<D>);

impl<D: Driver> Operations<D> {
    /// For devices with Ethernet addresses.
    const ETHERNET: bindings::net_device_ops = bindings::net_device_ops {
        ndo_set_mac_address: Some(bindings::eth_mac_addr),
        ..Self::BARE
    };

    /// For devices without addresses. There must be no function to set one: the kernel would not
    /// call it where the address has no bytes, and take the request as granted.
    const BARE: bindings::net_device_ops = bindings::net_device_ops {
        ndo_init: Some(Self::init),
        ndo_open: Some(Self::open),
        ndo_stop: Some(Self::stop),
        ndo_start_xmit: Some(Self::start_xmit),
        ndo_features_check: Some(bindings::passthru_features_check),
        ndo_set_rx_mode: Some(Self::set_rx_mode),
        ndo_get_stats64: Some(Self::get_stats64),
        ndo_get_iflink: Some(Self::get_iflink),
        ndo_get_peer_dev: Some(Self::get_peer_dev),
        ndo_set_rx_headroom: Some(Self::set_rx_headroom),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `dev` must be a device of driver `D` that is being registered.
    unsafe extern "C" fn init(dev: *mut bindings::net_device) -> c_int {
        // SAFETY: by the caller's promise.
        unsafe { bindings::passthru_helper_netdev_lockdep_set_classes(dev) };
        0
    }

    /// # Safety
    ///
    /// `dev` must be a registered device of driver `D`, and the RTNL be held.
    unsafe extern "C" fn open(dev: *mut bindings::net_device) -> c_int {
        // SAFETY: by the caller's promise; data is there from before registration on.
        let (dev, rtnl) = unsafe { (Device::<D>::from_raw(dev), Rtnl::assume()) };
        from_result(|| D::open(dev, &rtnl).map(|()| 0))
    }

    /// # Safety
    ///
    /// As for `open()`.
    unsafe extern "C" fn stop(dev: *mut bindings::net_device) -> c_int {
        // SAFETY: by the caller's promise.
        let (dev, rtnl) = unsafe { (Device::<D>::from_raw(dev), Rtnl::assume()) };
        D::stop(dev, &rtnl);
        0
    }

    /// # Safety
    ///
    /// `dev` must be a registered device of driver `D`, `skb` a packet that the caller gives up,
    /// and softirqs be disabled.
    unsafe extern "C" fn start_xmit(
        skb: *mut bindings::sk_buff,
        dev: *mut bindings::net_device,
    ) -> bindings::netdev_tx_t {
        let scope = ();
        // SAFETY: by the caller's promise. A packet is the driver's unless it answers
        // `NETDEV_TX_BUSY`, which it cannot.
        let (dev, skb, bh) = unsafe {
            (
                Device::<D>::from_raw(dev),
                SkBuff::from_raw(skb),
                BottomHalf::assume(&scope),
            )
        };
        match D::transmit(dev, skb, bh) {
            Transmit::Sent => bindings::netdev_tx_NETDEV_TX_OK,
            Transmit::Dropped => bindings::NET_XMIT_DROP as bindings::netdev_tx_t,
        }
    }

    /// Nothing is filtered, so there is nothing to do; without this, groups could not be joined by
    /// `ioctl()`.
    extern "C" fn set_rx_mode(_dev: *mut bindings::net_device) {}

    /// # Safety
    ///
    /// `dev` must be a registered device of driver `D`, and `stats` zero and the caller's.
    unsafe extern "C" fn get_stats64(
        dev: *mut bindings::net_device,
        stats: *mut bindings::rtnl_link_stats64,
    ) {
        // SAFETY: by the caller's promise; `tstats` is what `set_up_operations()` asked for.
        // rtnetlink passes the payload of an attribute, which is aligned to 4 bytes only.
        unsafe {
            bindings::dev_fetch_sw_netstats(stats, (*dev).__bindgen_anon_2.tstats);
            let dropped = D::tx_dropped(Device::<D>::from_raw(dev));
            (&raw mut (*stats).tx_dropped).write_unaligned(dropped);
        }
    }

    /// # Safety
    ///
    /// `dev` must be a device of driver `D` that has its data.
    unsafe extern "C" fn get_iflink(dev: *const bindings::net_device) -> c_int {
        let guard = kernel::sync::rcu::read_lock();
        // SAFETY: by the caller's promise.
        let dev = unsafe { Device::<D>::from_raw(dev) };
        D::peer(dev, (&guard).into()).map_or(0, NetDevice::ifindex)
    }

    /// # Safety
    ///
    /// `dev` must be a registered device of driver `D`, and the caller in an RCU read-side
    /// critical section.
    unsafe extern "C" fn get_peer_dev(dev: *mut bindings::net_device) -> *mut bindings::net_device {
        let scope = ();
        // SAFETY: by the caller's promise.
        let (dev, rcu) = unsafe { (Device::<D>::from_raw(dev), ReadSide::assume(&scope)) };
        D::peer(dev, rcu).map_or(ptr::null_mut(), NetDevice::as_raw)
    }

    /// # Safety
    ///
    /// `dev` must be a registered device of driver `D`.
    unsafe extern "C" fn set_rx_headroom(dev: *mut bindings::net_device, bytes: c_int) {
        // SAFETY: by the caller's promise. A negative number asks for the default.
        let dev = unsafe { Device::<D>::from_raw(dev) };
        D::set_rx_headroom(dev, bytes.clamp(0, u16::MAX.into()) as u16);
    }

    /// # Safety
    ///
    /// `dev` must be a device of driver `D` that nobody can see any more.
    unsafe extern "C" fn destroy(dev: *mut bindings::net_device) {
        // SAFETY: by the caller's promise.
        unsafe { Device::<D>::remove(dev) };
    }
}

/// A set of offload features, `netdev_features_t`.
#[derive(Clone, Copy)]
pub(crate) struct Features(bindings::netdev_features_t);

impl Features {
    const fn bit(bit: u32) -> u64 {
        1 << bit
    }

    /// Packets in several pieces, in memory of any address.
    pub(crate) const SCATTER: Self = Self(
        Self::bit(bindings::NETIF_F_SG_BIT)
            | Self::bit(bindings::NETIF_F_FRAGLIST_BIT)
            | Self::bit(bindings::NETIF_F_HIGHDMA_BIT),
    );

    /// Checksums left to be computed, or known to be right.
    pub(crate) const CHECKSUM: Self = Self(
        Self::bit(bindings::NETIF_F_HW_CSUM_BIT)
            | Self::bit(bindings::NETIF_F_RXCSUM_BIT)
            | Self::bit(bindings::NETIF_F_SCTP_CRC_BIT),
    );

    /// Packets that stand for many, also inside of tunnels: all that the kernel can segment where
    /// they leave the host. C: `NETIF_F_GSO_SOFTWARE | NETIF_F_GSO_ENCAP_ALL`.
    pub(crate) const SEGMENTATION: Self = Self(
        Self::bit(bindings::NETIF_F_TSO_BIT)
            | Self::bit(bindings::NETIF_F_TSO6_BIT)
            | Self::bit(bindings::NETIF_F_TSO_ECN_BIT)
            | Self::bit(bindings::NETIF_F_TSO_MANGLEID_BIT)
            | Self::bit(bindings::NETIF_F_GSO_ACCECN_BIT)
            | Self::bit(bindings::NETIF_F_GSO_SCTP_BIT)
            | Self::bit(bindings::NETIF_F_GSO_UDP_L4_BIT)
            | Self::bit(bindings::NETIF_F_GSO_FRAGLIST_BIT)
            | Self::bit(bindings::NETIF_F_GSO_GRE_BIT)
            | Self::bit(bindings::NETIF_F_GSO_GRE_CSUM_BIT)
            | Self::bit(bindings::NETIF_F_GSO_IPXIP4_BIT)
            | Self::bit(bindings::NETIF_F_GSO_IPXIP6_BIT)
            | Self::bit(bindings::NETIF_F_GSO_UDP_TUNNEL_BIT)
            | Self::bit(bindings::NETIF_F_GSO_UDP_TUNNEL_CSUM_BIT),
    );

    /// VLAN tags beside the packet.
    pub(crate) const VLAN: Self = Self(
        Self::bit(bindings::NETIF_F_HW_VLAN_CTAG_TX_BIT)
            | Self::bit(bindings::NETIF_F_HW_VLAN_CTAG_RX_BIT)
            | Self::bit(bindings::NETIF_F_HW_VLAN_STAG_TX_BIT)
            | Self::bit(bindings::NETIF_F_HW_VLAN_STAG_RX_BIT),
    );

    /// No VLANs at all.
    const VLAN_CHALLENGED: Self = Self(Self::bit(bindings::NETIF_F_VLAN_CHALLENGED_BIT));

    /// Either's features.
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

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
