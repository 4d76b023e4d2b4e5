#!/bin/bash -eu
# A private host: what runs in it believes that it has a machine of its own, and the real one stays as it is.
# It has its own processes, host name, loopback network, /dev, /proc, /run and /tmp; what it writes to /etc, /usr, /var,
# /home and /root goes to overlays in memory; the rest of the file system is read-only. All of it ends with its first
# process.
#
#     host.sh run COMMAND [ARGUMENT...]   a host with the product and four people, COMMAND in it as root; with a
#                                         terminal COMMAND gets a terminal of the host. Syslog is /var/log/auth.log.
#     host.sh base                        for the tests: builds what their hosts share, says "ready", holds it until
#                                         the end of standard input
#     host.sh layer NAME                  for the tests, in the mount namespace of the base: builds a layer on top of it, in
#                                         which the Debian packages of layers/NAME.sh are installed and set up
#     host.sh host [NAME]                 for the tests, in the mount namespace of the base: one more host on top of it, or of
#                                         that layer
#     host.sh boot [NAME]                 the same, with systemd as its first process
#     host.sh fetch                       downloads the packages of all layers; the machine does not get them installed
#     host.sh can-boot                    can systemd be started in a host here? If not, says why
#
# The product must be built; HOST_INSTALL is the command that installs it (default: make install).

umask 022
layers="etc usr var home root"
shelf=/mnt                       # in memory: the checkout, the built program, the overlays
checkout=$shelf/checkout
people="alice bob carol dave"    # uids from 1001; the password of alice is: alice's secret

fail() { echo "host.sh: $*" >&2; exit 1; }

require() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || fail "$tool: not installed; a private host needs it"
    done
    [ "$(id -u)" = 0 ] || fail "uid $(id -u): a private host needs root"
}

namespaces() {
    unshare --mount --propagation private --pid --fork --kill-child --uts --ipc --net "$@"
}

# The checkout and the built program at fixed places, wherever they are: the host covers /home, /root and /tmp.
lay_out_shelf() {
    local source target
    source=$(readlink -f "$(dirname "$0")/../..")
    target=$(readlink -m "${CARGO_TARGET_DIR:-$source/target}")
    mkdir -p "$target"
    exec 3<"$source" 4<"$target"
    mount -t tmpfs -o mode=755 shelf $shelf
    mkdir $checkout $shelf/target $shelf/base $shelf/own
    mount --no-canonicalize --bind /proc/self/fd/3 $checkout
    mount --no-canonicalize --bind /proc/self/fd/4 $shelf/target
    mount -o remount,bind,ro $checkout
    mount -o remount,bind,ro $shelf/target
    exec 3<&- 4<&-
    export CARGO_TARGET_DIR=$shelf/target
    cd /
}

# become_host OWN [LOWER...]: changes go to the folder OWN, on top of those in each LOWER, on top of the real machine.
become_host() {
    local own=$1 layer lower lowers
    shift
    mkdir -p -m 755 "$own/etc" "$own/usr" "$own/var" "$own/home" "$own"/work/{etc,usr,var,home,root}
    mkdir -m 700 "$own/root"
    for layer in $layers; do
        lowers=
        for lower in "$@" ''; do lowers=$lowers:$lower/$layer; done
        mount -t overlay host "/$layer" \
            -o "lowerdir=${lowers#:},upperdir=$own/$layer,workdir=$own/work/$layer"
    done
    mount -t tmpfs -o mode=755 run /run
    mount -t tmpfs -o mode=1777 tmp /tmp
    mkdir -p /run/lock /run/sshd
    own_devices
    mount -t proc proc /proc
    mount -t sysfs -o ro sysfs /sys
    mount -o remount,bind,ro /
    echo gatehost >/proc/sys/kernel/hostname
    printf '127.0.0.1 localhost\n::1 localhost\n127.0.1.1 gatehost\n' >/etc/hosts
    ip link set lo up
}

# Never in the real /dev: it is the kernel's, and shared with the machine.
own_devices() {
    local name major minor
    mount -t tmpfs -o mode=755 dev /dev
    while read -r name major minor; do
        mknod -m 666 "/dev/$name" c "$major" "$minor"
    done <<'END'
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
END
    chgrp tty /dev/tty
    mkdir /dev/pts /dev/shm
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts /dev/pts
    mount -t tmpfs -o mode=1777 shm /dev/shm
    ln -s pts/ptmx /dev/ptmx
    ln -s /proc/self/fd /dev/fd
    ln -s fd/0 /dev/stdin
    ln -s fd/1 /dev/stdout
    ln -s fd/2 /dev/stderr
}

