// SPDX-License-Identifier: GPL-2.0

//! Network devices.
//!
//! C header: `include/linux/netdevice.h`.

use super::{
    context::{BottomHalf, ReadSide, Rtnl},
    driver::Driver,
    gro::Gro,
    namespace::Namespace, //
};
use crate::net::bindings;
use core::{ffi::c_int, marker::PhantomData, mem::MaybeUninit, ops::Deref};
use kernel::{error::to_result, prelude::*, types::Opaque};

/// A network device of any driver, `struct net_device`.
///
/// Fields that the kernel changes while others read them are read with single loads.
#[repr(transparent)]
pub(crate) struct NetDevice(Opaque<bindings::net_device>);

// SAFETY: a network device is shared by all CPUs by its nature; the methods of `&self` either
// read single fields or call functions of the kernel that do their own locking.
unsafe impl Sync for NetDevice {}

impl NetDevice {
    /// # Safety
    ///
    /// `dev` must point to a network device that exists for all of `'a`.
    pub(super) unsafe fn from_raw<'a>(dev: *const bindings::net_device) -> &'a Self {
        // SAFETY: by the caller's promise; `Self` is a transparent wrapper.
        unsafe { &*dev.cast() }
    }

    /// The pointer to hand to C.
    pub(super) fn as_raw(&self) -> *mut bindings::net_device {
        self.0.get()
    }

    /// Reads a field that others may write at the same time, as `READ_ONCE()` does.
    ///
    /// # Safety
    ///
    /// `field` must point to an initialized field of this device, not larger than a word.
    unsafe fn read_once<T: Copy>(&self, field: *const T) -> T {
        // SAFETY: by the caller's promise. A volatile load of an aligned word is a single load.
        unsafe { field.read_volatile() }
    }

    /// Whether the two are one device.
    pub(crate) fn is(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }

    /// The device's number in its namespace.
    pub(crate) fn ifindex(&self) -> i32 {
        // SAFETY: a field of ours.
        unsafe { self.read_once(&raw const (*self.as_raw()).ifindex) }
    }

    /// Whether who asks for a change of this device may do so where that concerns `namespace` as well:
    /// because it is the device's own, or by `CAP_NET_ADMIN` there. In the process that asks.
    /// C: `rtnl_dev_link_net_capable()`.
    pub(crate) fn may_link_to(&self, namespace: &Namespace, _rtnl: &Rtnl) -> bool {
        // SAFETY: both exist.
        unsafe { bindings::rtnl_dev_link_net_capable(self.as_raw(), namespace.as_raw()) }
    }

    /// Whether the device has more than one queue to receive by.
    #[inline(always)]
    pub(crate) fn has_rx_queues(&self) -> bool {
        // SAFETY: a field of ours; a single load.
        unsafe { self.read_once(&raw const (*self.as_raw()).real_num_rx_queues) > 1 }
    }

    /// The largest packet without the link layer header.
    pub(crate) fn mtu(&self) -> u32 {
        // SAFETY: a field of ours.
        unsafe { self.read_once(&raw const (*self.as_raw()).mtu) }
    }

    /// Whether the device is administratively up (`IFF_UP`).
    pub(crate) fn is_up(&self) -> bool {
        // SAFETY: a field of ours.
        let flags = unsafe { self.read_once(&raw const (*self.as_raw()).flags) };
        flags & bindings::net_device_flags_IFF_UP != 0
    }

    /// Whether this is a namespace's `lo`.
    pub(crate) fn is_loopback(&self) -> bool {
        // SAFETY: a field of ours.
        let flags = unsafe { self.read_once(&raw const (*self.as_raw()).flags) };
        flags & bindings::net_device_flags_IFF_LOOPBACK != 0
    }

    /// Whether this is such a device, or one that stands above such a one: a VLAN, a bridge, a VRF.
    /// C: `netdev_walk_all_lower_dev_rcu()`.
    pub(crate) fn is_above(&self, wanted: fn(&NetDevice) -> bool, _rcu: ReadSide<'_>) -> bool {
        if wanted(self) {
            return true;
        }
        let mut wanted = wanted;
        let mut data = bindings::netdev_nested_priv {
            flags: 0,
            data: (&raw mut wanted).cast(),
        };
        // SAFETY: the device exists, and this is an RCU read-side critical section, for which the
        // devices below exist too. `data` lives until the call returns, and points to a function of
        // the type that `is_wanted()` takes it for.
        unsafe {
            let found = Some(is_wanted as unsafe extern "C" fn(_, _) -> _);
            bindings::netdev_walk_all_lower_dev_rcu(self.as_raw(), found, &mut data) != 0
        }
    }

