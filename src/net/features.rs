// SPDX-License-Identifier: GPL-2.0

//! Offload features of network devices.
//!
//! C header: `include/linux/netdev_features.h`.

use super::device::NetDevice;
use crate::net::bindings;

/// A set of offload features, `netdev_features_t`.
#[derive(Clone, Copy)]
pub(crate) struct Features(pub(super) bindings::netdev_features_t);

impl Features {
    /// The mask of a feature, by its number. C: `__NETIF_F_BIT()`.
    pub(super) const fn bit(bit: u32) -> u64 {
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

    /// What a device must have to send packets as they are, but those that stand for many and SCTP's, where
    /// the kernel can address all memory.
    pub(super) const UNSUMMED: Self = Self(
        Self::bit(bindings::NETIF_F_SG_BIT)
            | Self::bit(bindings::NETIF_F_FRAGLIST_BIT)
            | Self::bit(bindings::NETIF_F_HW_CSUM_BIT),
    );

    /// What a device must have to send all packets but those that stand for many as they are.
    pub(super) const UNFINISHED: Self =
        Self(Self::SCATTER.0 | Self::UNSUMMED.0 | Self::bit(bindings::NETIF_F_SCTP_CRC_BIT));

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
    pub(super) const VLAN_CHALLENGED: Self = Self(Self::bit(bindings::NETIF_F_VLAN_CHALLENGED_BIT));

    /// Packets of one flow are received as one where they can be.
    pub(super) const GRO: Self = Self(Self::bit(bindings::NETIF_F_GRO_BIT));

    /// Whether all of `other` are among these.
    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Either's features.
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl NetDevice {
    /// What the device can do at this moment.
    #[inline(always)]
    pub(super) fn features(&self) -> Features {
        // SAFETY: the device exists; a single load.
        Features(unsafe { (&raw const (*self.as_raw()).features).read_volatile() })
    }

    /// Whether the device passes sums on that are yet to be written. C: `NETIF_F_HW_CSUM`.
    pub(crate) fn leaves_sums(&self) -> bool {
        const SUMS: Features = Features(Features::bit(bindings::NETIF_F_HW_CSUM_BIT));
        self.features().has(SUMS)
    }
}
