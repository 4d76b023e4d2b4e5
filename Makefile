# make            build the program, its man pages, completions and default configuration (cargo)
# make install    put them in place; never builds    [DESTDIR=] [PREFIX=/usr] [PAM=debian|redhat|arch|suse|alpine]
# make uninstall  take them away; leaves edited configuration, and whoever is in a session, alone
# make check      install what the tests need, build, run all tests (root)
# make check-identity   of these the ones with identity providers: Kerberos, LDAP, one-time passwords, systemd (root)
# make demo       try the gate in a private host; this machine keeps nothing of it (root)
# make clean      remove what was built

DESTDIR =
PREFIX = /usr
PAM =

# Debian packages. To build, and for the private hosts of the demonstration and the tests:
BUILD_NEEDS = gcc libc6-dev libpam0g-dev make
HOST_NEEDS = $(BUILD_NEEDS) bsdutils iproute2 libpam-modules login mount passwd perl-base procps tmux util-linux
TEST_NEEDS = $(HOST_NEEDS) bash binutils groff-base openssh-client openssh-server

# More hosts at a time than processors: most tests wait for somebody to answer.
TEST_THREADS = 6

CARGO = cargo
TARGET = $(or $(CARGO_TARGET_DIR),target)
SCRIPTS = .ci/run packaging/own-scope $(wildcard packaging/*.sh tests/host/*.sh tests/host/layers/*)

# sudo hides the toolchain of the person behind it (~/.cargo/bin), and what root builds is given back to that person.
ifneq ($(SUDO_USER),)
SUDO_HOME := $(shell getent passwd $(SUDO_USER) | cut -d: -f6)
export PATH := $(PATH):$(SUDO_HOME)/.cargo/bin
export RUSTUP_HOME ?= $(if $(wildcard $(SUDO_HOME)/.rustup),$(SUDO_HOME)/.rustup,$(HOME)/.rustup)
GIVE_BACK = chown -R $(SUDO_UID):$(SUDO_GID) $(TARGET)
else
GIVE_BACK = :
endif

.PHONY: all build install uninstall check check-identity demo clean root build-needs host-needs test-needs

all: build

build:
	@command -v $(CARGO) >/dev/null || \
		{ echo 'tmux-gate: no cargo; install Rust, see rust-version in Cargo.toml' >&2; exit 1; }
	$(CARGO) build --release --locked
	$(CARGO) run --release --locked --quiet --example generate -- $(TARGET)/generated
	@$(GIVE_BACK)

install uninstall:
	@DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' PAM='$(PAM)' TARGET='$(TARGET)' sh packaging/install.sh $@

check: root test-needs
	@for script in $(SCRIPTS); do bash -n $$script || exit 1; done
	$(MAKE) build
	$(CARGO) test --locked --lib --bins --test layering
	$(CARGO) test --locked --test gate -- --test-threads=$(TEST_THREADS) --skip providers::
	$(MAKE) check-identity

# What takes time is measured alone. What takes a systemd of its own is left out, loudly, where none can be started.
check-identity: root test-needs
	@bash tests/host/host.sh fetch
	$(MAKE) build
	@without=; bash tests/host/host.sh can-boot || \
		{ without='--skip providers::systemd'; echo 'tmux-gate: NOT TESTED: providers::systemd, see the line above' >&2; }; \
	set -ex; trap '$(GIVE_BACK)' EXIT; \
	$(CARGO) test --locked --test gate -- --test-threads=$(TEST_THREADS) --include-ignored --skip providers::cost $$without providers::; \
	$(CARGO) test --locked --test gate -- --include-ignored --nocapture providers::cost

demo: root host-needs
	@$(MAKE) --no-print-directory build
	@bash packaging/demo.sh

clean:
	$(CARGO) clean

root:
	@[ "$$(id -u)" = 0 ] || { echo 'tmux-gate: private hosts take root; run: sudo make $(MAKECMDGOALS)' >&2; exit 1; }

build-needs:
	@sh packaging/needs.sh $(BUILD_NEEDS)

host-needs:
	@sh packaging/needs.sh $(HOST_NEEDS)

test-needs:
	@sh packaging/needs.sh $(TEST_NEEDS)
