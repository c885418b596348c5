// SPDX-License-Identifier: GPL-2.0

//! Netfilter hooks: places on a packet's way where others may look at it, and take it.
//!
//! C header: `include/linux/netfilter.h`.

use super::{
    address_hashes::AddressHashes,
    context::{with_bottom_halves_disabled, BottomHalf, ReadSide, Rtnl},
    departure::Sent,
    device::NetDevice,
    hint::likely,
    ipv4::{self, Kind},
    ipv6,
    namespace::Namespace,
    rehome::Hooked,
    skb::{DropReason, SkBuff},
    socket::Connection,
};
use crate::net::bindings;
use core::{
    marker::PhantomData,
    ptr::{self, NonNull},
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::{rcu, Arc},
    types::Opaque,
};

/// Where a hook is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// On a device, before the protocols. C: `NF_NETDEV_INGRESS`.
    Ingress(&'a NetDevice),
    /// In IPv4 or IPv6, before routing. C: `NF_INET_PRE_ROUTING`.
    PreRouting(Family),
    /// In IPv4 or IPv6, before the sockets. C: `NF_INET_LOCAL_IN`.
    LocalIn(Family),
}

impl PartialEq for NetDevice {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }
}

impl Eq for NetDevice {}

/// A network protocol.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// A packet at a hook: there to be looked at, and to be taken or let pass.
pub(crate) struct Passing<'a> {
    skb: SkBuff,
    dev: &'a NetDevice,
    bh: BottomHalf<'a>,
}

impl<'a> Passing<'a> {
    /// The packet.
    pub(crate) fn skb(&self) -> &SkBuff {
        &self.skb
    }

    /// The packet, to change what its owner may change.
    pub(crate) fn skb_mut(&mut self) -> &mut SkBuff {
        &mut self.skb
    }

    /// The device that the packet came in by.
    pub(crate) fn dev(&self) -> &'a NetDevice {
        self.dev
    }

    /// Hooks of input run in softirqs, or in a process that has disabled them: a program's that has let
    /// the packet go on (NFQUEUE).
    pub(crate) fn bh(&self) -> BottomHalf<'a> {
        self.bh
    }

    /// Lets the packet go on.
    pub(crate) fn pass(self) -> Verdict<'a> {
        core::mem::forget(self.skb);
        Verdict(bindings::NF_ACCEPT, PhantomData)
    }

    /// Drops the packet as the IP stack would that refuses it for this reason.
    #[cold]
    pub(crate) fn refuse(self, reason: DropReason) -> Verdict<'a> {
        let (skb, verdict) = self.take();
        skb.drop_refused(reason);
        verdict
    }

    /// Takes an IPv4 packet and sends it as if the namespace where it came in had made it: by the
    /// hooks of output, wherever the routes of that namespace lead. Gives it back with its route
    /// where they lead to that namespace's own sockets: it has come in by a device, whose rules are
    /// to see it. That is no hop, but for where it goes out by a device that `counts`.
    /// C: `ip_local_out()`.
    #[cold]
    pub(crate) fn send(mut self, counts: fn(&NetDevice) -> bool) -> Result<Verdict<'a>, Self> {
        let rcu = self.bh.read_side();
        let namespace = self.dev.namespace(rcu);
        match self.skb.route_output_ipv4(namespace) {
            Some(Kind::Unicast) => {
                let counted = self
                    .skb
                    .dst(rcu)
                    .is_some_and(|dst| dst.device(rcu).is_above(counts, rcu));
                if counted && self.skb.count_hop().is_err() {
                    return Ok(self.refuse(DropReason::RECURSION_LIMIT));
                }
                let (skb, verdict) = self.take();
                skb.send_ipv4(namespace, rcu);
                Ok(verdict)
            }
            Some(Kind::Local) => Err(self),
            _ => Ok(self.refuse(DropReason::IP_OUTNOROUTES)),
        }
    }

    /// Takes a packet that the hook `W` before the sockets was given, once it has passed what comes
    /// after that there: connection tracking does, with what it has to do at the end of input.
    #[inline(always)]
    pub(crate) fn take_after_all<W: Watcher>(
        self,
        family: Family,
    ) -> (Option<SkBuff>, Verdict<'a>) {
        let (dev, rcu) = (self.dev, self.bh.read_side());
        let hooks = dev.namespace(rcu).entries_before_sockets(family, rcu);
        let (skb, verdict) = self.take();
        match hooks.filter(|hooks| !hooks.are_only::<W>()) {
            Some(hooks) => (Self::pass_later::<W>(skb, family, dev, hooks, rcu), verdict),
            None => (Some(skb), verdict),
        }
    }

    /// What [`Self::take_after_all`] has a packet pass.
    #[inline(never)]
    fn pass_later<W: Watcher>(
        skb: SkBuff,
        family: Family,
        dev: &NetDevice,
        hooks: Hooks<'_>,
        rcu: ReadSide<'_>,
    ) -> Option<SkBuff> {
        match hooks.functions().position(is_hook_of::<W>) {
            Some(own) if own + 1 < hooks.len() => {
                skb.pass_input_hooks::<W>(family, dev, hooks, own + 1, rcu)
            }
            Some(_) => Some(skb),
            // This one has just been removed, and what stood behind it cannot be told from what stood
            // before. Nothing did, unless it is as late.
            None if hooks.registrations().all(|hook| hook.priority < LAST) => Some(skb),
            None => {
                skb.drop_with(DropReason::NETFILTER_DROP);
                None
            }
        }
    }

    /// Takes the packet: the stack where the hook is will not see it again.
    pub(crate) fn take(self) -> (SkBuff, Verdict<'a>) {
        (self.skb, Verdict(bindings::NF_STOLEN, PhantomData))
    }
}

