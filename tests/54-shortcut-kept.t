#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Packets that a program has in its hands (NFQUEUE) while a pair, a shortcut or the
# module ends that they were on their way by, and that it lets go on afterwards.

. "$(dirname "$0")/lib.sh"
. "$TESTS/shortcuts.sh"
load_module
steady_code
world l3

tool shortcut_kept "$PASSTHRU_KO"

reset_net
succeeds "the module goes: nothing holds it" timeout 60 rmmod passthru
done_testing
