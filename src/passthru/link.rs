// SPDX-License-Identifier: GPL-2.0

//! Requests of rtnetlink: making, changing, describing and ending pairs.

use super::{
    device::{shape, tie, untie, End},
    Mode, Role,
};
use crate::{
    hooks,
    net::{
        context::Rtnl,
        device::{Device, NetDevice},
        link::{LinkOperations, LinkType},
        netlink::{attribute_size, Attributes, ExtAck, Message, Policy},
        new_link::{self, CreatedLink, LinkHeader, LinkName, NewLink, PeerInfo},
        registration::{KillList, NewDevice, Registered},
    },
    shortcut::{self, Set},
    uapi,
};
use kernel::prelude::*;

/// The link type `passthru`, as rtnetlink asks for it.
pub(crate) struct Passthru;

/// What the kernel keeps of the link type while the module is loaded. C: `struct rtnl_link_ops`.
pub(super) static OPERATIONS: LinkOperations<Passthru> = LinkOperations::new();

/// The attributes in `IFLA_INFO_DATA`, by type. Peer info is described more loosely than the
/// others because what parses it does the rest, and because tools differ in how they mark it.
static POLICY: [Policy; uapi::IFLA_PASSTHRU_COUNT as usize] = [
    Policy::strict_from(uapi::IFLA_PASSTHRU_MODE),
    Policy::at_least::<LinkHeader>(),
    Policy::u32(),
    Policy::reject(c"role is read-only: the device that is asked for is the port"),
    Policy::u32(),
    Policy::u32(),
];

/// Names of devices that are given none.
const NAME_TEMPLATE: &CStr = c"passthru%d";

/// What is said of addresses of another length than Ethernet's.
const NO_ADDRESS: &CStr = c"not an Ethernet address";

impl LinkType for Passthru {
    const KIND: &'static CStr = c"passthru";
    type Driver = End;
    const POLICY: &'static [Policy] = &POLICY;
    const PEER: u32 = uapi::IFLA_PASSTHRU_PEER_INFO;
    const INFO_SIZE: usize = 4 * attribute_size(size_of::<u32>());

    fn operations() -> &'static LinkOperations<Self> {
        &OPERATIONS
    }

    fn validate(link: Attributes<'_>, _data: Option<Attributes<'_>>, ack: ExtAck<'_>) -> Result {
        for kind in [new_link::IFLA_ADDRESS, new_link::IFLA_BROADCAST] {
            let Some(attr) = link.get(kind) else {
                continue;
            };
            let [first, rest @ ..] = attr.payload() else {
                return Err(ack.refuse_attribute(EINVAL, attr, NO_ADDRESS));
            };
            if rest.len() != 5 {
                return Err(ack.refuse_attribute(EINVAL, attr, NO_ADDRESS));
            }
            let is_single = first & 1 == 0 && attr.payload().iter().any(|byte| *byte != 0);
            if kind == new_link::IFLA_ADDRESS && !is_single {
                return Err(ack.refuse_attribute(
                    EADDRNOTAVAIL,
                    attr,
                    c"not the address of a single Ethernet device",
                ));
            }
        }
        Ok(())
    }

    fn new_link<'a>(
        mut dev: NewDevice<'a, End>,
        request: &NewLink<'a>,
        ack: ExtAck<'_>,
        rtnl: &'a Rtnl,
    ) -> Result {
        let mode = requested_mode(request, ack)?;
        let shortcuts = match request.data.map(|data| requested_shortcuts(data, ack)) {
            Some(Ok(Some(set))) => set,
            Some(Err(error)) => return Err(error),
            _ => shortcut::of_new_ports(),
        };
        let check = request
            .data
            .map(|data| requested_check(data, ack))
            .transpose()?;
        let info = request
            .data
            .and_then(|data| data.get(uapi::IFLA_PASSTHRU_PEER_INFO))
            .map(|attr| PeerInfo::parse(attr, ack))
            .transpose()?;
        check_address(mode, request.link, ack)?;

        let child = create_child(mode, &dev, request, info.as_ref(), ack, rtnl)?;
        shape(&mut dev, mode);
        if mode == Mode::L2 && request.link.get(new_link::IFLA_ADDRESS).is_none() {
            dev.set_random_address();
        }
        let port = dev
            .register(new_end(mode, Role::Port, ack)?, rtnl)
            .map_err(|error| explain(Role::Port, error, ack))?;
        settle(&port, request.link, ack, rtnl)?;

        if let Some(Some(check)) = check {
            port.device().driver().policy().check_sources(check, rtnl);
        }
        tie(port.device(), child.device(), rtnl);
        set_shortcuts(port.device(), shortcuts, rtnl).map_err(|error| {
            untie(port.device(), rtnl);
            ack.refuse(error, c"cannot set the shortcuts")
        })?;
        // Announced and brought up only now, so that nobody sees one end without the other.
        let header = info.as_ref().map(PeerInfo::header);
        if let Err(error) = new_link::configure(child.device(), header, rtnl) {
            untie(port.device(), rtnl);
            return Err(ack.refuse(error, c"cannot bring up the child"));
        }
        port.keep();
        child.keep();
        Ok(())
    }

    fn change_link(
        dev: &Device<End>,
        data: Attributes<'_>,
        ack: ExtAck<'_>,
        rtnl: &Rtnl,
    ) -> Result {
        if let Some(mode) = data.get(uapi::IFLA_PASSTHRU_MODE) {
            return Err(ack.refuse_attribute(
                EOPNOTSUPP,
                mode,
                c"the mode of a pair cannot be changed after it was made",
            ));
        }
        if let Some(info) = data.get(uapi::IFLA_PASSTHRU_PEER_INFO) {
            return Err(ack.refuse_attribute(
                EOPNOTSUPP,
                info,
                c"peer info is for making a pair; change the other end itself",
            ));
        }
        change_policy(dev, data, ack, rtnl)
    }

    fn delete_link(dev: &Device<End>, mut kill: KillList<'_>, rtnl: &Rtnl) {
        // An end that is tied to nothing is on such a list already, since the other one was put
        // on it.
        if let Some(peer) = untie(dev, rtnl) {
            kill.add(dev);
            kill.add_with(dev, peer);
        }
    }

    fn fill_info(dev: &Device<End>, message: &mut Message<'_>) -> Result {
        let end = dev.driver();
        message.put_u32(uapi::IFLA_PASSTHRU_MODE, end.mode().to_uapi())?;
        message.put_u32(uapi::IFLA_PASSTHRU_ROLE, end.role().to_uapi())?;
        match end.role() {
            Role::Port => {
                let set = end.policy().shortcuts();
                message.put_u32(uapi::IFLA_PASSTHRU_SHORTCUTS, set.to_uapi())?;
                let check = end.policy().checks_sources();
                message.put_u32(uapi::IFLA_PASSTHRU_SPOOFCHK, check.into())
            }
            Role::Child => Ok(()),
        }
    }

    fn lower<'r>(dev: &'r Device<End>, rtnl: &'r Rtnl) -> Option<&'r NetDevice> {
        dev.driver().peer_locked(rtnl).map(|peer| &**peer)
    }
}

