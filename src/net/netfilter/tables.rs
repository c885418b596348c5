// SPDX-License-Identifier: GPL-2.0

//! Which hooks a namespace has at a place.

use super::{hook::Hook, packets::Watcher, Family};
use crate::net::{bindings, context::ReadSide, namespace::Namespace};
use core::{marker::PhantomData, ptr::NonNull};
use kernel::prelude::*;

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
    pub(super) fn entries_before_sockets<'r>(
        &self,
        family: Family,
        rcu: ReadSide<'r>,
    ) -> Option<Hooks<'r>> {
        self.hooks(family, bindings::nf_inet_hooks_NF_INET_LOCAL_IN, rcu)
    }

    /// The hooks at a place of a namespace, one of `NF_INET_*`; none where there are none.
    #[inline(always)]
    pub(in crate::net) fn hooks<'r>(
        &self,
        family: Family,
        place: u32,
        _rcu: ReadSide<'r>,
    ) -> Option<Hooks<'r>> {
        NonNull::new(self.raw_hooks(family, place)).map(|hooks| Hooks(hooks, PhantomData))
    }

    /// Whether there are any.
    #[inline(always)]
    pub(in crate::net) fn has_hooks(&self, family: Family, place: u32) -> bool {
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
pub(in crate::net) struct Hooks<'r>(
    pub(super) NonNull<bindings::nf_hook_entries>,
    PhantomData<&'r bindings::nf_hook_entries>,
);

impl<'r> Hooks<'r> {
    /// How many there are; at least one.
    #[inline(always)]
    pub(in crate::net) fn len(self) -> usize {
        // SAFETY: they exist, and their number does not change.
        usize::from(unsafe { (*self.0.as_ptr()).num_hook_entries })
    }

    /// Whether there is one, for a `W`.
    #[inline(always)]
    pub(super) fn are_only<W: Watcher>(self) -> bool {
        self.len() == 1 && self.functions().all(is_hook_of::<W>)
    }

    /// What is called. C: `nf_hook_entries_get_hook_ops()` says what for.
    #[inline(always)]
    pub(super) fn functions(self) -> impl Iterator<Item = bindings::nf_hookfn> + 'r {
        (0..self.len()).map(move |index| {
            // SAFETY: there is one for each hook, which is found by a single load: those that are going
            // have another put in their place.
            unsafe {
                let entry = (*self.0.as_ptr()).hooks.as_ptr().add(index);
                (&raw const (*entry).hook).read_volatile()
            }
        })
    }

    /// What is called where there is no more than one hook, and with what.
    #[inline(always)]
    pub(super) fn only(self) -> Option<(bindings::nf_hookfn, *mut c_void)> {
        // SAFETY: there is one; one that is going has another function put in its place, by which what it
        // is called with does not matter.
        (self.len() == 1).then(|| unsafe {
            let entry = (*self.0.as_ptr()).hooks.as_ptr();
            let hook = (&raw const (*entry).hook).read_volatile();
            (hook, (*entry).priv_)
        })
    }

    /// What they were registered as. C: `nf_hook_entries_get_hook_ops()`.
    #[inline(always)]
    pub(in crate::net) fn registrations(self) -> impl Iterator<Item = Registration> + 'r {
        // SAFETY: there is one for each hook.
        (0..self.len()).map(move |index| unsafe { self.registration(index) })
    }

    /// As [`Self::registrations`], where there is no more than one hook.
    #[inline(always)]
    pub(in crate::net) fn only_registration(self) -> Option<Registration> {
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
pub(in crate::net) struct Registration {
    /// Where it stands among the others.
    pub(in crate::net) priority: c_int,
    /// Whether it belongs to the kernel itself, or a module: to no table of nftables' or program.
    pub(in crate::net) is_plain: bool,
}

/// Whether what is called there is a [`Hook`] for `W`.
#[inline(always)]
pub(super) fn is_hook_of<W: Watcher>(function: bindings::nf_hookfn) -> bool {
    let ours: bindings::nf_hookfn = Some(Hook::<W>::hook);
    function.map(|hook| hook as usize) == ours.map(|hook| hook as usize)
}
