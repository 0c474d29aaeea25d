"""``pullmatte serve`` and ``doctor --web`` as commands."""

import socket

import pytest

from pullmatte.cli import serve as serve_module
from pullmatte.cli.app import run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "--token of at least 16"),
        (["--host", "0.0.0.0", "--token", "short"], "at least 16"),
        (["--token", "spaces in this token !"], "letters, digits"),
        (["--model", "nobody"], "nobody"),
        (["--max-upload", "0"], "max-upload"),
    ],
)
def test_unfit_flags_are_refused_in_a_line(words, said, capsys):
    assert run(["serve", "--no-browser", *words]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.strip().count("\n") == 0
    assert captured.out == ""


def test_a_taken_port_is_said(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run(["serve", "--no-browser", "--port", str(port)]) == 2
    assert f"127.0.0.1:{port}" in capsys.readouterr().err


def test_missing_parts_are_named_with_their_extra(monkeypatch, capsys):
    monkeypatch.setattr(serve_module, "find_spec", lambda name: None)
    assert run(["serve"]) == 2
    assert "pip install 'pullmatte[web]'" in capsys.readouterr().err


def test_others_are_warned_of(start, tmp_path):
    served = start(tmp_path, "--host", "0.0.0.0")
    assert served.url.startswith("http://127.0.0.1:")
    # Under any name, because it may be reached under any; the token is asked for all the same.
    answer = served.client.get("/api/state", headers={"host": "studio.example"})
    assert answer.status_code == 200
    answer = served.client.get(
        "/api/state", headers={"host": "studio.example", "authorization": ""}
    )
    assert answer.status_code == 401


def test_doctor_tries_the_studio(capsys):
    assert run(["doctor", "--web"]) == 0
    out = capsys.readouterr().out
    assert out.count("ok: ") == 6
    assert "the studio works" in out
