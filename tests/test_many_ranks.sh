#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Ranks beyond the cores of this machine, each on a node of its own as it is told, whose children
# only sleep: all of them measure, and they spend their time in rounds. (./dev scale takes more.)
"$(dirname "$0")/scale.sh" 8 0.3 70
