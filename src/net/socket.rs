// SPDX-License-Identifier: GPL-2.0

//! The socket of a connection, found before the packet is its namespace's.
//!
//! C headers: `include/net/inet_hashtables.h`, `include/net/udp.h`.

use super::{
    address_hashes::{AddressHashes, SocketNumber},
    context::{BottomHalf, ReadSide},
    device::NetDevice,
    ipv4, ipv6,
    namespace::Namespace,
    netfilter::Family,
    skb::SkBuff,
    TCP, UDP,
};
use crate::net::bindings;
use core::{marker::PhantomData, mem::ManuallyDrop, ptr::NonNull};

/// Bytes of a header without options.
const TCP_HEADER_LEN: u32 = 20;
const UDP_HEADER_LEN: u32 = 8;

/// Where the destination is in a header of IPv6.
const IPV6_DESTINATION: usize = 24;

/// The ports in a header of TCP: that of the sender as it is there, the other one as a number.
///
/// # Safety
///
/// Both must be there.
unsafe fn ports(header: *const u8) -> (u16, u16) {
    // SAFETY: by the caller; they are aligned in no particular way.
    let [from, to] = unsafe { header.cast::<[u16; 2]>().read_unaligned() };
    (from, u16::from_be(to))
}

/// Where the headers of a datagram lie, as much of them as its socket is found by.
///
/// # Invariants
///
/// A header of `family` lies there, without options, and that of UDP behind it.
#[derive(Clone, Copy)]
pub(crate) struct Datagram<'a> {
    header: NonNull<u8>,
    family: Family,
    scope: PhantomData<&'a u8>,
}

impl<'a> Datagram<'a> {
    /// Of a packet that begins with its network header, which has no options. None where its
    /// headers are elsewhere.
    #[inline(always)]
    pub(crate) fn of(skb: &'a SkBuff, family: Family) -> Option<Self> {
        let bytes = skb.linear();
        let ends = (header_len(family) + UDP_HEADER_LEN) as usize;
        // INVARIANT: as was found out.
        (bytes.len() >= ends).then(|| Self {
            header: NonNull::from(bytes).cast(),
            family,
            scope: PhantomData,
        })
    }

    /// The last byte of the port that it is for.
    #[inline(always)]
    pub(crate) fn port_low(self) -> u8 {
        const AT: usize = 3;
        // SAFETY: by the type's invariant.
        unsafe {
            self.header
                .add(header_len(self.family) as usize + AT)
                .read()
        }
    }

