// SPDX-License-Identifier: GPL-2.0

//! Packets that change namespace on their way out: what one stack was about to send another sends.
//!
//! C headers: `include/net/ip.h`, `include/net/ipv6.h`, `include/net/dst.h`.

use super::{
    context::{with_bottom_halves_disabled, BottomHalf, ReadSide},
    device::NetDevice,
    driver::Transmit,
    dst::Dst,
    ipv4, ipv6,
    namespace::Namespace,
    netfilter::{At, Family, Hooks, Onward, Registration},
    percpu::Traffic,
    skb::{DropReason, Protocol, SkBuff},
};
use crate::net::bindings;
use core::ptr;
use kernel::prelude::*;

/// A header of IPv6, as it is on the wire.
type Ipv6Bytes = [u8; ipv6::HEADER_LEN as usize];

const LOCAL_OUT: u32 = bindings::nf_inet_hooks_NF_INET_LOCAL_OUT;
pub(super) const AFTER_ROUTING: u32 = bindings::nf_inet_hooks_NF_INET_POST_ROUTING;

impl NetDevice {
    /// Whether nothing looks at what this device is given to send by its namespace: no hook after
    /// routing that is the namespace's own, no queueing discipline, no traffic control, no tap.
    #[inline(always)]
    pub(crate) fn sends_unseen(
        &self,
        namespace: &Namespace,
        family: Family,
        rcu: ReadSide<'_>,
    ) -> bool {
        // All of it at once, as in `is_watched()`.
        // SAFETY: a field of a device that exists, by a single load; a queueing discipline is freed
        // after a grace period.
        let queues = unsafe { queues_by((&raw const (*self.as_raw()).qdisc).read_volatile()) };
        let watchers = self.what_looks(namespace, rcu) | queues;
        watchers == 0
            && namespace
                .hooks(family, AFTER_ROUTING, rcu)
                .is_none_or(are_of_machine)
    }

    /// What looks at packets that this device is given to send, whether they are queued or not: traffic
    /// control, hooks, taps. Zero if nothing does.
    #[inline(always)]
    pub(super) fn what_looks(&self, namespace: &Namespace, _rcu: ReadSide<'_>) -> usize {
        let (dev, net) = (self.as_raw(), namespace.as_raw());
        // SAFETY: fields of a device and a namespace that exist, by single loads; all are pointers
        // or made of one.
        unsafe {
            let list = |head: *const bindings::list_head| {
                (&raw const (*head).next).read_volatile() as usize ^ head as usize
            };
            list(&raw const (*dev).ptype_all)
                | list(&raw const (*net).ptype_all)
                | (&raw const (*dev).tcx_egress).read_volatile() as usize
                | (&raw const (*dev).nf_hooks_egress).read_volatile() as usize
        }
    }

    /// By what packets of this device's first queue wait now, or are dropped: the kernel has them dropped
    /// while the device is down or has no carrier. Zero if they are sent at once.
    #[inline(always)]
    pub(super) fn what_queues_now(&self, _rcu: ReadSide<'_>) -> usize {
        // SAFETY: a device has its first queue for as long as it exists. A single load; a queueing
        // discipline is freed after a grace period.
        unsafe {
            let first = (*self.as_raw())._tx;
            queues_by((&raw const (*first).qdisc).read_volatile())
        }
    }

    /// Whether nothing has a say in what this device is given to send: no queueing discipline, no
    /// traffic control, no hook. Taps have none.
    #[inline(always)]
    pub(crate) fn sends_all(&self, _rcu: ReadSide<'_>) -> bool {
        let dev = self.as_raw();
        // SAFETY: fields of a device that exists, by single loads; a queueing discipline is freed
        // after a grace period.
        let limits = unsafe {
            (&raw const (*dev).tcx_egress).read_volatile() as usize
                | (&raw const (*dev).nf_hooks_egress).read_volatile() as usize
                | queues_by((&raw const (*dev).qdisc).read_volatile())
        };
        limits == 0
    }

