# The people of layers/ldap.sh, by sssd.
# shellcheck source=tests/host/layers/slapd.inc
. "$(dirname "$0")/layers/slapd.inc"
packages="$slapd_packages sssd-ldap libnss-sss libpam-sss"

set_up() {
    set_up_slapd sss
    cat >/etc/sssd/sssd.conf <<'END'
[sssd]
services = nss, pam
domains = example.org

[pam]
pam_initgroups_scheme = always

[domain/example.org]
id_provider = ldap
auth_provider = ldap
access_provider = ldap
ldap_access_order = expire
ldap_account_expire_policy = shadow
ldap_uri = ldap://gatehost/
ldap_id_use_start_tls = true
ldap_search_base = dc=example,dc=org
ldap_tls_reqcert = demand
ldap_tls_cacert = /etc/ldap/tls/ca.pem
END
    chmod 600 /etc/sssd/sssd.conf
}
