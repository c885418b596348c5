// SPDX-License-Identifier: GPL-2.0

//! Packets.
//!
//! C header: `include/linux/skbuff.h`.

use super::{
    context::BottomHalf,
    device::{Device, NetDevice},
    driver::Driver,
    hint::likely,
    ipv4, ipv6,
};
use crate::net::bindings;
use core::{mem::ManuallyDrop, ptr::NonNull};
use kernel::{error::to_result, prelude::*};

/// Why a packet was dropped, for `skb:kfree_skb` and the tools that read it.
///
/// C: `enum skb_drop_reason`.
#[derive(Clone, Copy)]
pub(crate) struct DropReason(bindings::skb_drop_reason);

impl DropReason {
    /// A reason that the kernel gave.
    pub(super) fn from_raw(reason: bindings::skb_drop_reason) -> Self {
        Self(reason)
    }

    /// Nobody said why.
    pub(super) const NOT_SPECIFIED: Self =
        Self(bindings::skb_drop_reason_SKB_DROP_REASON_NOT_SPECIFIED);
    /// The packet is shorter than what it claims to be can be.
    pub(crate) const PKT_TOO_SMALL: Self =
        Self(bindings::skb_drop_reason_SKB_DROP_REASON_PKT_TOO_SMALL);
    /// The packet is longer than the MTU.
    pub(crate) const PKT_TOO_BIG: Self =
        Self(bindings::skb_drop_reason_SKB_DROP_REASON_PKT_TOO_BIG);
    /// The IP header is malformed.
    pub(crate) const IP_INHDR: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_IP_INHDR);
    /// The protocol has no handler.
    pub(crate) const UNHANDLED_PROTO: Self =
        Self(bindings::skb_drop_reason_SKB_DROP_REASON_UNHANDLED_PROTO);
    /// The device is not ready.
    pub(crate) const DEV_READY: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_DEV_READY);
    /// The source is not where the packet came from.
    pub(crate) const IP_RPFILTER: Self =
        Self(bindings::skb_drop_reason_SKB_DROP_REASON_IP_RPFILTER);
    /// A program of the sender's cgroup said no.
    pub(crate) const BPF_CGROUP_EGRESS: Self =
        Self(bindings::skb_drop_reason_SKB_DROP_REASON_BPF_CGROUP_EGRESS);
    /// No route leads to where it is to be sent.
    pub(crate) const IP_OUTNOROUTES: Self =
        Self(bindings::skb_drop_reason_SKB_DROP_REASON_IP_OUTNOROUTES);
    /// It comes from where no packet may come from.
    pub(crate) const IP_INVALID_SOURCE: Self =
        Self(bindings::skb_drop_reason_SKB_DROP_REASON_IP_INVALID_SOURCE);
    /// A hook dropped it.
    pub(crate) const NETFILTER_DROP: Self =
        Self(bindings::skb_drop_reason_SKB_DROP_REASON_NETFILTER_DROP);
    /// IPsec's policies do not let it in.
    pub(crate) const XFRM_POLICY: Self =
        Self(bindings::skb_drop_reason_SKB_DROP_REASON_XFRM_POLICY);
    /// There was no memory.
    pub(crate) const NOMEM: Self = Self(bindings::skb_drop_reason_SKB_DROP_REASON_NOMEM);
    /// The neighbour that it is to go to could not be made.
    pub(super) const NEIGH_CREATEFAIL: Self =
        Self(bindings::skb_drop_reason_SKB_DROP_REASON_NEIGH_CREATEFAIL);
    /// The packet goes in circles.
    pub(crate) const RECURSION_LIMIT: Self =
        Self(bindings::skb_drop_reason_SKB_DROP_REASON_RECURSION_LIMIT);
}

/// Whom a frame was for, as its link layer saw it.
///
/// C: `PACKET_HOST` and its like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Addressee(u8);

impl Addressee {
    /// This host.
    pub(crate) const HOST: Self = Self(bindings::PACKET_HOST as u8);
}

/// The protocol of a packet, an EtherType, as on the wire.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Protocol(u16);

