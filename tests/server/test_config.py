"""A server is set up by file, environment and flags, and never opens itself to other machines by mistake."""

from __future__ import annotations

import os
import re
import socket
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mive.errors import RequestError
from mive.server.address import Address
from mive.server.config import ServerConfig, check_safe, limits_message
from mive.server.config_loading import keys, load_config
from mive.server.main import main

REPOSITORY = Path(__file__).resolve().parents[2]
OPEN = {"tls.certificate": "cert.pem", "tls.key": "key.pem", "auth.tokens_file": "tokens"}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("MIVE_SERVER__"):
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "server.toml"
        path.write_text(text, "utf-8")
        return path

    return write


def test_without_anything_a_server_is_local(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    config = load_config()
    assert config == ServerConfig()
    assert (config.listen, config.bundle, config.devices) == ("127.0.0.1:7433", "tiny", ("auto",))
    assert config.data == tmp_path / "mive"
    assert not config.shared_memory
    assert config.metrics_address is None
    check_safe(config)


def test_a_relative_state_folder_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    assert ServerConfig().data == Path.home() / ".local/state/mive"


def test_flag_before_environment_before_file_before_default(
    monkeypatch: pytest.MonkeyPatch, file: Callable[[str], Path]
) -> None:
    path = file('bundle = "file"\nengine = "torch"\n[limits]\nqueue_jobs = 1\ntoken_jobs = 1\nframe_side = 1024\n')
    monkeypatch.setenv("MIVE_SERVER__BUNDLE", "environment")
    monkeypatch.setenv("MIVE_SERVER__LIMITS__QUEUE_JOBS", "2")
    monkeypatch.setenv("MIVE_SERVER__LIMITS__TOKEN_JOBS", "2")
    config = load_config(path, {"limits.queue_jobs": 3, "bundle": None, "log.level": "debug"})
    assert config.bundle == "environment"
    limits = config.limits
    assert (limits.queue_jobs, limits.token_jobs, limits.frame_side, limits.job_instances) == (3, 2, 1024, 256)
    assert (config.log.level, config.log.format) == ("debug", "text")


def test_every_value_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "listen": "unix:///run/mive.sock",
        "devices": "cuda:0, cuda:1",
        "server_paths": "/shots,/mattes",
        "shared_memory": "true",
        "metrics_listen": "9464",
        "drain_seconds": "2.5",
        "limits.upload_bytes": "3 GiB",
        "limits.job_frames": "12",
        "tls.certificate": "/c.pem",
        "tls.key": "/k.pem",
        "log.format": "json",
    }
    for key, value in values.items():
        monkeypatch.setenv(f"MIVE_SERVER__{key.upper().replace('.', '__')}", value)
    config = load_config()
    assert config.devices == ("cuda:0", "cuda:1")
    assert config.path_roots == (Path("/shots"), Path("/mattes"))
    assert config.shared_memory
    assert config.metrics_address == Address("127.0.0.1", 9464)
    assert config.drain_seconds == 2.5
    assert (config.limits.upload_bytes, config.limits.job_frames) == (3 * 2**30, 12)
    assert (config.tls.key, config.log.format) == (Path("/k.pem"), "json")
    # What follows does the same for all keys: none of them is unknown as a variable.
    for key in keys():
        monkeypatch.setenv(f"MIVE_SERVER__{key.upper().replace('.', '__')}", "?")
    with pytest.raises(RequestError, match=r"\(environment variable MIVE_SERVER__"):
        load_config()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("listen = 3", ["listen", "text in quotes"]),
        ('listen = "7433"', ["listen", "HOST:PORT", "127.0.0.1:7433"]),
        ('listen = ":7433"', ["listen", "HOST:PORT"]),
        ('listen = "a:70000"', ["listen", "HOST:PORT"]),
        ('listen = "unix:run/mive.sock"', ["listen", "absolute"]),
        (f'listen = "unix:///{"a" * 107}"', ["listen", "107 bytes"]),
        ('metrics_listen = "unix:///m"', ["metrics_listen", "port"]),
        ('lisen = "a"', ["lisen", "no such field", 'Perhaps "listen" is meant']),
        ('[log]\nlevle = "info"', ["log.levle", 'Perhaps "level" is meant']),
        ('[log]\nlevel = "infos"', ["log.level", '"infos"', '"warning"', 'Perhaps "info" is meant']),
        ("log = 3", ["log", "named fields"]),
        ("devices = []", ["devices", "cuda:0"]),
        ('devices = ["cpu", 3]', ["devices[1]", "text in quotes"]),
        ("[limits]\nqueue_jobs = 0", ["limits.queue_jobs", "1 or more", "jobs that may wait"]),
        ("[limits]\nqueue_jobs = true", ["limits.queue_jobs", "whole number"]),
        ("[limits]\nqueue_jobs = 1.5", ["limits.queue_jobs", "whole number"]),
        ('[limits]\nupload_bytes = "3 bananas"', ["limits.upload_bytes", '"64 GiB"']),
        ("[limits]\nupload_bytes = -1", ["limits.upload_bytes", "0 or more"]),
        ("[limits]\nupload_bytes = true", ["limits.upload_bytes", "is no size"]),
        ('[auth]\ntokens_file = ""', ["auth.tokens_file", "it is empty"]),
        ("drain_seconds = nan", ["drain_seconds", "0 or more"]),
        ('[tls]\nkey = "key.pem"', ["tls.certificate", "is missing"]),
        ('[tls]\ncertificate = "cert.pem"', ["tls.key", "is missing"]),
        ('[tls]\nclient_ca = "ca.pem"', ["tls.certificate", "is missing"]),
    ],
)
def test_a_mistake_in_the_file_is_told(file: Callable[[str], Path], text: str, says: list[str]) -> None:
    path = file(text)
    with pytest.raises(RequestError) as caught:
        load_config(path)
    assert caught.value.field == says[0]
    assert f"(file {path})" in caught.value.what
    for words in says:
        assert words in str(caught.value)


