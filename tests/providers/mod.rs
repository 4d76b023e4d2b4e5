//! Identity providers behind the gate: real servers and modules from Debian's packages, each in private hosts of a layer of
//! its own (host/layers/), with the worked PAM files put in place as tmux-gate-pam(7) says.

mod accounts;
mod cost;
mod directory;
mod kerberos;
mod key;
mod ldap;
mod ldap_away;
mod limits;
mod namespace;
mod otp;
mod otp_google;
mod otp_names;
mod otp_oath;
mod otp_state;
mod rules;
mod second_factor;
mod session_modules;
mod sharing;
mod sssd;
mod strict;
mod strict_rules;
mod systemd;
mod systemd_grace;
mod tickets;
mod worked;
