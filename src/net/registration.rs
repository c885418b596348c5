// SPDX-License-Identifier: GPL-2.0

//! The beginning and the end of a network device: from allocated to registered, and out.
//!
//! C header: `include/linux/netdevice.h`.

use super::{
    context::Rtnl,
    device::{Device, NetDevice},
    driver::Driver,
    features::Features, //
};
use crate::net::bindings;
use core::{
    marker::PhantomData,
    ptr::{self, NonNull},
};
use kernel::{error::to_result, prelude::*};

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

    /// The pointer to hand to C.
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
        // GRO costs where it finds nothing, as with what another stack has just sent: it is for
        // who asks for it. Registration turns on what needs no driver.
        // SAFETY: the device is registered, and the RTNL is held, under which alone these change.
        unsafe {
            (*dev).features &= !Features::GRO.0;
            (*dev).wanted_features &= !Features::GRO.0;
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