    /// Whether nothing has a say in what this device receives before its protocols do: no XDP, no
    /// traffic control, no hook, no bridge or the like that has it all.
    #[inline(always)]
    pub(crate) fn receives_all(&self, _rcu: ReadSide<'_>) -> bool {
        let dev = self.as_raw();
        // SAFETY: fields of a device that exists, by single loads.
        let limits = unsafe {
            (&raw const (*dev).tcx_ingress).read_volatile() as usize
                | (&raw const (*dev).nf_hooks_ingress).read_volatile() as usize
                | (&raw const (*dev).rx_handler)
                    .cast::<usize>()
                    .read_volatile()
                | (&raw const (*dev).xdp_prog).read_volatile() as usize
        };
        limits == 0
    }

    /// Whether what this device is given to send may wait in a queueing discipline.
    pub(crate) fn has_queue(&self, _rcu: ReadSide<'_>) -> bool {
        // SAFETY: fields of a device that exists, by single loads; a queueing discipline is freed
        // after a grace period.
        unsafe { queues_by((&raw const (*self.as_raw()).qdisc).read_volatile()) != 0 }
    }

    /// Whether what this device has to do with begins with an Ethernet header, or with none at all.
    fn is_framed(&self) -> bool {
        // SAFETY: the device exists.
        unsafe { (*self.as_raw()).hard_header_len != 0 }
    }

    /// Where the Ethernet address of this device is, which has one: for C to copy, and for no
    /// reference. Who reads it while it is changed finds one that is neither old nor new.
    #[inline(always)]
    pub(super) fn raw_address(&self) -> *const c_uchar {
        // SAFETY: the device exists; a single load.
        unsafe { (&raw const (*self.as_raw()).dev_addr).read_volatile() }
    }

    /// Whether that is this one's. C: `ether_addr_equal()`.
    #[inline(always)]
    pub(super) fn has_address(&self, address: &[u8; bindings::ETH_ALEN as usize]) -> bool {
        let own = self.raw_address();
        // SAFETY: the address exists as long as the device, and has more room than this. It lies behind
        // pointers (`struct netdev_hw_addr`), so both words are where such may be; single loads.
        let (first, last) = unsafe {
            let last = own.add(4).cast::<u16>();
            (own.cast::<u32>().read_volatile(), last.read_volatile())
        };
        let [a, b, c, d, e, f] = *address;
        let differs = u32::from_ne_bytes([a, b, c, d]) ^ first;
        differs | u32::from(u16::from_ne_bytes([e, f]) ^ last) == 0
    }

    /// How many devices without a queue are being sent on at this moment, one from within the
    /// other, by this CPU, or on PREEMPT_RT by this task. C: `dev_recursion_level()`.
    pub(crate) fn recursion_level(_bh: BottomHalf<'_>) -> u32 {
        // SAFETY: only reads a counter.
        unsafe { bindings::passthru_helper_dev_recursion_level() as u32 }
    }
}

/// The function that a queueing discipline queues packets by. Zero if it has none: then it is `noqueue`.
///
/// # Safety
///
/// `qdisc` must exist.
#[inline(always)]
unsafe fn queues_by(qdisc: *const bindings::Qdisc) -> usize {
    // SAFETY: by the caller's promise; a single load of a pointer to a function, which is none for none.
    unsafe {
        (&raw const (*qdisc).enqueue)
            .cast::<usize>()
            .read_volatile()
    }
}

/// Whether hooks are those that security modules have in every namespace (AppArmor, SELinux). In the
/// parent they see the packet with all that they look at; for what does not go by there
/// [`SkBuff::pass_hooks_after_routing`] has them called. C: `NF_IP_PRI_SELINUX_LAST`.
#[inline(always)]
pub(super) fn are_of_machine(hooks: Hooks<'_>) -> bool {
    const FIRST: i32 = bindings::nf_ip_hook_priorities_NF_IP_PRI_SELINUX_FIRST;
    const LAST: i32 = bindings::nf_ip_hook_priorities_NF_IP_PRI_SELINUX_LAST;
    let is_of_machine = |hook: Registration| matches!(hook.priority, FIRST | LAST) && hook.is_plain;
    // Most namespaces have that of one module, and no other.
    match hooks.only_registration() {
        Some(only) => is_of_machine(only),
        None => hooks.registrations().all(is_of_machine),
    }
}