    /// The connected socket in the namespace of `dev` that it is for, as if it had come in by `dev`;
    /// `known` are hashes of that namespace's addresses, or of another where there was one before.
    /// C: `udp_v4_early_demux()`, `udp_v6_early_demux()`.
    #[inline(always)]
    pub(crate) fn demux<'r>(
        self,
        dev: &'r NetDevice,
        known: &AddressHashes,
        bh: BottomHalf<'r>,
    ) -> Option<Connection<'r>> {
        let namespace = dev.namespace(bh.read_side());
        // SAFETY: by the type's invariant a header of this family lies there, which is aligned in no
        // particular way.
        let hash = unsafe {
            match self.family {
                Family::Ipv4 => known.of_ipv4(ipv4_destination(self.header), namespace),
                Family::Ipv6 => known.of_ipv6(ipv6_destination(self.header), namespace),
            }
        };
        match hash {
            Some(hash) => self.demux_by(hash, dev, bh),
            None => self.demux_anew(dev, known, bh),
        }
    }

    /// As [`Self::demux`], where the number of the destination may be known.
    #[inline(always)]
    pub(crate) fn demux_with<'r>(
        self,
        number: SocketNumber,
        dev: &'r NetDevice,
        known: &AddressHashes,
        bh: BottomHalf<'r>,
    ) -> Option<Connection<'r>> {
        match number.get() {
            Some(hash) => self.demux_by(hash, dev, bh),
            None => self.demux(dev, known, bh),
        }
    }

    /// As [`Self::demux`], by the hash of its destination.
    #[inline(always)]
    fn demux_by<'r>(
        self,
        hash: u32,
        dev: &'r NetDevice,
        bh: BottomHalf<'r>,
    ) -> Option<Connection<'r>> {
        let net = dev.namespace(bh.read_side()).as_raw();
        let (header, dif) = (self.header.as_ptr(), dev.ifindex());
        // SAFETY: the namespace exists, and by the type's invariant the headers lie there. This is an
        // RCU read-side critical section, for which sockets exist that are found.
        let sk = unsafe {
            match self.family {
                Family::Ipv4 => bindings::passthru_helper_udp4_demux(net, header.cast(), dif, hash),
                Family::Ipv6 => bindings::passthru_helper_udp6_demux(net, header.cast(), dif, hash),
            }
        };
        Some(Connection {
            sk: NonNull::new(sk)?,
            destructor: bindings::sock_pfree,
            scope: PhantomData,
        })
    }

    /// As [`Self::demux`], for a destination whose hash is not known.
    #[cold]
    #[inline(never)]
    fn demux_anew<'r>(
        self,
        dev: &'r NetDevice,
        known: &AddressHashes,
        bh: BottomHalf<'r>,
    ) -> Option<Connection<'r>> {
        let namespace = dev.namespace(bh.read_side());
        let (header, net) = (self.header.as_ptr(), namespace.as_raw());
        // SAFETY: the namespace exists, and by the type's invariant a header of this family lies there.
        let hash = unsafe {
            match self.family {
                Family::Ipv4 => {
                    let hash = bindings::passthru_helper_udp4_hash(net, header.cast());
                    known.note_ipv4(ipv4_destination(self.header), namespace, hash);
                    hash
                }
                Family::Ipv6 => {
                    let daddr = header.add(IPV6_DESTINATION).cast();
                    let hash = bindings::passthru_helper_udp6_hash(net, daddr);
                    known.note_ipv6(ipv6_destination(self.header), namespace, hash);
                    hash
                }
            }
        };
        self.demux_by(hash, dev, bh)
    }
}

/// The destination in a header of IPv4.
///
/// # Safety
///
/// The header must be there.
#[inline(always)]
unsafe fn ipv4_destination(header: NonNull<u8>) -> u32 {
    const AT: usize = 16;
    // SAFETY: by the caller; it is aligned in no particular way.
    unsafe { header.add(AT).cast().read_unaligned() }
}

/// The destination in a header of IPv6.
///
/// # Safety
///
/// The header must be there.
#[inline(always)]
unsafe fn ipv6_destination(header: NonNull<u8>) -> ipv6::Address {
    // SAFETY: by the caller; it is aligned in no particular way.
    unsafe { header.add(IPV6_DESTINATION).cast().read_unaligned() }
}

/// Bytes of a network header without options.
#[inline(always)]
const fn header_len(family: Family) -> u32 {
    match family {
        Family::Ipv4 => ipv4::HEADER_LEN,
        Family::Ipv6 => ipv6::HEADER_LEN,
    }
}

/// A socket that a packet is for: one of an established TCP connection (or what is before and
/// after that), or a connected UDP one.
pub(crate) struct Connection<'r> {
    sk: NonNull<bindings::sock>,
    /// What is done with the socket in the end, which also says whether we have a reference to it.
    destructor: Destructor,
    scope: PhantomData<ReadSide<'r>>,
}

impl<'r> Connection<'r> {
    /// The socket in the namespace of `dev` whose connection the packet belongs to, as if it had
    /// come in by `dev`; `known` as for [`Datagram::demux`]. The packet begins with its network header,
    /// without options.
    ///
    /// C: `tcp_v4_early_demux()`, `udp_v4_early_demux()` and their kin.
    #[inline(always)]
    pub(crate) fn find(
        skb: &mut SkBuff,
        dev: &'r NetDevice,
        known: &AddressHashes,
        family: Family,
        protocol: u8,
        bh: BottomHalf<'r>,
    ) -> Option<Self> {
        // The headers of most datagrams lie there already.
        if protocol == UDP {
            if let Some(datagram) = Datagram::of(skb, family) {
                return datagram.demux(dev, known, bh);
            }
        }
        // SAFETY: the skb is valid and ours, and nobody else has it meanwhile.
        unsafe { Self::pull_and_find(skb.as_raw(), dev, known, family, protocol, bh) }
    }