    /// The namespace that the device is in. It can be moved to another one at any time that the
    /// RTNL is not held, so the answer may be old; it always names a namespace that exists.
    pub(crate) fn namespace<'r>(&'r self, _rcu: ReadSide<'r>) -> &'r Namespace {
        // SAFETY: a field of ours, set from creation on. A namespace is not freed before a grace
        // period after its last device has left it.
        unsafe { Namespace::from_raw(self.read_once(&raw const (*self.as_raw()).nd_net.net)) }
    }

    /// The namespace that the device is in, while it cannot be moved.
    pub(crate) fn namespace_locked<'r>(&'r self, _rtnl: &'r Rtnl) -> &'r Namespace {
        // SAFETY: a field of ours, set from creation on, and constant under the RTNL.
        unsafe { Namespace::from_raw((*self.as_raw()).nd_net.net) }
    }

    /// Tells the kernel that the link is up. C: `netif_carrier_on()`.
    pub(crate) fn carrier_on(&self) {
        // SAFETY: the device exists. The function is safe against itself on other CPUs.
        unsafe { bindings::netif_carrier_on(self.as_raw()) };
    }

    /// Tells the kernel that the link is down. C: `netif_carrier_off()`.
    pub(crate) fn carrier_off(&self) {
        // SAFETY: as in `carrier_on()`.
        unsafe { bindings::netif_carrier_off(self.as_raw()) };
    }

    /// Tells listeners of the kernel and of user space that what `fill_info` says of this device is
    /// another thing now. C: `call_netdevice_notifiers()` with `NETDEV_CHANGEINFODATA`.
    pub(crate) fn announce_link_info(&self, _rtnl: &Rtnl) {
        const EVENT: c_ulong = bindings::netdev_cmd_NETDEV_CHANGEINFODATA as c_ulong;
        // SAFETY: the device is registered and the RTNL is held. Nobody may veto this event, so
        // there is no answer to look at.
        unsafe { bindings::call_netdevice_notifiers(EVENT, self.as_raw()) };
    }

    /// Asks senders to leave so much room before the packet.
    pub(crate) fn set_needed_headroom(&self, bytes: u16) {
        // SAFETY: a field of ours that is read without a lock, so it is stored at once.
        unsafe { (&raw mut (*self.as_raw()).needed_headroom).write_volatile(bytes) };
    }

    /// Queues allocated for transmit and for receive.
    pub(crate) fn allocated_queues(&self) -> Queues {
        // SAFETY: fields of ours that never change.
        unsafe {
            Queues {
                tx: (*self.as_raw()).num_tx_queues,
                rx: (*self.as_raw()).num_rx_queues,
            }
        }
    }

    /// Queues in use for transmit and for receive.
    pub(crate) fn queues(&self) -> Queues {
        // SAFETY: fields of ours.
        unsafe {
            Queues {
                tx: self.read_once(&raw const (*self.as_raw()).real_num_tx_queues),
                rx: self.read_once(&raw const (*self.as_raw()).real_num_rx_queues),
            }
        }
    }

    /// Changes how many transmit queues are in use. C: `netif_set_real_num_tx_queues()`.
    pub(crate) fn set_tx_queues(&self, count: u32, _rtnl: &Rtnl) -> Result {
        // SAFETY: the device exists and the RTNL is held. The function refuses what is more than
        // was allocated.
        to_result(unsafe { bindings::netif_set_real_num_tx_queues(self.as_raw(), count) })
    }

    /// Changes how many receive queues are in use. C: `netif_set_real_num_rx_queues()`.
    pub(crate) fn set_rx_queues(&self, count: u32, _rtnl: &Rtnl) -> Result {
        // SAFETY: as in `set_tx_queues()`.
        to_result(unsafe { bindings::netif_set_real_num_rx_queues(self.as_raw(), count) })
    }

    /// What the device is in its life. C: `dev->reg_state`.
    pub(super) fn reg_state(&self) -> bindings::netdev_reg_state {
        // SAFETY: a field of ours.
        unsafe { self.read_once(&raw const (*self.as_raw()).reg_state) }.into()
    }
}

/// Numbers of queues of a device.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Queues {
    /// For transmit.
    pub(crate) tx: u32,
    /// For receive.
    pub(crate) rx: u32,
}

