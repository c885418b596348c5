// SPDX-License-Identifier: GPL-2.0

//! Hooks of our own: where they are, how packets come to them, and how they are taken away.

use super::{
    packets::{Passing, Sender, Sending, Watcher},
    Family, LAST,
};
use crate::net::{
    bindings,
    context::{with_bottom_halves_disabled, BottomHalf, ReadSide, Rtnl},
    device::NetDevice,
    namespace::Namespace,
    skb::SkBuff,
};
use core::ptr;
use kernel::{error::to_result, prelude::*, sync::Arc, types::Opaque};

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
    pub(super) unsafe extern "C" fn hook(
        watcher: *mut c_void,
        skb: *mut bindings::sk_buff,
        state: *const bindings::nf_hook_state,
    ) -> c_uint {
        // SAFETY: only reads a counter of this CPU, or on PREEMPT_RT of this task.
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
