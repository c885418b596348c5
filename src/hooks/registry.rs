// SPDX-License-Identifier: GPL-2.0

//! Which namespace has which hooks, and why.

use super::{
    outlets,
    watchers::{BeforeRouting, BeforeSockets, Ingress},
};
use crate::{
    fib::{exits::Exits, Parent},
    ip::{Ip, Ipv4, Ipv6},
    net::{
        context::{ReadSide, Rtnl},
        device::{Device, NetDevice},
        namespace::{Inhabited, Namespace},
        netfilter::{Ending, Family, Hook, Place},
        notifier::{Event, Listener, Notifier, NotifierRegistration},
        rtnl_cell::RtnlCell,
        work::{Task, Work, WorkRegistration},
    },
    passthru::{self, is_uplink, End, Role},
    shortcut::{self, Set, Shortcut},
};
use kernel::{
    pr_warn_once,
    prelude::*,
    sync::{rcu, Arc},
};

/// A namespace with ports that allow shortcuts.
struct Places {
    namespace: Inhabited,
    parent: Arc<Parent>,
    /// Where packets of children go on, while a port allows that.
    exits: Option<Arc<Exits>>,
    /// Ports that allow the shortcuts, by [`Set::index`].
    users: [usize; shortcut::COUNT],
    ingress: KVec<DeviceHook>,
    /// Of devices that have gone.
    ending: Ending<Ingress>,
    before_routing: Option<Both<BeforeRouting<Ipv4>, BeforeRouting<Ipv6>>>,
    before_sockets: Option<Both<BeforeSockets<Ipv4>, BeforeSockets<Ipv6>>>,
}

/// The hooks of IPv4 and of IPv6 at one place.
type Both<V4, V6> = (Hook<V4>, Hook<V6>);

/// The hook on a device.
struct DeviceHook {
    /// The device's address: what is here has not told of its end yet, while its number may be
    /// another's by the time that it tells for the last time.
    dev: usize,
    hook: Hook<Ingress>,
}

/// All such namespaces.
static PLACES: RtnlCell<KVVec<Places>> = RtnlCell::new(KVVec::new());

impl Places {
    fn new(namespace: &Namespace) -> Result<Self> {
        Ok(Self {
            namespace: namespace.inhabited(),
            parent: Arc::new(Parent::new()?, GFP_KERNEL)?,
            exits: None,
            users: [0; shortcut::COUNT],
            ingress: KVec::new(),
            ending: Ending::new(),
            before_routing: None,
            before_sockets: None,
        })
    }

    fn wants(&self, shortcut: Shortcut) -> bool {
        self.users[Set::index(shortcut)] > 0
    }

    fn is_unused(&self) -> bool {
        self.users.iter().all(|users| *users == 0)
    }

    /// Takes note of what a port allows instead of `old`. Where a hook cannot be registered all is
    /// as before; where nothing is added none is, so that this does not fail.
    fn change(&mut self, namespace: &Namespace, old: Set, new: Set, rtnl: &Rtnl) -> Result {
        let (less, more) = (old.without(new), new.without(old));
        self.note(Set::NONE, more);
        let added = if more.is_empty() {
            Ok(())
        } else {
            self.add_hooks(namespace, rtnl)
        };
        // What is not needed goes only now, when nothing can fail any more.
        match added {
            Ok(()) => self.note(less, Set::NONE),
            Err(_) => self.note(more, Set::NONE),
        }
        self.drop_hooks(rtnl);
        added
    }

    fn note(&mut self, less: Set, more: Set) {
        for shortcut in less.iter() {
            self.users[Set::index(shortcut)] -= 1;
        }
        for shortcut in more.iter() {
            self.users[Set::index(shortcut)] += 1;
        }
    }

    /// Registers what is needed and not there, unregisters what is there and not needed.
    fn match_hooks(&mut self, namespace: &Namespace, rtnl: &Rtnl) -> Result {
        let added = self.add_hooks(namespace, rtnl);
        self.drop_hooks(rtnl);
        added
    }

    fn add_hooks(&mut self, namespace: &Namespace, rtnl: &Rtnl) -> Result {
        if self.wants_exits() && self.exits.is_none() {
            self.exits = Some(Arc::new(Exits::new()?, GFP_KERNEL)?);
        }
        if let Some(exits) = &self.exits {
            exits.set_tracked(tracks(namespace, (&rcu::read_lock()).into()));
        }
        if self.wants(Shortcut::Device) && self.ingress.is_empty() {
            for dev in namespace.devices(rtnl) {
                self.watch(namespace, dev, rtnl)?;
            }
        }
        if self.wants_before_routing() && self.before_routing.is_none() {
            self.before_routing = Some((
                self.before_routing::<Ipv4>(namespace, rtnl)?,
                self.before_routing::<Ipv6>(namespace, rtnl)?,
            ));
        }
        if self.wants(Shortcut::Netfilter) && self.before_sockets.is_none() {
            self.before_sockets = Some((
                self.before_sockets::<Ipv4>(namespace, rtnl)?,
                self.before_sockets::<Ipv6>(namespace, rtnl)?,
            ));
        }
        Ok(())
    }