impl Protocol {
    /// Internet Protocol version 4.
    pub(crate) const IPV4: Self = Self((bindings::ETH_P_IP as u16).to_be());
    /// Internet Protocol version 6.
    pub(crate) const IPV6: Self = Self((bindings::ETH_P_IPV6 as u16).to_be());

    /// The protocol in a field of a packet.
    pub(super) fn from_raw(protocol: bindings::__be16) -> Self {
        Self(protocol)
    }

    /// The protocol of two bytes of a frame.
    pub(crate) fn from_wire(bytes: [u8; 2]) -> Self {
        Self(u16::from_ne_bytes(bytes))
    }

    /// Whether this is a tag of a VLAN, with the protocol behind it. C: `eth_type_vlan()`.
    pub(crate) fn is_vlan(self) -> bool {
        let protocol = u32::from(u16::from_be(self.0));
        matches!(protocol, bindings::ETH_P_8021Q | bindings::ETH_P_8021AD)
    }
}

/// What a packet begins with on its way from one device to another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// The header of its network protocol.
    Bare,
    /// An Ethernet header.
    Ethernet,
}

impl Framing {
    /// Bytes of the link layer header.
    pub(crate) const fn header_len(self) -> usize {
        match self {
            Self::Bare => 0,
            Self::Ethernet => bindings::ETH_HLEN as usize,
        }
    }
}

/// A packet and the right to dispose of it.
///
/// A value of this type is spent exactly once: handed to the receive path, or dropped, which
/// frees the packet. So a packet can be neither used after it was handed on nor freed twice.
///
/// # Invariants
///
/// `skb` is a valid `struct sk_buff` of which this value owns one reference.
pub(crate) struct SkBuff {
    skb: NonNull<bindings::sk_buff>,
}

/// As [`SkBuff::is_shared`].
///
/// # Safety
///
/// `skb` must be valid.
#[inline(always)]
unsafe fn is_shared(skb: *const bindings::sk_buff) -> bool {
    // SAFETY: by the caller; a single load.
    unsafe { (&raw const (*skb).users.refs.counter).read_volatile() != 1 }
}

impl SkBuff {
    /// # Safety
    ///
    /// `skb` must be valid, and the caller gives up its reference.
    pub(super) unsafe fn from_raw(skb: *mut bindings::sk_buff) -> Self {
        // SAFETY: a valid pointer is not null.
        // INVARIANT: the caller passed on its reference.
        let skb = unsafe { NonNull::new_unchecked(skb) };
        Self { skb }
    }

    /// The pointer to hand to C, which must not free the packet.
    pub(super) fn as_raw(&self) -> *mut bindings::sk_buff {
        self.skb.as_ptr()
    }

    /// Gives up ownership without freeing.
    pub(super) fn into_raw(self) -> *mut bindings::sk_buff {
        ManuallyDrop::new(self).as_raw()
    }

    /// Bytes in the packet, from the header that its data begins with.
    pub(crate) fn len(&self) -> u32 {
        // SAFETY: the skb is valid and ours by the type's invariant.
        unsafe { (*self.as_raw()).len }
    }

    /// The protocol of the header at the beginning of the data, or after the link layer's.
    pub(crate) fn protocol(&self) -> Protocol {
        // SAFETY: the skb is valid and ours. The members of the union overlay each other exactly
        // (`struct_group`), so either may be read.
        Protocol(unsafe { (*self.as_raw()).__bindgen_anon_4.headers.as_ref().protocol })
    }

    /// Where the packet's device is noted. What overlays it is in use in queues only.
    pub(super) fn raw_dev(&self) -> *mut *mut bindings::net_device {
        // SAFETY: the skb is valid; nothing is read.
        unsafe {
            &raw mut (*self.as_raw())
                .__bindgen_anon_1
                .__bindgen_anon_1
                .__bindgen_anon_1
                .dev
        }
    }

    /// The number of the device that the packet came in by, 0 if by none. C: `skb_iif`.
    pub(crate) fn input_ifindex(&self) -> i32 {
        // SAFETY: the skb is valid and ours; as in `protocol()`.
        unsafe { (*self.as_raw()).__bindgen_anon_4.headers.as_ref().skb_iif }
    }

