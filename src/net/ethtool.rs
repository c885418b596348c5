// SPDX-License-Identifier: GPL-2.0

//! What `ethtool` asks a driver.
//!
//! C header: `include/linux/ethtool.h`.

use super::{
    context::Rtnl,
    device::{Device, Queues},
    driver::Driver,
};
use crate::net::bindings;
use core::marker::PhantomData;
use kernel::{error::from_result, prelude::*};

/// `struct ethtool_ops` as a trait. All of it is called with the RTNL held.
pub(crate) trait Ethtool: Sized {
    /// The driver's name, for `ethtool -i`.
    const DRIVER: &'static CStr;

    /// The names of the driver's own statistics, for `ethtool -S`.
    const STATISTICS: &'static [&'static CStr];

    /// The values of [`Self::STATISTICS`], in their order.
    fn statistics(dev: &Device<Self>, values: &mut [u64], rtnl: &Rtnl);

    /// Changes how many queues are in use; never more than are allocated. For `ethtool -L`.
    fn set_channels(dev: &Device<Self>, queues: Queues, rtnl: &Rtnl) -> Result;
}

/// The table for the driver `D`.
pub(super) fn table<D: Driver>() -> &'static bindings::ethtool_ops {
    const { &Operations::<D>::TABLE }
}

/// The operations of the driver `D` as C sees them.
struct Operations<D>(PhantomData<D>);

impl<D: Driver> Operations<D> {
    const TABLE: bindings::ethtool_ops = bindings::ethtool_ops {
        get_drvinfo: Some(Self::get_drvinfo),
        get_link: Some(bindings::ethtool_op_get_link),
        get_link_ksettings: Some(Self::get_link_ksettings),
        get_ts_info: Some(bindings::ethtool_op_get_ts_info),
        get_sset_count: Some(Self::get_sset_count),
        get_strings: Some(Self::get_strings),
        get_ethtool_stats: Some(Self::get_ethtool_stats),
        get_channels: Some(Self::get_channels),
        set_channels: Some(Self::set_channels),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `info` must be zero and the caller's.
    unsafe extern "C" fn get_drvinfo(
        _dev: *mut bindings::net_device,
        info: *mut bindings::ethtool_drvinfo,
    ) {
        // SAFETY: by the caller's promise.
        copy_string(unsafe { &mut (*info).driver }, D::DRIVER);
    }

    /// There is no wire, but who bonds devices wants to know how fast it is, and takes unknown
    /// for a device that is broken. The answer is the one that other virtual pairs give.
    ///
    /// # Safety
    ///
    /// `settings` must be the caller's.
    unsafe extern "C" fn get_link_ksettings(
        _dev: *mut bindings::net_device,
        settings: *mut bindings::ethtool_link_ksettings,
    ) -> c_int {
        // SAFETY: by the caller's promise.
        let base = unsafe { &mut (*settings).base };
        base.speed = bindings::SPEED_10000;
        base.duplex = bindings::DUPLEX_FULL as u8;
        base.port = bindings::PORT_TP as u8;
        base.autoneg = bindings::AUTONEG_DISABLE as u8;
        0
    }

    extern "C" fn get_sset_count(_dev: *mut bindings::net_device, set: c_int) -> c_int {
        if set == bindings::ethtool_stringset_ETH_SS_STATS as c_int {
            D::STATISTICS.len() as c_int
        } else {
            EOPNOTSUPP.to_errno()
        }
    }

    /// # Safety
    ///
    /// `names` must have room for as many names as `get_sset_count()` said.
    unsafe extern "C" fn get_strings(_dev: *mut bindings::net_device, set: u32, names: *mut u8) {
        type Name = [c_char; bindings::ETH_GSTRING_LEN as usize];
        if set != bindings::ethtool_stringset_ETH_SS_STATS {
            return;
        }
        // SAFETY: by the caller's promise.
        let names =
            unsafe { core::slice::from_raw_parts_mut(names.cast::<Name>(), D::STATISTICS.len()) };
        for (to, name) in names.iter_mut().zip(D::STATISTICS) {
            copy_string(to, name);
        }
    }

    /// # Safety
    ///
    /// `dev` must be a registered device of driver `D`, the RTNL be held, and `values` have room
    /// for as many values as `get_sset_count()` said.
    unsafe extern "C" fn get_ethtool_stats(
        dev: *mut bindings::net_device,
        _request: *mut bindings::ethtool_stats,
        values: *mut u64,
    ) {
        // SAFETY: by the caller's promise.
        let (dev, rtnl, values) = unsafe {
            (
                Device::<D>::from_raw(dev),
                Rtnl::assume(),
                core::slice::from_raw_parts_mut(values, D::STATISTICS.len()),
            )
        };
        D::statistics(dev, values, &rtnl);
    }

    /// # Safety
    ///
    /// `dev` must be a registered device of driver `D`, and `channels` zero and the caller's.
    unsafe extern "C" fn get_channels(
        dev: *mut bindings::net_device,
        channels: *mut bindings::ethtool_channels,
    ) {
        // SAFETY: by the caller's promise.
        let (dev, channels) = unsafe { (Device::<D>::from_raw(dev), &mut *channels) };
        let (used, allocated) = (dev.queues(), dev.allocated_queues());
        channels.tx_count = used.tx;
        channels.rx_count = used.rx;
        channels.max_tx = allocated.tx;
        channels.max_rx = allocated.rx;
    }

    /// # Safety
    ///
    /// `dev` must be a registered device of driver `D`, the RTNL be held, and `channels` the
    /// caller's, who checked it against the maxima.
    unsafe extern "C" fn set_channels(
        dev: *mut bindings::net_device,
        channels: *mut bindings::ethtool_channels,
    ) -> c_int {
        // SAFETY: by the caller's promise.
        let (dev, rtnl, channels) =
            unsafe { (Device::<D>::from_raw(dev), Rtnl::assume(), &*channels) };
        let queues = Queues {
            tx: channels.tx_count,
            rx: channels.rx_count,
        };
        from_result(|| {
            if queues.tx == 0 || queues.rx == 0 {
                return Err(EINVAL);
            }
            D::set_channels(dev, queues, &rtnl).map(|()| 0)
        })
    }
}

/// Copies a string into a field that has a NUL at its end, cut where it is too long.
fn copy_string(to: &mut [c_char], from: &CStr) {
    let room = to.len().saturating_sub(1);
    for (to, from) in to.iter_mut().zip(from.to_bytes().iter().take(room)) {
        *to = *from;
    }
}
