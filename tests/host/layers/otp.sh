# One-time passwords: pam_oath and pam_google_authenticator.
packages="libpam-oath oathtool libpam-google-authenticator"

set_up() {
    :
}
