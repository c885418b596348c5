#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Programs that judge packets on their way by a shortcut: those that nft gives
# packets to, and those of the sender's cgroup.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module
steady_code
# The uplink has another number than the child's device.
must ip link add aside0 type dummy
world l3

group=$SCRATCH/cgroup
mkdir "$group"
must mount -t cgroup2 none "$group"
must mkdir "$group/judged"
tool shortcut_programs "$group/judged"
must umount "$group"

done_testing
