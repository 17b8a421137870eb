"""Every form of credentials, as the real client finds them."""

import sys

import pytest

from kit.kaggle.client import Client
from kit.kaggle.client_errors import KaggleError
from kit.kaggle.credentials import open_to_others, sources
from tests.fakekaggle import HASTY, KEY, SLUG, TOKEN

LOGINS = {
    "nothing": ({}, {}, "no Kaggle credentials; make a token at .* KAGGLE_API_TOKEN .* kaggle.json"),
    "wrong key": (
        {"KAGGLE_USERNAME": "someone", "KAGGLE_KEY": "bad-77"},
        {},
        "accept KAGGLE_USERNAME and KAGGLE_KEY",
    ),
    "key": ({"KAGGLE_USERNAME": "someone", "KAGGLE_KEY": KEY}, {}, ""),
    "key file": ({}, {"kaggle.json": f'{{"username": "someone", "key": "{KEY}"}}'}, ""),
    "broken key file": ({}, {"kaggle.json": "{"}, "no usable Kaggle credentials in .*kaggle.json"),
    "token": ({"KAGGLE_API_TOKEN": TOKEN}, {}, ""),
    "token file": ({}, {"access_token": TOKEN}, ""),
    "wrong token": ({"KAGGLE_API_TOKEN": "old-77"}, {}, "no usable Kaggle credentials in KAGGLE_API_TOKEN"),
    "wrong token beside a good key": (
        {"KAGGLE_API_TOKEN": "old-77", "KAGGLE_USERNAME": "someone", "KAGGLE_KEY": KEY},
        {},
        r"accept KAGGLE_API_TOKEN \(used before KAGGLE_USERNAME and KAGGLE_KEY\); make a new token",
    ),
}


@pytest.mark.parametrize("name", LOGINS)
def test_every_form_of_credentials(kaggle, monkeypatch, tmp_path, name):
    variables, files, expected = LOGINS[name]
    for variable in ("KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(variable)
    for module in [m for m in sys.modules if m.partition(".")[0] in ("kaggle", "kagglesdk")]:
        monkeypatch.delitem(sys.modules, module)  # it looks for its files when it is imported
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    for path, text in files.items():
        (tmp_path / "home/.kaggle").mkdir(exist_ok=True)
        (tmp_path / "home/.kaggle" / path).write_text(text)
    if not expected:
        assert Client(SLUG, HASTY).remaining() == 5
        return
    with pytest.raises(KaggleError, match=expected) as caught:
        Client(SLUG, HASTY).submissions()
    assert not caught.value.outcome_unknown
    assert not [secret for secret in (KEY, TOKEN, "-77") if secret in str(caught.value)]


def test_a_key_that_others_can_read_is_found(kaggle, tmp_path, monkeypatch):
    path = tmp_path / "home/.kaggle/kaggle.json"
    path.parent.mkdir()
    path.write_text("{}")
    path.chmod(0o644)
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    monkeypatch.setenv("KAGGLE_API_TOKEN", str(token))
    assert open_to_others() == [path]
    assert sources() == ["KAGGLE_API_TOKEN", "KAGGLE_USERNAME and KAGGLE_KEY", str(path)]
    path.chmod(0o600)
    assert open_to_others() == []
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    (tmp_path / "kaggle.json").write_text("{}")
    assert open_to_others() == [tmp_path / "kaggle.json"]
