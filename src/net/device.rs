// SPDX-License-Identifier: GPL-2.0

//! Network devices.
//!
//! C header: `include/linux/netdevice.h`.

use super::{
    context::{BottomHalf, ReadSide, Rtnl},
    driver::Driver,
    namespace::Namespace, //
};
use crate::bindings;
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    mem::MaybeUninit,
    ops::Deref,
    ptr::{self, NonNull},
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::atomic::{Atomic, Full, Relaxed, Release},
    types::Opaque,
};

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

    /// The device's number in its namespace.
    pub(crate) fn ifindex(&self) -> i32 {
        // SAFETY: a field of ours.
        unsafe { self.read_once(&raw const (*self.as_raw()).ifindex) }
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
    fn reg_state(&self) -> bindings::netdev_reg_state {
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

    /// Puts the driver's data in its place.
    ///
    /// # Safety
    ///
    /// `dev` must be a device of driver `D` that nobody else can see yet, without data.
    unsafe fn install(dev: *mut bindings::net_device, data: D) {
        let private = Self::private(dev);
        // SAFETY: by the caller's promise the area is ours alone.
        unsafe {
            (*private).data.write(data);
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
                (*private).data.assume_init_drop();
            }
        }
    }

    /// Counts a packet sent.
    pub(crate) fn count_tx(&self, bytes: u32, _bh: BottomHalf<'_>) {
        // SAFETY: registered devices of a `Driver` have per-CPU `tstats`, and softirqs, which
        // write them, cannot interrupt.
        unsafe { bindings::passthru_helper_dev_sw_netstats_tx_add(self.as_raw(), bytes) };
    }

    /// Counts a packet received.
    pub(crate) fn count_rx(&self, bytes: u32, _bh: BottomHalf<'_>) {
        // SAFETY: as in `count_tx()`.
        unsafe { bindings::passthru_helper_dev_sw_netstats_rx_add(self.as_raw(), bytes) };
    }
}

/// A device that was allocated and is not registered yet, to be set up.
///
/// # Invariants
///
/// `dev` is a valid device of driver `D` without data that nobody else can see for all of `'a`.
pub(crate) struct NewDevice<'a, D> {
    dev: NonNull<bindings::net_device>,
    scope: PhantomData<(&'a (), D)>,
}

impl<'a, D: Driver> NewDevice<'a, D> {
    /// # Safety
    ///
    /// As the type's invariants.
    pub(super) unsafe fn from_raw(dev: *mut bindings::net_device) -> Self {
        Self {
            // SAFETY: a valid pointer is not null.
            dev: unsafe { NonNull::new_unchecked(dev) },
            scope: PhantomData,
        }
    }

    pub(super) fn as_raw(&self) -> *mut bindings::net_device {
        self.dev.as_ptr()
    }

    /// The C structure.
    pub(super) fn raw_mut(&mut self) -> &mut bindings::net_device {
        // SAFETY: valid and seen by nobody else, by the type's invariants.
        unsafe { self.dev.as_mut() }
    }

    /// Gives the device its data and registers it.
    ///
    /// Where that fails the device is what it was: the caller frees it, or leaves that to who
    /// allocated it. C: `register_netdevice()`.
    pub(crate) fn register(self, data: D, rtnl: &'a Rtnl) -> Result<Registered<'a, D>> {
        let dev = self.as_raw();
        // SAFETY: by the type's invariants.
        unsafe { Device::<D>::install(dev, data) };
        // SAFETY: the device is set up, and the RTNL is held.
        let registered = to_result(unsafe { bindings::register_netdevice(dev) });
        if let Err(error) = registered {
            // SAFETY: the device is still allocated.
            let state = unsafe { NetDevice::from_raw(dev) }.reg_state();
            if state != bindings::netdev_reg_state_NETREG_UNREGISTERING {
                // SAFETY: the device was not, or is no longer, to be seen by anybody. Otherwise
                // it is being dismantled and its destructor does this later.
                unsafe { Device::<D>::remove(dev) };
            }
            return Err(error);
        }
        Ok(Registered {
            // SAFETY: registered, and its data was installed above. It cannot go away while the
            // RTNL is held, which `'a` is a part of.
            dev: unsafe { Device::from_raw(dev) },
            _rtnl: rtnl,
        })
    }
}

/// A device that was registered by somebody who has not finished: dropping this unregisters it.
pub(crate) struct Registered<'a, D> {
    dev: &'a Device<D>,
    _rtnl: &'a Rtnl,
}

impl<'a, D> Registered<'a, D> {
    /// Lets the device stay.
    pub(crate) fn keep(self) -> &'a Device<D> {
        core::mem::ManuallyDrop::new(self).dev
    }

    /// The device, which may outlive the guard: it exists as long as the RTNL is held.
    pub(crate) fn device(&self) -> &'a Device<D> {
        self.dev
    }
}

impl<D> Drop for Registered<'_, D> {
    fn drop(&mut self) {
        // SAFETY: the device is registered and the RTNL is held.
        unsafe { bindings::unregister_netdevice_queue(self.dev.as_raw(), ptr::null_mut()) };
    }
}

/// Devices that are to be unregistered together.
pub(crate) struct KillList<'a> {
    head: *mut bindings::list_head,
    _rtnl: &'a Rtnl,
}