/// What became of a [`Passing`] packet. There is one for each, and it cannot be kept.
pub(crate) struct Verdict<'a>(u32, PhantomData<fn(&'a ()) -> &'a ()>);

impl Namespace {
    /// Whether nobody looks at packets before the sockets but a `W`: then nothing is between the
    /// hooks before routing and that one for a packet with a local route.
    #[inline(always)]
    pub(crate) fn has_before_sockets_only<W: Watcher>(
        &self,
        family: Family,
        rcu: ReadSide<'_>,
    ) -> bool {
        self.entries_before_sockets(family, rcu)
            .is_some_and(Hooks::are_only::<W>)
    }

    /// Whether anybody but a `W` looks at packets before they are routed.
    #[inline(always)]
    pub(crate) fn has_before_routing_besides<W: Watcher>(
        &self,
        family: Family,
        rcu: ReadSide<'_>,
    ) -> bool {
        self.hooks(family, bindings::nf_inet_hooks_NF_INET_PRE_ROUTING, rcu)
            .is_some_and(|hooks| !hooks.are_only::<W>())
    }

    /// Whether a `W` looks at packets before the sockets.
    #[inline(always)]
    pub(crate) fn has_before_sockets<W: Watcher>(&self, family: Family, rcu: ReadSide<'_>) -> bool {
        self.entries_before_sockets(family, rcu)
            .is_some_and(|hooks| hooks.functions().any(is_hook_of::<W>))
    }

    #[inline(always)]
    fn entries_before_sockets<'r>(&self, family: Family, rcu: ReadSide<'r>) -> Option<Hooks<'r>> {
        self.hooks(family, bindings::nf_inet_hooks_NF_INET_LOCAL_IN, rcu)
    }

    /// The hooks at a place of a namespace, one of `NF_INET_*`; none where there are none.
    #[inline(always)]
    pub(super) fn hooks<'r>(
        &self,
        family: Family,
        place: u32,
        _rcu: ReadSide<'r>,
    ) -> Option<Hooks<'r>> {
        NonNull::new(self.raw_hooks(family, place)).map(|hooks| Hooks(hooks, PhantomData))
    }

    /// Whether there are any.
    #[inline(always)]
    pub(super) fn has_hooks(&self, family: Family, place: u32) -> bool {
        !self.raw_hooks(family, place).is_null()
    }

    #[inline(always)]
    fn raw_hooks(&self, family: Family, place: u32) -> *mut bindings::nf_hook_entries {
        let (net, place) = (self.as_raw(), place as usize);
        // SAFETY: the namespace exists; a single load.
        unsafe {
            let hooks = match family {
                Family::Ipv4 => &raw const (*net).nf.hooks_ipv4[place],
                Family::Ipv6 => &raw const (*net).nf.hooks_ipv6[place],
            };
            hooks.read_volatile()
        }
    }
}

