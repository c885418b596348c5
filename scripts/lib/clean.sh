# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2317 # parts of the lab call what is redefined here
# Remove the cache. The directory is the user's, and may hold more than ours: only
# what the lab is known to have made goes.

# parts_but NAMES - the parts in the cache, each known by the lock beside it; not those
# of NAMES, one a line.
parts_but() {
	local lock
	for lock in "$CACHE"/{toolchain,guest,kernel/*}/*.lock; do
		[ -e "$lock" ] && ! grep -qxF "${lock%.lock}" <<<"$1" && echo "${lock%.lock}"
	done
	true
}

# remove_parts - those that standard input names.
remove_parts() {
	local part
	while read -r part; do
		remove "$part" "$part.pkg" "$part.lock"
	done
}

# Directories that hold nothing else now.
remove_empty() {
	rmdir --ignore-fail-on-non-empty -- "$@" 2>/dev/null || true
}

remove_cache() {
	[ -d "$CACHE" ] || return 0
	parts_but '' | remove_parts
	rm -f "$CACHE"/kernel/{trixie,forky,sid}{,-backports}{,-*amd64}{,.*[0-9]} "$CACHE"/kernel/.gone-* \
		"$CACHE"/log/{boot,debug,guest,image,source,stock,toolchain,uml}-*.log "$CACHE"/log/{host,kvm,resolve}.log \
		"$CACHE"/kvm-???????????? "$CACHE/native.config"
	remove_empty "$CACHE"/kernel/* "$CACHE"/{toolchain,guest,kernel,log} "$CACHE"
	[ ! -d "$CACHE" ] || say "$CACHE stays: there is more in it than the lab made"
}

# parts_in_use - what the suite's kernel of today and the recipes as they stand
# would use. They are asked for as ever, but nothing is made.
parts_in_use() (
	set -e
	unset PASSTHRU_IN_TOOLCHAIN
	part() { echo "$2"; }
	in_toolchain() { false; }
	lab_tools() { true; }
	more_tools() { true; }
	resolve_kernel
	toolchain
	guest_image
	for lab in stock uml debug; do
		tree "$lab"
		echo "$TREE"
	done
	# And the kernel of this machine itself.
	printf '%s\n' "$KDIR/source" "$CACHE/kernel/$(uname -r)"/{source,stock}
)

# Whatever other branches, suites and kernels have left there.
remove_old() {
	local used
	[ -d "$CACHE/kernel" ] || return 0
	used=$(parts_in_use)
	parts_but "$used" | remove_parts
	remove_empty "$CACHE"/kernel/*
}

clean_cache() {
	case ${1:-} in
	'') remove_cache ;;
	--old) remove_old ;;
	*) die "clean takes no '$1'" ;;
	esac
}