/// What a driver keeps in the private area of its device (`netdev_priv()`).
///
/// The area is zero when the device is allocated, which is a `live` of `false`.
#[repr(C)]
struct Private<D> {
    live: bool,
    gro: MaybeUninit<Gro>,
    data: MaybeUninit<D>,
}

/// A network device of the driver `D`, with the driver's data.
///
/// # Invariants
///
/// The private area of the device is a [`Private<D>`] that is live.
#[repr(transparent)]
pub(crate) struct Device<D> {
    dev: NetDevice,
    driver: PhantomData<D>,
}

impl<D> Deref for Device<D> {
    type Target = NetDevice;

    fn deref(&self) -> &NetDevice {
        &self.dev
    }
}

impl<D: Driver> Device<D> {
    /// Size of the private area.
    pub(super) const PRIVATE_SIZE: usize = {
        // `struct net_device` aligns it to a cache line.
        assert!(align_of::<Private<D>>() <= 32);
        size_of::<Private<D>>()
    };

    /// # Safety
    ///
    /// `dev` must point to a device of driver `D` that exists and has its data for all of `'a`.
    pub(super) unsafe fn from_raw<'a>(dev: *const bindings::net_device) -> &'a Self {
        // SAFETY: by the caller's promise; `Self` is a transparent wrapper.
        // INVARIANT: by the caller's promise.
        unsafe { &*dev.cast() }
    }

    fn private(dev: *mut bindings::net_device) -> *mut Private<D> {
        // SAFETY: the private area follows the device in the same allocation.
        unsafe { &raw mut (*dev).priv_ }.cast()
    }

    /// The driver's data.
    pub(crate) fn driver(&self) -> &D {
        // SAFETY: live by the type's invariant.
        unsafe { (*Self::private(self.as_raw())).data.assume_init_ref() }
    }

    /// Turns receive offload on or off. Fails with `ENOMEM`. May sleep.
    pub(super) fn set_gro(&self, on: bool, rtnl: &Rtnl) -> Result {
        // SAFETY: it is this device's, and dropped before that is freed: see `remove()`.
        unsafe { self.gro().set(self, on, rtnl) }
    }

    /// How the device receives.
    pub(super) fn gro(&self) -> &Gro {
        // SAFETY: live by the type's invariant.
        unsafe { (*Self::private(self.as_raw())).gro.assume_init_ref() }
    }

    /// Puts the driver's data in its place.
    ///
    /// # Safety
    ///
    /// `dev` must be a device of driver `D` that nobody else can see yet, without data.
    pub(super) unsafe fn install(dev: *mut bindings::net_device, data: D) {
        let private = Self::private(dev);
        // SAFETY: by the caller's promise the area is ours alone.
        unsafe {
            (*private).data.write(data);
            (*private).gro.write(Gro::new());
            (*private).live = true;
        }
    }

    /// Drops the driver's data if it is there.
    ///
    /// # Safety
    ///
    /// `dev` must be a device of driver `D` that nobody else can see any more.
    pub(super) unsafe fn remove(dev: *mut bindings::net_device) {
        let private = Self::private(dev);
        // SAFETY: by the caller's promise the area is ours alone; `live` says that there is data.
        unsafe {
            if (*private).live {
                (*private).live = false;
                (*private).gro.assume_init_drop();
                (*private).data.assume_init_drop();
            }
        }
    }

    /// Counts a packet sent.
    pub(crate) fn count_tx(&self, bytes: u32, _bh: BottomHalf<'_>) {
        // SAFETY: registered devices of a `Driver` have per-CPU `tstats`, and softirqs, which
        // write them, are disabled.
        unsafe { bindings::passthru_helper_dev_sw_netstats_tx_add(self.as_raw(), bytes) };
    }

    /// Counts a packet received.
    pub(crate) fn count_rx(&self, bytes: u32, _bh: BottomHalf<'_>) {
        // SAFETY: as in `count_tx()`.
        unsafe { bindings::passthru_helper_dev_sw_netstats_rx_add(self.as_raw(), bytes) };
    }
}

/// # Safety
///
/// `dev` must exist, and `data` point to what [`NetDevice::is_above`] makes of it.
unsafe extern "C" fn is_wanted(
    dev: *mut bindings::net_device,
    data: *mut bindings::netdev_nested_priv,
) -> c_int {
    // SAFETY: by the caller's promise; the kernel calls this within the RCU read-side critical
    // section of `is_above()`, for which the device exists.
    let (dev, wanted) = unsafe {
        let wanted = (*data).data.cast::<fn(&NetDevice) -> bool>();
        (NetDevice::from_raw(dev), *wanted)
    };
    wanted(dev).into()
}