/// The mode that a request asks for.
fn requested_mode(request: &NewLink<'_>, ack: ExtAck<'_>) -> Result<Mode> {
    let mode = request
        .data
        .and_then(|data| data.get(uapi::IFLA_PASSTHRU_MODE));
    match mode {
        None => Ok(Mode::L3),
        Some(attr) => attr
            .u32()
            .and_then(Mode::from_uapi)
            .map_err(|error| ack.refuse_attribute(error, attr, c"unknown mode")),
    }
}

/// The shortcuts that a request names; none where it does not speak of them.
fn requested_shortcuts(data: Attributes<'_>, ack: ExtAck<'_>) -> Result<Option<Set>> {
    let Some(attr) = data.get(uapi::IFLA_PASSTHRU_SHORTCUTS) else {
        return Ok(None);
    };
    attr.u32()
        .and_then(Set::from_uapi)
        .map(Some)
        .map_err(|error| ack.refuse_attribute(error, attr, c"unknown bit in the set of shortcuts"))
}

/// Whether a request wants sources to be checked; none where it does not speak of it.
fn requested_check(data: Attributes<'_>, ack: ExtAck<'_>) -> Result<Option<bool>> {
    let Some(attr) = data.get(uapi::IFLA_PASSTHRU_SPOOFCHK) else {
        return Ok(None);
    };
    match attr.u32() {
        Ok(value @ 0..=1) => Ok(Some(value != 0)),
        _ => Err(ack.refuse_attribute(EINVAL, attr, c"spoofchk is 0 or 1")),
    }
}

/// Does what a request says of the policy of a living port.
fn change_policy(dev: &Device<End>, data: Attributes<'_>, ack: ExtAck<'_>, rtnl: &Rtnl) -> Result {
    let shortcuts = data.get(uapi::IFLA_PASSTHRU_SHORTCUTS);
    let check = data.get(uapi::IFLA_PASSTHRU_SPOOFCHK);
    let Some(first) = shortcuts.or(check) else {
        return Ok(());
    };
    if dev.driver().role() == Role::Child {
        let message = match shortcuts {
            Some(_) => c"shortcuts are the parent's to set, at the port; this is the child device",
            None => c"spoofchk is the parent's to set, at the port; this is the child device",
        };
        return Err(ack.refuse_attribute(EPERM, first, message));
    }
    let check = requested_check(data, ack)?;
    if let Some(set) = requested_shortcuts(data, ack)? {
        // They pass by rules of the child's namespace as well, and have hooks there.
        let changes = set != dev.driver().policy().shortcuts();
        let child = dev.driver().peer_locked(rtnl);
        if changes
            && child.is_some_and(|child| !dev.may_link_to(child.namespace_locked(rtnl), rtnl))
        {
            let message = c"shortcuts take CAP_NET_ADMIN in the namespace of the child device too";
            return Err(ack.refuse_attribute(EPERM, first, message));
        }
        set_shortcuts(dev, set, rtnl)
            .map_err(|error| ack.refuse_attribute(error, first, c"cannot set the shortcuts"))?;
    }
    if let Some(check) = check {
        dev.driver().policy().check_sources(check, rtnl);
        hooks::changed(dev, rtnl);
    }
    // rtnetlink itself announces a change of link info for devices that are up only.
    if !dev.is_up() {
        dev.announce_link_info(rtnl);
    }
    Ok(())
}

