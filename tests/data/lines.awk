# SPDX-License-Identifier: Apache-2.0
#
# JSON lines of one pair, of against to, made of recorded noise. Variables: effect multiplies the
# times of `of`; first and end are the rounds wanted; hosts and cpus are lists that the rounds take
# in turn, other_host and other_cpu those of `to`, if they differ; sick is a host whose `of` takes
# `sickness` times as long; broken_of and broken_to are outcomes of the rounds before `broken_end`.
# With of_clock and to_clock, in Hz, both ran on a device: its cycles are there, too, and in the rounds
# of the list `hot` the clock of `of` was held down by heat.
function line(side, outcome,    clock, cycles, text, i, part, samples, turns, begun, slower, host, cpu) {
    host = host_list[round % host_count + 1]
    cpu = cpu_list[round % cpu_count + 1]
    slower = side ? 1 : effect * (host == sick ? sickness : 1)
    clock = side ? to_clock : of_clock
    if (side && other_host) host = other_host
    if (side && other_cpu) cpu = other_cpu
    for (i = 3; i <= NF; i++) {
        split($i, part, ":")
        samples = samples (i > 3 ? "," : "") sprintf("%.9g", part[2] * 1e-10 * slower)
        cycles = cycles (i > 3 ? "," : "") sprintf("%.9g", part[2] * 1e-10 * slower * clock)
        turns = turns (i > 3 ? "," : "") part[1]
        begun = begun (i > 3 ? "," : "") round * 1000000 + part[1] * 1000
    }
    text = "{\"tritgate_measurement\":1,\"cell\":\"" (side ? to : of) "\",\"block\":\"" of " | " to "\""
    text = text ",\"round\":" round ",\"attempt\":1,\"outcome\":\"" outcome "\",\"unpaired\":0"
    text = text ",\"reason\":\"" (outcome == "measured" ? "" : "told so") "\",\"facts\":{\"host\":\"" host "\""
    text = text ",\"cpu\":\"" cpu "\",\"date\":\"2026-01-02T03:04:" sprintf("%02d", round) "Z\""
    text = text ",\"library\":\"" (side ? to_library : of_library) "\",\"quads\":" (NF - 2) / 2
    if (clock) {
        text = text ",\"gpu\":\"A_GPU\",\"gpu_uuid\":\"GPU-1\",\"sm_clock_hz\":" clock
        text = text ",\"throttle\":" (index(" " hot " ", " " round " ") && !side ? 64 : 0)
        text = text ",\"gpu_power_w\":" 400 * clock / to_clock ",\"gpu_temperature_c\":60"
    }
    text = text "}"
    if (outcome == "measured")
        print text ",\"series\":[{\"metric\":\"" metric "\",\"samples\":[" samples "],\"turn\":[" turns "],\"begun\":[" begun "]}" (clock ? ",{\"metric\":\"call_cycles\",\"samples\":[" cycles "],\"turn\":[" turns "],\"begun\":[" begun "]}" : "") "]}"
    else
        print text ",\"series\":[]}"
}
BEGIN {
    host_count = split(hosts, host_list, " "); cpu_count = split(cpus, cpu_list, " ")
    if (!to) { to = of; sub(/ layer/, " build=base layer", to) }
}
/^#/ || $1 < first || $1 >= end { next }
{
    round = $1
    broken = $2 ? broken_to : broken_of
    line($2, round < broken_end && broken ? broken : "measured")
}