    /// Whether the packet is one that stands for many (GSO).
    pub(crate) fn is_gso(&self) -> bool {
        // SAFETY: as in `shared_info()`.
        unsafe { (*self.shared_info()).gso_size != 0 }
    }

    /// Whether the sender asked to be told when the packet is sent. C: `SKBTX_ANY_TSTAMP`.
    #[inline(always)]
    pub(crate) fn asks_for_times(&self) -> bool {
        // SAFETY: as in `shared_info()`.
        unsafe { (*self.shared_info()).tx_flags != 0 }
    }

    /// Whether user space still owns a part of the packet. C: `skb_zcopy()`.
    #[inline]
    pub(super) fn is_zero_copy(&self) -> bool {
        // SAFETY: as in `shared_info()`.
        let flags = unsafe { (*self.shared_info()).flags };
        u32::from(flags) & bindings::SKBFL_ZEROCOPY_ENABLE != 0
    }

    /// What copies of the description share, which lies behind the linear part. C: `skb_shinfo()`.
    #[inline]
    fn shared_info(&self) -> *mut bindings::skb_shared_info {
        let skb = self.as_raw();
        // SAFETY: the skb is valid, and so is what lies there. Words have 64 bits, so the end is told by
        // how far it is from the beginning.
        unsafe { (*skb).head.add((*skb).end as usize).cast() }
    }

    /// Bytes from the network header to what it carries; none where whoever noted the places left
    /// them out of order. C: `skb_network_header_len()`.
    pub(super) fn network_header_len(&self) -> Option<u32> {
        // SAFETY: the skb is valid; the union is read as in `protocol()`.
        let headers = unsafe { (*self.as_raw()).__bindgen_anon_4.headers.as_ref() };
        let len = headers
            .transport_header
            .checked_sub(headers.network_header)?;
        Some(len.into())
    }

    /// Sees to it that the first `len` bytes lie in the linear part. `false` where the packet is
    /// shorter, or there is no memory.
    #[inline]
    pub(crate) fn may_pull(&mut self, len: u32) -> bool {
        if self.linear().len() >= len as usize {
            return true;
        }
        // SAFETY: the skb is valid; `&mut` says that no pointer into its data is in use.
        unsafe { bindings::passthru_helper_pskb_may_pull(self.as_raw(), len) }
    }

    /// The linear part of the data.
    pub(crate) fn linear(&self) -> &[u8] {
        // SAFETY: the skb is valid, so `data` points to `len - data_len` initialized bytes. Other
        // clones may read them, and none may write while there is more than one; what could
        // move or modify them through us takes `&mut self`.
        unsafe {
            let skb = self.as_raw();
            let len = (*skb).len.wrapping_sub((*skb).data_len);
            core::slice::from_raw_parts((*skb).data, len as usize)
        }
    }

    /// The byte at a place of the packet, wherever that lies. C: `skb_header_pointer()`.
    pub(super) fn byte(&self, at: u32) -> Option<u8> {
        let mut byte = 0_u8;
        let linear = self.linear().get(at as usize);
        linear.copied().or_else(|| {
            let (at, to) = (at.try_into().ok()?, (&raw mut byte).cast());
            // SAFETY: the skb is valid, and there is room for a byte.
            let error = unsafe { bindings::skb_copy_bits(self.as_raw(), at, to, 1) };
            (error == 0).then_some(byte)
        })
    }

    /// Copies what user space still owns of the packet (`MSG_ZEROCOPY`), so that the sender is
    /// not kept waiting for as long as the packet is queued. Fails with `ENOMEM`.
    ///
    /// C: `skb_orphan_frags()`.
    pub(crate) fn orphan_frags(&mut self) -> Result {
        // SAFETY: the skb is valid; `&mut` says that no pointer into its data is in use.
        match unsafe { bindings::passthru_helper_skb_orphan_frags(self.as_raw()) } {
            0 => Ok(()),
            _ => Err(ENOMEM),
        }
    }

    /// Takes the transmit timestamp, if the sender asked for one. To be called by a driver when
    /// it passes the packet on.
    ///
    /// C: `skb_tx_timestamp()`.
    pub(crate) fn tx_timestamp(&mut self) {
        // SAFETY: the skb is valid.
        unsafe { bindings::passthru_helper_skb_tx_timestamp(self.as_raw()) };
    }

