# A program that does nothing but call PAM: what the gate is measured by.
packages="pamtester"

set_up() {
    :
}