/// The hooks at one place of a namespace, in their order, as they were found. Made by
/// [`Namespace::hooks`] only: they exist for the read-side critical section.
///
/// C: `struct nf_hook_entries`.
#[derive(Clone, Copy)]
pub(super) struct Hooks<'r>(
    NonNull<bindings::nf_hook_entries>,
    PhantomData<&'r bindings::nf_hook_entries>,
);

impl<'r> Hooks<'r> {
    /// How many there are; at least one.
    #[inline(always)]
    pub(super) fn len(self) -> usize {
        // SAFETY: they exist, and their number does not change.
        usize::from(unsafe { (*self.0.as_ptr()).num_hook_entries })
    }

    /// Whether there is one, for a `W`.
    #[inline(always)]
    fn are_only<W: Watcher>(self) -> bool {
        self.len() == 1 && self.functions().all(is_hook_of::<W>)
    }

    /// What is called. C: `nf_hook_entries_get_hook_ops()` says what for.
    #[inline(always)]
    fn functions(self) -> impl Iterator<Item = bindings::nf_hookfn> + 'r {
        (0..self.len()).map(move |index| {
            // SAFETY: there is one for each hook, which is found by a single load: those that are going
            // have another put in their place.
            unsafe {
                let entry = (*self.0.as_ptr()).hooks.as_ptr().add(index);
                (&raw const (*entry).hook).read_volatile()
            }
        })
    }

    /// What they were registered as. C: `nf_hook_entries_get_hook_ops()`.
    #[inline(always)]
    pub(super) fn registrations(self) -> impl Iterator<Item = Registration> + 'r {
        // SAFETY: there is one for each hook.
        (0..self.len()).map(move |index| unsafe { self.registration(index) })
    }

    /// As [`Self::registrations`], where there is no more than one hook.
    #[inline(always)]
    pub(super) fn only_registration(self) -> Option<Registration> {
        // SAFETY: there is one.
        (self.len() == 1).then(|| unsafe { self.registration(0) })
    }

    /// What a hook was registered as.
    ///
    /// # Safety
    ///
    /// There must be more hooks than `index`.
    #[inline(always)]
    unsafe fn registration(self, index: usize) -> Registration {
        // SAFETY: the operations of each hook lie behind all that is needed to call them, and are found
        // by a single load. Those that are going have others put in their place, which are valid too;
        // what is read never changes.
        unsafe {
            let operations = (*self.0.as_ptr()).hooks.as_ptr().add(self.len());
            let operations = operations.cast::<*const bindings::nf_hook_ops>();
            let hook = operations.add(index).read_volatile();
            Registration {
                priority: (*hook).priority,
                is_plain: (*hook).hook_ops_type()
                    == bindings::nf_hook_ops_type_NF_HOOK_OP_UNDEFINED,
            }
        }
    }
}

/// What a hook was registered as.
pub(super) struct Registration {
    /// Where it stands among the others.
    pub(super) priority: c_int,
    /// Whether it belongs to the kernel itself, or a module: to no table of nftables' or program.
    pub(super) is_plain: bool,
}

/// Where our own hooks stand: behind all others that are not there, too.
const LAST: c_int = c_int::MAX;

/// Whether what is called there is a [`Hook`] for `W`.
#[inline(always)]
fn is_hook_of<W: Watcher>(function: bindings::nf_hookfn) -> bool {
    let ours: bindings::nf_hookfn = Some(Hook::<W>::hook);
    function.map(|hook| hook as usize) == ours.map(|hook| hook as usize)
}

/// What is done with a packet that hooks had delayed. C: `okfn`.
pub(super) type Onward = unsafe extern "C" fn(
    net: *mut bindings::net,
    sk: *mut bindings::sock,
    skb: *mut bindings::sk_buff,
) -> c_int;

/// Where hooks are passed. C: `struct nf_hook_state`.
pub(super) struct At<'a> {
    /// One of `NF_INET_*`.
    pub(super) place: u32,
    pub(super) family: Family,
    /// By which device the packet came in.
    pub(super) input: Option<&'a NetDevice>,
    /// By which it is to go out.
    pub(super) output: Option<&'a NetDevice>,
    pub(super) namespace: &'a Namespace,
    /// What comes after them.
    pub(super) onward: Onward,
}