    /// That the sender's neighbour answers says nothing of those of who sends the packet on.
    /// C: `skb_set_dst_pending_confirm()`.
    #[inline(always)]
    pub(crate) fn confirm_nobody(&mut self) {
        // SAFETY: the skb is valid and ours. The members of the union overlay each other.
        unsafe {
            let headers = (*self.as_raw()).__bindgen_anon_4.headers.as_mut();
            headers.set_dst_pending_confirm(0);
        }
    }

    /// Forgets what the stack that sent the packet knew of it: route, conntrack, secpath, ...;
    /// where it leaves its namespace (`crosses`) also mark and timestamp.
    ///
    /// C: `skb_scrub_packet()`, what tc was told, and the sender's priority and transmit queue:
    /// that would be read as the number of a receive queue, which the receiver may not have.
    pub(crate) fn scrub(&mut self, crosses: bool) {
        // SAFETY: the skb is valid and ours.
        unsafe { bindings::passthru_helper_skb_scrub(self.as_raw(), crosses) };
    }

    /// Hands the packet to the receive path of `dev`, whose link layer header it begins with.
    ///
    /// Fails with `EINVAL` where that header is not in the linear part, and with `ENOBUFS` where
    /// the CPU's backlog is full: the kernel has counted the latter as `rx_dropped` of `dev`.
    ///
    /// C: `eth_type_trans()`, `__netif_rx()`, `gro_cells_receive()`.
    pub(crate) fn receive<D: Driver>(
        self,
        dev: &Device<D>,
        framing: Framing,
        bh: BottomHalf<'_>,
    ) -> Result {
        let header = self.linear();
        if header.len() < framing.header_len() {
            self.drop_with(DropReason::PKT_TOO_SMALL);
            return Err(EINVAL);
        }
        let header = header.as_ptr();
        let skb = self.into_raw();
        match framing {
            // SAFETY: the skb is valid and ours until `__netif_rx()`, and begins with a complete
            // Ethernet header. `header` stays valid because taking the header off moves no data.
            Framing::Ethernet => unsafe {
                (*skb).__bindgen_anon_4.headers.as_mut().protocol =
                    bindings::eth_type_trans(skb, dev.as_raw());
                bindings::passthru_helper_skb_postpull_rcsum(
                    skb,
                    header.cast(),
                    bindings::ETH_HLEN,
                );
            },
            // SAFETY: the skb is valid and ours until `__netif_rx()`. The members of the unions
            // overlay each other; `dev` is the one in use outside of queues.
            Framing::Bare => unsafe {
                (*skb)
                    .__bindgen_anon_1
                    .__bindgen_anon_1
                    .__bindgen_anon_1
                    .dev = dev.as_raw();
                bindings::passthru_helper_skb_reset_mac_header(skb);
                bindings::passthru_helper_skb_reset_network_header(skb);
            },
        }
        // SAFETY: still valid and ours.
        let skb = unsafe { Self::from_raw(skb) };
        let verdict = dev.gro().receive(skb, bh).unwrap_or_else(|skb| {
            // SAFETY: the skb is valid and its reference passes to the callee. Softirqs are disabled
            // here, as `bh` shows. `dev` may be unregistered while the packet is queued: the kernel
            // takes its packets from all queues before it frees a device.
            unsafe { bindings::__netif_rx(skb.into_raw()) }
        });
        if verdict == bindings::NET_RX_SUCCESS as c_int {
            Ok(())
        } else {
            Err(ENOBUFS)
        }
    }

    /// Whether somebody is yet to write a checksum into the packet's first `len` bytes.
    /// C: `skb_checksum_help()`.
    pub(crate) fn writes_sum_before(&self, len: u32) -> bool {
        // SAFETY: the skb is valid; unions as in `protocol()`.
        let (summed, place) = unsafe {
            let headers = (*self.as_raw()).__bindgen_anon_4.headers.as_ref();
            let sum = headers.__bindgen_anon_1.__bindgen_anon_1;
            let start = sum.csum_start as isize - self.headroom();
            (headers.ip_summed(), start + sum.csum_offset as isize)
        };
        u32::from(summed) == bindings::CHECKSUM_PARTIAL && place < len as isize
    }