/// Lets the packets of a port take these shortcuts and no others: first there must be all that
/// serves them, then packets may see that they are allowed.
fn set_shortcuts(port: &Device<End>, new: Set, rtnl: &Rtnl) -> Result {
    let policy = port.driver().policy();
    let old = policy.shortcuts();
    if new != old {
        hooks::apply(port, new, rtnl)?;
        policy.set(new, rtnl);
        hooks::changed(port, rtnl);
    }
    Ok(())
}

/// A device without a link layer has no address there, neither of its own nor for all.
fn check_address(mode: Mode, link: Attributes<'_>, ack: ExtAck<'_>) -> Result {
    if mode == Mode::L2 {
        return Ok(());
    }
    for (kind, message) in [
        (
            new_link::IFLA_ADDRESS,
            c"devices in mode l3 have no MAC address",
        ),
        (
            new_link::IFLA_BROADCAST,
            c"devices in mode l3 have no broadcast address",
        ),
    ] {
        if let Some(address) = link.get(kind) {
            return Err(ack.refuse_attribute(EOPNOTSUPP, address, message));
        }
    }
    Ok(())
}

/// Makes and registers the child device. Without a description of its own it takes after the
/// port, but for name and address.
fn create_child<'a>(
    mode: Mode,
    port: &NewDevice<'a, End>,
    request: &NewLink<'a>,
    info: Option<&PeerInfo<'a>>,
    ack: ExtAck<'_>,
    rtnl: &'a Rtnl,
) -> Result<Registered<'a, End>> {
    let link = info.map_or(request.link, PeerInfo::attributes);
    check_address(mode, link, ack)?;
    let name = info
        .and_then(|info| info.attributes().get(new_link::IFLA_IFNAME))
        .map_or_else(|| LinkName::template(NAME_TEMPLATE), LinkName::given);

    let namespace = request.peer_namespace;
    let mut child = CreatedLink::create::<Passthru>(namespace, &name, link, ack, rtnl)?;
    shape(&mut child, mode);
    child.inherit_segmentation(port);
    if let Some(info) = info {
        child.set_ifindex(info.ifindex());
    }
    if mode == Mode::L2 && (info.is_none() || link.get(new_link::IFLA_ADDRESS).is_none()) {
        child.set_random_address();
    }
    let child = child
        .register(new_end(mode, Role::Child, ack)?, rtnl)
        .map_err(|error| explain(Role::Child, error, ack))?;
    settle(&child, link, ack, rtnl)?;
    Ok(child)
}

/// What a device knows as an end of a pair.
fn new_end(mode: Mode, role: Role, ack: ExtAck<'_>) -> Result<End> {
    End::new(mode, role).map_err(|error| ack.refuse(error, c"no memory for an end of the pair"))
}

/// Says in words why an end could not be registered: `EINVAL` is what wrong names are refused with.
fn explain(role: Role, error: Error, ack: ExtAck<'_>) -> Error {
    let message = match (role, error) {
        (Role::Port, EEXIST) => c"the name of the port is taken, maybe by the child",
        (Role::Port, EBUSY) => c"the index of the port is taken, maybe by the child",
        (Role::Port, EINVAL) => c"the name of the port is no name for a device",
        (Role::Port, _) => c"cannot register the port",
        (Role::Child, EEXIST) => c"the name of the child is taken",
        (Role::Child, EBUSY) => c"the index of the child is taken",
        (Role::Child, EINVAL) => c"the name of the child is no name for a device",
        (Role::Child, _) => c"cannot register the child",
    };
    ack.refuse(error, message)
}

/// What is done to an end right after it was registered: the link is down until both ends are up,
/// and of the queues that were allocated one is used where none were asked for.
fn settle(dev: &Registered<'_, End>, link: Attributes<'_>, ack: ExtAck<'_>, rtnl: &Rtnl) -> Result {
    let dev = dev.device();
    let allocated = dev.allocated_queues();
    dev.carrier_off();
    let mut result = Ok(());
    if allocated.tx > 1 && link.get(new_link::IFLA_NUM_TX_QUEUES).is_none() {
        result = dev.set_tx_queues(1, rtnl);
    }
    if allocated.rx > 1 && link.get(new_link::IFLA_NUM_RX_QUEUES).is_none() {
        result = result.and_then(|()| dev.set_rx_queues(1, rtnl));
    }
    result.map_err(|error| ack.refuse(error, c"cannot set the number of queues"))
}
