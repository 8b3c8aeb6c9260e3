"""Files of a site, as its administrator writes them."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from forewarn_protocol.exports.signing import public_key_to_base64

FEED_KEY = public_key_to_base64(ec.generate_private_key(ec.SECP256R1()).public_key())
PASSWORD = "correct horse 8"

HEAD = 'name = "Nhà máy <3>"\ndesk = "phòng y tế"\n'
BADGE = f"""
[badge]
server = "http://192.168.50.1:8080"
public_key = "{FEED_KEY}"
radio = "bluez"
language = "en"
"""
NETWORK = """
[wifi]
ssid = "site network"
password_file = "wifi.txt"
"""


def write_site(folder: Path, text: str = HEAD + BADGE, *, password: str = PASSWORD) -> Path:
    """Write site.toml, and the file beside it that holds the network's password."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "wifi.txt").write_text(f"{password}\n")
    path = folder / "site.toml"
    path.write_text(text)
    return path