    /// Sees to it that what lies before the packet's data, and its headers, are nobody else's too.
    /// Fails with `ENOMEM`. C: `skb_cow_head()`.
    pub(crate) fn own_head(&mut self) -> Result {
        self.own_head_with(0)
    }

    /// As [`Self::own_head`], and that there are as many bytes before the data.
    fn own_head_with(&mut self, room: u32) -> Result {
        // SAFETY: the skb is valid and ours; `&mut` says that no pointer into it is in use.
        to_result(unsafe { bindings::passthru_helper_skb_cow_head(self.as_raw(), room) })
    }

    /// The first bytes of the packet, for nobody but us to see what becomes of them. Fails with
    /// `ENOMEM`, also where the packet is shorter. C: `skb_ensure_writable()`.
    pub(super) fn own_bytes<const N: usize>(&mut self) -> Result<&mut [u8; N]> {
        // SAFETY: the skb is valid and ours; `&mut` says that no pointer into its data is in use.
        to_result(unsafe { bindings::skb_ensure_writable(self.as_raw(), N as c_uint) })?;
        // SAFETY: now as many bytes lie there, in the linear part, and nobody else uses them.
        Ok(unsafe { &mut *(*self.as_raw()).data.cast() })
    }

    /// Counts a hop, as who forwards the packet does, which begins with its network header. Fails with
    /// `ELOOP` where it was the last, and with `ENOMEM`.
    pub(crate) fn count_hop(&mut self) -> Result {
        let counted = if self.protocol() == Protocol::IPV4 {
            ipv4::count_hop(self.own_bytes()?)
        } else {
            let counted = ipv6::count_hop(self.own_bytes()?);
            if counted {
                self.forward_csum();
            }
            counted
        };
        if counted {
            Ok(())
        } else {
            Err(ELOOP)
        }
    }

    /// Puts an Ethernet header before the packet, as if `to` had just received it from `from`, and
    /// takes it off. Both have Ethernet addresses. Fails with `ENOMEM`.
    /// C: `eth_header()`, `eth_type_trans()`.
    pub(crate) fn wrap_in_ethernet(&mut self, to: &NetDevice, from: &NetDevice) -> Result {
        self.add_ethernet(to, from)?;
        let (skb, dev) = (self.as_raw(), to.as_raw());
        // SAFETY: the skb is valid and ours and begins with its header; the device exists. The union is
        // written as it is read in `protocol()`.
        unsafe {
            (*skb).__bindgen_anon_4.headers.as_mut().protocol = bindings::eth_type_trans(skb, dev);
            (*skb).mac_len = bindings::ETH_HLEN as u16;
        }
        Ok(())
    }

    /// Puts an Ethernet header before the packet, by which `from` sends it to `to`. Both have Ethernet
    /// addresses. Fails with `ENOMEM`. C: `eth_header()`.
    pub(crate) fn add_ethernet(&mut self, to: &NetDevice, from: &NetDevice) -> Result {
        let protocol = u16::from_be(self.protocol().0);
        self.own_head_with(bindings::ETH_HLEN)?;
        let (skb, dev) = (self.as_raw(), from.as_raw());
        let (to, from) = (to.raw_address(), from.raw_address());
        // SAFETY: the skb is valid and ours and has the room; the device exists, and so do addresses.
        unsafe { bindings::eth_header(skb, dev, protocol, to.cast(), from.cast(), (*skb).len) };
        Ok(())
    }

    /// Whether others have a part in the description of the packet. C: `skb_shared()`.
    pub(super) fn is_shared(&self) -> bool {
        // SAFETY: the skb is valid.
        unsafe { is_shared(self.as_raw()) }
    }

