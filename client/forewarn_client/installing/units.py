"""The files of the service, as text: the daemon's unit, the unit that shows notifications, its user, its D-Bus policy.

Each right that the daemon does not need is taken from it; a line that says why stands beside each that it keeps.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

STATE_SOCKET: Final = "/run/forewarn/state.sock"
DATA: Final = Path("/var/lib/forewarn")
_STEPS_SINCE: Final = 254
"""The systemd that knows RestartSteps."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the units depend on: whose service it is, which program, what its radio and its lights need.

    `devices` are what of /dev the radio opens, as DeviceAllow names it; `lights` the real folders of LED and buzzer;
    `systemd` is the version that will read them, 0 where that is not known.
    """

    program: Path
    user: str = "forewarn"
    network_admin: bool = False
    devices: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    lights: tuple[Path, ...] = ()
    systemd: int = 0

    def files(self) -> dict[Path, str]:
        """Return every file of the service by its path."""
        return {
            Path("/etc/systemd/system/forewarn.service"): self._daemon(),
            Path("/etc/systemd/user/forewarn-notify.service"): self._notifier(),
            Path("/etc/sysusers.d/forewarn.conf"): f'u {self.user} - "Forewarn tracer" {DATA} -\n',
            Path("/etc/dbus-1/system.d/forewarn.conf"): self._policy(),
        }

    def _daemon(self) -> str:
        return f"""[Unit]
Description=Forewarn tracer
Wants=bluetooth.service
After=bluetooth.service time-sync.target network.target
# A tracer is never given up.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={self.program} --data {DATA} run
User={self.user}
Group={self.user}
StateDirectory=forewarn
StateDirectoryMode=0700
# Members of the group read the state there.
RuntimeDirectory=forewarn
RuntimeDirectoryMode=0750
UMask=0077
Environment=FOREWARN_CLIENT_STATE_SOCKET={STATE_SOCKET}

# The daemon is silent once a job of its own is stuck. Its first start on a slow card takes a while.
WatchdogSec=120
TimeoutStartSec=180
TimeoutStopSec=30
Restart=always
RestartSec=10
{self._restart_steps()}# Exit code 2 is a setting that is wrong: no restart mends it.
RestartPreventExitStatus=2

# The daemon stays under 80 MB; a comparison runs in a process of its own, which may be ended alone.
MemoryHigh=256M
MemoryMax=384M
OOMPolicy=continue
TasksMax=64

{self._rights()}
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateMounts=yes
{self._devices()}
ProtectProc=invisible
ProcSubset=pid
ProtectKernelTunables=yes
{self._lights()}ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
# Not ProtectClock: it forbids adjtimex, by which the daemon asks whether a time service keeps the clock.
RestrictAddressFamilies={" ".join(self._families())}
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @keyring @memlock
# After what was taken away: without a capability it sets no clock, it only asks.
SystemCallFilter=adjtimex clock_adjtime
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""

    def _restart_steps(self) -> str:
        return "RestartSteps=6\nRestartMaxDelaySec=300\n" if self.systemd >= _STEPS_SINCE else ""

    def _rights(self) -> str:
        if not self.network_admin:
            return "CapabilityBoundingSet=\nAmbientCapabilities="
        reason = "# The kernel's management socket, or a controller taken from the kernel."
        return f"{reason}\nCapabilityBoundingSet=CAP_NET_ADMIN\nAmbientCapabilities=CAP_NET_ADMIN"

    def _families(self) -> list[str]:
        families = ["AF_UNIX", "AF_INET", "AF_INET6"]
        if self.network_admin:
            families.append("AF_BLUETOOTH")
        if any("usb" in device for device in self.devices):
            families.append("AF_NETLINK")  # by which libusb hears what is plugged in
        return families

    def _devices(self) -> str:
        if not self.devices:
            return "PrivateDevices=yes\nDevicePolicy=closed"
        allowed = "\n".join(f"DeviceAllow={device} rw" for device in self.devices)
        groups = f"\nSupplementaryGroups={' '.join(self.groups)}" if self.groups else ""
        return f"DevicePolicy=closed\n{allowed}{groups}"

    def _lights(self) -> str:
        return "".join(f"ReadWritePaths=-{light}\n" for light in self.lights)

    def _notifier(self) -> str:
        return f"""[Unit]
Description=Notifications of the Forewarn tracer
PartOf=graphical-session.target
After=graphical-session.target
# Nobody else may read the state.
ConditionGroup={self.user}

[Service]
ExecStart={self.program} notify --socket {STATE_SOCKET}
Restart=always
RestartSec=30
RestartPreventExitStatus=2 3
MemoryMax=128M
UMask=0077
NoNewPrivileges=yes
RestrictAddressFamilies=AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=graphical-session.target
"""

    def _policy(self) -> str:
        # What bluetoothd asks of an advertisement, its own policy lets through.
        return f"""<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <policy user="{self.user}">
    <allow send_destination="org.bluez"/>
  </policy>
</busconfig>
"""
