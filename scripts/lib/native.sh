# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2016 # variables for kernel.sh; the inner shell expands
# The module for the kernel this machine itself runs, and its installation.

NATIVE=$TOP/build/native

# Where a release's configuration is, on Debian and elsewhere.
running_config() {
	local file
	for file in "${KDIR_GIVEN:-/nonexistent}/.config" "/boot/config-$KREL" "/lib/modules/$KREL/config" \
		"/lib/modules/$KREL/build/.config"; do
		if [ -r "$file" ]; then
			cat "$file"
			return
		fi
	done
	if [ "$KREL" = "$(uname -r)" ] && [ -r /proc/config.gz ]; then
		zcat /proc/config.gz
		return
	fi
	die "no configuration of kernel $KREL found: install linux-headers-$KREL, or name a build tree by KDIR="
}

# A tree in which the kernel's own Rust crates were compiled.
has_rust() { [ -n "$(find "$1/rust" -maxdepth 1 -name 'libkernel.rmeta' 2>/dev/null)" ]; }

# The trees that may be there already.
ready_tree() {
	local dir
	for dir in "$KDIR_GIVEN" "/lib/modules/$KREL/build"; do
		if [ -n "$dir" ] && has_rust "$dir"; then
			echo "$dir"
			return
		fi
	done
	false
}

# has_own_tools CONFIG - whether this machine has what builds a module for that kernel.
has_own_tools() {
	local tool cc
	cc=$(sed -n 's/^CONFIG_CC_VERSION_TEXT="\([^ "]*\).*/\1/p' "$1")
	for tool in rustc bindgen make flex bison bc "${cc:-gcc}"; do
		command -v "$tool" >/dev/null || return
	done
	ready_tree >/dev/null || can_make_tree
}

# A tree that is yet to be made needs more: the suite's compiler, the source of Rust's
# core, and what the kernel's own tools (objtool, sign-file) are made with.
can_make_tree() {
	local file
	command -v "gcc-$(suite_gcc 2>/dev/null)" >/dev/null || return
	for file in "$(rustc --print sysroot)/lib/rustlib/src/rust/library/core/src/lib.rs" \
		/usr/include/{gelf.h,elfutils/libdw.h,openssl/evp.h}; do
		[ -e "$file" ] || return
	done
}

# A machine whose release is the kernel's own needs no toolchain root.
use_own_tools() {
	local want
	want=$(sed -n 's/^CONFIG_RUSTC_VERSION_TEXT="\(.*\)"$/\1/p' "$1")
	if has_own_tools "$1" && [ "$(rustc --version)" = "$want" ]; then
		export PASSTHRU_IN_TOOLCHAIN=1
	fi
}

# Sets KDIR_GIVEN and KREL: a tree that was named says which kernel it is of.
which_kernel() {
	KDIR_GIVEN=${KDIR:+$(readlink -f "$KDIR" || echo "$KDIR")}
	if [ -n "$KDIR_GIVEN" ]; then
		[ -r "$KDIR_GIVEN/.config" ] ||
			die "KDIR=$KDIR_GIVEN is not the build tree of a kernel: it has no .config"
		KREL=$(cat "$KDIR_GIVEN/include/config/kernel.release" 2>/dev/null) ||
			die "KDIR=$KDIR_GIVEN is not prepared: run 'make modules_prepare' there"
	fi
	KREL=${KREL:-$(uname -r)}
}

# The tree may lie anywhere, and so may the source it was made of; both are to be
# seen from the toolchain root.
bind_tree() {
	LAB_BIND="$(readlink -f "$TREE") $(readlink -f "$TREE/source" || true)"
	export LAB_BIND
}

# Sets TREE to a build tree for KREL, or says why there can be none.
native_tree() {
	local config=$NATIVE/kernel.config
	which_kernel
	make_cache
	# Not in the cache: another checkout may be asking for another kernel.
	mkdir -p "$NATIVE"
	running_config >"$config"
	grep -q '^CONFIG_RUST=y' "$config" ||
		die "kernel $KREL was built without CONFIG_RUST: passthru cannot be built for it (Debian's kernels have it from trixie-backports on; 'make demo' shows it on one)"
	use_own_tools "$config"
	if TREE=$(ready_tree); then
		check_rust "$config" "$KREL"
		bind_tree
		return
	fi
	[ -z "$KDIR_GIVEN" ] || die "KDIR=$KDIR_GIVEN holds no compiled Rust crates (rust/libkernel.rmeta): run 'make modules_prepare' there"
	matched_tree
}

# Debian's headers package has no rust/: prepare the tree from the source of
# the same version.
matched_tree() {
	KVER=$(dpkg-query -W -f '${Version}' "linux-image-$KREL" 2>/dev/null) ||
		KVER=$(query_version) || die "apt knows no package linux-image-$KREL: name the kernel's build tree by KDIR="
	case $KVER in
	*~bpo*) KERNEL_SUITE=$SUITE-backports ;;
	esac
	KDIR=$CACHE/kernel/$KREL
	KERNEL_KNOWN=1
	tree stock
}

query_version() {
	in_toolchain bash -c 'apt-get -qq update >&2; apt-cache show "linux-image-$1"' - "$KREL" 2>/dev/null |
		sed -n 's/^Version: //p' | head -n 1 | grep .
}

