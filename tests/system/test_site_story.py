"""The closed site: forty badges, one box without internet, from provisioning to an alert and to a call for help."""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from forewarn_client.condition import State, condition_of
from forewarn_client.page.keys import PageKeys
from forewarn_client.reporting import Outcome, report
from forewarn_client.signals.rhythms import RHYTHMS
from forewarn_client.status import ALERT_IS_ACTIVE, CANNOT_KNOW, NOTHING_TO_DO, Status
from forewarn_simulations.clocks import VirtualClock
from forewarn_simulations.world import scratch_folder
from tests.system.factory import BADGES, Factory, Hall, factory
from tests.system.network import Network
from tests.system.network_guard import watched

SIX_IN_THE_MORNING = datetime(2026, 3, 2, 6, tzinfo=UTC).timestamp()
REPORT_H, END_H = 3.25, 7.25
"""After both shifts; then a key's end, its embargo of two hours, the box's full hour, and every badge's next fetch."""
F0, AT_THE_BREAK, DEAD_RADIO, IN_A_DRAWER = 7, 15, 33, 40
CONTACTS = {F0 - 1, F0 + 1, AT_THE_BREAK}
WELL = set(range(1, BADGES + 1)) - CONTACTS - {DEAD_RADIO, IN_A_DRAWER}


def says(light: str | None, state: State) -> bool:
    return light == RHYTHMS[state].pattern(1)


async def statuses(site: Factory) -> dict[int, Status]:
    return {number: await site.look_at(number) for number in site.badges}


async def report_with_a_code_of_the_box(site: Factory, number: int) -> Outcome:
    code = (await site.box.issue_code(test_date="2026-03-02")).code
    async with site.device(number) as device:
        return await report(device, code, consent=lambda _: True)


@pytest.mark.slow
async def test_from_forty_cards_to_the_alert_and_to_the_call_for_help(
    figure: Callable[[str], None],
) -> None:
    clock = VirtualClock(SIX_IN_THE_MORNING)
    await clock.run_for(0)
    with watched() as contacts:
        async with (
            scratch_folder() as folder,
            factory(clock, folder, Hall((F0, AT_THE_BREAK))) as site,
            Network.to(site.box.url) as drawer,
        ):
            drawer.connected = False
            site.provision()
            for number in range(1, BADGES + 1):
                way = drawer.url if number == IN_A_DRAWER else None
                site.switch_on(number, dead=number == DEAD_RADIO, server=way)

            # Before anybody is ill: who may be warned later is as well as all others.
            await site.come_to(REPORT_H)
            before = {number: condition_of(status).state for number, status in (await statuses(site)).items()}
            assert {number for number, state in before.items() if state is State.RUNNING} == WELL | CONTACTS
            assert before[DEAD_RADIO] is State.CALL
            assert before[IN_A_DRAWER] is State.STALE

            assert await report_with_a_code_of_the_box(site, F0) is Outcome.SENT
            await site.come_to(END_H)
            found = await statuses(site)
            lights = {number: site.light(number) for number in site.badges}
            traffic = bytes(site.line.traffic)
            tokens = [PageKeys.open(settings.data).token for settings in site.badges.values()]
            await site.switch_off()
            all_are_dark = all(set((site.light(number) or "").split()[::2]) == {"0"} for number in site.badges)

    assert {number for number, status in found.items() if status.alerts} == CONTACTS
    for number, status in found.items():
        state = condition_of(status).state
        if number in CONTACTS:
            assert (state, status.check) == (State.ALERT, ALERT_IS_ACTIVE)
            assert "- Health desk: 123 (every shift)" in status.check_text
        elif number == DEAD_RADIO:
            assert (state, status.check) == (State.CALL, NOTHING_TO_DO)
            assert "there is no Bluetooth adapter hci0" in condition_of(status).sentence("en")
        elif number == IN_A_DRAWER:
            assert (state, status.check) == (State.STALE, CANNOT_KNOW)
        else:
            assert (state, status.check) == (State.RUNNING, NOTHING_TO_DO)
        assert says(lights[number], state)
    # Colleagues see the same of a contact as of a badge with a dead radio.
    assert {lights[number] for number in CONTACTS} == {lights[DEAD_RADIO]}
    assert all_are_dark, "each badge's light goes out with its daemon"

    assert contacts.hosts == {"127.0.0.1"}
    assert contacts.names <= {"127.0.0.1"}
    assert b"badge" not in traffic
    assert not [token for token in tokens if token.encode() in traffic]
    told = Counter(str(condition_of(status).state) for status in found.values())
    figure(
        f"a site of {BADGES} badges and one box, {END_H} hours: {dict(told)}, {len(traffic) / BADGES / 1e6:.2f} MB each"
    )


async def test_a_host_elsewhere_and_a_name_that_is_looked_up_are_noticed() -> None:
    """Positive control for the story's last claim."""
    with watched() as contacts:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
            elsewhere.connect(("192.0.2.1", 9))  # of a datagram: no packet leaves
        await asyncio.get_running_loop().getaddrinfo("localhost", 80)
    assert contacts.hosts == {"192.0.2.1"}
    assert contacts.names == {"localhost"}
    with watched() as later, socket.socket(socket.AF_INET, socket.SOCK_DGRAM):
        pass
    assert not later.hosts