impl SkBuff {
    /// Has the packet pass hooks of a namespace, from the one that stands at `first` on. Gives it back
    /// if none of them took or dropped it; otherwise there is what the sender of such a packet is to
    /// hear. C: `nf_hook_slow()`.
    pub(super) fn pass_hooks_at(
        self,
        at: &At<'_>,
        hooks: Hooks<'_>,
        first: usize,
    ) -> Result<Self, c_int> {
        let raw = |dev: Option<&NetDevice>| dev.map_or(ptr::null_mut(), NetDevice::as_raw);
        let mut state = bindings::nf_hook_state {
            hook: at.place as u8,
            pf: at.family.number() as u8,
            in_: raw(at.input),
            out: raw(at.output),
            net: at.namespace.as_raw(),
            okfn: Some(at.onward),
            ..pin_init::zeroed()
        };
        let skb = self.into_raw();
        // SAFETY: the skb is valid and ours; it still is where the answer is 1, and is not
        // otherwise. All else exists for the read-side critical section that `hooks` stands for.
        unsafe {
            match bindings::nf_hook_slow(skb, &mut state, hooks.0.as_ptr(), first as c_uint) {
                1 => Ok(Self::from_raw(skb)),
                answer => Err(answer),
            }
        }
    }

    /// Has the packet pass the hooks before the sockets from the one that stands at `first` on; none
    /// if one of them took or dropped it, or delays it: then it is [`Watcher::late`].
    fn pass_input_hooks<W: Watcher>(
        self,
        family: Family,
        dev: &NetDevice,
        hooks: Hooks<'_>,
        first: usize,
        rcu: ReadSide<'_>,
    ) -> Option<Self> {
        let at = At {
            place: bindings::nf_inet_hooks_NF_INET_LOCAL_IN,
            family,
            input: Some(dev),
            output: None,
            namespace: dev.namespace(rcu),
            onward: late::<W>,
        };
        self.pass_hooks_at(&at, hooks, first).ok()
    }

    /// Has the packet pass the hooks before routing in the namespace of `dev`, which received it.
    /// What a hook delays goes on by itself afterwards. C: `nf_hook()`.
    pub(crate) fn pass_hooks(self, family: Family, dev: &NetDevice, bh: BottomHalf<'_>) -> Hooked {
        let (place, rcu) = (bindings::nf_inet_hooks_NF_INET_PRE_ROUTING, bh.read_side());
        let namespace = dev.namespace(rcu);
        let Some(hooks) = namespace.hooks(family, place, rcu) else {
            return Hooked::Passed(self);
        };
        let at = At {
            place,
            family,
            input: Some(dev),
            output: None,
            namespace,
            onward: match family {
                Family::Ipv4 => resume_ipv4,
                Family::Ipv6 => resume_ipv6,
            },
        };
        // A region without softirqs is enough for us, but hooks may look for this.
        let _rcu = rcu::read_lock();
        self.pass_hooks_at(&at, hooks, 0)
            .map_or(Hooked::Gone, Hooked::Passed)
    }
}

/// Where a packet goes on that came after all hooks before the sockets but one that had delayed it.
///
/// # Safety
///
/// `skb` must be valid and have its device, which exists, and the caller give up its reference; softirqs
/// are disabled, and an RCU read-side critical section lasts.
unsafe extern "C" fn late<W: Watcher>(
    _net: *mut bindings::net,
    _sk: *mut bindings::sock,
    skb: *mut bindings::sk_buff,
) -> c_int {
    let scope = ();
    // SAFETY: by the caller's promise.
    let packet = unsafe {
        let skb = SkBuff::from_raw(skb);
        let dev = NetDevice::from_raw(skb.raw_dev().read());
        Passing {
            skb,
            dev,
            bh: BottomHalf::assume(&scope),
        }
    };
    W::late(packet);
    0
}