impl<'a> KillList<'a> {
    /// # Safety
    ///
    /// `head` must be a list of devices that the caller will unregister before it releases the
    /// RTNL.
    pub(super) unsafe fn from_raw(head: *mut bindings::list_head, rtnl: &'a Rtnl) -> Self {
        Self { head, _rtnl: rtnl }
    }

    /// Adds the device whose end was asked for. C: `unregister_netdevice_queue()`.
    pub(crate) fn add(&mut self, dev: &NetDevice) {
        // SAFETY: the device exists, the list is valid, and the RTNL is held.
        unsafe { bindings::unregister_netdevice_queue(dev.as_raw(), self.head) };
    }

    /// Adds a device that ends with `origin`, be it in the same namespace or another one.
    /// C: `unregister_netdevice_queue_net()`.
    pub(crate) fn add_with(&mut self, origin: &NetDevice, dev: &NetDevice) {
        // SAFETY: as in `add()`.
        unsafe {
            bindings::passthru_helper_unregister_netdevice_queue_net(
                origin.as_raw(),
                dev.as_raw(),
                self.head,
            );
        }
    }
}

/// A place for a reference to a device that is read under RCU and changed under the RTNL.
///
/// # Invariants
///
/// `ptr` is null or a device of driver `D` that was registered when it was stored; this value
/// holds a reference to it, tracked by `tracker`.
pub(crate) struct RcuDevice<D> {
    ptr: Atomic<*mut bindings::net_device>,
    tracker: UnsafeCell<bindings::netdevice_tracker>,
    device: PhantomData<D>,
}

// SAFETY: what is referred to is shared by all CPUs; `tracker` is touched under the RTNL or when
// nobody else has access.
unsafe impl<D: Driver> Send for RcuDevice<D> {}
// SAFETY: as above.
unsafe impl<D: Driver> Sync for RcuDevice<D> {}

impl<D: Driver> RcuDevice<D> {
    /// A place that refers to nothing.
    pub(crate) fn new() -> Self {
        Self {
            ptr: Atomic::new(ptr::null_mut()),
            tracker: UnsafeCell::new(pin_init::zeroed()),
            device: PhantomData,
        }
    }

    /// What the place refers to, for the RCU read-side critical section.
    pub(crate) fn get<'r>(&self, _rcu: ReadSide<'r>) -> Option<&'r Device<D>> {
        // The address dependency orders what is read through the pointer after this load, as for
        // `rcu_dereference()`.
        let ptr = self.ptr.load(Relaxed);
        // SAFETY: a device that was registered, and is not freed before a grace period after it
        // was taken out of here (see `take()`), so not before `'r` ends.
        (!ptr.is_null()).then(|| unsafe { Device::from_raw(ptr) })
    }

    /// What the place refers to, while nobody can change that.
    pub(crate) fn get_locked<'r>(&self, _rtnl: &'r Rtnl) -> Option<&'r Device<D>> {
        let ptr = self.ptr.load(Relaxed);
        // SAFETY: it is referred to until the RTNL is released at least.
        (!ptr.is_null()).then(|| unsafe { Device::from_raw(ptr) })
    }

    /// Makes the place, which must be empty, refer to `dev`.
    pub(crate) fn set(&self, dev: &Device<D>, rtnl: &Rtnl) {
        if self.get_locked(rtnl).is_some() {
            return;
        }
        // SAFETY: the device exists; `tracker` is ours because the RTNL is held.
        unsafe { bindings::passthru_helper_netdev_hold(dev.as_raw(), self.tracker.get()) };
        // Readers see the device as it was before this, as for `rcu_assign_pointer()`.
        // INVARIANT: a reference was taken above.
        self.ptr.store(dev.as_raw(), Release);
    }

    /// Empties the place and returns what it referred to. The device exists until the RTNL is
    /// released at least, and until all readers have finished.
    pub(crate) fn take<'r>(&self, _rtnl: &'r Rtnl) -> Option<&'r Device<D>> {
        let ptr = self.ptr.xchg(ptr::null_mut(), Full);
        if ptr.is_null() {
            return None;
        }
        // SAFETY: our reference was to an existing device, and keeps it until it is put.
        let dev: &'r Device<D> = unsafe { Device::from_raw(ptr) };
        if dev.reg_state() != bindings::netdev_reg_state_NETREG_REGISTERED {
            // A registered device waits for readers itself when it is unregistered, which is
            // after this. This one may have done so before.
            // SAFETY: the RTNL is held, under which it is right to sleep.
            unsafe { bindings::synchronize_net() };
        }
        // SAFETY: this is the end of the reference that `set()` took. Without it the device stays
        // until the RTNL is released, because freeing devices is done after that.
        unsafe { bindings::passthru_helper_netdev_put(ptr, self.tracker.get()) };
        Some(dev)
    }
}

impl<D> Drop for RcuDevice<D> {
    fn drop(&mut self) {
        let ptr = self.ptr.load(Relaxed);
        if !ptr.is_null() {
            // SAFETY: nobody else has access to this place, so the reference is ours to put, once
            // those who read it before have finished.
            unsafe {
                bindings::synchronize_net();
                bindings::passthru_helper_netdev_put(ptr, self.tracker.get());
            }
        }
    }
}
