// SPDX-License-Identifier: GPL-2.0

//! Which namespaces have hooks where children's packets leave.

use crate::{
    ip::{Ip, Ipv4, Ipv6},
    net::{
        context::Rtnl,
        device::{Device, NetDevice},
        namespace::{Namespace, NamespaceId},
        netfilter::Hook,
        rtnl_cell::RtnlCell,
    },
    output::{AfterOutput, Outgoing},
    passthru::End,
};
use kernel::{prelude::*, sync::Arc};

/// A namespace with children whose ports allow what they send to leave early.
struct Outlets {
    namespace: NamespaceId,
    /// The children, by their addresses: what is here has not told of its end yet.
    children: KVec<usize>,
    hooks: (Hook<AfterOutput<Ipv4>>, Hook<AfterOutput<Ipv6>>),
}

/// All such namespaces.
static OUTLETS: RtnlCell<KVVec<Outlets>> = RtnlCell::new(KVVec::new());

impl Outlets {
    fn new(namespace: &Namespace, rtnl: &Rtnl) -> Result<Self> {
        Ok(Self {
            namespace: namespace.id(),
            children: KVec::new(),
            hooks: (
                hook::<Ipv4>(namespace, rtnl)?,
                hook::<Ipv6>(namespace, rtnl)?,
            ),
        })
    }
}

impl Drop for Outlets {
    fn drop(&mut self) {
        Hook::end_both(&mut self.hooks.0, &mut self.hooks.1);
    }
}

fn hook<I: Ip + Outgoing>(namespace: &Namespace, rtnl: &Rtnl) -> Result<Hook<AfterOutput<I>>> {
    let sender = Arc::new(AfterOutput::new(), GFP_KERNEL)?;
    Hook::register_output(namespace, I::FAMILY, sender, rtnl)
}

/// What tells a device from all others until it is freed, which is after its last end was told.
pub(super) fn number(dev: &NetDevice) -> usize {
    core::ptr::from_ref(dev).addr()
}

/// Sees to it that a child's namespace has hooks. Fails with `ENOMEM`, and with `E2BIG` where it has as
/// many as it may have; and leaves nothing behind.
pub(super) fn add(child: &Device<End>, rtnl: &Rtnl) -> Result {
    let namespace = child.namespace_locked(rtnl);
    OUTLETS.with(rtnl, |all| {
        let known = all
            .iter_mut()
            .find(|outlets| outlets.namespace == namespace.id());
        if let Some(outlets) = known {
            return Ok(outlets.children.push(number(child), GFP_KERNEL)?);
        }
        let mut outlets = Outlets::new(namespace, rtnl)?;
        outlets.children.push(number(child), GFP_KERNEL)?;
        Ok(all.push(outlets, GFP_KERNEL)?)
    })
}

/// A child leaves its namespace, or what it sends is not to leave early any more. Any device may be
/// asked for.
pub(super) fn remove(child: &NetDevice, rtnl: &Rtnl) {
    OUTLETS.with(rtnl, |all| {
        for outlets in all.iter_mut() {
            outlets.children.retain(|other| *other != number(child));
        }
        all.retain(|outlets| !outlets.children.is_empty());
        // As for places of parents: see `registry`.
        if all.is_empty() {
            *all = KVVec::new();
        }
    });
}
