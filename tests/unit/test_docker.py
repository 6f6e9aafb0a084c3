"""The files of docker/ say what Pyrite is."""

import re
import stat
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from pyrite.launchers.cli import app
from pyrite.launchers.workers import WORKER_ENVIRONMENT
from pyrite.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]


@pytest.fixture
def compose() -> dict[str, dict]:
    return yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))


def test_every_command_exists_with_its_options(compose) -> None:
    ours = {name: one for name, one in compose["services"].items() if name != "database"}
    assert set(ours) == {"worker", "upkeep", "dashboard"}
    for one in ours.values():
        name, *arguments = one["command"]
        options = {option for param in COMMANDS[name].params for option in param.opts}
        assert {word for word in arguments if word.startswith("--")} <= options


def test_nothing_is_published_beyond_loopback(compose) -> None:
    for one in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in one.get("ports", []))
    assert compose["networks"]["inside"]["internal"] is True
    published = [name for name, one in compose["services"].items() if "ports" in one]
    assert published == ["dashboard"]
    assert "PYRITE_DASHBOARD_PASSWORD_FILE" in compose["services"]["dashboard"]["environment"]


def test_passwords_come_from_files_only(compose) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for one in compose["services"].values():
        for name, value in one["environment"].items():
            assert "PASSWORD" not in name or name.endswith("_FILE")
            assert not name.startswith(PREFIX) or name in known
            assert "://" not in str(value)


def test_images_have_tags_health_checks_and_no_root(compose) -> None:
    dockerfile = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    assert compose["services"]["database"]["image"].partition(":")[2] not in {"", "latest"}
    assert "healthcheck" in compose["services"]["database"]
    assert "HEALTHCHECK" in dockerfile
    assert re.search(r"^USER 1000:1000$", dockerfile, re.MULTILINE)
    for name in ("worker", "upkeep", "dashboard"):
        service = compose["services"][name]
        assert not service["user"].startswith(("0", "root"))
        assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("recipe", ["Dockerfile", "pyrite.def"])
def test_images_hold_what_the_package_is_made_of(recipe: str) -> None:
    text = (DOCKER / recipe).read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for room in ("dashboard", "firetasks", "launchers", "models", "src", "workflows"):
        assert (ROOT / room).is_dir()
        assert re.search(rf"^\s*(COPY )?{room}\b", text, re.MULTILINE)
    extras = re.search(r"\"?\.\[([a-z,]+)\]", text)
    assert extras is not None
    assert all(
        re.search(rf"^{extra} = \[", project, re.MULTILINE) for extra in extras[1].split(",")
    )
    for name, value in WORKER_ENVIRONMENT.items():
        assert f"{name}={value}" in text
    (python,) = set(re.findall(r"(?:PYTHON=|python:)(3\.\d+)", text))
    assert f'requires-python = ">={python}' in project


def test_secrets_are_made_once_and_are_private(tmp_path: Path) -> None:
    script = tmp_path / "secrets.sh"
    script.write_text((DOCKER / "secrets.sh").read_text(encoding="utf-8"))
    made = []
    for _ in range(2):
        subprocess.run(["sh", str(script)], check=True, capture_output=True)
        made.append({one.name: one.read_text() for one in (tmp_path / "secrets").iterdir()})
    assert made[0] == made[1]
    assert len(set(made[0].values())) == 4
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    for name in ("database_uri", "dashboard_password"):
        assert stat.S_IMODE((tmp_path / "secrets" / name).stat().st_mode) == 0o600
    assert made[0]["database_password"].strip() in made[0]["database_uri"]
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "/docker/secrets/" in ignored