/// Who a packet is sent for. Which of them is never to be told from an address, as that would be asked
/// for on the way of each packet.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum From<'a> {
    /// A socket of this namespace, whose own output path ends here and counts the packet.
    Socket(&'a Namespace),
    /// A device that was given the packet by the output path of its namespace.
    Device,
}

impl SkBuff {
    /// Sends an IPv4 packet, which begins with its header, by a route of the namespace of `port`, as
    /// if that had made it: past its hooks of output and after routing. Those see it come by `port`.
    /// The packet keeps its socket, so that the sender feels the queues on its way.
    ///
    /// C: `ip_local_out()`.
    #[inline(always)]
    pub(crate) fn depart_ipv4(
        mut self,
        from: From<'_>,
        port: &NetDevice,
        dst: Dst<'_>,
        tos: u8,
        traffic: Traffic<'_>,
        rcu: ReadSide<'_>,
    ) -> Sent {
        let verdict = match self.judge(from, Family::Ipv4) {
            Ok(verdict) => verdict,
            Err(refused) => return self.refuse(refused),
        };
        // SAFETY: the skb is valid and ours; device, counters and route exist for the read-side
        // critical section that `dst` stands for.
        unsafe {
            bindings::passthru_helper_ip_depart(
                self.as_raw(),
                port.as_raw(),
                dst.as_raw(),
                tos,
                traffic.counters(),
                traffic.amount(),
            );
        }
        self.leave(Family::Ipv4, port, dst, rcu).or(verdict)
    }

    /// As [`Self::depart_ipv4`], for IPv6. C: `ip6_local_out()`.
    #[inline(always)]
    pub(crate) fn depart_ipv6(
        mut self,
        from: From<'_>,
        port: &NetDevice,
        dst: Dst<'_>,
        traffic: Traffic<'_>,
        rcu: ReadSide<'_>,
    ) -> Sent {
        let verdict = match self.judge(from, Family::Ipv6) {
            Ok(verdict) => verdict,
            Err(refused) => return self.refuse(refused),
        };
        // SAFETY: as above.
        unsafe {
            bindings::passthru_helper_ip6_depart(
                self.as_raw(),
                port.as_raw(),
                dst.as_raw(),
                traffic.counters(),
                traffic.amount(),
            );
        }
        self.leave(Family::Ipv6, port, dst, rcu).or(verdict)
    }

    /// Counts what a socket sends, and has the programs of its cgroups judge it. A device has had that
    /// done before; it tells the sender that the packet leaves.
    #[inline(always)]
    fn judge(&mut self, from: From<'_>, family: Family) -> Result<Sent, Sent> {
        match from {
            From::Socket(namespace) => self.run_programs(family, namespace),
            From::Device => {
                self.tell_sender();
                Ok(Sent::DONE)
            }
        }
    }

    /// As [`Self::judge`]. Fails with what the sender is to hear if a program says no, as
    /// `ip_finish_output()` does.
    #[inline(always)]
    fn run_programs(&mut self, family: Family, namespace: &Namespace) -> Result<Sent, Sent> {
        let (skb, net) = (self.as_raw(), namespace.as_raw());
        // SAFETY: the skb is valid and ours, has its route, and owns a reference to its socket if it
        // has one; the namespace exists.
        let verdict = Sent(unsafe {
            match family {
                Family::Ipv4 => bindings::passthru_helper_ip_judge(skb, net),
                Family::Ipv6 => bindings::passthru_helper_ip6_judge(skb, net),
            }
        });
        match verdict.transmit() {
            Transmit::Dropped => Err(verdict),
            Transmit::Sent | Transmit::Congested => Ok(verdict),
        }
    }

