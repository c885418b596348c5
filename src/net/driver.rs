// SPDX-License-Identifier: GPL-2.0

//! Drivers of network devices: `struct net_device_ops` as a trait.
//!
//! C header: `include/linux/netdevice.h`.

use super::{
    context::{BottomHalf, ReadSide, Rtnl},
    device::{Device, NetDevice},
    ethtool::Ethtool,
    features::Features,
    registration::NewDevice,
    skb::SkBuff,
};
use crate::net::bindings;
use core::{marker::PhantomData, ptr};
use kernel::{error::from_result, prelude::*, sync::rcu};

/// What became of a packet that a driver was given to send.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transmit {
    /// It was sent.
    Sent,
    /// It was sent, but what it goes by is full: its sender should slow down.
    Congested,
    /// It was dropped, and its sender may be told.
    Dropped,
}

impl Transmit {
    /// As who sends packets is told. C: `netdev_tx_t`.
    #[inline(always)]
    pub(super) fn code(self) -> bindings::netdev_tx_t {
        match self {
            Self::Sent => bindings::netdev_tx_NETDEV_TX_OK,
            Self::Congested => bindings::NET_XMIT_CN as bindings::netdev_tx_t,
            Self::Dropped => bindings::NET_XMIT_DROP as bindings::netdev_tx_t,
        }
    }
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

    /// Whether what this device is given to send now is received from a backlog. Where it is not, the
    /// kernel must count how deep devices send by each other.
    fn receives_later(dev: &Device<Self>, rcu: ReadSide<'_>) -> bool;

    /// Packets that the driver was given to send and dropped, in all.
    fn tx_dropped(dev: &Device<Self>) -> u64;

    /// What came or went otherwise than by transmit and receive, to be added to what the device
    /// counts. Callable under RCU.
    fn other_traffic(dev: &Device<Self>, rcu: ReadSide<'_>) -> OtherTraffic;

    /// The device at the other end, where packets sent on this one are received.
    /// C: `ndo_get_iflink`.
    fn peer<'r>(dev: &Device<Self>, rcu: ReadSide<'r>) -> Option<&'r NetDevice>;

    /// The same, where who handles packets in the namespace of `dev` may have that device receive
    /// them without sending them on this one. C: `ndo_get_peer_dev`.
    fn receiver<'r>(dev: &Device<Self>, rcu: ReadSide<'r>) -> Option<&'r NetDevice>;

    /// A bridge or the like that `dev` has become a part of wants so much room before each packet
    /// received, or none any more. C: `ndo_set_rx_headroom`.
    fn set_rx_headroom(dev: &Device<Self>, bytes: u16);
}

/// Packets and bytes, each way.
pub(crate) struct OtherTraffic {
    /// Packets received.
    pub(crate) rx_packets: u64,
    /// Bytes received.
    pub(crate) rx_bytes: u64,
    /// Packets sent.
    pub(crate) tx_packets: u64,
    /// Bytes sent.
    pub(crate) tx_bytes: u64,
}

/// The operations of the driver `D` as C sees them.
pub(super) struct Operations<D>(PhantomData<D>);

impl<D: Driver> Operations<D> {
    /// For devices with Ethernet addresses.
    pub(super) const ETHERNET: bindings::net_device_ops = bindings::net_device_ops {
        ndo_set_mac_address: Some(bindings::eth_mac_addr),
        ..Self::COMMON
    };

    /// For devices without addresses. There must be no function to set one: the kernel would not
    /// call it where the address has no bytes, and take the request as granted.
    pub(super) const BARE: bindings::net_device_ops = bindings::net_device_ops {
        ndo_neigh_construct: Some(Self::construct_neighbour),
        ..Self::COMMON
    };

    /// For all devices.
    const COMMON: bindings::net_device_ops = bindings::net_device_ops {
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
        ndo_set_features: Some(Self::set_features),
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
        // Without softirqs is within a read-side critical section, but functions of the stack that
        // are asked from here make sure that there is one by this name.
        let _guard = rcu::read_lock();
        // SAFETY: by the caller's promise. A packet is the driver's unless it answers
        // `NETDEV_TX_BUSY`, which it cannot.
        let (dev, skb, bh) = unsafe {
            (
                Device::<D>::from_raw(dev),
                SkBuff::from_raw(skb),
                BottomHalf::assume(&scope),
            )
        };
        D::transmit(dev, skb, bh).code()
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
            let dev = Device::<D>::from_raw(dev);
            let guard = kernel::sync::rcu::read_lock();
            let other = D::other_traffic(dev, (&guard).into());
            for (to, more) in [
                (&raw mut (*stats).tx_dropped, D::tx_dropped(dev)),
                (&raw mut (*stats).rx_packets, other.rx_packets),
                (&raw mut (*stats).rx_bytes, other.rx_bytes),
                (&raw mut (*stats).tx_packets, other.tx_packets),
                (&raw mut (*stats).tx_bytes, other.tx_bytes),
            ] {
                to.write_unaligned(to.read_unaligned().wrapping_add(more));
            }
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
        D::receiver(dev, rcu).map_or(ptr::null_mut(), NetDevice::as_raw)
    }

    /// # Safety
    ///
    /// `dev` must be a registered device of driver `D`.
    unsafe extern "C" fn set_rx_headroom(dev: *mut bindings::net_device, bytes: c_int) {
        // SAFETY: by the caller's promise. A negative number asks for the default.
        let dev = unsafe { Device::<D>::from_raw(dev) };
        D::set_rx_headroom(dev, bytes.clamp(0, u16::MAX.into()) as u16);
    }

    /// All features are the stack's business but one.
    ///
    /// # Safety
    ///
    /// `dev` must be a registered device of driver `D`, and the RTNL be held.
    unsafe extern "C" fn set_features(
        dev: *mut bindings::net_device,
        wanted: bindings::netdev_features_t,
    ) -> c_int {
        // SAFETY: by the caller's promise.
        let (dev, rtnl) = unsafe { (Device::<D>::from_raw(dev), Rtnl::assume()) };
        let wanted = Features(wanted).has(Features::GRO);
        from_result(|| dev.set_gro(wanted, &rtnl).map(|()| 0))
    }

    /// # Safety
    ///
    /// `dev` must be a device of driver `D` that nobody can see any more.
    pub(super) unsafe extern "C" fn destroy(dev: *mut bindings::net_device) {
        // SAFETY: by the caller's promise.
        unsafe { Device::<D>::remove(dev) };
    }
}
