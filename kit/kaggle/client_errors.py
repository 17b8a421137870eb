"""Errors of the kaggle client: every way in which it fails, as one line with the cure."""

from __future__ import annotations

import os
import re
from json import JSONDecodeError
from typing import Any

from kit.base.errors import printable
from kit.base.retry import RemoteError, retry_after
from kit.kaggle.credentials import HOW, SETTINGS, sources
from kit.kaggle.http_adapter import PatchedAdapter

SITE = "https://www.kaggle.com"
MAX_SKEW = 300.0  # seconds of difference that signatures and tokens do not survive
CLOCK = "set this machine's clock (timedatectl set-ntp true)"
BUSY = (429, 500, 502, 503, 504)


class KaggleError(RemoteError):
    """A call to Kaggle that failed.

    outcome_unknown: it may have had its effect all the same; status: of Kaggle's answer, where there was one.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        outcome_unknown: bool = False,
        retryable: bool = False,
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message, hint, retryable=retryable, retry_after=retry_after)
        self.outcome_unknown, self.status = outcome_unknown, status


def no_credentials() -> KaggleError:
    """There are none, or none that Kaggle takes."""
    known = sources()
    if known:
        return KaggleError(f"no usable Kaggle credentials in {', '.join(known)}", HOW)
    return KaggleError("no Kaggle credentials", HOW)


def as_kaggle_error(error: Exception, competition: str, adapter: PatchedAdapter) -> KaggleError:
    """The client's error as one line: what happened, and what to do."""
    from requests import exceptions

    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        known = _by_status(error.response, competition)
        known.status = error.response.status_code
        return _with_clock(known, adapter.skew)
    if isinstance(error, JSONDecodeError):
        text = "a web page came instead of Kaggle's answer"
        return KaggleError(
            text, "log in to the network you are on, and try again", outcome_unknown=True, retryable=True
        )
    if isinstance(error, (exceptions.RequestException, ConnectionError, TimeoutError)):
        return _by_connection(error)
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        return KaggleError(f"{name}{error.strerror or error}", "mend it and try again")
    if isinstance(error, ValueError) and "expected size" in str(error):
        return KaggleError("the download from Kaggle was cut off", "try again", retryable=True)
    text = f"Kaggle's answer is not understood ({type(error).__name__})"
    return KaggleError(
        text, "a newer kaggle client may know it; `kit submissions` looks again", outcome_unknown=True
    )


def _with_clock(error: KaggleError, skew: float) -> KaggleError:
    """The error, with a word on this machine's clock where that is wrong; it is the cure of a refused log-in."""
    if abs(skew) > MAX_SKEW:
        wrong = f"{abs(skew) / 60:.0f} minutes {'ahead of' if skew > 0 else 'behind'} Kaggle's"
        hint = CLOCK if error.status == 401 else f"{error.hint}; {CLOCK}"
        return KaggleError(
            f"{error.message} (this machine's clock is {wrong})",
            hint,
            outcome_unknown=error.outcome_unknown,
            retryable=error.retryable,
            retry_after=error.retry_after,
            status=error.status,
        )
    return error


