"""What happens to a device while others are told: an alert comes and is taken back, a fault comes and goes."""

from datetime import UTC, date, datetime, time

from forewarn_client.alerts import Alert, keep_and_tell
from forewarn_client.device import Device
from forewarn_protocol.risk import Likelihood
from tests.client.meetings import key_of_day, meet

DAY = date(2025, 6, 14)
SECRET_MINUTES = 25


async def warn(device: Device, day: date = DAY) -> None:
    """Let an alert stand; the day has a key only if somebody was heard on it."""
    await meet(device, key_of_day(noon_s := datetime.combine(day, time(12), UTC).timestamp(), 1), noon_s, 8)
    alert = Alert(day, SECRET_MINUTES, Likelihood.LIKELY, "minutes")
    await device.database.write(keep_and_tell, device.vault, [alert])
