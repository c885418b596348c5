// SPDX-License-Identifier: GPL-2.0

//! The socket of a connection, found before the packet is its namespace's.
//!
//! C headers: `include/net/inet_hashtables.h`, `include/net/udp.h`.

use super::{
    context::{BottomHalf, ReadSide},
    device::NetDevice,
    netfilter::Family,
    skb::SkBuff,
};
use crate::net::bindings;
use core::{marker::PhantomData, mem::ManuallyDrop, ptr::NonNull};

/// The number of TCP.
const TCP: u8 = 6;

/// A socket that a packet is for: one of an established TCP connection (or what is before and
/// after that), or a connected UDP one.
pub(crate) struct Connection<'r> {
    sk: NonNull<bindings::sock>,
    protocol: u8,
    scope: PhantomData<ReadSide<'r>>,
}

impl<'r> Connection<'r> {
    /// The socket in the namespace of `dev` whose connection the packet belongs to, as if it had
    /// come in by `dev`. The packet begins with its network header, without options.
    ///
    /// C: `tcp_v4_early_demux()`, `udp_v4_early_demux()` and their kin.
    pub(crate) fn find(
        skb: &mut SkBuff,
        dev: &'r NetDevice,
        family: Family,
        protocol: u8,
        _bh: BottomHalf<'r>,
    ) -> Option<Self> {
        // SAFETY: skb and device exist; `&mut` says that no pointer into the packet is in use.
        let sk = unsafe {
            match family {
                Family::Ipv4 => {
                    bindings::passthru_helper_demux_ipv4(skb.as_raw(), dev.as_raw(), protocol)
                }
                Family::Ipv6 => {
                    bindings::passthru_helper_demux_ipv6(skb.as_raw(), dev.as_raw(), protocol)
                }
            }
        };
        Some(Self {
            sk: NonNull::new(sk)?,
            protocol,
            scope: PhantomData,
        })
    }

    /// Gives the packet, which has no socket, to this one: the protocol will look no further.
    pub(crate) fn attach(self, skb: &mut SkBuff) {
        let this = ManuallyDrop::new(self);
        // SAFETY: the skb has no socket: it was re-homed, or IP's input has taken it away before its
        // hooks and none of them has given it one. The reference passes to it; UDP's sockets need
        // none until a grace period has passed.
        unsafe {
            let skb = skb.as_raw();
            (*skb).sk = this.sk.as_ptr();
            (*skb).__bindgen_anon_3.__bindgen_anon_1.destructor = Some(if this.is_counted() {
                bindings::sock_edemux
            } else {
                bindings::sock_pfree
            });
        }
    }

    /// Whether we have a reference to the socket.
    #[inline]
    fn is_counted(&self) -> bool {
        self.protocol == TCP
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        if self.is_counted() {
            // SAFETY: this is the end of our reference.
            unsafe { bindings::sock_gen_put(self.sk.as_ptr()) };
        }
    }
}