def _by_status(response: Any, competition: str) -> KaggleError:
    """By the status of the answer, and Kaggle's words in it."""
    status, text = response.status_code, _text(response)
    why = f": {text}" if text else ""
    rules = f"{SITE}/competitions/{competition}/rules"
    if _is_limit(text):
        return KaggleError(f"the limit of submissions is reached{why}", "Kaggle counts anew at 00:00 UTC")
    if status == 401:
        known = sources()
        first = known[0] if known else "the credentials"
        rest = f" (used before {', '.join(known[1:])})" if known[1:] else ""
        return KaggleError(
            f"Kaggle does not accept {first}{rest}",
            f"make a new token or key at {SETTINGS}, or take the wrong one away",
        )
    if status == 403:
        return KaggleError(
            f"Kaggle refuses {competition}{why}",
            f"open {rules}, accept the rules, verify your phone number if asked; check the competition's name",
        )
    if status == 404:
        hint = f"check kaggle.competition; its page would be {SITE}/competitions/{competition}"
        return KaggleError(f"Kaggle has no competition {competition}{why}", hint)
    if status == 407:
        return KaggleError(f"the proxy {_proxy()} wants a name and password", "set them in HTTPS_PROXY")
    if status == 413:
        return KaggleError(
            f"Kaggle refuses the file as too large{why}", "set submission.packing or a lower top"
        )
    if status == 429:
        wait = retry_after(response.headers.get("Retry-After", ""))
        when = f"in {wait:.0f} s" if wait else "in some minutes"
        return KaggleError(
            "Kaggle is asked too often (429)", f"try again {when}", retryable=True, retry_after=wait
        )
    if status >= 500:
        return KaggleError(
            f"Kaggle has a fault of its own ({status}){why}",
            "try again later",
            outcome_unknown=True,
            retryable=True,
        )
    return KaggleError(f"Kaggle refuses ({status}){why}", "mend what it says and try again")


def _by_connection(error: Exception) -> KaggleError:
    """By how the connection failed; only what failed before a connection stood surely had no effect."""
    from requests import exceptions
    from urllib3 import exceptions as low

    text, reason = str(error), _reason(error)
    if isinstance(reason, low.ProxyError) and (
        "Tunnel" in text or isinstance(reason.original_error, low.NewConnectionError)
    ):
        return KaggleError(
            f"the proxy {_proxy()} does not let the call through{_status_in(text)}",
            "set HTTPS_PROXY right, or unset it",
            retryable=True,
        )
    if isinstance(error, exceptions.SSLError) and re.search(
        "certificate.verify.failed|doesn't match", text, re.I
    ):
        if "not yet valid" in text or "has expired" in text:
            return KaggleError("Kaggle's certificate is not valid at this machine's time", CLOCK)
        hint = "a proxy that reads the traffic? give its certificate in REQUESTS_CA_BUNDLE"
        return KaggleError("Kaggle's certificate is not trusted", hint)
    if isinstance(error, exceptions.ConnectTimeout):
        return KaggleError("Kaggle cannot be reached in time", "check the network", retryable=True)
    if isinstance(reason, low.NameResolutionError):
        return KaggleError("no network: Kaggle's address is not found", "check the network", retryable=True)
    if isinstance(reason, low.NewConnectionError):
        return KaggleError("no network: Kaggle cannot be reached", "check the network", retryable=True)
    if isinstance(error, (exceptions.Timeout, TimeoutError)):
        hint = "try again; data.download.read_timeout sets how long"
        return KaggleError("Kaggle does not answer in time", hint, outcome_unknown=True, retryable=True)
    return KaggleError("the connection to Kaggle was cut", "try again", outcome_unknown=True, retryable=True)


def _reason(error: Exception) -> Any:
    """Why urllib3 gave up, inside the error of requests."""
    return getattr(error.args[0], "reason", None) if error.args else None


def _text(response: Any) -> str:
    """What Kaggle says in its answer, in one line of at most 300 characters."""
    try:
        text = response.json()["message"]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        text = response.reason or ""
    return printable(str(text), 300)


def _is_limit(text: str) -> bool:
    return bool(re.search(r"allowance|submission limit|daily limit|limit of \d+ submissions", text, re.I))


def _proxy() -> str:
    """The proxy that is set, without a name or password in it."""
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        if os.environ.get(name):
            return f"{os.environ[name].rpartition('://')[2].rpartition('@')[2].partition('/')[0]} ({name})"
    return "of this machine"


def _status_in(text: str) -> str:
    match = re.search(r"Tunnel connection failed: (\d{3}[^'\")]*)", text)
    return f" ({match.group(1).strip()})" if match else ""
