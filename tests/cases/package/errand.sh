# What is claimed of leaktrace's package on a clean Debian, one line each. Run there as root, in the folder with the package.
# A claim that does not hold ends the machine's errand.

# Whether the machine may be sampled: `leaktrace sample` is there.
SAMPLE=yes

cd /run/errand || exit
export DEBIAN_FRONTEND=noninteractive

# A sign of life for who listens, for as long as all of this may take.
(for _ in $(seq 150); do
    echo "at work"
    sleep 10
done) &

claim() {
    claim=$1
    shift
    if "$@" >/run/said 2>&1 </dev/null; then
        echo "holds: $claim"
    else
        echo "it says: $(tail -n 20 /run/said | tr '\n' '|')"
        journalctl --no-pager --lines 40 --unit leaktrace-watch --unit 'leaktrace-sample@*'
        echo "does not hold: $claim"
        exit 1
    fi
}

# Waits for it for five minutes, for this machine is slow.
comes() {
    for _ in $(seq 60); do
        if "$@"; then
            return 0
        fi
        sleep 5
    done
    return 1
}

is() { [ "$1" = "$2" ]; }
journal_has() { journalctl --no-pager --unit "$1" | grep -q -- "$2"; }
property() { systemctl show --property "$2" --value "$1"; }
are_gone() { for file in "$@"; do [ ! -e "$file" ] || return 1; done; }

claim "the static program runs" sh -c 'tar -C /opt -xzf leaktrace-*-linux.tar.gz && /opt/leaktrace-*-linux/leaktrace doctor'

claim "apt installs the package" apt-get install --yes ./leaktrace_*.deb
claim "the program runs" leaktrace --version
claim "it does all that is needed here" leaktrace doctor
claim "the service is not enabled" is "$(systemctl is-enabled leaktrace-watch)" disabled
claim "the service does not run" is "$(systemctl is-active leaktrace-watch)" inactive
claim "the settings are files that a person may change" grep -q 'watch.list' /var/lib/dpkg/info/leaktrace.conffiles

# A program that loses 200 KB a second, as a service.
cp pair /usr/local/bin/leaky
cat >/etc/systemd/system/leaky.service <<'UNIT'
[Service]
ExecStart=/bin/bash -c 'exec /usr/local/bin/leaky 3 1 0 < <(echo leak 1000 200; exec sleep infinity)'
UNIT
echo 'LEAKTRACE_WATCH_ARGS=--interval 1s --within 20s --least-growth 256K --look 20s' >>/etc/default/leaktrace
systemctl daemon-reload
systemctl start leaky

claim "the service starts when it is enabled" systemctl enable --now leaktrace-watch
claim "it is active" is "$(systemctl is-active leaktrace-watch)" active
main=$(property leaktrace-watch MainPID)
claim "it is not root but a user made for it" [ "$(stat --format %u "/proc/$main")" -ge 61184 ]
claim "it has four capabilities" grep -q 'CapBnd:.*000000c000080004$' "/proc/$main/status"
claim "it may not get more" grep -q 'NoNewPrivs:.*1' "/proc/$main/status"
claim "it is filtered" grep -q 'Seccomp:.*2' "/proc/$main/status"
if leaktrace doctor | grep -q 'perf events'; then
    mkdir -p /etc/systemd/system/leaktrace-watch.service.d
    printf '[Service]\nCapabilityBoundingSet=CAP_SYS_ADMIN\nAmbientCapabilities=CAP_SYS_ADMIN\n' \
        >/etc/systemd/system/leaktrace-watch.service.d/override.conf
    cp -r /etc/systemd/system/leaktrace-watch.service.d /etc/systemd/system/leaktrace-sample@.service.d
    systemctl daemon-reload
    claim "it takes the capability that an old kernel asks for" systemctl restart leaktrace-watch
    claim "it has that, too" grep -q 'CapBnd:.*000000c000280004$' "/proc/$(property leaktrace-watch MainPID)/status"
fi
claim "it is reloaded" systemctl reload leaktrace-watch
claim "it read its lists again" comes journal_has leaktrace-watch 'the lists were read again'
claim "it looks at the service that leaks" comes journal_has leaktrace-watch 'leaky (pid [0-9]*) grew .*looking closer'
claim "it names the stack that leaks" comes journal_has leaktrace-watch 'leaky.*leak_slowly.*kept in /var/lib/.*/leaky-'
claim "the session is there to be read" sh -c 'leaktrace summary /var/lib/leaktrace/leaky-*.leak | grep leak_slowly'
claim "nobody else may read it" is "$(stat --format %a /var/lib/private/leaktrace)" 700
journalctl --no-pager --output cat --unit leaktrace-watch | grep leaky

before=$(date +%s%N)
claim "it stops" systemctl stop leaktrace-watch
echo "stopping took $((($(date +%s%N) - before) / 1000000)) ms"
claim "it stopped by itself" is "$(property leaktrace-watch Result)" success

claim "sampling can be scheduled" systemctl enable --now leaktrace-sample@leaky.service.timer
claim "it is" sh -c 'systemctl list-timers | grep leaktrace-sample@leaky.service.timer'
claim "a name with a dash stays one" sh -c \
    'systemctl show --property ExecStart leaktrace-sample@redis-server.service | grep -e "-- redis-server ;"'
if [ "$SAMPLE" = yes ]; then
    echo 'LEAKTRACE_SAMPLE_ARGS=--for 20s' >>/etc/default/leaktrace
    claim "the service is sampled" systemctl start leaktrace-sample@leaky.service.service
    claim "its session is there" sh -c \
        'leaktrace summary "$(ls -t /var/lib/leaktrace/*.leak | head -n 1)" | grep leak_slowly'
    claim "the watch still reads and writes beside it" systemctl restart leaktrace-watch
fi

claim "apt removes it" apt-get remove --yes leaktrace
claim "what it found stays" sh -c 'ls /var/lib/private/leaktrace/leaky-*.leak'
claim "apt purges it" apt-get purge --yes leaktrace
claim "nothing of it stays" are_gone /usr/bin/leaktrace /etc/leaktrace /etc/default/leaktrace /var/lib/leaktrace \
    /var/lib/private/leaktrace /etc/systemd/system/multi-user.target.wants/leaktrace-watch.service \
    /etc/systemd/system/leaktrace-watch.service /etc/systemd/system/timers.target.wants/leaktrace-sample@leaky.service.timer
echo "the errand is done"