@pytest.mark.parametrize("text", ["[log\n", "listen = \n", '"\udcff'])
def test_a_file_that_is_no_toml_is_told_with_the_place(tmp_path: Path, text: str) -> None:
    path = tmp_path / "server.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(RequestError, match=rf"file {path} cannot be read: .*TOML"):
        load_config(path)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no configuration file"):
        load_config(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("variable", "fix"),
    [
        ("MIVE_SERVER__LISTN", '"listen" is meant'),
        ("MIVE_SERVER__ATUH__TOKENS_FILE", '"auth.tokens_file" is meant'),
        ("MIVE_SERVER__LISTEN__HOST", '"listen" is meant'),
        ("MIVE_SERVER__LOG", "Unset it"),
    ],
)
def test_a_variable_without_effect_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, fix: str) -> None:
    monkeypatch.setenv(variable, "x")
    with pytest.raises(RequestError, match=f"environment variable {variable}") as caught:
        load_config()
    assert fix in caught.value.fix


def test_a_mistake_in_a_variable_or_a_flag_is_told_as_such(
    monkeypatch: pytest.MonkeyPatch, file: Callable[[str], Path]
) -> None:
    path = file("drain_seconds = -1")
    with pytest.raises(RequestError, match=r"drain_seconds: -1 .*\(file .*Expected 0"):
        load_config(path)
    monkeypatch.setenv("MIVE_SERVER__DRAIN_SECONDS", "-2")
    with pytest.raises(RequestError, match=r"drain_seconds: -2.* \(environment variable MIVE_SERVER__DRAIN_SECONDS\)"):
        load_config(path)
    with pytest.raises(RequestError, match=r"drain_seconds: -3.* \(flag --drain-seconds\)"):
        load_config(path, {"drain_seconds": -3.0})


