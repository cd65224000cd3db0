#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A short part of what ./dev chaos does: a coordinator that is killed, a worker that is terminated.
exec "$(dirname "$0")/chaos.sh" 2 5
