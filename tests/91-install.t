#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lab: --host
#
# `make` and `make install` as on a machine of one's own: the module for the
# kernel whose tree KDIR names, or whose release KREL, put where modprobe, ip and man
# find it, and no other than was asked for; and in a guest with what was installed,
# the first `ip link add` loads it.

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

# all_needs NAME CMD...: a check that those after it stand on. Without it they would
# fail too, and what went wrong would be far above.
all_needs() {
	local before=$TAP_FAILED
	succeeds "$@"
	[ "$TAP_FAILED" != "$before" ] || return 0
	plan
	exit 1
}

all_needs "make" in_copy make KDIR="$tree"

# --- As root, in the checkout of another ---------------------------------------
# It must not build there: what it cannot install as it stands it refuses.
sudo_install() { in_copy make install DESTDIR="$SCRATCH/none" "$@"; }
if [ "$(id -u)" = 0 ]; then
	chown 65534 "$SCRATCH/copy"
	fails_like "not for another kernel" "is for kernel .*, not for 6.0.0" sudo_install KREL=6.0.0
	mkdir -p "$SCRATCH/other/include/config"
	touch "$SCRATCH/other/.config"
	echo "$release" >"$SCRATCH/other/include/config/kernel.release"
	fails_like "nor for another tree of the same" "not for $SCRATCH/other" sudo_install KDIR="$SCRATCH/other"
	touch "$SCRATCH/copy/src/lib.rs"
	fails_like "nor when a source has changed" "src/lib.rs is newer than what is built" sudo_install KDIR="$tree"
	fails "nothing was installed" test -e "$SCRATCH/none"
	in_copy touch build/native/.built
	succeeds "what stands ready it installs" sudo_install KDIR="$tree"
	chown 0 "$SCRATCH/copy"
else
	skip "this is not root" "make install as root, in the checkout of another"
fi

# --- As its owner ---------------------------------------------------------------
sed -i 's/description: "/&Changed: /' "$SCRATCH/copy/src/lib.rs"
all_needs "make install" in_copy make install KDIR="$tree" DESTDIR="$root"
module=$root/lib/modules/$release/updates/passthru.ko
is "$(modinfo -F vermagic "$module" | cut -d' ' -f1)" "$release" "the module is for the kernel of the tree"
is "$(modinfo -F license "$module") $(modinfo -F alias "$module")" "GPL rtnl-link-passthru" "its license and its alias"
like "$(modinfo -F author "$module")" "[A-Za-z]" "its author"
like "$(modinfo -F description "$module")" "^Changed: [A-Za-z]" "its description, of the sources as they are"
like "$(cat "$root/lib/modules/$release/modules.alias")" "alias rtnl-link-passthru passthru" "modprobe knows of it"
succeeds "the man page is where man looks" test -s "$root/usr/share/man/man8/passthru.8"
succeeds "the guide is with the documentation" test -s "$root/usr/share/doc/passthru/guide.md"
succeeds "... and what it refers to" test -s "$root/usr/share/doc/passthru/benchmarks.md"
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

# --- A Debian machine with the kernel's headers, which have no rust/ -------------
# The kernel is known by its release; its package says of which version the source
# is. The tools are the machine's own: no root is made or entered.
bin=$SCRATCH/bin
mkdir "$bin"
fake() { printf '#!/bin/bash\n%s\n' "$2" >"$bin/$1" && chmod +x "$bin/$1"; }
fake dpkg-query 'echo 7.3.4-1~bpo13+1'
fake unshare 'echo "no root is needed here" >&2; exit 1'
fake mmdebstrap 'echo "no root is needed here" >&2; exit 1'
# shellcheck disable=SC2016 # the inner shell expands
debian_make() {
	unshare --mount --propagation unchanged bash -ec 'mount -t tmpfs tmpfs /boot && cp "$1/.config" "/boot/config-$2" && cd "$3"
		PATH=$4:$PATH exec env -u PASSTHRU_IN_TOOLCHAIN make KREL="$2"' - "$tree" "$release" "$SCRATCH/copy" "$bin"
}
rm "$SCRATCH/copy/build/native/passthru.ko"
succeeds "make KREL=, by its headers" debian_make
is "$(modinfo -F vermagic "$SCRATCH/copy/build/native/passthru.ko" | cut -d' ' -f1)" "$release" "the module is for that kernel"
fake rustc 'echo "rustc 1.2.3"'
fails_like "other tools than the kernel's are not taken" "no root is needed here" debian_make

# Where the kernel itself is not installed, apt knows.
fake apt-get 'exit 1'
# shellcheck disable=SC2016 # the fake expands
fake apt-cache 'printf "%s\n" "Package: $2" "Version: 7.3.4-1~bpo13+1" "" "Package: $2" "Version: 7.3.3-1"'
# shellcheck disable=SC2016 # the inner shell expands
lab_parts() { PATH=$bin:$PATH bash -euc 'for lib in common suite toolchain kernel native; do . "scripts/lib/$lib.sh"; done; "$@"' - "$@"; }
is "$(KREL=$release lab_parts query_version)" 7.3.4-1~bpo13+1 "the newest version that apt has"
# Of that version the tree is made: of the package that is installed, else of what apt has.
# shellcheck disable=SC2016 # the inner shell expands
made_of() { KREL=$release lab_parts eval 'tree() { echo "$1 of $KVER from $KERNEL_SUITE"; }; matched_tree'; }
fake dpkg-query 'echo 7.3.9-1~bpo13+1'
is "$(made_of)" "stock of 7.3.9-1~bpo13+1 from trixie-backports" "a tree is made of the source of the package's version"
fake dpkg-query 'exit 1'
is "$(made_of)" "stock of 7.3.4-1~bpo13+1 from trixie-backports" "... and where there is none, of apt's newest"

# Another checkout, with the same cache, asks for a kernel without Rust meanwhile.
rm "$bin/rustc"
mkdir -p "$SCRATCH/no-rust/include/config"
echo '# CONFIG_RUST is not set' >"$SCRATCH/no-rust/.config"
echo 6.0.0 >"$SCRATCH/no-rust/include/config/kernel.release"
# shellcheck disable=SC2016 # the inner shell expands
is "$(lab_parts eval 'NATIVE='"$SCRATCH"'/ours KDIR='"$tree"'
	use_own_tools() { (NATIVE='"$SCRATCH"'/theirs KDIR='"$SCRATCH"'/no-rust native_tree) 2>&1 | grep -o "6.0.0 was built without"; }
	native_tree && echo "$TREE"' 2>&1)" "6.0.0 was built without"$'\n'"$tree" "what others ask for at the same time is theirs"

# --- Kernels that take signed modules only ----------------------------------------
sys=$SCRATCH/sys
mkdir -p "$sys/module/module/parameters" "$sys/kernel/security"
fails "a kernel that says nothing takes all modules" lab_parts refuses_unsigned "$sys"
echo '[none] integrity confidentiality' >"$sys/kernel/security/lockdown"
echo N >"$sys/module/module/parameters/sig_enforce"
fails "so does one that is not locked down" lab_parts refuses_unsigned "$sys"
echo 'none [integrity] confidentiality' >"$sys/kernel/security/lockdown"
succeeds "but not one that is" lab_parts refuses_unsigned "$sys"
echo '[none] integrity confidentiality' >"$sys/kernel/security/lockdown"
echo Y >"$sys/module/module/parameters/sig_enforce"
succeeds "or that enforces signatures" lab_parts refuses_unsigned "$sys"

plan
