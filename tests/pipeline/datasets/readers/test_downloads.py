import socket
import tarfile
import urllib.request

import pytest

from pipeline.common.errors import UserError
from pipeline.datasets.readers.downloads import explained_download


@pytest.mark.usefixtures("no_network")
def test_a_failed_download_is_one_line_with_advice() -> None:
    with pytest.raises(UserError) as caught, explained_download("a/b is absent", "put it there"):
        urllib.request.urlopen("http://example.invalid/archive.tar.gz")
    message = str(caught.value)
    assert message.startswith("a/b is absent, and the download failed (<urlopen error ")
    assert message.endswith("); put it there")


def test_a_server_that_falls_silent_is_not_waited_for_without_end() -> None:
    before = socket.getdefaulttimeout()
    with explained_download("", ""):
        assert socket.getdefaulttimeout() == 30.0
    with pytest.raises(UserError), explained_download("", ""):
        raise tarfile.ReadError("unexpected end of data")
    assert socket.getdefaulttimeout() == before


def test_a_mistake_of_the_program_is_not_taken_for_one_of_the_network() -> None:
    with pytest.raises(TypeError), explained_download("", ""):
        raise TypeError
