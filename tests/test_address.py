import pytest

from kit.base.address import below, is_address, redacted, shown
from kit.base.errors import KitError


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://me:hidden@host:1/a?b", "https://***@host:1/a?***"),
        ("https://hidden@host/a", "https://***@host/a"),
        ("https://me:hid@den@host/a", "https://***@host/a"),
        ("https://me:hidden/hidden@host/a", "https://***@host/a"),
        ("https://me:hidden?hidden#hidden@host/a", "https://***@host/a"),
        ("HTTP://:hidden@[::1]:80/", "HTTP://***@[::1]:80/"),
        ("https://host/a@b", "https://host/a@b"),
        ("https://host:8080/a@b", "https://host:8080/a@b"),
        ("https://host/a?token=hidden&c=hidden", "https://host/a?***"),
        ("me:hidden@host/a", "***@host/a"),
        ("https:/me:hidden@host/a", "***@host/a"),
        ("some/folder", "some/folder"),
        ("some/folder@2019", "some/folder@2019"),
    ],
)
def test_addresses_are_shown_without_their_secrets(address, expected):
    assert shown(address) == expected
    assert shown(shown(address)) == expected


def test_any_message_is_without_secrets():
    text = "given {'mirror': 'https://me:hidden@host/a?t=hidden', 'other': 'ftp://x:hidden@y'} twice"
    assert redacted(text) == "given {'mirror': 'https://***@host/a?***', 'other': 'ftp://***@y'} twice"
    assert "hidden" not in str(KitError(text, text))


def test_what_lies_below():
    assert below("https://host/a/", "b/c") == "https://host/a/b/c"
    assert below("https://host/a?sig=x/y", "b") == "https://host/a/b?sig=x/y"
    assert below("some/folder?/", "b") == "some/folder?/b"
    assert is_address("http://x")
    assert not is_address("x:/y")