    /// If the sender asked for times, or chose one, the packet is taken from it: what it hears later would
    /// be with a copy of what the parent made of it, with others' addresses.
    #[inline(always)]
    fn tell_sender(&mut self) {
        if self.asks_for_times() || self.leaves_socket() {
            self.leave_sender();
        }
    }

    #[cold]
    #[inline(never)]
    fn leave_sender(&mut self) {
        if self.asks_for_times() {
            self.tx_timestamp();
        }
        self.orphan();
    }

    /// A program said no.
    #[cold]
    fn refuse(self, answer: Sent) -> Sent {
        self.drop_with(DropReason::BPF_CGROUP_EGRESS);
        answer
    }

    /// By the hooks of output of the port's namespace, if it has any, and then by the packet's route. For
    /// no socket: what belongs to that has seen the packet in its own namespace.
    #[inline(always)]
    fn leave(self, family: Family, port: &NetDevice, dst: Dst<'_>, rcu: ReadSide<'_>) -> Sent {
        let namespace = port.namespace(rcu);
        if let Some(hooks) = namespace.hooks(family, LOCAL_OUT, rcu) {
            return self.leave_by(hooks, family, namespace, rcu);
        }
        // SAFETY: the packet was given this route just now, by which it goes to one host: what is for many
        // is asked for nowhere. It comes by hooks of output or by `ndo_start_xmit`, and both are in an RCU
        // read-side critical section of C's.
        let sent = unsafe { self.send_to_neighbour(family, port, namespace, dst, rcu) };
        sent.unwrap_or_else(|skb| skb.leave_at_once(family, namespace))
    }

    /// By the packet's route, which is one of `family`.
    #[inline(always)]
    fn leave_at_once(self, family: Family, namespace: &Namespace) -> Sent {
        let (skb, net, sk) = (self.into_raw(), namespace.as_raw(), ptr::null_mut());
        // SAFETY: the skb is valid and was ours, has its route, and its reference passes to the callee; the
        // namespace exists.
        Sent(unsafe {
            match family {
                Family::Ipv4 => bindings::passthru_helper_ip_output(net, sk, skb),
                Family::Ipv6 => bindings::passthru_helper_dst_output(net, sk, skb),
            }
        })
    }