build_native() {
	local vars=()
	need_build "$NATIVE"
	native_tree
	mapfile -t vars < <(module_vars stock)
	# To a build with another tree, what the last one left is of no use.
	[ "$(cat "$NATIVE/tree" 2>/dev/null)" = "$TREE" ] || rm -rf "$NATIVE"
	begin_build "$NATIVE"
	echo "$TREE" >"$NATIVE/tree"
	in_toolchain make -s -C "$TREE" M="$TOP" MO="$NATIVE" "${vars[@]}" -j"$(nproc)" modules
	(
		flock 9
		in_toolchain make -s -C "$TOP/iproute2" O="$TOP/build/iproute2"
	) 9>"$TOP/build/.lock"
	echo "$KREL" >"$NATIVE/release"
	end_build "$NATIVE"
	say "built build/native/passthru.ko for $KREL and build/iproute2/link_passthru.so"
}

# ready_to_install - build/native is as who installs wants it. The owner of the
# checkout builds. Root in another's (`sudo make install`) would leave there what
# its owner cannot remove, and make a toolchain in a cache of its own: it installs
# what stands ready, but nothing else than what was asked for.
ready_to_install() {
	local newer
	if [ -O "$TOP" ]; then
		build_native
		return
	fi
	which_kernel
	[ -e "$NATIVE/.built" ] || die "nothing is built yet: run 'make' first, as who owns $TOP"
	[ "$KREL" = "$(cat "$NATIVE/release")" ] ||
		die "what is built is for kernel $(cat "$NATIVE/release"), not for $KREL: run 'make' first, or name the kernel by KREL= or KDIR= here too"
	[ "${KDIR_GIVEN:-$(cat "$NATIVE/tree")}" = "$(cat "$NATIVE/tree")" ] ||
		die "what is built is for $(cat "$NATIVE/tree"), not for $KDIR_GIVEN: run 'make' with it first"
	newer=$(newer_source "$NATIVE" iproute2)
	[ -z "$newer" ] || die "$newer is newer than what is built: run 'make' first"
}

# refuses_unsigned SYSFS - whether the kernel that runs loads signed modules only.
refuses_unsigned() {
	grep -qs Y "$1/module/module/parameters/sig_enforce" || grep -qsE '\[(integrity|confidentiality)\]' "$1/kernel/security/lockdown"
}

# Where modprobe, ip and man look.
installed_files() {
	printf '%s\n' "build/native/passthru.ko /lib/modules/$1/updates/passthru.ko" \
		"docs/passthru.8 /usr/share/man/man8/passthru.8" \
		"docs/guide.md /usr/share/doc/passthru/guide.md" \
		"docs/benchmarks.md /usr/share/doc/passthru/benchmarks.md"
}

# index_modules RELEASE - let modprobe know what there is. A root's path may lack
# the directory of depmod; a machine that fills a DESTDIR may lack depmod.
index_modules() {
	local PATH=$PATH:/usr/sbin:/sbin
	if command -v depmod >/dev/null; then
		depmod ${DESTDIR:+-b "$DESTDIR"} "$1" || die "depmod $1 failed"
	elif [ -n "${DESTDIR:-}" ]; then
		say "no depmod here: run 'depmod $1' where $DESTDIR is put to use"
	else
		die "no depmod here (apt-get install kmod): the module is in its place, but modprobe does not know of it"
	fi
}

install_native() {
	local release from to
	ready_to_install
	release=$(cat "$NATIVE/release")
	while read -r from to; do
		install -D -m 644 "$TOP/$from" "${DESTDIR:-}$to" || die "cannot install to ${DESTDIR:-}$to: are you root?"
	done < <(installed_files "$release")
	make -s -C "$TOP/iproute2" O="$TOP/build/iproute2" BUILT=1 DESTDIR="${DESTDIR:-}" install ||
		die "cannot install the plugin for ip"
	index_modules "$release"
	say "installed for $release; 'ip link add type passthru' loads the module by itself"
	if [ -z "${DESTDIR:-}" ] && [ "$release" = "$(uname -r)" ] && refuses_unsigned /sys; then
		say "but this kernel (Secure Boot) loads signed modules only: sign /lib/modules/$release/updates/passthru.ko by the kernel's scripts/sign-file, with a key enrolled by mokutil"
	fi
}

# From every kernel: what is built now need not be what was installed.
uninstall_native() {
	local module release
	rm -f "${DESTDIR:-}/usr/share/man/man8/passthru.8" "${DESTDIR:-}"/usr/share/doc/passthru/{guide,benchmarks}.md
	rmdir "${DESTDIR:-}/usr/share/doc/passthru" 2>/dev/null || true
	for module in "${DESTDIR:-}"/lib/modules/*/updates/passthru.ko; do
		[ -e "$module" ] || continue
		release=${module%/updates/*}
		release=${release##*/}
		rm -f "$module"
		index_modules "$release"
	done
	make -s -C "$TOP/iproute2" DESTDIR="${DESTDIR:-}" uninstall
	say "uninstalled; a module that is loaded stays, with its pairs, until 'rmmod passthru'"
}
