"""The workflows: what they may do, what they run, and that the documents say the same."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import helm

from .test_versions import VERSION

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".github/workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
USES = re.compile(r"^\s*(?:- )?uses: (\S+)(.*)$", re.MULTILINE)
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")

PERMISSIONS = {
    ("release.yml", "image"): {"contents": "read", "packages": "write", "id-token": "write", "attestations": "write"},
    ("release.yml", "chart"): {"contents": "read", "packages": "write", "id-token": "write", "attestations": "write"},
    ("release.yml", "announce"): {"contents": "write"},
}
"""Jobs that may do more than read."""


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
    return content


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for name, job in load(path)["jobs"].items():
            for number, step in enumerate(job["steps"]):
                yield f"{path.name} {name} {number}", step


def runs(workflow: str, job: str) -> str:
    """Return all that a job runs."""
    return "\n".join(step.get("run", "") for step in load(FOLDER / workflow)["jobs"][job]["steps"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_hash(path: Path) -> None:
    used = USES.findall(path.read_text())
    assert used
    for action, comment in used:
        assert PINNED.fullmatch(action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), f"{action}: which version is it?"


def test_an_action_has_one_hash_everywhere() -> None:
    used = {use for path in WORKFLOWS for use in USES.findall(path.read_text())}
    assert len({action.split("@")[0] for action, _ in used}) == len(used)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_jobs_have_the_rights_that_they_need_and_an_end(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {}
    assert workflow["on"].keys() <= {"push", "pull_request", "schedule", "workflow_dispatch"}
    for name, job in workflow["jobs"].items():
        assert job["permissions"] == PERMISSIONS.get((path.name, name), {"contents": "read"})
        assert job["timeout-minutes"] <= 60
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_only_a_release_gets_a_token_or_a_secret() -> None:
    for path in WORKFLOWS:
        text = path.read_text()
        assert "secrets." not in text
        assert ("github.token" in text) == (path.name == "release.yml")


@pytest.mark.parametrize(("name", "step"), list(steps()), ids=lambda value: value if isinstance(value, str) else "")
def test_scripts_are_sound(name: str, step: dict[str, Any]) -> None:
    script = step.get("run")
    if script is None:
        assert "uses" in step
        return
    # An expression is put into the script before a shell reads it, whatever is in it; the environment is not.
    assert "${{" not in script
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_scripts_end_at_the_first_failure(path: Path) -> None:
    assert load(path)["defaults"] == {"run": {"shell": "bash"}}


def test_the_make_targets_exist() -> None:
    scripts = [step.get("run", "") for _, step in steps()]
    commands = {found for script in scripts for found in re.findall(r"\bmake [^\n]*", script)}
    assert len(commands) > 5
    for command in commands:
        subprocess.run(
            ["sh", "-c", command.replace("make", "make --dry-run", 1)], cwd=ROOT, check=True, capture_output=True
        )


def test_every_supported_version_is_tested() -> None:
    matrix = load(FOLDER / "ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    classifiers = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert matrix["python"] == classifiers == ["3.11", "3.12", "3.13"]
    matrix = load(FOLDER / "kubernetes.yml")["jobs"]["apiserver"]["strategy"]["matrix"]
    assert matrix["kubernetes"] == [f"1.{minor}" for minor in range(30, 38)]


def test_the_release_is_for_both_architectures_signed_and_attested() -> None:
    image, chart = runs("release.yml", "image"), runs("release.yml", "chart")
    for part in ("--platform linux/amd64,linux/arm64", "--provenance mode=max", "--sbom true", "cosign sign --yes"):
        assert part in image
    for part in ("helm push", "cosign sign --yes"):
        assert part in chart
    dockerfile = (ROOT / "Dockerfile").read_text()
    for name in ("PYTHON_IMAGE", "BASE_IMAGE"):
        assert f'--build-arg {name}="${name}"' in image
        assert re.search(rf"^ARG {name}=", dockerfile, re.MULTILINE)
    assert 'tag=$(sed -n "s/^ARG $name=//p" Dockerfile)' in image


def test_a_released_chart_runs_the_image_that_was_pushed(tmp_path: Path) -> None:
    chart = load(FOLDER / "release.yml")["jobs"]["chart"]
    assert chart["needs"] == "image"
    (number,) = (number for number, step in enumerate(chart["steps"]) if "image-digest" in step.get("run", ""))
    (package,) = (number for number, step in enumerate(chart["steps"]) if "helm package" in step.get("run", ""))
    assert number < package
    step = chart["steps"][number]
    assert step["env"] == {"DIGEST": "${{ needs.image.outputs.digest }}"}
    outputs = load(FOLDER / "release.yml")["jobs"]["image"]["outputs"]
    assert outputs == {"digest": "${{ steps.build.outputs.digest }}"}

    copy = tmp_path / "charts/agentstop"
    shutil.copytree(ROOT / "charts/agentstop", copy)

    def write(digest: str) -> int:
        environment = {"DIGEST": digest, "PATH": "/usr/bin:/bin"}
        return subprocess.run(["bash", "-ec", step["run"]], cwd=tmp_path, env=environment, check=False).returncode

    for digest in ("", "sha256:1234", "sha256:|" + "a" * 64):
        assert write(digest) != 0
    pinned, other = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
    assert write(pinned) == 0
    name = "ghcr.io/agentstop/agentstop"
    for image, wanted in (
        ({}, f"{name}:{VERSION}@{pinned}"),
        ({"repository": "mirror/agentstop"}, f"mirror/agentstop:{VERSION}@{pinned}"),
        ({"tag": "mine"}, f"{name}:mine"),
        ({"digest": other}, f"{name}@{other}"),
    ):
        deployment = helm.one(helm.render({"image": image}, chart=copy), "Deployment")
        assert [each["image"] for each in deployment["spec"]["template"]["spec"]["containers"]] == [wanted]


def test_the_notes_of_a_release_are_the_newest_entry_of_the_changelog(tmp_path: Path) -> None:
    script = runs("release.yml", "announce").partition("gh release")[0]
    version = re.search(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert version is not None
    environment = {"GITHUB_REF_NAME": f"v{version[1]}", "RUNNER_TEMP": str(tmp_path), "PATH": "/usr/bin:/bin"}
    subprocess.run(["bash", "-ec", script], cwd=ROOT, env=environment, check=True)
    notes = (tmp_path / "notes").read_text()
    assert "### Added" in notes
    assert "## [" not in notes
    assert f"[{version[1]}]:" not in notes


def test_what_security_md_verifies_is_what_a_release_signs() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    environment = load(FOLDER / "release.yml")["env"]
    for name in (environment["IMAGE"], f"{environment['CHARTS']}/agentstop"):
        assert name in text
    identity = re.search(r"--certificate-identity (\S+)", text)
    assert identity is not None
    workflow = identity[1].removeprefix("https://github.com/agentstop/agentstop/").split("@")
    assert (ROOT / workflow[0]).exists()
    assert re.fullmatch(r"refs/tags/v\d+\.\d+\.\d+", workflow[1])
    for block in text.split("```")[1::2]:
        done = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