    /// Where the packet passes hooks of output, with the device that its route has by then.
    fn at_output<'a>(
        &self,
        family: Family,
        namespace: &'a Namespace,
        onward: Onward,
        rcu: ReadSide<'a>,
    ) -> At<'a> {
        At {
            place: LOCAL_OUT,
            family,
            input: None,
            output: self.dst(rcu).map(|dst| dst.device(rcu)),
            namespace,
            onward,
        }
    }

    /// Not inline: few have hooks to pass.
    #[inline(never)]
    fn leave_by(
        self,
        hooks: Hooks<'_>,
        family: Family,
        namespace: &Namespace,
        rcu: ReadSide<'_>,
    ) -> Sent {
        let at = self.at_output(family, namespace, go_out_late, rcu);
        let before = self.dst(rcu).map(Dst::as_raw);
        let asked = self.asked_by_rules(family, namespace);
        Sent(match self.pass_hooks_at(&at, hooks, 0) {
            Ok(skb)
                if skb.dst(rcu).map(Dst::as_raw) == before
                    && asked == skb.asked_by_rules(family, namespace) =>
            {
                skb.go_out(namespace, rcu)
            }
            Ok(skb) => skb.go_elsewhere(family, namespace, rcu),
            Err(answer) => answer,
        })
    }

    /// What rules may ask of a packet, where the route does not tell whether a hook has changed that. By IPv6
    /// what is sent and what came in may have the same one; by IPv4 they have not.
    fn asked_by_rules(&self, family: Family, namespace: &Namespace) -> Option<(u32, Ipv6Bytes)> {
        if family != Family::Ipv6 || !namespace.ipv6_has_rules() {
            return None;
        }
        Some((self.mark(), *self.linear().first_chunk()?))
    }

    /// As [`Self::go_out`], where a hook has changed what the packet's route depends on, and has routed it
    /// anew, as what the parent itself sends. Rules may tell that from what comes by the port: then they
    /// are asked once more.
    #[cold]
    #[inline(never)]
    fn go_elsewhere(mut self, family: Family, namespace: &Namespace, rcu: ReadSide<'_>) -> c_int {
        let ruled = match family {
            Family::Ipv4 => namespace.ipv4_has_rules(),
            Family::Ipv6 => namespace.ipv6_has_rules(),
        };
        if ruled && !self.is_for_us(rcu) && !self.route_by_port(family) {
            // The port's rules refuse it, or have it for the parent, which is for input to tell.
            return self.come_in().map_or_else(|error| error.to_errno(), |()| 0);
        }
        self.go_out(namespace, rcu)
    }

    /// Routes a packet as one that came in by the port, which it has as its device. Whether it is to be
    /// sent on.
    fn route_by_port(&mut self, family: Family) -> bool {
        self.drop_dst();
        // SAFETY: the packet has its device, which exists for the RCU read-side critical section that
        // hooks are in.
        let port = unsafe { NetDevice::from_raw(self.raw_dev().read()) };
        with_bottom_halves_disabled(|bh| match family {
            Family::Ipv4 => ipv4::Header::any(self)
                .and_then(|header| self.route_ipv4(&header, port, bh).ok())
                .is_some_and(|route| route.kind == ipv4::Kind::Unicast),
            Family::Ipv6 => self.route_ipv6(bh).is_some(),
        })
    }

    /// Has the packet pass the hooks after routing of the namespace of `dev`, which is to send it; these
    /// must be none but those of security modules, which delay nothing. Fails with what the sender is to
    /// hear if one says no. C: `NF_INET_POST_ROUTING`.
    pub(crate) fn pass_hooks_after_routing(
        self,
        family: Family,
        dev: &NetDevice,
        rcu: ReadSide<'_>,
    ) -> Result<Self, Sent> {
        let (place, namespace) = (AFTER_ROUTING, dev.namespace(rcu));
        let Some(hooks) = namespace.hooks(family, place, rcu) else {
            return Ok(self);
        };
        let at = At {
            place,
            family,
            input: None,
            output: Some(dev),
            namespace,
            onward: go_out,
        };
        self.pass_hooks_at(&at, hooks, 0).map_err(Sent)
    }

    /// Sends a packet of `family`, which has its route, as if `namespace` had made it. The reason is
    /// counted where it is dropped. C: `ip_local_out()`, `ip6_local_out()`.
    pub(super) fn send_as_own(mut self, family: Family, namespace: &Namespace, rcu: ReadSide<'_>) {
        // Others may look at what comes before the packet, where the next header is written.
        // SAFETY: the skb is valid and ours, and has its route.
        if unsafe { bindings::passthru_helper_skb_cow_for_route(self.as_raw()) } != 0 {
            return self.drop_with(DropReason::NOMEM);
        }
        self.forward_csum();
        self.clear_tstamp();
        let prepared = match family {
            Family::Ipv4 => self.prepare_as_own_ipv4(namespace),
            Family::Ipv6 => self.prepare_as_own_ipv6(namespace),
        };
        if let Some(skb) = prepared {
            skb.leave_as_own(family, namespace, rcu);
        }
    }

    /// What `ip_local_out()` does before the hooks; none where a VRF has taken the packet.
    fn prepare_as_own_ipv4(mut self, namespace: &Namespace) -> Option<Self> {
        self.forget_input_ipv4();
        // SAFETY: the skb is valid and ours, has its route, and its header is ours too since it was copied
        // where it was not. What the function does not give back it has taken.
        unsafe {
            let skb = self.into_raw();
            bindings::passthru_helper_ip_set_len(skb);
            bindings::passthru_helper_ip_count_request(namespace.as_raw());
            let skb = bindings::passthru_helper_l3mdev_ip_out(skb);
            (!skb.is_null()).then(|| Self::from_raw(skb))
        }
    }

    /// What `ip6_local_out()` does before the hooks. Input has cut the packet to its length, and what it
    /// noted is what the output of a packet that is sent on goes by.
    fn prepare_as_own_ipv6(self, namespace: &Namespace) -> Option<Self> {
        // SAFETY: as above.
        unsafe {
            let skb = self.into_raw();
            bindings::passthru_helper_ip6_count_request(skb, namespace.as_raw());
            let skb = bindings::passthru_helper_l3mdev_ip6_out(skb);
            (!skb.is_null()).then(|| Self::from_raw(skb))
        }
    }

    /// By the hooks of output of a namespace whose own the packet is by its address, and then by its route.
    fn leave_as_own(self, family: Family, namespace: &Namespace, rcu: ReadSide<'_>) {
        let at = self.at_output(family, namespace, go_out, rcu);
        let passed = match namespace.hooks(family, LOCAL_OUT, rcu) {
            Some(hooks) => self.pass_hooks_at(&at, hooks, 0).ok(),
            None => Some(self),
        };
        if let Some(skb) = passed {
            skb.go_out(namespace, rcu);
        }
    }

    /// The way of the packet's route, once it has passed hooks. C: `dst_output()`.
    #[inline]
    fn output(self, namespace: &Namespace) -> c_int {
        let (skb, net, sk) = (self.into_raw(), namespace.as_raw(), ptr::null_mut());
        // SAFETY: the skb is valid, has its route, and its reference passes to the callee; the namespace
        // exists, and there may be no socket.
        unsafe { bindings::passthru_helper_dst_output(net, sk, skb) }
    }

    /// As [`Self::output`], for a child's packet that has passed hooks of the parent's.
    fn go_out(self, namespace: &Namespace, rcu: ReadSide<'_>) -> c_int {
        if self.is_for_us(rcu) {
            self.come_in().map_or_else(|error| error.to_errno(), |()| 0)
        } else {
            self.output(namespace)
        }
    }

    /// Whether a packet's route leads to the namespace that it is in. A VRF's own addresses are not on lo.
    fn is_for_us(&self, rcu: ReadSide<'_>) -> bool {
        self.dst(rcu)
            .is_some_and(|dst| dst.is_local_delivery() || dst.device(rcu).is_loopback())
    }

    /// A hook of the parent's has sent a child's packet to the parent itself (REDIRECT, DNAT, a mark):
    /// it comes in by the port that it came from, which it has as its device, as the rules of input are
    /// to see it. By lo, where routes of output lead, it would pass for the parent's own.
    #[cold]
    fn come_in(mut self) -> Result {
        // SAFETY: the packet has its device, which exists.
        let port = unsafe { NetDevice::from_raw(self.raw_dev().read()) };
        self.become_received();
        if self.orphan_frags_received().is_err()
            || port.is_framed() && self.wrap_in_ethernet(port, port).is_err()
        {
            self.drop_with(DropReason::NOMEM);
            return Err(ENOMEM);
        }
        if !port.is_framed() {
            self.begin_without_frame();
        }
        // SAFETY: the skb is valid, and its reference passes to the callee.
        match unsafe { bindings::netif_rx(self.into_raw()) } as c_uint {
            bindings::NET_RX_SUCCESS => Ok(()),
            _ => Err(ENOBUFS),
        }
    }

    /// Has the programs of the sender's cgroups judge a packet that `dev` is to send, as they would
    /// further on in the output path. Returns what the sender is to hear, and fails with that if one says no;
    /// any context. C: `BPF_CGROUP_RUN_PROG_INET_EGRESS()`.
    pub(crate) fn run_egress_programs(
        &mut self,
        family: Family,
        dev: &NetDevice,
        rcu: ReadSide<'_>,
    ) -> Result<Sent, Sent> {
        // SAFETY: the skb is valid and ours, and the device exists.
        unsafe { self.raw_dev().write(dev.as_raw()) };
        self.run_programs(family, dev.namespace(rcu))
    }
}