    /// A packet that no other has a part in the description of: the same one, or a copy of that.
    /// None, and the packet is dropped, without memory. C: `skb_share_check()`.
    #[inline(always)]
    pub(crate) fn unshare(self) -> Option<Self> {
        let skb = self.into_raw();
        // SAFETY: the skb is valid and ours, and the function frees it where it fails. A packet
        // with one user is ours alone, so that nobody can become another one.
        unsafe {
            if likely(!is_shared(skb)) {
                return Some(Self::from_raw(skb));
            }
            let skb = bindings::passthru_helper_skb_share_check(skb);
            (!skb.is_null()).then(|| Self::from_raw(skb))
        }
    }

    /// Whether something above the packet's header must be told of its way: IPsec, MPTCP, tc.
    #[inline]
    pub(crate) fn has_extensions(&self) -> bool {
        // SAFETY: the skb is valid.
        unsafe { (*self.as_raw()).active_extensions != 0 }
    }

    /// Whether IPsec has noted what it did with the packet, or what a device that sends it has to do.
    /// C: `skb_sec_path()`.
    #[cold]
    pub(crate) fn has_security_path(&self) -> bool {
        // SAFETY: the skb is valid.
        unsafe { bindings::passthru_helper_skb_has_sec_path(self.as_raw()) }
    }

    /// Whether the device that sends the packet has to encrypt it, for its socket. C: `skb_is_decrypted()`.
    pub(crate) fn is_decrypted(&self) -> bool {
        // SAFETY: the skb is valid.
        unsafe { bindings::passthru_helper_skb_is_decrypted(self.as_raw()) }
    }

    /// Takes that away. C: `skb_ext_reset()`.
    pub(crate) fn drop_extensions(&mut self) {
        // SAFETY: the skb is valid and ours.
        unsafe { bindings::passthru_helper_skb_ext_reset(self.as_raw()) };
    }

    /// Whom the frame was for, as its link layer saw it. C: `skb->pkt_type`.
    #[inline]
    pub(crate) fn addressee(&self) -> Addressee {
        // SAFETY: the skb is valid and ours; the union is read as in `protocol()`.
        let headers = unsafe { (*self.as_raw()).__bindgen_anon_4.headers.as_ref() };
        Addressee(headers.pkt_type())
    }

    /// Sets that.
    pub(crate) fn set_addressee(&mut self, addressee: Addressee) {
        // SAFETY: the skb is valid and ours. The union is written as it is read in `protocol()`.
        let headers = unsafe { (*self.as_raw()).__bindgen_anon_4.headers.as_mut() };
        headers.set_pkt_type(addressee.0);
    }

    /// Whether the frame was for this host. C: `PACKET_HOST`.
    #[inline]
    pub(crate) fn is_for_host(&self) -> bool {
        self.addressee() == Addressee::HOST
    }

    /// The VLAN tag that is kept beside the packet, if there is one: its protocol, and its priority
    /// and number. C: `skb_vlan_tag_present()`, `skb_vlan_tag_get()`.
    pub(crate) fn vlan_tag(&self) -> Option<(Protocol, u16)> {
        // SAFETY: the skb is valid. The members of the unions overlay each other exactly.
        unsafe {
            let headers = (*self.as_raw()).__bindgen_anon_4.headers.as_ref();
            let tag = headers.__bindgen_anon_2.__bindgen_anon_1;
            (headers.__bindgen_anon_2.vlan_all != 0)
                .then(|| (Protocol::from_raw(tag.vlan_proto), tag.vlan_tci))
        }
    }

    /// Whether the frame had a VLAN tag that is still to be looked at.
    #[inline]
    pub(crate) fn has_vlan_tag(&self) -> bool {
        // SAFETY: as above.
        unsafe {
            let headers = (*self.as_raw()).__bindgen_anon_4.headers.as_ref();
            headers.__bindgen_anon_2.vlan_all != 0
        }
    }

    /// The mark.
    #[inline]
    pub(crate) fn mark(&self) -> u32 {
        // SAFETY: as above.
        unsafe {
            (*self.as_raw())
                .__bindgen_anon_4
                .headers
                .as_ref()
                .__bindgen_anon_4
                .mark
        }
    }

    /// Changes the mark.
    pub(crate) fn set_mark(&mut self, mark: u32) {
        // SAFETY: as above.
        unsafe {
            (*self.as_raw())
                .__bindgen_anon_4
                .headers
                .as_mut()
                .__bindgen_anon_4
                .mark = mark;
        }
    }