/// Where an IPv4 packet goes on that a hook before routing had delayed.
///
/// # Safety
///
/// As for [`late`]; the packet begins with its header and has its device, which exists; softirqs
/// are disabled.
unsafe extern "C" fn resume_ipv4(
    _net: *mut bindings::net,
    _sk: *mut bindings::sock,
    skb: *mut bindings::sk_buff,
) -> c_int {
    let scope = ();
    // SAFETY: by the caller's promise.
    let (mut skb, dev, bh) = unsafe {
        let skb = SkBuff::from_raw(skb);
        let dev = NetDevice::from_raw(skb.raw_dev().read());
        (skb, dev, BottomHalf::assume(&scope))
    };
    // A hook that came later may have found that out.
    if skb.dst(bh.read_side()).is_some() {
        return skb.follow_route(bh);
    }
    if let Some(header) = ipv4::Header::plain(&skb) {
        show(&mut skb, dev, Family::Ipv4, header.protocol, bh);
    }
    match skb.route_ipv4_again(dev, bh) {
        Ok(()) => skb.follow_route(bh),
        Err(reason) => {
            skb.drop_refused(reason);
            bindings::NET_RX_DROP as c_int
        }
    }
}

/// As [`Connection::show`], where nothing is remembered.
fn show(skb: &mut SkBuff, dev: &NetDevice, family: Family, protocol: u8, bh: BottomHalf<'_>) {
    Connection::show(skb, dev, &AddressHashes::new(), family, protocol, bh);
}

/// As [`resume_ipv4`], for IPv6.
///
/// # Safety
///
/// As for [`resume_ipv4`].
unsafe extern "C" fn resume_ipv6(
    _net: *mut bindings::net,
    _sk: *mut bindings::sock,
    skb: *mut bindings::sk_buff,
) -> c_int {
    let scope = ();
    // SAFETY: by the caller's promise.
    let (mut skb, dev, bh) = unsafe {
        let skb = SkBuff::from_raw(skb);
        let dev = NetDevice::from_raw(skb.raw_dev().read());
        (skb, dev, BottomHalf::assume(&scope))
    };
    if skb.dst(bh.read_side()).is_some() {
        return skb.follow_route(bh);
    }
    if let Some(header) = ipv6::Header::plain(&skb) {
        show(&mut skb, dev, Family::Ipv6, header.protocol, bh);
    }
    let _ = skb.route_ipv6(bh);
    skb.follow_route(bh)
}

/// What looks at packets.
pub(crate) trait Watcher: Send + Sync + 'static {
    /// A packet comes by. With softirqs disabled or in one, under RCU.
    fn packet<'a>(&self, packet: Passing<'a>) -> Verdict<'a>;

    /// A packet that was taken by `Passing::take_after_all`, and then delayed. Under RCU, with softirqs
    /// disabled.
    fn late(packet: Passing<'_>) {
        let _dropped = packet.refuse(DropReason::NETFILTER_DROP);
    }
}

/// A packet that a socket of a namespace sends, at the end of the hooks of output.
///
/// As small as can be: who hands it on to a function that is seldom needed has it in registers.
///
/// # Invariants
///
/// The state is that of a hook of output, and what it names exists while `rcu` lasts.
pub(crate) struct Sending<'a> {
    skb: SkBuff,
    state: &'a bindings::nf_hook_state,
    rcu: ReadSide<'a>,
}

impl<'a> Sending<'a> {
    /// The packet.
    pub(crate) fn skb(&self) -> &SkBuff {
        &self.skb
    }

    /// The packet, to change what its owner may change.
    pub(crate) fn skb_mut(&mut self) -> &mut SkBuff {
        &mut self.skb
    }

    /// Whether the socket that sends the packet is a namespace's own, and its owner is that one. A
    /// tunnel sends as its own what it made of others' packets, which stay their senders'.
    #[inline(always)]
    pub(crate) fn is_from_socket_of(&self, namespace: &Namespace) -> bool {
        likely(self.skb.is_owned_by(self.state.sk)) && self.skb.is_sent_by(namespace)
    }

