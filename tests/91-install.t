#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lab: --host
#
# `make` and `make install` as on a machine of one's own: the module for the
# kernel whose tree KDIR names, put where modprobe, ip and man find it; and in a
# guest with what was installed, the first `ip link add` loads it.

set -u
cd "$(dirname "$0")/.." || exit
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT
. tests/tap.sh
if [ "${LAB:-stock}" != stock ]; then skip_all "what is installed is for the stock kernel"; fi

tree=$(scripts/lab where stock)
release=$(cat "$tree/include/config/kernel.release")
root=$SCRATCH/root

# In a copy of the checkout, for what stands in build/ may be in use. It finds
# what is not the kernel's in this checkout's cache.
mkdir "$SCRATCH/copy"
git -c safe.directory='*' ls-files -coz --exclude-standard | tar --null -T - -cf - | tar -C "$SCRATCH/copy" -xf -
in_copy() { env -C "$SCRATCH/copy" "$@"; }

succeeds "make" in_copy make KDIR="$tree"
succeeds "make install" in_copy make install DESTDIR="$root"
module=$root/lib/modules/$release/updates/passthru.ko
is "$(modinfo -F vermagic "$module" | cut -d' ' -f1)" "$release" "the module is for the kernel of the tree"
is "$(modinfo -F license "$module") $(modinfo -F alias "$module")" "GPL rtnl-link-passthru" "its license and its alias"
like "$(modinfo -F author "$module")" "[A-Za-z]" "its author"
like "$(modinfo -F description "$module")" "[A-Za-z]" "its description"
like "$(cat "$root/lib/modules/$release/modules.alias")" "alias rtnl-link-passthru passthru" "modprobe knows of it"
succeeds "the man page is where man looks" test -s "$root/usr/share/man/man8/passthru.8"
plugin=$(cd "$root" && find . -name link_passthru.so)
like "$plugin" '^\./usr/lib/.*/ip/link_passthru.so$' "the plugin is where ip looks"

# depmod of a root without the kernel's own modules knows of ours alone, so the
# guest makes its own.
tar -C "$root" -cf "$SCRATCH/installed.tar" --exclude='modules.*' .
# shellcheck disable=SC2016 # the guest expands
out=$(scripts/lab run --in "$SCRATCH/installed.tar" -- env -u IP_LIB_DIR bash -c '
	tar -C / --no-same-owner --keep-directory-symlink -xf installed.tar && depmod || exit
	ip link add p0 type passthru mode l2 peer name c0 && ip -d link show p0 && modprobe -r passthru && ip link show p0' 2>&1)
like "$out" "passthru mode l2 port" "in a guest: the first ip link add loads it, the plugin shows it"
like "$out" 'Device "p0" does not exist' "in a guest: modprobe -r takes it away"

succeeds "make uninstall" in_copy make uninstall DESTDIR="$root"
is "$(find "$root" -name '*passthru*')" "" "nothing is left of it"

plan
