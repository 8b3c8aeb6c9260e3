import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from forewarn_protocol.errors import BadFeed, NotVerified
from forewarn_protocol.feeds import FeedAge, FeedHead, check_sequence, sign_feed, verify_feed
from tests.protocol.handmade_exports import private_key

BODY = b'{"sequence":7}'
PATH = "exports/vn/index.json"
PINNED = [private_key(1).public_key()]


def test_a_signed_feed_verifies_with_any_of_the_pinned_keys() -> None:
    signature = sign_feed(private_key(1), PATH, BODY)
    verify_feed(PINNED, PATH, BODY, signature)
    verify_feed([private_key(2).public_key(), *PINNED], PATH, BODY, signature)


def test_the_leading_slash_of_a_path_is_not_signed() -> None:
    verify_feed(PINNED, f"/{PATH}", BODY, sign_feed(private_key(1), PATH, BODY))


def test_a_signature_made_by_hand_over_prefix_path_zero_and_body_verifies() -> None:
    by_hand = private_key(1).sign(b"forewarn:exports/vn/index.json\x00" + BODY, ec.ECDSA(SHA256()))
    verify_feed(PINNED, PATH, BODY, by_hand)


def test_a_feed_of_another_key_path_or_body_is_refused() -> None:
    signature = sign_feed(private_key(1), PATH, BODY)
    for keys, path, body, given in (
        ([private_key(2).public_key()], PATH, BODY, signature),
        ([], PATH, BODY, signature),
        (PINNED, "config/vn.json", BODY, signature),
        (PINNED, "exports/hanoi/index.json", BODY, signature),
        (PINNED, PATH, BODY + b" ", signature),
        (PINNED, PATH, BODY, signature[:-1]),
        (PINNED, PATH, BODY, b""),
        (PINNED, PATH, BODY, signature + bytes(300)),
        # Another body under another cut between path and body: without the zero byte, these would be the same bytes.
        (PINNED, PATH + "{", BODY[1:], private_key(1).sign(b"forewarn:" + PATH.encode() + BODY, ec.ECDSA(SHA256()))),
    ):
        with pytest.raises(NotVerified):
            verify_feed(keys, path, body, given)


@pytest.mark.parametrize("path", ["", "/", "exports/\0vn", "exports/việt/index.json"])
def test_a_path_that_could_be_read_in_two_ways_is_not_signed(path: str) -> None:
    with pytest.raises(BadFeed):
        sign_feed(private_key(1), path, BODY)


HEAD = FeedHead(sequence=7, issued=1000, expires=2000)


def test_a_lower_sequence_is_refused_and_the_same_one_is_not() -> None:
    assert check_sequence(HEAD, 6, 1500) is FeedAge.CURRENT
    assert check_sequence(HEAD, 7, 1500) is FeedAge.CURRENT
    with pytest.raises(NotVerified, match="from sequence 8 to 7"):
        check_sequence(HEAD, 8, 1500)


def test_an_expired_feed_is_told_apart() -> None:
    assert check_sequence(HEAD, 0, 1999.9) is FeedAge.CURRENT
    assert check_sequence(HEAD, 0, 2000) is FeedAge.EXPIRED


def test_a_feed_that_expires_before_its_issue_is_refused() -> None:
    with pytest.raises(BadFeed):
        FeedHead(1, 1000, 1000)