install_product() {
    local program=$CARGO_TARGET_DIR/release/tmux-gate newer
    if [ -z "${HOST_INSTALL:-}" ]; then
        [ -x "$program" ] || fail "target/release/tmux-gate: not built; run: make"
        newer=$(find $checkout/src -name '*.rs' -newer "$program" -print -quit)
        [ -z "$newer" ] || fail "target/release/tmux-gate: older than ${newer#"$checkout"/}; run: make"
    fi
    ${HOST_INSTALL:-make -s -C $checkout install} >&2 || fail "${HOST_INSTALL:-make install}: failed"
}

# /run is new in every host, so what tmpfiles.d makes at boot is made here.
make_runtime_folders() {
    local type path mode user group
    while read -r type path mode user group _; do
        case $type in d | D) install -d -m "$mode" -o "$user" -g "$group" "$path" ;; esac
    done </usr/lib/tmpfiles.d/tmux-gate.conf
}

add_people() {
    local file name
    for file in passwd shadow group gshadow; do # whoever has an account on the real machine has none here
        awk -F: 'NR == FNR { if ($3 > 1000 && $3 < 60000) person[$1]; next } !($1 in person)' \
            /etc/passwd "/etc/$file" >"/tmp/$file"
    done
    for file in passwd shadow group gshadow; do cat "/tmp/$file" >"/etc/$file"; done
    mkdir -m 700 -p /tmp/skel/.ssh
    # shellcheck disable=SC2016
    echo 'PS1="in\\$ "; unset PROMPT_COMMAND' >/tmp/skel/.bash_profile
    if command -v ssh-keygen >/dev/null; then
        ssh-keygen -q -t ed25519 -N '' -C people -f /tmp/skel/.ssh/id_ed25519
        cp /tmp/skel/.ssh/id_ed25519.pub /tmp/skel/.ssh/authorized_keys
    fi
    local uid=1001
    for name in $people; do
        useradd --create-home --skel /tmp/skel --shell /bin/bash --uid "$uid" "$name"
        chmod 750 "/home/$name"
        uid=$((uid + 1))
    done
    for name in root $people; do echo "$name:$name's secret"; done | chpasswd
}