    /// Finds the connection of a packet that is about to be routed in the namespace of `dev`, and gives
    /// it to the packet, if that has none yet and the namespace wants it. As for [`Self::find`].
    /// C: `ip_rcv_finish_core()`, `ip6_rcv_finish_core()`.
    pub(crate) fn show(
        skb: &mut SkBuff,
        dev: &'r NetDevice,
        known: &AddressHashes,
        family: Family,
        protocol: u8,
        bh: BottomHalf<'r>,
    ) {
        let namespace = dev.namespace(bh.read_side());
        if !matches!(protocol, TCP | UDP)
            || skb.has_assigned_socket()
            || !namespace.demuxes_early(protocol)
        {
            return;
        }
        if let Some(connection) = Self::find(skb, dev, known, family, protocol, bh) {
            connection.attach(skb);
        }
    }

    /// As [`Self::find`], for all packets. Not by reference: what is lent has to be in memory, for all
    /// others as well.
    ///
    /// # Safety
    ///
    /// `skb` must be valid, and the caller's own.
    #[inline(never)]
    unsafe fn pull_and_find(
        skb: *mut bindings::sk_buff,
        dev: &'r NetDevice,
        known: &AddressHashes,
        family: Family,
        protocol: u8,
        bh: BottomHalf<'r>,
    ) -> Option<Self> {
        // SAFETY: by the caller's promise; the reference stays with the caller.
        let mut lent = ManuallyDrop::new(unsafe { SkBuff::from_raw(skb) });
        let skb = &mut *lent;
        let behind = header_len(family);
        match protocol {
            TCP => Self::find_tcp(skb, dev, family, bh),
            UDP if skb.may_pull(behind + UDP_HEADER_LEN) => {
                Datagram::of(skb, family)?.demux(dev, known, bh)
            }
            _ => None,
        }
    }

    /// As [`Self::find`], for TCP.
    #[inline(always)]
    pub(crate) fn find_tcp(
        skb: &mut SkBuff,
        dev: &'r NetDevice,
        family: Family,
        bh: BottomHalf<'r>,
    ) -> Option<Self> {
        if skb.may_pull(header_len(family) + TCP_HEADER_LEN) {
            Self::find_established(skb, dev, family, bh)
        } else {
            None
        }
    }

    /// As [`Self::find_tcp`], where the header lies in the packet's linear data.
    #[inline(always)]
    fn find_established(
        skb: &SkBuff,
        dev: &'r NetDevice,
        family: Family,
        bh: BottomHalf<'r>,
    ) -> Option<Self> {
        let net = dev.namespace(bh.read_side()).as_raw();
        let (header, dif) = (skb.linear().as_ptr(), dev.ifindex());
        // SAFETY: the namespace exists, and headers of both kinds lie there; what is read of them is
        // aligned in no particular way. This is an RCU read-side critical section.
        let sk = unsafe {
            let (from, to) = ports(header.add(header_len(family) as usize));
            match family {
                Family::Ipv4 => {
                    let address = |at| header.add(at).cast::<u32>().read_unaligned();
                    let (saddr, daddr) = (address(12), address(16));
                    bindings::__inet_lookup_established(net, saddr, from, daddr, to, dif, 0)
                }
                Family::Ipv6 => {
                    let (saddr, daddr) = (header.add(8).cast(), header.add(24).cast());
                    bindings::__inet6_lookup_established(net, saddr, from, daddr, to, dif, 0)
                }
            }
        };
        Some(Self {
            sk: NonNull::new(sk)?,
            destructor: bindings::sock_edemux,
            scope: PhantomData,
        })
    }

    /// The socket, with our reference where it is counted, and what is done with that in the end.
    #[inline(always)]
    pub(super) fn as_raw(&self) -> (*mut bindings::sock, Destructor) {
        (self.sk.as_ptr(), self.destructor)
    }

