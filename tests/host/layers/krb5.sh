# Kerberos: a KDC of MIT's with its password server for EXAMPLE.ORG, this host's keytab, and pam_krb5. A second database
# of the same realm is an impostor's: same names, other keys. The tests start the daemons.
packages="krb5-kdc krb5-admin-server krb5-user libpam-krb5"

set_up() {
    krb5_conf >/etc/krb5.conf
    kdc_conf /var/lib/krb5kdc >/etc/krb5kdc/kdc.conf
    mkdir -m 700 /var/lib/impostor
    kdc_conf /var/lib/impostor >/var/lib/impostor/kdc.conf
    echo '*/admin@EXAMPLE.ORG *' >/etc/krb5kdc/kadm5.acl
    {
        kdb5_util create -s -P master
        kadmin.local addpol -minlength 10 -history 3 people
        kadmin.local addprinc -policy people -pw "alice's ticket" alice
        kadmin.local addprinc -policy people -pw "bob's ticket" bob
        kadmin.local addprinc -policy people -pw "root's ticket" root
        kadmin.local addprinc -randkey host/gatehost.example.org
        kadmin.local ktadd -k /etc/krb5.keytab host/gatehost.example.org
        export KRB5_KDC_PROFILE=/var/lib/impostor/kdc.conf
        kdb5_util create -s -P another
        kadmin.local addprinc -pw "impostor's ticket" alice
    } >/tmp/log 2>&1 || { cat /tmp/log >&2; fail "krb5: no realm"; }
}

# As an administrator has it: Debian's file begins with this section too.
krb5_conf() {
    cat <<'END'
[libdefaults]
    default_realm = EXAMPLE.ORG
    dns_lookup_kdc = false
    dns_lookup_realm = false
    rdns = false

[realms]
    EXAMPLE.ORG = {
        kdc = 127.0.0.1
        admin_server = 127.0.0.1
    }
END
}

kdc_conf() {
    cat <<END
[realms]
    EXAMPLE.ORG = {
        database_name = $1/principal
        key_stash_file = $1/stash
        acl_file = /etc/krb5kdc/kadm5.acl
        default_principal_flags = +preauth
    }
END
}
