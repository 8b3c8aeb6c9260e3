# Goes on where init.sh ends, as process 1: buses and controllers, then the story, then the power goes off.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PYTHONDONTWRITEBYTECODE=1
. /run/results/environment
cd "$CHECKOUT" || exit
busybox ip link set lo up
"$PYTHON" -m tests.system.vm.controllers >/run/air.log &
if [ "$RADIO" = bluez ]; then
  mkdir -p /run/dbus
  dbus-daemon --system --fork --nopidfile
fi
for _ in $(seq 240); do
  [ -e /sys/class/bluetooth/hci1 ] && break
  sleep 0.25
done
if [ "$RADIO" = bluez ]; then
  # Only so does bluetoothd let anybody listen passively (5.66).
  /usr/libexec/bluetooth/bluetoothd --nodetach --experimental &
fi
timeout "$WITHIN_S" "$PYTHON" -m tests.system.vm.story
echo "the story ended with $?"
cp /run/air.log /run/windows-*.jsonl /run/results/
sync
echo o >/proc/sysrq-trigger
while :; do
  sleep 60
done