    fn before_routing<I: Ip>(
        &self,
        namespace: &Namespace,
        rtnl: &Rtnl,
    ) -> Result<Hook<BeforeRouting<I>>> {
        let watcher = Arc::new(BeforeRouting::new(self.parent.clone()), GFP_KERNEL)?;
        Hook::register(namespace, Place::PreRouting(I::FAMILY), watcher, rtnl)
    }

    fn before_sockets<I: Ip>(
        &self,
        namespace: &Namespace,
        rtnl: &Rtnl,
    ) -> Result<Hook<BeforeSockets<I>>> {
        let watcher = Arc::new(BeforeSockets::new(self.parent.clone()), GFP_KERNEL)?;
        Hook::register(namespace, Place::LocalIn(I::FAMILY), watcher, rtnl)
    }

    fn wants_before_routing(&self) -> bool {
        self.wants(Shortcut::Route)
            || self.wants(Shortcut::Netfilter)
            || self.wants(Shortcut::Socket)
            || self.takes_siblings()
    }

    /// See [`Set::lets_leave`].
    fn wants_exits(&self) -> bool {
        self.wants(Shortcut::Output) || self.wants(Shortcut::Netfilter)
    }

    /// Whether what children send each other is taken before routing: where the parent tracks
    /// connections. Elsewhere it goes from one to the other without coming here.
    fn takes_siblings(&self) -> bool {
        let tracked = |exits: &Arc<Exits>| exits.are_tracked();
        self.wants(Shortcut::Output) && self.exits.as_ref().is_some_and(tracked)
    }

    fn drop_hooks(&mut self, rtnl: &Rtnl) {
        if !self.wants_exits() {
            if let Some(exits) = self.exits.take() {
                // Devices that are going may still have a share, and must not wait for each other.
                exits.purge(rtnl);
            }
        }
        if !self.wants(Shortcut::Device) {
            Hook::end_all(self.ingress.iter_mut().map(|on_dev| &mut on_dev.hook), rtnl);
            self.ingress.clear();
        }
        if !self.wants_before_routing() {
            self.before_routing = None;
        }
        if !self.wants(Shortcut::Netfilter) {
            self.before_sockets = None;
        }
    }

    /// Puts a hook on a device that packets come to the parent by.
    fn watch(&mut self, namespace: &Namespace, dev: &NetDevice, rtnl: &Rtnl) -> Result {
        if !is_uplink(dev) {
            return Ok(());
        }
        let watcher = Arc::new(Ingress(self.parent.clone()), GFP_KERNEL)?;
        self.ingress.reserve(1, GFP_KERNEL)?;
        let hook = DeviceHook {
            dev: outlets::number(dev),
            hook: Hook::register(namespace, Place::Ingress(dev), watcher, rtnl)?,
        };
        Ok(self.ingress.push(hook, GFP_KERNEL)?)
    }

    /// Takes the hook off a device.
    fn unwatch(&mut self, dev: &NetDevice, rtnl: &Rtnl) {
        let number = outlets::number(dev);
        let place = self.ingress.iter().position(|hook| hook.dev == number);
        if let Some(Ok(found)) = place.map(|place| self.ingress.remove(place)) {
            self.ending.end(found.hook, rtnl);
        }
    }
}

/// Runs `f` on the places of a namespace, if it has any.
fn with_places<R>(
    namespace: &Namespace,
    rtnl: &Rtnl,
    f: impl FnOnce(&mut Places) -> R,
) -> Option<R> {
    PLACES.with(rtnl, |all| {
        all.iter_mut()
            .find(|places| places.namespace.id() == namespace.id())
            .map(f)
    })
}

/// Prepares for the packets of `port` to take the shortcuts `new` instead of those that this was
/// called for last. The caller lets them do so only where this succeeds, and then calls
/// [`changed`]; where it fails all is as before, and nothing is left behind.
pub(crate) fn apply(port: &Device<End>, new: Set, rtnl: &Rtnl) -> Result {
    serve(port, new, rtnl)?;
    if !new.contains(Shortcut::Device) {
        port.driver().set_established(None, rtnl);
    }
    Ok(())
}