# What only the tests need: the hostile PAM module, the script that records sessions, the ssh server's key.
add_fixtures() {
    local modules
    modules=$(dirname "$(find /usr/lib /usr/lib64 -name pam_unix.so -print -quit 2>/dev/null)")
    [ "$modules" != . ] || fail "pam_unix.so: not found under /usr/lib; install libpam-modules"
    cc -shared -fPIC -O1 -Wall -Werror -o "$modules/pam_fixture.so" $checkout/tests/host/pam_fixture.c -lpam ||
        fail "pam_fixture.c: not compiled; install gcc and libpam0g-dev"
    echo 'set -g assume-paste-time 0' >>/etc/tmux.conf # else keys typed within a millisecond are no key bindings
    echo 'set -g @tmux-gate-menu off' >>/etc/tmux.conf # else a request takes what is typed next
    install -d /usr/local/lib/gate-tests
    install -m 755 $checkout/tests/host/record-session.sh /usr/local/lib/gate-tests/record-session
    [ -f /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
    echo "* $(cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub)" >/etc/ssh/ssh_known_hosts
}

# read_layer NAME: its packages, and set_up, which runs in the host once they are installed.
read_layer() {
    [ -f "$(dirname "$0")/layers/$1.sh" ] || fail "layers/$1.sh: not there"
    # shellcheck disable=SC1090
    . "$(dirname "$0")/layers/$1.sh"
}

# The packages with all that they need and this machine lacks, for each layer in a folder of its own.
fetch_packages() {
    local script name folder
    command -v apt-get >/dev/null || fail "apt-get: not installed; the layers are made of Debian packages"
    for script in "$(dirname "$0")"/layers/*.sh; do
        name=$(basename "$script" .sh)
        folder=$(readlink -m "${CARGO_TARGET_DIR:-$(dirname "$0")/../../target}")/packages/$name
        mkdir -p "$folder/partial"
        read_layer "$name"
        apt_get_packages --download-only -o "Dir::Cache::archives=$folder" >"$folder/log" 2>&1 ||
            { apt-get -q update && apt_get_packages --download-only -o "Dir::Cache::archives=$folder"; } \
                >"$folder/log" 2>&1 || { cat "$folder/log" >&2; fail "$packages: cannot be downloaded"; }
    done
}

apt_get_packages() {
    # shellcheck disable=SC2086
    apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 -o APT::Sandbox::User=root "$@" install $packages
}

install_packages() {
    export DEBIAN_FRONTEND=noninteractive
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d # no services: a test starts what it needs
    chmod 755 /usr/sbin/policy-rc.d
    cp "$shelf/target/packages/$1"/*.deb /var/cache/apt/archives/ 2>/dev/null || true # none, if all are installed
    apt_get_packages --no-download -o "Dpkg::Options::=--path-exclude=/usr/share/man/*" >/tmp/log 2>&1 ||
        { cat /tmp/log >&2; fail "$packages: not installed; run: bash tests/host/host.sh fetch"; }
    rm -f /var/cache/apt/archives/*.deb /usr/sbin/policy-rc.d
}

listen_to_syslog() {
    perl -MIO::Socket::UNIX -e '
        my $log = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "/dev/log") or die "/dev/log: $!\n";
        chmod 0666, "/dev/log";
        open my $out, ">>", "/var/log/auth.log" or die "/var/log/auth.log: $!\n";
        $out->autoflush(1);
        while (defined $log->recv(my $line, 65536)) { $line =~ s/^<\d+>//; $line =~ s/\n?\z/\n/; print $out $line; }
    ' </dev/null >/dev/null &
    while [ ! -S /dev/log ]; do kill -0 $! || fail "syslog: no listener"; sleep 0.02; done
}

# shellcheck source=SCRIPTDIR/boot.sh
. "$(dirname "$0")/boot.sh" # systemd as the first process

require unshare mount mknod ip useradd chpasswd make readlink awk
verb=${1:-}
[ $# = 0 ] || shift
case $verb in
run)
    [ $# -gt 0 ] || fail "run: no command"
    unshare --mount --propagation private bash -eu "$0" _run "$@"
    ;;
_run)
    lay_out_shelf
    namespaces bash -eu $checkout/tests/host/host.sh _inside "$@"
    ;;
_inside)
    become_host $shelf/base
    install_product
    make_runtime_folders
    add_people
    listen_to_syslog
    cd /root
    if [ -t 0 ]; then
        script -qec "$(printf '%q ' "$@")" /dev/null
    else
        "$@"
    fi
    ;;
base)
    lay_out_shelf
    namespaces bash -eu $checkout/tests/host/host.sh _build </dev/null
    echo ready
    exec cat >/dev/null
    ;;
_build)
    become_host $shelf/base
    install_product
    make_runtime_folders
    add_people
    add_fixtures
    ;;
layer)
    read_layer "$1" # an error here, before anything is made
    namespaces bash -eu $checkout/tests/host/host.sh _layer "$1" </dev/null
    ;;
_layer)
    read_layer "$1"
    become_host "$shelf/$1" $shelf/base
    install_packages "$1"
    set_up
    ;;
fetch)
    fetch_packages
    ;;
host | _boot)
    mount -t tmpfs -o mode=755 own $shelf/own
    become_host $shelf/own ${1:+"$shelf/$1"} $shelf/base
    make_runtime_folders
    mount -t tmpfs -o ro,mode=755 none $shelf
    [ "$verb" = host ] || become_systemd
    echo ready
    trap '' CHLD # the kernel reaps whatever is orphaned here
    exec cat >/dev/null
    ;;
boot)
    hold_booted_host "$@"
    ;;
_enter)
    group=$1
    shift
    enter_control_group "$group" bash -eu $checkout/tests/host/host.sh _boot "$@"
    ;;
can-boot)
    try_to_boot
    ;;
_enter-to-try)
    enter_control_group "$1" bash -eu "$0" _try
    ;;
_try)
    try_control_group
    ;;
*)
    fail "usage: host.sh run COMMAND [ARGUMENT...]"
    ;;
esac