    /// The packet without what lies behind its first `len` bytes, such as a frame's padding. None, and
    /// it is dropped, without memory. C: `pskb_trim_rcsum()`.
    #[inline(always)]
    pub(crate) fn trimmed(self, len: u32) -> Option<Self> {
        if self.len() <= len {
            return Some(self);
        }
        self.cut(len)
    }

    #[cold]
    #[inline(never)]
    fn cut(self, len: u32) -> Option<Self> {
        // What stands for many has no padding, and may be longer than its header can say.
        if self.is_gso() {
            return Some(self);
        }
        // SAFETY: the skb is valid and ours, and no pointer into its data is in use.
        let error = unsafe { bindings::passthru_helper_pskb_trim_rcsum(self.as_raw(), len) };
        if to_result(error).is_err() {
            self.drop_with(DropReason::NOMEM);
            return None;
        }
        Some(self)
    }

    /// Says of a packet that a device was to send what IP's input would say, for output: where its
    /// header of `len` bytes ends, and that no switch has forwarded it. C: `ip_rcv_core()`.
    pub(crate) fn enter_output(&mut self, len: u32) {
        // SAFETY: the skb is valid and ours.
        unsafe { bindings::passthru_helper_skb_enter_output(self.as_raw(), len) };
    }

    /// Takes a link layer header of `len` bytes off. `false` where the linear part is shorter.
    /// C: `__skb_pull()`.
    #[inline]
    #[must_use]
    pub(crate) fn pull(&mut self, len: u32) -> bool {
        if self.linear().len() < len as usize {
            return false;
        }
        // SAFETY: the skb is valid and ours, and has the bytes.
        unsafe { bindings::passthru_helper_skb_pull(self.as_raw(), len) };
        true
    }

    /// Undoes [`Self::pull`]: the packet begins `len` bytes further ahead. `false` where there are fewer.
    /// C: `__skb_push()`.
    #[inline]
    #[must_use]
    pub(crate) fn push(&mut self, len: u32) -> bool {
        if self.headroom() < len as isize {
            return false;
        }
        // SAFETY: the skb is valid and ours, and the bytes lie between its head and its data.
        unsafe { bindings::passthru_helper_skb_push(self.as_raw(), len) };
        true
    }

    /// Bytes before the packet's data. C: `skb_headroom()`.
    #[inline]
    fn headroom(&self) -> isize {
        // SAFETY: the skb is valid, and its data lies behind its head, in the same allocation.
        unsafe { (*self.as_raw()).data.offset_from((*self.as_raw()).head) }
    }

    /// Whether the packet stands for many, and none of those is longer than `mtu` with its network header.
    /// C: `skb_gso_validate_network_len()`.
    #[inline(always)]
    pub(crate) fn segments_fit(&self, mtu: u32) -> bool {
        // SAFETY: the skb is valid, and stands for many where it is asked.
        self.is_gso() && unsafe { bindings::skb_gso_validate_network_len(self.as_raw(), mtu) }
    }

    /// By which of its device's queues the packet is sent. C: `skb_get_queue_mapping()`.
    pub(crate) fn queue(&self) -> u16 {
        // SAFETY: the skb is valid.
        unsafe { bindings::passthru_helper_skb_queue(self.as_raw()) }
    }

    /// Says by which queue of `dev` the packet was received: the one that another device's `queue`
    /// leads to. C: `skb_record_rx_queue()`.
    pub(crate) fn record_rx_queue(&mut self, dev: &NetDevice, queue: u16) {
        // SAFETY: the skb is valid and ours, and the device exists and has a queue.
        unsafe {
            bindings::passthru_helper_skb_record_rx_queue(self.as_raw(), dev.as_raw(), queue)
        };
    }

    /// Takes the packet from its sender, which feels no queue on its way any more. C: `skb_orphan()`.
    pub(super) fn orphan(&mut self) {
        // SAFETY: the skb is valid and ours.
        unsafe { bindings::passthru_helper_skb_orphan(self.as_raw()) };
    }

