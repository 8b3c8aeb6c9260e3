"""Changes to JSON that keep it JSON: libFuzzer's own changes of bytes hardly ever come past the first bracket."""

import json
import random
from collections.abc import Callable
from typing import Any

_LIMITS = (0, 1, -1, 8, 14, 15, 16, 30, 31, 143, 144, 145, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**63, 10**400)
_STRANGE: tuple[Any, ...] = (
    *_LIMITS,
    *(None, True, False, 0.5, 1e308, "", "0", "..", "a/../b", "%2e%2e", "a\\b", "C:a", "\0", "\u202e", "\uff0e\uff0e"),
    *("AAAAAAAAAAAAAAAAAAAAAA==", "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE", "confirmed", "2021-05-31", "x" * 300, [], {}),
)


def mutated_json(data: bytes, maximum: int, seed: int, of_bytes: Callable[[bytes, int], bytes]) -> bytes:
    """Change one place of a JSON text; the bytes themselves where it is none, and now and then where it is."""
    chance = random.Random(seed)
    try:
        whole = json.loads(data)
    except (ValueError, RecursionError):
        whole = None
    if not isinstance(whole, dict | list) or not whole or chance.random() < 0.3:
        return of_bytes(data, maximum)
    for _ in range(chance.randint(1, 3)):
        _change_one_place(whole, chance)
    out = json.dumps(whole, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    return out[:maximum]


def _change_one_place(whole: Any, chance: random.Random) -> None:
    node = whole
    # Down from the top, at each step a coin decides whether to stop.
    while isinstance(node, dict | list) and node:
        place = chance.choice(list(node)) if isinstance(node, dict) else chance.randrange(len(node))
        child = node[place]
        if isinstance(child, dict | list) and child and chance.random() < 0.7:
            node = child
            continue
        _change(node, place, chance)
        return


def _change(node: Any, place: Any, chance: random.Random) -> None:
    match chance.randrange(5):
        case 0:
            del node[place]
        case 1 if isinstance(node, list):
            node.extend([node[place]] * chance.randint(1, 40))
        case 1:
            node[chance.choice(["", "padding", "invented", str(place).upper()])] = node[place]
        case 2 if isinstance(node[place], int):
            node[place] += chance.choice([-1, 1, 144, -(2**40)])
        case 2 if isinstance(node[place], str):
            at = chance.randint(0, len(node[place]))
            node[place] = node[place][:at] + str(chance.choice(_STRANGE)) + node[place][at:]
        case _:
            node[place] = chance.choice(_STRANGE)