    /// The device that hooks are told of: the one that the packet's route leads to, unless a hook has
    /// changed that, or the route is that of a VRF, which has its packets pass the hooks twice.
    #[inline(always)]
    pub(crate) fn dev(&self) -> Option<&'a NetDevice> {
        let out = self.state.out;
        // SAFETY: by the type's invariant.
        (!out.is_null()).then(|| unsafe { NetDevice::from_raw(out) })
    }

    /// The namespace that the packet is sent in.
    #[inline(always)]
    pub(crate) fn namespace(&self) -> &'a Namespace {
        // SAFETY: by the type's invariant.
        unsafe { Namespace::from_raw(self.state.net) }
    }

    /// Softirqs may run.
    pub(crate) fn rcu(&self) -> ReadSide<'a> {
        self.rcu
    }

    /// Lets the packet go on.
    pub(crate) fn pass(self) -> Verdict<'a> {
        core::mem::forget(self.skb);
        Verdict(bindings::NF_ACCEPT, PhantomData)
    }

    /// Takes the packet. What became of it is told to the sender by what comes with it.
    #[inline(always)]
    pub(crate) fn take(self) -> (SkBuff, Taken<'a>) {
        (self.skb, Taken(PhantomData))
    }
}

/// Stands for a [`Sending`] packet that was taken, until its sender is told.
pub(crate) struct Taken<'a>(PhantomData<fn(&'a ()) -> &'a ()>);

impl<'a> Taken<'a> {
    /// This is what became of it. The kernel shifts the upper part of a verdict as a signed number
    /// and returns it with its sign turned, so the sender hears codes of congestion as well as
    /// errors: TCP slows down by them. C: `NF_DROP_GETERR()`.
    #[inline(always)]
    pub(crate) fn tell(self, sent: Sent) -> Verdict<'a> {
        if likely(sent.is_done()) {
            return Verdict(bindings::NF_STOLEN, PhantomData);
        }
        let answer = sent.answer().wrapping_neg() as u32;
        Verdict(
            bindings::NF_STOLEN | answer << bindings::NF_VERDICT_QBITS,
            PhantomData,
        )
    }
}

/// What looks at packets that are sent.
pub(crate) trait Sender: Send + Sync + 'static {
    /// A packet comes by. Under RCU, in any context.
    fn packet<'a>(&self, packet: Sending<'a>) -> Verdict<'a>;
}

/// A registered hook. Dropping it unregisters it and waits until nobody is in it any more.
pub(crate) struct Hook<W> {
    ops: KBox<Opaque<bindings::nf_hook_ops>>,
    net: *mut bindings::net,
    _watcher: Arc<W>,
}

// SAFETY: the operations are modified by netfilter only, with locks of its own.
unsafe impl<W: Send + Sync> Send for Hook<W> {}
// SAFETY: as above.
unsafe impl<W: Send + Sync> Sync for Hook<W> {}

impl<W: Watcher> Hook<W> {
    /// Registers a hook that comes after all others at its place. May sleep. Fails with `ENOMEM`,
    /// with `E2BIG` where as many are there as there may be, and with `EOPNOTSUPP` where the kernel has
    /// no such place.
    ///
    /// The hook must be dropped before the namespace, or the device, ends: before that the RTNL is
    /// taken, so whoever holds it and finds them alive has the time. C: `nf_register_net_hook()`.
    pub(crate) fn register(
        namespace: &Namespace,
        place: Place<'_>,
        watcher: Arc<W>,
        _rtnl: &Rtnl,
    ) -> Result<Self> {
        let (family, number, dev) = match place {
            Place::Ingress(dev) => (
                bindings::NFPROTO_NETDEV,
                bindings::nf_dev_hooks_NF_NETDEV_INGRESS,
                dev.as_raw(),
            ),
            Place::PreRouting(family) => (
                family.number(),
                bindings::nf_inet_hooks_NF_INET_PRE_ROUTING,
                ptr::null_mut(),
            ),
            Place::LocalIn(family) => (
                family.number(),
                bindings::nf_inet_hooks_NF_INET_LOCAL_IN,
                ptr::null_mut(),
            ),
        };
        let hook: bindings::nf_hookfn = match place {
            Place::Ingress(_) => Some(Self::ingress),
            Place::PreRouting(_) | Place::LocalIn(_) => Some(Self::hook),
        };
        let ops = bindings::nf_hook_ops {
            hook,
            dev,
            pf: family as u8,
            hooknum: number,
            ..pin_init::zeroed()
        };
        Self::register_as(ops, namespace, watcher)
    }

