// SPDX-License-Identifier: GPL-2.0

//! Receive offload for devices without hardware: packets of a flow become one before the stack
//! sees them.
//!
//! C header: `include/net/gro_cells.h`.

use super::{
    context::{BottomHalf, Rtnl},
    device::NetDevice,
    rcu_arc::RcuArc,
    skb::SkBuff,
};
use crate::net::bindings;
use kernel::{error::to_result, prelude::*, sync::Arc, types::Opaque};

/// A queue for each CPU from which a device receives what GRO has put together, `struct gro_cells`.
struct GroCells(Opaque<bindings::gro_cells>);

// SAFETY: a CPU works on the queue of its own only, under its lock, and no thread owns any of it.
unsafe impl Send for GroCells {}
// SAFETY: as above.
unsafe impl Sync for GroCells {}

impl GroCells {
    /// # Safety
    ///
    /// What is returned must not outlive `dev`.
    unsafe fn new(dev: &NetDevice, _rtnl: &Rtnl) -> Result<Arc<Self>> {
        let cells = Arc::new(Self(Opaque::zeroed()), GFP_KERNEL)?;
        // SAFETY: nobody else has the structure yet, and the device exists. The queues know the
        // device and not the structure, which is but a pointer to them.
        to_result(unsafe { bindings::gro_cells_init(cells.0.get(), dev.as_raw()) })?;
        Ok(cells)
    }
}

impl Drop for GroCells {
    /// May sleep.
    fn drop(&mut self) {
        // SAFETY: nobody uses the queues any more, and their device still exists. The function
        // does nothing where there are none.
        unsafe { bindings::gro_cells_destroy(self.0.get()) };
    }
}

/// How one device receives: by GRO or without.
///
/// It must be dropped before its device is freed.
pub(super) struct Gro(RcuArc<GroCells>);

impl Gro {
    /// Without GRO.
    pub(super) const fn new() -> Self {
        Self(RcuArc::new())
    }

    /// Turns it on or off for `dev`. May sleep, until nobody puts packets into the queues any more.
    ///
    /// # Safety
    ///
    /// `dev` must be the one device that this is for.
    pub(super) unsafe fn set(&self, dev: &NetDevice, on: bool, rtnl: &Rtnl) -> Result {
        if on == self.0.is_some(rtnl) {
            return Ok(());
        }
        let cells = if on {
            // SAFETY: by the caller's promise and that of the type.
            Some(unsafe { GroCells::new(dev, rtnl) }?)
        } else {
            None
        };
        self.0.set(cells, rtnl);
        Ok(())
    }

    /// Takes a packet in that is `dev`'s to receive, or gives it back: where GRO is off, or others have a
    /// part in its description (pktgen), which GRO may free. The packet has its device.
    /// C: `gro_cells_receive()`.
    #[inline]
    pub(super) fn receive(&self, skb: SkBuff, bh: BottomHalf<'_>) -> Result<c_int, SkBuff> {
        let Some(cells) = self.0.get(bh.read_side()) else {
            return Err(skb);
        };
        if skb.is_shared() {
            return Err(skb);
        }
        // SAFETY: the skb is valid, its reference passes to the callee, softirqs are disabled, and the
        // queues are there for the read-side critical section. Only pointers to them are read from the structure.
        // Packets that sockets still answer for must not be put together as all others are.
        Ok(unsafe {
            bindings::passthru_helper_skb_prepare_for_gro(skb.as_raw());
            bindings::gro_cells_receive(cells.0.get(), skb.into_raw())
        })
    }
}
