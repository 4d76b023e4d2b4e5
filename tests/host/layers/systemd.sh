# systemd as the first process, with D-Bus and logind: pam_systemd.
packages="systemd systemd-sysv dbus libpam-systemd openssh-server"

# Starts nothing but what gate-tests.target asks for: not what the machine has enabled, nothing that concerns its kernel, and
# not the journal, for /dev/log is the tests'.
set_up() {
    local units=/etc/systemd/system name
    rm -rf $units /usr/lib/systemd/system/*.wants /usr/lib/systemd/system-generators
    mkdir $units
    for name in systemd-journald.service modprobe@.service; do ln -s /dev/null $units/$name; done
    : >/etc/machine-id
    echo gatehost >/etc/hostname
    cat >$units/gate-tests.target <<'END'
[Unit]
DefaultDependencies=no
Wants=dbus.service systemd-logind.service systemd-user-sessions.service gate-tests.service
END
    cat >$units/gate-tests.service <<'END'
[Unit]
After=dbus.service systemd-logind.service systemd-user-sessions.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'loginctl list-sessions && echo ready >/run/gate-tests'
END
}
