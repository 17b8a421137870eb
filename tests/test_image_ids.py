import pytest

from kit.tables.image_ids import unmatched

KNOWN = {"0a1b2c3d4e5f6071", "0000000000000012", "1234567890123456", "12e4567890123456", "9876543210987655"}
ZEROS, NUMBER = "lost zeros in front (ids are text, not numbers)", "its form of a number"
FORMS = [
    ("0A1B2C3D4E5F6071", "0a1b2c3d4e5f6071", "upper and lower case"),
    ("12E4567890123456", "12e4567890123456", "upper and lower case"),
    ("a1b2c3d4e5f6071", "0a1b2c3d4e5f6071", ZEROS),
    ("12", "0000000000000012", ZEROS),
    ("12.0", "0000000000000012", f"{NUMBER}, {ZEROS}"),
    ("1234567890123456.0", "1234567890123456", f"{NUMBER} (ids are text, not numbers)"),
    ("1.234567890123456e+15", "1234567890123456", f"{NUMBER} (ids are text, not numbers)"),
    ("9876543210987656.0", "9876543210987655", NUMBER),  # what a double makes of it
    ("inf", "12e4567890123456", NUMBER),
    (" 0a1b2c3d4e5f6071", "0a1b2c3d4e5f6071", "the spaces or quotes around it"),
    ("0a1b2c3d4e5f6071.jpg", "0a1b2c3d4e5f6071", "its file ending"),
    ("C:\\x\\0a1b2c3d4e5f6071.JPG", "0a1b2c3d4e5f6071", "the folder in front of it, its file ending"),
    ("train_0/0a1b2c3d4e5f6071", "0a1b2c3d4e5f6071", "the folder in front of it"),
]


@pytest.mark.parametrize(("strange", "partner", "cause"), FORMS)
def test_the_cause_is_named(strange, partner, cause):
    found = unmatched(["0a1b2c3d4e5f6071", "zz", strange], KNOWN)
    assert (found.count, found.total, found.first) == (2, 3, "zz")
    assert (found.example, found.partner) == (strange, partner)
    assert found.cause.startswith(cause)


@pytest.mark.parametrize(
    "strange", ["zz", "", "0" * 16, "9" * 400, "9" * 400 + ".", "1e+99999", "\u00b2", "\ud800"]
)
def test_no_cause_is_made_up(strange):
    found = unmatched([strange], KNOWN - {"12e4567890123456"})
    assert found.none_match
    assert found.cause == ""


def test_what_is_said():
    found = unmatched(["0a1b2c3d4e5f6071", "12"], KNOWN)
    assert found.say("images", "unknown") == (
        f"1 of 2 images (50.0%) are unknown, the first 12: it would be 0000000000000012 but for {ZEROS}"
    )
    found = unmatched(["zz", "12"], KNOWN)
    assert "the first zz: 12 would be" in found.say("images", "unknown")
    assert "the first ' zz'" in unmatched([" zz"], KNOWN).say("images", "unknown")
    assert len(unmatched(["z" * 1000], KNOWN).say("images", "unknown")) < 200


def test_none_one_and_many():
    assert unmatched([], KNOWN) is None
    assert unmatched([], []) is None
    assert unmatched(KNOWN, KNOWN) is None
    assert unmatched(["a"], []).none_match
    assert unmatched((str(i) for i in range(1000)), {str(i) for i in range(500)}).count == 500
