# SPDX-License-Identifier: GPL-2.0
#
# What there is to do: `make help`. The module itself is described to the
# kernel's build system by Kbuild, and made by scripts/lab, which finds or makes
# the toolchain, the kernels and the guests.

LAB ?= stock
JOBS ?= $(shell nproc)
TESTS ?= $(sort $(wildcard tests/*.t))
export LAB KERNEL_SUITE KERNEL_FLAVOUR PASSTHRU_CACHE PASSTHRU_MIRROR

lab := scripts/lab

.PHONY: all install uninstall module demo test bench profile lint fmt clean clean-cache distclean help

all:
	@$(lab) native

install:
	@$(lab) install

uninstall:
	@$(lab) uninstall

module:
	@$(lab) build $(LAB)

demo:
	@scripts/demo/run

test: module
	@$(lab) prepare $(LAB)
	@$(lab) tools plots
	@JOBS=$(JOBS) $(lab) tests $(TESTS)

bench:
	@bench/run --lab $(LAB) $(if $(QUICK),--quick) $(if $(JSON),--json $(JSON)) \
		$(if $(PATHS),--paths "$(PATHS)") $(BENCHFLAGS)

# `make profile PATH=veth`: the word is natural, but it is also the shell's, so
# give the recipes theirs back.
ifeq ($(origin PATH),command line)
profile_path := $(PATH)
override PATH := /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
MAKEOVERRIDES :=
endif
profile:
	@bench/profile $(profile_path) $(BENCHFLAGS)

lint:
	@scripts/lint

fmt:
	@scripts/lint --fix

clean:
	rm -rf build

clean-cache:
	@$(lab) clean --old

distclean: clean
	@$(lab) clean

help:
	@cat scripts/help