    /// A packet that a program has let go on (NFQUEUE) passes the rest of the hooks in its process,
    /// where softirqs may run. All others come by in one.
    ///
    /// # Safety
    ///
    /// As for [`Self::run`], but that softirqs may run.
    unsafe extern "C" fn hook(
        watcher: *mut c_void,
        skb: *mut bindings::sk_buff,
        state: *const bindings::nf_hook_state,
    ) -> c_uint {
        // SAFETY: only reads a counter of this CPU.
        if unsafe { bindings::passthru_helper_softirq_count() } != 0 {
            // SAFETY: by the caller's promise, and as was found out.
            unsafe { Self::run(watcher, skb, state) }
        } else {
            // SAFETY: by the caller's promise.
            unsafe { Self::run_in_process(watcher, skb, state) }
        }
    }

    /// # Safety
    ///
    /// As for [`Self::hook`].
    #[cold]
    #[inline(never)]
    unsafe fn run_in_process(
        watcher: *mut c_void,
        skb: *mut bindings::sk_buff,
        state: *const bindings::nf_hook_state,
    ) -> c_uint {
        // SAFETY: by the caller's promise, and softirqs are disabled meanwhile.
        with_bottom_halves_disabled(|_bh| unsafe { Self::run(watcher, skb, state) })
    }

    /// Nothing that comes by a device is given to a program here.
    ///
    /// # Safety
    ///
    /// As for [`Self::run`].
    unsafe extern "C" fn ingress(
        watcher: *mut c_void,
        skb: *mut bindings::sk_buff,
        state: *const bindings::nf_hook_state,
    ) -> c_uint {
        // SAFETY: by the caller's promise.
        unsafe { Self::run(watcher, skb, state) }
    }

    /// # Safety
    ///
    /// `watcher` must be a `W`, `skb` a packet that is the caller's unless the answer is
    /// `NF_STOLEN`, `state` describe a hook of input; softirqs must be disabled and an RCU
    /// read-side critical section last.
    #[inline(always)]
    unsafe fn run(
        watcher: *mut c_void,
        skb: *mut bindings::sk_buff,
        state: *const bindings::nf_hook_state,
    ) -> c_uint {
        let scope = ();
        // SAFETY: by the caller's promise; an input hook has an input device. The reference that
        // `SkBuff` stands for is given back in `Passing::pass()` or spent.
        let (watcher, packet) = unsafe {
            let packet = Passing {
                skb: SkBuff::from_raw(skb),
                dev: NetDevice::from_raw((*state).in_),
                bh: BottomHalf::assume(&scope),
            };
            (&*watcher.cast::<W>(), packet)
        };
        watcher.packet(packet).0
    }
}

impl<W: Sender> Hook<W> {
    /// Registers a hook that comes after all others on packets that sockets of the namespace send.
    /// As [`Hook::register`] otherwise. C: `NF_INET_LOCAL_OUT`.
    pub(crate) fn register_output(
        namespace: &Namespace,
        family: Family,
        sender: Arc<W>,
        _rtnl: &Rtnl,
    ) -> Result<Self> {
        let ops = bindings::nf_hook_ops {
            hook: Some(Self::output),
            pf: family.number() as u8,
            hooknum: bindings::nf_inet_hooks_NF_INET_LOCAL_OUT,
            ..pin_init::zeroed()
        };
        Self::register_as(ops, namespace, sender)
    }

    /// # Safety
    ///
    /// `sender` must be a `W`, `skb` a packet that is the caller's unless the answer is
    /// `NF_STOLEN`, `state` describe a hook of output, and an RCU read-side critical section last.
    unsafe extern "C" fn output(
        sender: *mut c_void,
        skb: *mut bindings::sk_buff,
        state: *const bindings::nf_hook_state,
    ) -> c_uint {
        let scope = ();
        // SAFETY: by the caller's promise. The reference that `SkBuff` stands for is given back in
        // `Sending::pass()` or spent.
        // INVARIANT: by the caller's promise as well.
        let (sender, packet) = unsafe {
            let packet = Sending {
                skb: SkBuff::from_raw(skb),
                state: &*state,
                rcu: ReadSide::assume(&scope),
            };
            (&*sender.cast::<W>(), packet)
        };
        sender.packet(packet).0
    }
}

