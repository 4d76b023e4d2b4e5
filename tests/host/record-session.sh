#!/bin/sh
# For pam_exec: one line for each session opened and closed.
echo "${PAM_TYPE%_session} $PAM_USER" >>/var/log/gate-sessions
