// SPDX-License-Identifier: GPL-2.0

//! The module's own interface to user space, from `include/uapi/linux/if_passthru.h`.

pub(crate) use crate::net::bindings::{
    passthru_attr_IFLA_PASSTHRU_MODE as IFLA_PASSTHRU_MODE,
    passthru_attr_IFLA_PASSTHRU_PEER_INFO as IFLA_PASSTHRU_PEER_INFO,
    passthru_attr_IFLA_PASSTHRU_ROLE as IFLA_PASSTHRU_ROLE,
    passthru_attr_IFLA_PASSTHRU_SHORTCUTS as IFLA_PASSTHRU_SHORTCUTS,
    passthru_attr_IFLA_PASSTHRU_SPOOFCHK as IFLA_PASSTHRU_SPOOFCHK,
    passthru_attr___IFLA_PASSTHRU_MAX as IFLA_PASSTHRU_COUNT,
    passthru_mode_PASSTHRU_MODE_L2 as PASSTHRU_MODE_L2,
    passthru_mode_PASSTHRU_MODE_L3 as PASSTHRU_MODE_L3,
    passthru_role_PASSTHRU_ROLE_CHILD as PASSTHRU_ROLE_CHILD,
    passthru_role_PASSTHRU_ROLE_PORT as PASSTHRU_ROLE_PORT,
    passthru_shortcut_PASSTHRU_SHORTCUT_DEVICE as PASSTHRU_SHORTCUT_DEVICE,
    passthru_shortcut_PASSTHRU_SHORTCUT_NETFILTER as PASSTHRU_SHORTCUT_NETFILTER,
    passthru_shortcut_PASSTHRU_SHORTCUT_OUTPUT as PASSTHRU_SHORTCUT_OUTPUT,
    passthru_shortcut_PASSTHRU_SHORTCUT_ROUTE as PASSTHRU_SHORTCUT_ROUTE,
    passthru_shortcut_PASSTHRU_SHORTCUT_SOCKET as PASSTHRU_SHORTCUT_SOCKET,
};