impl<W> Hook<W> {
    /// Completes the operations, whose hook must take a `W`, and registers them.
    fn register_as(
        ops: bindings::nf_hook_ops,
        namespace: &Namespace,
        watcher: Arc<W>,
    ) -> Result<Self> {
        let ops = bindings::nf_hook_ops {
            priv_: Arc::as_ptr(&watcher).cast_mut().cast(),
            priority: LAST,
            ..ops
        };
        let ops = KBox::new(Opaque::new(ops), GFP_KERNEL)?;
        let net = namespace.as_raw();
        // SAFETY: the namespace exists, the operations are complete and stay in their place. What
        // `priv` points to lives as long as the value that is made here, which unregisters.
        to_result(unsafe { bindings::nf_register_net_hook(net, ops.get()) })?;
        Ok(Self {
            ops,
            net,
            _watcher: watcher,
        })
    }
}

impl<W> Hook<W> {
    /// Takes hooks away, all of them in the time that one takes: what is left of each can then be
    /// dropped at once. May sleep.
    pub(crate) fn end_all<'a>(hooks: impl Iterator<Item = &'a mut Self>, _rtnl: &Rtnl)
    where
        W: 'a,
    {
        let mut any = false;
        for hook in hooks {
            hook.unregister();
            any = true;
        }
        if any {
            // SAFETY: the RTNL is held, under which it is right to sleep.
            unsafe { bindings::synchronize_net() };
        }
    }

    /// As [`Self::end_all`], for two hooks of different kinds. To be called under the RTNL.
    pub(crate) fn end_both<V>(&mut self, other: &mut Hook<V>) {
        self.unregister();
        other.unregister();
        // SAFETY: as for dropping either.
        unsafe { bindings::synchronize_net() };
    }

    /// Who has found the hook before may still be in it until `synchronize_net()` is through.
    fn unregister(&mut self) {
        // SAFETY: registered with the same namespace, which still exists, and not unregistered yet.
        unsafe { bindings::nf_unregister_net_hook(self.net, self.ops.get()) };
        self.net = ptr::null_mut();
    }
}

/// Hooks that were taken away, of which some may still be in use: waiting for each of them would hold up
/// all other changes of devices, where many go at once.
pub(crate) struct Ending<W>(KVVec<(Hook<W>, GracePeriod)>);

/// C: what `start_poll_synchronize_rcu()` returns.
type GracePeriod = usize;

impl<W> Ending<W> {
    /// There are none.
    pub(crate) const fn new() -> Self {
        Self(KVVec::new())
    }

    /// Takes a hook away, and drops what is left of earlier ones that nobody uses any more. May sleep.
    pub(crate) fn end(&mut self, hook: Hook<W>, _rtnl: &Rtnl) {
        self.0.retain(|(_, grace_period)| !is_over(*grace_period));
        // Without memory it is dropped here, and waited for.
        if self.0.push((hook, 0), GFP_KERNEL).is_err() {
            return;
        }
        if let Some((hook, grace_period)) = self.0.last_mut() {
            hook.unregister();
            // SAFETY: waits for nothing.
            *grace_period = unsafe { bindings::start_poll_synchronize_rcu() };
        }
    }
}

/// Whether whoever had found a hook by then has left it.
fn is_over(grace_period: GracePeriod) -> bool {
    // SAFETY: only reads the state of RCU.
    unsafe { bindings::poll_state_synchronize_rcu(grace_period) }
}

impl<W> Drop for Ending<W> {
    fn drop(&mut self) {
        if self
            .0
            .iter()
            .any(|(_, grace_period)| !is_over(*grace_period))
        {
            // SAFETY: hooks end under the RTNL, where it is right to sleep.
            unsafe { bindings::synchronize_net() };
        }
    }
}

impl<W> Drop for Hook<W> {
    fn drop(&mut self) {
        if self.net.is_null() {
            return;
        }
        self.unregister();
        // SAFETY: hooks are dropped where it is right to sleep. Then nothing refers to this one.
        unsafe { bindings::synchronize_net() };
    }
}

impl Family {
    fn number(self) -> u32 {
        match self {
            Self::Ipv4 => bindings::NFPROTO_IPV4,
            Self::Ipv6 => bindings::NFPROTO_IPV6,
        }
    }
}