    /// Gives the packet, which has no socket, to this one: the protocol will look no further.
    pub(crate) fn attach(self, skb: &mut SkBuff) {
        let (sk, destructor) = ManuallyDrop::new(self).as_raw();
        // SAFETY: the skb has no socket: it was re-homed, or IP's input has taken it away before its
        // hooks and none of them has given it one. The reference passes to it; UDP's sockets need
        // none until a grace period has passed.
        unsafe {
            let skb = skb.as_raw();
            (*skb).sk = sk;
            (*skb).__bindgen_anon_3.__bindgen_anon_1.destructor = Some(destructor);
        }
    }

    /// Whether we have a reference to the socket.
    #[inline]
    fn is_counted(&self) -> bool {
        self.destructor as usize == bindings::sock_edemux as usize
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

/// What is done with a packet's socket in the end.
pub(super) type Destructor = unsafe extern "C" fn(*mut bindings::sk_buff);

#[inline(always)]
fn is_of_prefetched(destructor: Destructor) -> bool {
    destructor as usize == bindings::sock_pfree as usize
}

/// IP takes all other sockets away, so most packets that it has seen have none of which this would
/// have to be asked.
#[cold]
#[inline(never)]
fn is_of_assigned(destructor: Destructor) -> bool {
    is_of_prefetched(destructor) || destructor as usize == bindings::sock_edemux as usize
}

impl SkBuff {
    /// Takes a socket away that is none of IP: its output path takes each for one.
    pub(crate) fn keep_inet_socket(&mut self) {
        // SAFETY: the skb is valid, and so is its socket, of whatever kind: all begin alike. A single
        // load, because a socket may go from IPv6 to IPv4.
        let family = unsafe {
            let sk = (*self.as_raw()).sk;
            if sk.is_null() {
                return;
            }
            (&raw const (*sk).__sk_common.skc_family).read_volatile()
        };
        if !matches!(family.into(), bindings::AF_INET | bindings::AF_INET6) {
            self.orphan();
        }
    }

    /// Whether a program has chosen the socket that the packet is for. A packet that IP has not seen
    /// may still have the one that sent it, in another namespace: that is another matter, and IP
    /// takes it away. C: `skb_sk_is_prefetched()`.
    #[inline(always)]
    pub(crate) fn has_prefetched_socket(&self) -> bool {
        self.destructor().is_some_and(is_of_prefetched)
    }

    /// Whether a program or a rule has chosen the socket that a packet is for which IP has seen.
    /// C: `nf_tproxy_assign_sock()`.
    #[inline(always)]
    pub(crate) fn has_assigned_socket(&self) -> bool {
        self.destructor().is_some_and(is_of_assigned)
    }

    #[inline(always)]
    fn destructor(&self) -> Option<Destructor> {
        // SAFETY: the skb is valid. What overlays the field is in use in lists of packets only.
        unsafe {
            (*self.as_raw())
                .__bindgen_anon_3
                .__bindgen_anon_1
                .destructor
        }
    }

    /// Whether it is this socket, or none, that the packet is counted for until it has left.
    #[inline(always)]
    pub(super) fn is_owned_by(&self, sk: *mut bindings::sock) -> bool {
        // SAFETY: the skb is valid.
        unsafe { (*self.as_raw()).sk == sk }
    }

    /// Whether the packet must not have its socket any more where another namespace sends it: what it
    /// came to there its socket would hear of, or it does not keep its own namespace.
    #[inline(always)]
    pub(crate) fn leaves_socket(&self) -> bool {
        // SAFETY: the skb is valid, and so is its socket.
        unsafe { bindings::passthru_helper_skb_leaves_sock(self.as_raw()) }
    }

    /// Whether a socket of this namespace sends the packet.
    #[inline(always)]
    pub(crate) fn is_sent_by(&self, namespace: &Namespace) -> bool {
        // SAFETY: the skb is valid, and so is its socket, of whatever kind: all begin alike.
        unsafe {
            let sk = (*self.as_raw()).sk;
            !sk.is_null() && (*sk).__sk_common.skc_net.net == namespace.as_raw()
        }
    }
}