/// C: `okfn` of hooks of output, which are passed for no socket: see [`SkBuff::pass_hooks_at`].
///
/// # Safety
///
/// `skb` must be valid and have its device and its route, and the caller give up its reference; an RCU
/// read-side critical section must last, and `net` exist.
unsafe extern "C" fn go_out(
    net: *mut bindings::net,
    _sk: *mut bindings::sock,
    skb: *mut bindings::sk_buff,
) -> c_int {
    let scope = ();
    // SAFETY: by the caller's promise.
    let (skb, namespace, rcu) = unsafe {
        let rcu = ReadSide::assume(&scope);
        (SkBuff::from_raw(skb), Namespace::from_raw(net), rcu)
    };
    skb.go_out(namespace, rcu)
}

/// C: `okfn` of hooks of output, for what a program had in its hands (NFQUEUE) meanwhile: which route it
/// had before is not known any more.
///
/// # Safety
///
/// As [`go_out`], of a packet of a child's whose device is the port.
unsafe extern "C" fn go_out_late(
    net: *mut bindings::net,
    _sk: *mut bindings::sock,
    skb: *mut bindings::sk_buff,
) -> c_int {
    let scope = ();
    // SAFETY: by the caller's promise.
    let (skb, namespace, rcu) = unsafe {
        let rcu = ReadSide::assume(&scope);
        (SkBuff::from_raw(skb), Namespace::from_raw(net), rcu)
    };
    let family = match skb.protocol() {
        Protocol::IPV6 => Family::Ipv6,
        _ => Family::Ipv4,
    };
    skb.go_elsewhere(family, namespace, rcu)
}

