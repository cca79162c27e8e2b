"""What a failure of a server means, however it is wrapped, and when it is asked again."""

import email.utils
import ssl
import time

import httpx2
import pytest
import tenacity
from convexprune.jobs import web
from huggingface_hub.errors import LocalEntryNotFoundError
from huggingface_hub.utils import hf_raise_for_status

REQUEST = httpx2.Request("GET", "http://example.org/a")


def answer(status, **headers):
    return httpx2.Response(status, headers=headers, request=REQUEST)


def raised(make):
    """The failure that `make`, in a block of sorted failures, ends with."""
    with pytest.raises((web.PassingError, web.RefusedError)) as caught, web.sorted_failures():
        make()
    return caught.value


def chain(*errors):
    """A function that raises the first error because of the second, and so on."""

    def fail():
        try:
            if errors[1:]:
                chain(*errors[1:])()
        except Exception as error:
            raise errors[0] from error
        raise errors[0]

    return fail


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 507, 599])
@pytest.mark.parametrize("check", [web.check_status, hf_raise_for_status])
def test_what_may_pass(status, check):
    """Told by the server itself, or by the hub's client."""
    failure = raised(lambda: check(answer(status, **{"Retry-After": "7"})))
    assert type(failure) is web.PassingError
    assert str(status) in str(failure) and failure.wait == 7


@pytest.mark.parametrize("status", [301, 302, 304, 400, 401, 403, 404, 405, 410, 413, 416, 451])
def test_what_does_not_pass(status):
    failure = raised(lambda: web.check_status(answer(status)))
    assert type(failure) is web.RefusedError and failure.status == status


def test_a_failure_is_found_behind_the_clients_own_error():
    def fail():
        try:
            hf_raise_for_status(answer(503, **{"Retry-After": "7"}))
        except Exception as error:
            raise LocalEntryNotFoundError("An error happened") from error

    failure = raised(fail)
    assert type(failure) is web.PassingError and failure.wait == 7


def test_a_refusal_that_the_hubs_client_tells():
    failure = raised(lambda: hf_raise_for_status(answer(404, **{"X-Error-Code": "RepoNotFound"})))
    assert type(failure) is web.RefusedError and failure.status == 404


@pytest.mark.parametrize(
    "error",
    [
        httpx2.ConnectError("refused"),
        httpx2.ReadTimeout("slow"),
        httpx2.RemoteProtocolError("cut"),
        httpx2.ReadError("reset"),
        httpx2.ProxyError("502 Bad Gateway"),
        httpx2.PoolTimeout(""),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_network_may_be_back(error):
    assert type(raised(chain(error, OSError("reset")))) is web.PassingError
    wrapped = raised(chain(LocalEntryNotFoundError("An error happened"), error))
    assert type(wrapped) is web.PassingError and str(wrapped) == "An error happened"


@pytest.mark.parametrize(
    "error", [httpx2.InvalidURL("no port"), httpx2.UnsupportedProtocol("ftp"), httpx2.TooManyRedirects("20")]
)
def test_a_wrong_address_does_not_mend_itself(error):
    assert type(raised(chain(error))) is web.RefusedError


def test_an_untrusted_certificate_is_named():
    failure = raised(chain(httpx2.ConnectError("failed"), ssl.SSLCertVerificationError(1, "self-signed")))
    assert type(failure) is web.RefusedError and "certificate is not trusted here" in str(failure)


def test_what_is_not_of_the_network_is_left_as_it_is():
    with pytest.raises(OSError, match="disk"), web.sorted_failures():
        raise OSError(28, "disk")


def test_retry_after_is_a_number_or_a_date():
    in_a_minute = email.utils.formatdate(time.time() + 60, usegmt=True)
    assert web.parse_retry_after("7") == 7
    assert 50 < web.parse_retry_after(in_a_minute) <= 60
    assert 50 < web.parse_retry_after(in_a_minute.replace("GMT", "-0000")) <= 60
    for value in ("", "soon", "-1", "\u00b2", "Thu, 01 Jan 1970 00:00:00 GMT"):
        assert web.parse_retry_after(value) == 0


def test_waits_double_up_to_the_longest_and_obey_the_server(monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    asked = iter([0, 0, 0, 0, 0, 99, 0])
    with pytest.raises(web.PassingError):
        for attempt in web.attempts(2, 20, tenacity.stop_after_attempt(8), lambda _: None):
            with attempt:
                raise web.PassingError("not now", next(asked, 0))
    assert waits.pop(5) == 99
    for wait, expected in zip(waits, [2, 4, 8, 16, 20, 20], strict=True):
        assert 0.75 * expected <= wait <= 1.25 * expected


def test_other_errors_end_the_attempts():
    tried = []
    with pytest.raises(web.RefusedError):
        for attempt in web.attempts(2, 20, tenacity.stop_after_attempt(8), lambda _: None):
            with attempt:
                tried.append(1)
                raise web.RefusedError("no")
    assert tried == [1]