@pytest.mark.parametrize(
    ("flag", "value"), [("listen", "7433"), ("metrics", "unix:///m"), ("log-level", "loud"), ("drain-seconds", "-1")]
)
def test_the_program_names_its_own_flags(flag: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"--{flag}", value]) == RequestError.exit_code
    assert f"(flag --{flag})" in capsys.readouterr().err


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:0", "127.8.8.8:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "unix:///x", "localhost:1"]
)
def test_loopback_needs_nothing(listen: str) -> None:
    config = ServerConfig(listen=listen)
    check_safe(config)
    assert config.reflection
    assert config.path_roots == (Path("/"),)


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "192.168.1.4:1", "[fe80::1%lo]:1", "8.8.8.8:1", "0:1"])
def test_other_addresses_need_tls_and_tokens(listen: str) -> None:
    with pytest.raises(RequestError, match=r"TLS and tokens") as caught:
        check_safe(ServerConfig(listen=listen))
    assert "tls.certificate" in caught.value.fix
    assert "auth.tokens_file" in caught.value.fix
    only_tls = {name: value for name, value in OPEN.items() if name.startswith("tls")}
    with pytest.raises(RequestError, match=r"Add auth.tokens_file"):
        check_safe(load_config(None, {"listen": listen, **only_tls}))
    with pytest.raises(RequestError, match=r"Add tls.certificate and tls.key;"):
        check_safe(load_config(None, {"listen": listen, "auth.tokens_file": "tokens"}))
    safe = load_config(None, {"listen": listen, **OPEN})
    check_safe(safe)
    assert not safe.reflection
    assert safe.path_roots == ()
    assert load_config(None, {"listen": listen, "server_paths": "/shots"}).path_roots == (Path("/shots"),)


def test_a_name_is_loopback_only_if_all_its_addresses_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int, **_: object) -> list[tuple[object, object, object, str, tuple[str, int]]]:
        if host not in names:
            raise socket.gaierror
        return [(None, None, None, "", (number, port)) for number in names[host]]

    names = {"both": ["127.0.1.1", "::1"], "leaky": ["127.0.0.1", "10.0.0.7"]}
    monkeypatch.setattr("mive.server.address.socket.getaddrinfo", resolve)
    assert Address("both", 1).loopback
    assert not Address("leaky", 1).loopback
    assert not Address("unknown", 1).loopback


def test_a_name_that_cannot_be_one_is_not_loopback() -> None:
    assert not Address("a" * 64, 1).loopback


@given(st.text(max_size=30) | st.from_regex(r"[\[\]:a-z0-9./]{1,20}:\d{1,6}", fullmatch=True))
@example("unix:///run/x")
def test_an_address_reads_back_or_is_refused(text: str) -> None:
    try:
        config = ServerConfig(listen=text)
    except RequestError:
        return
    assert Address.parse(config.address.target) == config.address


def test_metrics_on_another_machine_have_to_be_asked_for() -> None:
    assert ServerConfig(metrics_listen=9464).metrics_address == Address("127.0.0.1", 9464)
    assert ServerConfig(metrics_listen="0.0.0.0:9464").metrics_address == Address("0.0.0.0", 9464)


def test_clients_are_told_the_limits() -> None:
    config = load_config(None, {"limits.queue_jobs": 5, "limits.upload_bytes": "2 MiB"})
    limits = limits_message(config)
    assert (limits.queue_jobs, limits.upload_bytes, limits.region_bytes) == (5, 2 * 2**20, 0)
    assert limits_message(load_config(None, {"shared_memory": True})).region_bytes == 4 * 2**30
    assert limits.message_bytes > limits.chunk_bytes == 2**20
    assert limits.frame_bytes >= 8192 * 4320 * 4 * 4, "an 8K float frame passes"


def test_the_example_shows_every_default_and_is_valid(
    file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (REPOSITORY / "deploy/mive-server.toml").read_text("utf-8")
    assert load_config(REPOSITORY / "deploy/mive-server.toml") == ServerConfig()
    uncommented = re.sub(r"(?m)^# ?(?=\w+ = )", "", text)
    found = [
        f"{section}.{name}" if isinstance(inner, dict) else section
        for section, inner in tomllib.loads(uncommented).items()
        for name in (inner if isinstance(inner, dict) else [""])
    ]
    assert found == list(keys())
    config = load_config(file(uncommented))
    assert config.limits == ServerConfig().limits
    assert config.keep == ServerConfig().keep