/// What became of a packet that was given to the stack to send: 0, one of `NET_XMIT_*`, or an
/// error.
#[derive(Clone, Copy)]
pub(crate) struct Sent(c_int);

impl Sent {
    /// The packet went on its way.
    pub(crate) const DONE: Self = Self(0);

    /// What C says.
    #[inline(always)]
    pub(super) fn from_errno(answer: c_int) -> Self {
        Self(answer)
    }

    /// What a device did with it.
    pub(crate) fn by(answer: Transmit) -> Self {
        Self(answer.code() as c_int)
    }

    /// This, or if it is nothing to tell of, what was said before.
    #[inline(always)]
    pub(crate) fn or(self, before: Self) -> Self {
        if self.0 == 0 {
            before
        } else {
            self
        }
    }

    /// Whether there is nothing to tell.
    #[inline(always)]
    pub(super) fn is_done(&self) -> bool {
        self.0 == 0
    }

    /// What the sender of a packet that a hook took is to hear. 1 is what netfilter calls a packet
    /// that nobody took, so where a queue refused the packet it is a code without a name: senders
    /// tell no positive ones apart but `NET_XMIT_CN`. C: `net_xmit_eval()`, `net_xmit_errno()`.
    #[inline(always)]
    pub(super) fn answer(self) -> c_int {
        const REFUSED: c_int = 3;
        const CONGESTED: c_int = bindings::NET_XMIT_CN as c_int;
        const { assert!(REFUSED != CONGESTED && REFUSED as u32 <= bindings::NET_XMIT_MASK) };
        match self.0 {
            code if code <= 0 || code == CONGESTED => code,
            _ => REFUSED,
        }
    }

    /// What a device that was given the packet answers.
    pub(crate) fn transmit(self) -> Transmit {
        match self.0 {
            0 => Transmit::Sent,
            code if code == bindings::NET_XMIT_CN as c_int => Transmit::Congested,
            _ => Transmit::Dropped,
        }
    }
}