/// As [`apply`], but for what has to be waited for and goes with the port anyway, where that goes.
fn serve(port: &Device<End>, new: Set, rtnl: &Rtnl) -> Result {
    let old = port.driver().served(rtnl);
    if new == old {
        return Ok(());
    }
    let leaves = new.lets_leave();
    let child = port
        .driver()
        .peer_locked(rtnl)
        .filter(|_| old.lets_leave() != leaves);
    let (exits, parent) = change(port, old, new, rtnl)?;
    port.driver().set_served(new, rtnl);
    if new.without(old).contains(Shortcut::Device) {
        let flows = parent.established().clone();
        port.driver().set_established(Some(flows), rtnl);
    }
    match child {
        Some(child) if leaves => {
            open(child, rtnl);
            child.driver().set_exits(exits, rtnl);
        }
        Some(child) => close(child, rtnl),
        None => {}
    }
    Ok(())
}

/// What a child's sockets send leaves early. Whether that can be is the child's affair, which may
/// have as many hooks of its own as there can be, and no reason to refuse the parent anything.
fn open(child: &Device<End>, rtnl: &Rtnl) {
    if outlets::add(child, rtnl).is_err() {
        pr_warn_once!("no room for the hooks of a child: what it sends leaves by its device\n");
    }
}

/// What a child sends goes by its whole output path again.
fn close(child: &Device<End>, rtnl: &Rtnl) {
    outlets::remove(child, rtnl);
    child.driver().set_exits(None, rtnl);
}

/// Changes what is in a parent's namespace for `port`; returns where packets of children go on, and
/// what is known of those to them.
fn change(
    port: &Device<End>,
    old: Set,
    new: Set,
    rtnl: &Rtnl,
) -> Result<(Option<Arc<Exits>>, Arc<Parent>)> {
    let namespace = port.namespace_locked(rtnl);
    PLACES.with(rtnl, |all| {
        let known = all
            .iter()
            .position(|places| places.namespace.id() == namespace.id());
        let place = match known {
            Some(place) => place,
            None => {
                all.push(Places::new(namespace)?, GFP_KERNEL)?;
                all.len() - 1
            }
        };
        let result = all[place].change(namespace, old, new, rtnl);
        let found = (all[place].exits.clone(), all[place].parent.clone());
        if all[place].is_unused() {
            let _unused = all.remove(place);
        }
        // Nobody drops a static: room that the last one leaves would be lost with the module.
        if all.is_empty() {
            *all = KVVec::new();
        }
        result.map(|()| found)
    })
}

/// Says that something about a port is no longer as it was.
pub(crate) fn changed(port: &Device<End>, rtnl: &Rtnl) {
    changed_in(port.namespace_locked(rtnl), rtnl);
}

/// Says that something about a parent is no longer as it was.
fn changed_in(namespace: &Namespace, rtnl: &Rtnl) {
    with_places(namespace, rtnl, |places| {
        places.parent.changed(rtnl);
        if let Some(exits) = &places.exits {
            exits.changed(rtnl);
        }
    });
}

/// Says that a port or its child goes, or leaves its namespace: nothing must refer to it.
pub(crate) fn purge(port: &Device<End>, rtnl: &Rtnl) {
    with_places(port.namespace_locked(rtnl), rtnl, |places| {
        places.parent.purge(rtnl);
        if let Some(exits) = &places.exits {
            exits.purge(rtnl);
        }
    });
}

/// Whether a namespace tracks connections of any kind.
fn tracks(namespace: &Namespace, rcu: ReadSide<'_>) -> bool {
    namespace.tracks(Family::Ipv4, rcu) || namespace.tracks(Family::Ipv6, rcu)
}

/// A packet has shown that its parent tracks connections, or that it does not track those of one
/// protocol. The kernel tells nobody when a namespace begins with that, or ends it.
#[cold]
#[inline(never)]
pub(crate) fn tracking_changed(exits: &Exits, parent: &Namespace, rcu: ReadSide<'_>) {
    if tracks(parent, rcu) != exits.are_tracked() {
        FOLLOW_TRACKING.ask();
    }
}

/// Sees to it that parents have the hooks that their tracking asks for.
pub(crate) struct FollowTracking;

/// How it is asked for.
static FOLLOW_TRACKING: Work<FollowTracking> = Work::new();

/// Following what packets show of tracking, for as long as this lives.
pub(crate) type FollowingTracking = WorkRegistration<FollowTracking>;

/// Begins to follow that.
pub(crate) fn follow_tracking() -> Result<FollowingTracking> {
    FOLLOW_TRACKING.register()
}

impl Task for FollowTracking {
    fn run(rtnl: &Rtnl) {
        PLACES.with(rtnl, |all| {
            for places in all.iter_mut() {
                let namespace = places.namespace.get(rtnl);
                if places.match_hooks(namespace, rtnl).is_err() {
                    pr_warn_once!(
                        "no room for a hook: tracked packets of siblings go by the full path\n"
                    );
                }
            }
        });
    }
}

