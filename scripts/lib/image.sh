# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2016,SC2034 # inner shells expand; IMAGE is for guest.sh
# What a guest boots: the stock kernel and its modules as Debian ships them,
# an initramfs that finds the disk, and one root image for every lab.

make_boot() {
	local dir=$1
	# The base package has modules.order and modules.builtin, for depmod.
	fetch_packages "$dir/pkg" "linux-binary-$KREL" "linux-modules-$KREL" "linux-base-$KREL"
	# Newer packages keep the kernel beside its modules.
	mv "$dir/pkg/usr/lib/modules/$KREL/vmlinuz" "$dir/vmlinuz" 2>/dev/null ||
		mv "$dir/pkg/boot/vmlinuz-$KREL" "$dir/vmlinuz"
	in_toolchain bash -ec '
		dir=$1 release=$2 top=$3
		# An emulated processor takes long to unpack: a depmod there 19 s, not 4; a boot
		# 14 s, not 10.
		find "$dir/pkg/usr/lib/modules/$release" -name "*.ko.xz" -print0 | xargs -0 -r -n 50 -P 2 xz -d
		"$top/scripts/lib/unpack_kernel.py" "$dir/vmlinuz" "$dir/vmlinux"
		depmod -b "$dir/pkg/usr" -m /lib/modules "$release" 2>/dev/null || depmod -b "$dir/pkg/usr" "$release"
		mkdir -p "$dir/initrd/bin" "$dir"/initrd/{dev,root,modules}
		cp /bin/busybox "$dir/initrd/bin/"
		cp "$top/scripts/guest/initrd" "$dir/initrd/init"
		# What stands between the kernel and its disk, as far as that is modules, in the
		# order in which they go: modules.dep has it the other way round.
		modules=$dir/pkg/usr/lib/modules/$release number=100
		for name in virtio_blk ext4; do
			for file in $(grep "/$name.ko:" "$modules/modules.dep" | tr -d : | tr " " "\n" | tac); do
				cp "$modules/$file" "$dir/initrd/modules/$((number += 1)).ko"
			done
		done
		(cd "$dir/initrd" && find . | cpio --quiet -o -H newc) >"$dir/initrd.img"
		rm -r "$dir/initrd"
		tar -C "$dir/pkg" -cf "$dir/modules.tar" usr/lib/modules' - "$dir" "$KREL" "$TOP"
	rm -rf "$dir/pkg"
}

make_root() {
	debootstrap_root "$1/root.tar" "$(packages guest)" \
		--customize-hook="copy-in '$TOP/scripts/guest/init' /" \
		--customize-hook='rm -rf "$1"/var/lib/apt/lists/*' \
		--customize-hook='mkdir -p "$1/passthru" "$1/out"'
}

# Sets ROOT: the guests' userland, which needs to know of no kernel.
guest_root() {
	local key
	key=$(recipe_hash make_root debootstrap_root "$TOP/scripts/packages/guest" "$TOP/scripts/guest/init")
	ROOT=$CACHE/guest/$SUITE-$key
	part "guest-$SUITE" "$ROOT" 40 2 make_root
}

make_image() {
	local dir=$1
	in_toolchain bash -ec '
		cp "$2/root.tar" "$1/root.tar"
		tar -A -f "$1/root.tar" "$3/modules.tar"
		mke2fs -q -t ext4 -L guest -O ^has_journal -d "$1/root.tar" "$1/root.img" 2G
		rm "$1/root.tar"' - "$dir" "$ROOT" "$BOOT"
}

# Sets BOOT (vmlinuz, vmlinux if that can be started, initrd.img) and IMAGE (root.img).
guest_image() {
	local key
	resolve_kernel
	key=$(recipe_hash make_boot "$TOP/scripts/guest/initrd" "$TOP/scripts/lib/unpack_kernel.py")
	BOOT=$KDIR/boot-$key
	part "boot-$KREL" "$BOOT" 20 1 make_boot
	guest_root
	key=$(recipe_hash make_image make_boot <(echo "${ROOT##*/}"))
	part "image-$KREL" "$KDIR/image-$key" 10 3 make_image
	IMAGE=$KDIR/image-$key/root.img
}
