// SPDX-License-Identifier: GPL-2.0

//! Being told what happens to network devices.
//!
//! C header: `include/linux/netdevice.h`.

use super::{
    context::Rtnl,
    device::NetDevice,
    only_once::OnlyOnce, //
};
use crate::net::bindings;
use core::marker::PhantomData;
use kernel::{error::to_result, prelude::*, types::Opaque};

/// What happened to a device.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// It has come into a namespace, by being made or moved.
    Register,
    /// It leaves its namespace, by ending or being moved; it is down.
    Unregister,
    /// It was brought up.
    Up,
    /// It was brought down.
    Down,
    /// It has joined another device, or left it: a bridge, a bond, a VRF.
    Upper,
    /// It has another MTU, or other features of offload.
    Size,
    /// It has another name, and rules of routes by names may be about it now, or no more.
    Name,
}

/// Who is told.
pub(crate) trait Listener: 'static {
    /// Something happened to a device, of any driver, in any namespace. An error refuses what was
    /// to be done where that can still be refused: making a device.
    fn event(event: Event, dev: &NetDevice, rtnl: &Rtnl) -> Result;
}

/// The notifier block of a listener. To be a `static`.
pub(crate) struct Notifier<L> {
    block: Opaque<bindings::notifier_block>,
    registered: OnlyOnce,
    listener: PhantomData<fn() -> L>,
}

// SAFETY: what is modified in `block` is modified by the kernel, under the RTNL.
unsafe impl<L> Sync for Notifier<L> {}

impl<L: Listener> Notifier<L> {
    /// A notifier that is not registered.
    pub(crate) const fn new() -> Self {
        let block = bindings::notifier_block {
            notifier_call: Some(Self::call),
            ..pin_init::zeroed()
        };
        Self {
            block: Opaque::new(block),
            registered: OnlyOnce::new(),
            listener: PhantomData,
        }
    }

    /// Registers the notifier until the result is dropped. Devices that exist are told as if they
    /// were made now. May sleep; takes the RTNL. C: `register_netdevice_notifier()`.
    pub(crate) fn register(&'static self) -> Result<NotifierRegistration<L>> {
        self.registered.register(|| {
            // SAFETY: the block is static and not registered.
            to_result(unsafe { bindings::register_netdevice_notifier(self.block.get()) })
        })?;
        Ok(NotifierRegistration { notifier: self })
    }

    /// # Safety
    ///
    /// `info` must describe a device, which exists, and the RTNL be held.
    unsafe extern "C" fn call(
        _block: *mut bindings::notifier_block,
        event: c_ulong,
        info: *mut c_void,
    ) -> c_int {
        let event = match event as bindings::netdev_cmd {
            bindings::netdev_cmd_NETDEV_REGISTER => Event::Register,
            bindings::netdev_cmd_NETDEV_UNREGISTER => Event::Unregister,
            bindings::netdev_cmd_NETDEV_UP => Event::Up,
            bindings::netdev_cmd_NETDEV_DOWN => Event::Down,
            bindings::netdev_cmd_NETDEV_CHANGEUPPER => Event::Upper,
            bindings::netdev_cmd_NETDEV_CHANGEMTU | bindings::netdev_cmd_NETDEV_FEAT_CHANGE => {
                Event::Size
            }
            bindings::netdev_cmd_NETDEV_CHANGENAME => Event::Name,
            _ => return bindings::NOTIFY_DONE as c_int,
        };
        // SAFETY: by the caller's promise; each of these events is sent under the RTNL.
        let (dev, rtnl) = unsafe {
            let info = info.cast::<bindings::netdev_notifier_info>();
            (NetDevice::from_raw((*info).dev), Rtnl::assume())
        };
        match L::event(event, dev, &rtnl) {
            Ok(()) => bindings::NOTIFY_DONE as c_int,
            // SAFETY: only computes.
            Err(error) => unsafe {
                bindings::passthru_helper_notifier_from_errno(error.to_errno())
            },
        }
    }
}

/// A notifier that is registered. Dropping this unregisters it; each device that exists is told
/// as if it ended. C: `unregister_netdevice_notifier()`.
pub(crate) struct NotifierRegistration<L: Listener> {
    notifier: &'static Notifier<L>,
}

impl<L: Listener> Drop for NotifierRegistration<L> {
    fn drop(&mut self) {
        // SAFETY: registered, and only unregistered here. It fails only for what is not
        // registered.
        unsafe { bindings::unregister_netdevice_notifier(self.notifier.block.get()) };
        self.notifier.registered.unregistered();
    }
}