/// Follows devices as they come and go.
pub(crate) struct Follower;

/// The registration of [`Follower`].
static NOTIFIER: Notifier<Follower> = Notifier::new();

/// Listening to what happens to devices, for as long as this lives.
pub(crate) type Listening = NotifierRegistration<Follower>;

/// Begins to listen.
pub(crate) fn listen() -> Result<Listening> {
    NOTIFIER.register()
}

impl Listener for Follower {
    fn event(event: Event, dev: &NetDevice, rtnl: &Rtnl) -> Result {
        match event {
            Event::Register => come(dev, rtnl),
            Event::Unregister => {
                go(dev, rtnl);
                Ok(())
            }
            Event::Size => {
                // First what is asked, and then that what was found out by it has passed.
                if let Some(port) = port_of(dev, rtnl) {
                    passthru::match_sizes(port, rtnl);
                }
                changed_in(dev.namespace_locked(rtnl), rtnl);
                Ok(())
            }
            Event::Up | Event::Down | Event::Upper | Event::Name => {
                if event == Event::Name {
                    changed_in(dev.namespace_locked(rtnl), rtnl);
                }
                match End::cast(dev) {
                    Some(end) if end.driver().role() == Role::Port => changed(end, rtnl),
                    Some(end) => child_has_changed(end, event, rtnl),
                    None => {}
                }
                Ok(())
            }
        }
    }
}

/// Something about a child's device is no longer as it was. Who has the child can do that as often as
/// he likes, and it must cost nobody else anything: so it is the routes of the child's own namespace
/// that are said to have changed, with the count of which all is kept that the child was asked.
fn child_has_changed(child: &Device<End>, event: Event, rtnl: &Rtnl) {
    // Nothing was kept of one that was down, nor of one that has no port any more.
    if event != Event::Up && child.driver().peer_locked(rtnl).is_some() {
        child.namespace_locked(rtnl).forget_routes(rtnl);
    }
}

/// The port of the pair that a device is an end of, if it is one.
fn port_of<'r>(dev: &'r NetDevice, rtnl: &'r Rtnl) -> Option<&'r Device<End>> {
    let end = End::cast(dev)?;
    match end.driver().role() {
        Role::Port => Some(end),
        Role::Child => end.driver().peer_locked(rtnl),
    }
}

/// A device has come into a namespace. Whoever moved it is not told of a failure, so the one of
/// watching it keeps nothing else from being done.
fn come(dev: &NetDevice, rtnl: &Rtnl) -> Result {
    let namespace = dev.namespace_locked(rtnl);
    let watched = with_places(namespace, rtnl, |places| {
        if places.wants(Shortcut::Device) {
            places.watch(namespace, dev, rtnl)
        } else {
            Ok(())
        }
    });
    if let Some(end) = End::cast(dev) {
        match end.driver().role() {
            Role::Port => port_has_come(end, rtnl),
            Role::Child => child_has_come(end, rtnl),
        }
    }
    watched.unwrap_or(Ok(()))
}

/// A port that allows shortcuts was moved, which cannot be refused any more.
fn port_has_come(port: &Device<End>, rtnl: &Rtnl) {
    let shortcuts = port.driver().policy().shortcuts();
    if apply(port, shortcuts, rtnl).is_err() {
        pr_warn!("no memory for the shortcuts of a port that was moved: it has none now\n");
        port.driver().policy().set(Set::NONE, rtnl);
        // Nor may it note connections, which tracking would then judge less strictly for nothing.
        port.driver().set_established(None, rtnl);
    }
}

/// The child of a port that allows shortcuts was moved.
fn child_has_come(child: &Device<End>, rtnl: &Rtnl) {
    let leaves = child
        .driver()
        .peer_locked(rtnl)
        .is_some_and(|port| port.driver().policy().shortcuts().lets_leave());
    if leaves {
        open(child, rtnl);
    }
}

/// A device leaves its namespace. While somebody has a reference to one that is gone this is said
/// again and again.
fn go(dev: &NetDevice, rtnl: &Rtnl) {
    if let Some(port) = port_of(dev, rtnl) {
        purge(port, rtnl);
    }
    if let Some(end) = End::cast(dev) {
        end.driver().sources().purge(rtnl);
    }
    outlets::remove(dev, rtnl);
    let namespace = dev.namespace_locked(rtnl);
    with_places(namespace, rtnl, |places| {
        places.unwatch(dev, rtnl);
        // Another one may have its number at once.
        places.parent.established().changed();
    });
    let Some(port) = End::cast(dev).filter(|end| end.driver().role() == Role::Port) else {
        return;
    };
    // Taking hooks away does not fail.
    if serve(port, Set::NONE, rtnl).is_err() {
        pr_warn!("a port's hooks could not be taken away\n");
    }
}