    /// Whether `dev` would send the packet as it is: in one piece if it stands for many, and with a sum
    /// that is yet to be written. C: `validate_xmit_skb()`.
    pub(crate) fn is_sent_whole_by(&mut self, dev: &NetDevice) -> bool {
        // SAFETY: the skb is valid and ours, and the device exists; the packet's own is put back.
        unsafe { bindings::passthru_helper_skb_is_sent_whole(self.as_raw(), dev.as_raw()) }
    }

    /// Forgets a sum over all of the packet that whoever received it has made. C: `skb_forward_csum()`.
    pub(crate) fn forward_csum(&mut self) {
        // SAFETY: the skb is valid and ours.
        unsafe { bindings::passthru_helper_skb_forward_csum(self.as_raw()) };
    }

    /// Notes that the network header is what the packet begins with. C: `skb_reset_network_header()`.
    pub(crate) fn reset_network_header(&mut self) {
        // SAFETY: the skb is valid and ours.
        unsafe { bindings::passthru_helper_skb_reset_network_header(self.as_raw()) };
    }

    /// Whether the Ethernet header that the packet begins with is addressed to `dev`.
    pub(crate) fn is_frame_for(&self, dev: &NetDevice) -> bool {
        let first = self.linear().first_chunk();
        first.is_some_and(|address| dev.has_address(address))
    }

    /// Whether the Ethernet header that the packet begins with is addressed to many. C:
    /// `is_multicast_ether_addr()`.
    pub(crate) fn is_frame_for_group(&self) -> bool {
        self.linear().first().is_some_and(|byte| byte & 1 != 0)
    }

    /// Makes a packet that was to be sent one that was received: nobody's, without a route and the
    /// time that its sender chose.
    pub(super) fn become_received(&mut self) {
        self.drop_dst();
        // SAFETY: the skb is valid and ours.
        unsafe {
            let skb = self.as_raw();
            bindings::passthru_helper_skb_orphan(skb);
            bindings::passthru_helper_skb_clear_tstamp(skb);
        }
        self.set_addressee(Addressee::HOST);
    }

    /// Forgets when the packet came, which whoever sends it on could take for when it is to be sent.
    pub(super) fn clear_tstamp(&mut self) {
        // SAFETY: the skb is valid and ours.
        unsafe { bindings::passthru_helper_skb_clear_tstamp(self.as_raw()) };
    }

    /// As [`Self::orphan_frags`], for a packet that is received. C: `skb_orphan_frags_rx()`.
    pub(super) fn orphan_frags_received(&mut self) -> Result {
        // SAFETY: the skb is valid; `&mut` says that no pointer into its data is in use.
        to_result(unsafe { bindings::passthru_helper_skb_orphan_frags_rx(self.as_raw()) })
    }

    /// Notes that there is no link layer header before the packet's data.
    pub(super) fn begin_without_frame(&mut self) {
        // SAFETY: the skb is valid and ours.
        unsafe {
            bindings::passthru_helper_skb_reset_mac_header(self.as_raw());
            (*self.as_raw()).mac_len = 0;
        }
    }

    /// Frees a packet that routing refused, and counts it as IP does.
    pub(crate) fn drop_refused(self, reason: DropReason) {
        if reason.0 == DropReason::IP_RPFILTER.0 {
            // SAFETY: the skb is valid and has its device, which exists, and so does its namespace.
            unsafe {
                let dev = self.raw_dev().read();
                bindings::passthru_helper_net_inc_stats(dev, bindings::LINUX_MIB_IPRPFILTER);
            }
        }
        self.drop_with(reason);
    }

    /// Frees the packet and says why.
    pub(crate) fn drop_with(self, reason: DropReason) {
        // SAFETY: the skb is valid and its reference passes to the callee.
        unsafe { bindings::passthru_helper_kfree_skb_reason(self.into_raw(), reason.0) };
    }
}

impl Drop for SkBuff {
    fn drop(&mut self) {
        // SAFETY: the skb is valid, and this is the end of our reference.
        unsafe {
            bindings::passthru_helper_kfree_skb_reason(self.as_raw(), DropReason::NOT_SPECIFIED.0)
        };
    }
}
