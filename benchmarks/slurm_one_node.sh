#!/usr/bin/env bash
# Runs a command beside a Slurm cluster of this one machine, and ends the cluster after it.
#
#     apt-get install -y --no-install-recommends slurm-wlm munge    # Debian's, as root
#     benchmarks/slurm_one_node.sh dvae sweep SWEEP.toml --launcher slurm
#
# It needs no systemd and leaves /etc/slurm alone. Slurm believes in as many processors as there are.
set -euo pipefail

[ "$(id -u)" = 0 ] || { echo "slurmd must be started by root" >&2; exit 1; }
for program in munged slurmctld slurmd; do
    command -v "$program" > /dev/null || { echo "no $program here: apt-get install slurm-wlm munge" >&2; exit 1; }
done

work=$(mktemp -d)
host=$(hostname -s)
pids=()
stop() {
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        kill "${pids[i]}" 2> /dev/null || true
        wait "${pids[i]}" 2> /dev/null || true
    done
    rm -rf "$work"
}
trap stop EXIT

mkdir -p /run/munge "$work"/{state,spool}
chown munge: /run/munge
cat > "$work/slurm.conf" << END
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=0
MinJobAge=60
KillWait=20
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
END
export SLURM_CONF=$work/slurm.conf

if ! munge -n > /dev/null 2>&1; then
    setpriv --reuid munge --regid munge --clear-groups munged --foreground 2> "$work/munged.err" &
    pids+=($!)
    until munge -n > /dev/null 2>&1; do sleep 0.2; done
fi
slurmctld -D 2> "$work/slurmctld.err" &
pids+=($!)
slurmd -D 2> "$work/slurmd.err" &
pids+=($!)
for _ in $(seq 50); do
    sinfo --noheader --format %T 2> /dev/null | grep -q idle && break
    sleep 0.2
done
sinfo --noheader --format %T 2> /dev/null | grep -q idle || { tail -n 20 "$work"/*.log "$work"/*.err >&2; exit 1; }
"$@"
