# People of an LDAP directory, by nslcd, with a slapd on loopback.
# shellcheck source=tests/host/layers/slapd.inc
. "$(dirname "$0")/layers/slapd.inc"
packages="$slapd_packages nslcd libnss-ldapd libpam-ldapd"

set_up() {
    set_up_slapd ldap
    cat >/etc/nslcd.conf <<'END'
uid nslcd
gid nslcd
uri ldap://gatehost/
base dc=example,dc=org
ssl start_tls
tls_reqcert demand
tls_cacertfile /etc/ldap/tls/ca.pem
pam_authc_search NONE
nss_initgroups_ignoreusers ALLLOCAL
bind_timelimit 3
timelimit 3
reconnect_retrytime 3
END
}
