import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from triton_operator.models.failure import PrepareError, Reason
from triton_operator.models.place import MountedSource
from triton_operator.models.prepare import main
from triton_operator.models.request import ENVIRONMENT_VARIABLE, Kind, Layout, ModelRequest, PrepareRequest
from triton_operator.models.storage import storage_failures


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A claim named models with the model vision/resnet50, versions 6 and 7."""
    model = tmp_path / "source" / "vision" / "resnet50"
    for version in ("6", "7"):
        (model / version).mkdir(parents=True)
        (model / version / "model.onnx").write_text(version)
    (model / "config.pbtxt").write_text('platform: "onnxruntime_onnx"\n')
    (model / "labels.txt").write_text("cat\n")
    (model / "configs").mkdir()
    (tmp_path / "models").mkdir()
    return tmp_path / "source"


def request_for(volume: Path, path: str = "vision/resnet50", **changes: object) -> ModelRequest:
    values = {
        "name": "resnet50",
        "version": 7,
        "uri": f"pvc://models/{path}".rstrip("/"),
        "source": str(volume / path),
        "repository": str(volume.parent / "models"),
        "layout": Layout.DIRECTORY,
        "kind": None,
    }
    return ModelRequest(**(values | changes))


def config_map(tmp_path: Path, files: dict[str, str]) -> Path:
    """A directory as the kubelet mounts a ConfigMap: keys are links to ..data, which is a link."""
    mount = tmp_path / "config-map"
    content = mount / "..2026_11_22"
    content.mkdir(parents=True)
    (mount / "..data").symlink_to("..2026_11_22")
    for name, text in files.items():
        (content / name).write_text(text)
        (mount / name).symlink_to(f"..data/{name}")
    return mount


def flat_request(mount: Path, **changes: object) -> ModelRequest:
    return request_for(
        mount,
        path="",
        uri="configmap://scorer",
        source=str(mount),
        layout=Layout.FLAT,
        **({"name": "scorer"} | changes),
    )


def tree(directory: Path) -> dict[str, str]:
    """Every entry below a directory: the target of a link, the text of a file, "/" for a directory."""
    return {
        path.relative_to(directory).as_posix(): str(path.readlink())
        if path.is_symlink()
        else "/"
        if path.is_dir()
        else path.read_text()
        for path in sorted(directory.rglob("*"))
    }


def place(model: ModelRequest) -> None:
    asyncio.run(MountedSource(model).place())


def failure(request: ModelRequest) -> PrepareError:
    with pytest.raises(PrepareError) as caught:
        place(request)
    return caught.value


def test_a_model_directory_is_linked_with_one_version(volume: Path) -> None:
    place(request_for(volume))

    source = volume / "vision" / "resnet50"
    assert tree(volume.parent / "models") == {
        "resnet50": "/",
        "resnet50/7": str(source / "7"),
        "resnet50/config.pbtxt": str(source / "config.pbtxt"),
        "resnet50/configs": str(source / "configs"),
        "resnet50/labels.txt": str(source / "labels.txt"),
    }


def test_a_config_that_must_change_is_written_beside_the_links(volume: Path) -> None:
    place(request_for(volume, name="classifier", kind=Kind.GPU))

    model = volume.parent / "models" / "classifier"
    assert not (model / "config.pbtxt").is_symlink()
    assert (model / "config.pbtxt").read_text() == (
        'platform: "onnxruntime_onnx"\ninstance_group [ { kind: KIND_GPU } ]\n'
    )
    assert (volume / "vision/resnet50/config.pbtxt").read_text() == 'platform: "onnxruntime_onnx"\n'


def test_the_config_of_an_ensemble_is_linked_although_gpus_are_asked_for(volume: Path) -> None:
    (volume / "vision/resnet50/config.pbtxt").write_text('platform: "ensemble"')

    place(request_for(volume, kind=Kind.GPU))

    assert (volume.parent / "models/resnet50/config.pbtxt").is_symlink()


@pytest.mark.parametrize(("kind", "expected"), [(None, None), (Kind.GPU, "instance_group [ { kind: KIND_GPU } ]\n")])
def test_without_a_config_only_gpus_make_one(volume: Path, kind: Kind | None, expected: str | None) -> None:
    (volume / "vision/resnet50/config.pbtxt").unlink()

    place(request_for(volume, kind=kind))

    assert tree(volume.parent / "models" / "resnet50").get("config.pbtxt") == expected


def test_the_model_may_be_the_whole_claim(volume: Path) -> None:
    model = volume / "vision" / "resnet50"

    place(request_for(model, path="", uri="pvc://resnet", source=str(model), repository=str(volume.parent / "models")))

    assert (volume.parent / "models/resnet50/7/model.onnx").read_text() == "7"


def test_keys_of_a_config_map_are_copied(tmp_path: Path) -> None:
    mount = config_map(tmp_path, {"config.pbtxt": 'backend: "python"', "model.py": "pass", ".hidden": "kept"})

    place(flat_request(mount))

    assert tree(tmp_path / "models") == {
        "scorer": "/",
        "scorer/7": "/",
        "scorer/7/.hidden": "kept",
        "scorer/7/model.py": "pass",
        "scorer/config.pbtxt": 'backend: "python"',
    }


def test_it_may_run_again_over_what_a_former_attempt_left(volume: Path) -> None:
    left = volume.parent / "models" / "resnet50"
    (left / "6").mkdir(parents=True)
    (left / "6" / "half").write_text("")
    (left / "labels.txt").symlink_to(volume / "vision")
    request = request_for(volume)

    place(request)
    first = tree(left)
    place(request)

    assert tree(left) == first
    assert sorted(first) == ["7", "config.pbtxt", "configs", "labels.txt"]
    assert (volume / "vision/resnet50/6/model.onnx").exists()


def test_a_link_in_place_of_the_model_is_removed_and_not_followed(volume: Path) -> None:
    (volume.parent / "models" / "resnet50").symlink_to(volume / "vision")

    place(request_for(volume))

    assert (volume / "vision/resnet50/6/model.onnx").exists()
    assert (volume.parent / "models/resnet50/7/model.onnx").read_text() == "7"


@pytest.mark.parametrize(
    ("path", "reason", "words"),
    [
        pytest.param(
            "vision",
            Reason.BAD_LAYOUT,
            ["model repository", "set spec.model.uri to pvc://models/vision/resnet50."],
            id="root",
        ),
        pytest.param(
            "vision/resnet50/7",
            Reason.BAD_LAYOUT,
            ["version directory", "uri to pvc://models/vision/resnet50 ", "spec.model.version to 7"],
            id="version directory",
        ),
        pytest.param(
            "vision/resnet50/config.pbtxt",
            Reason.BAD_LAYOUT,
            ["is a file", "perhaps pvc://models/vision/resnet50."],
            id="file",
        ),
        pytest.param(
            "vision/resnet50/configs",
            Reason.BAD_LAYOUT,
            ["holds nothing", "pvc://models/vision/resnet50/configs/7"],
            id="empty",
        ),
        pytest.param(
            "",
            Reason.BAD_LAYOUT,
            ["neither config.pbtxt nor version directories", 'holds "vision"'],
            id="root of roots",
        ),
        pytest.param(
            "vision/resnet/7",
            Reason.NOT_FOUND,
            ['pvc://models/vision has no "resnet"', 'it holds "resnet50"'],
            id="absent",
        ),
    ],
)
def test_a_wrong_uri_is_answered_with_the_right_one(volume: Path, path: str, reason: Reason, words: list[str]) -> None:
    error = failure(request_for(volume, path=path, source=str(volume / path)))

    assert error.reason is reason
    assert f"pvc://models/{path}".rstrip("/") in error.message
    for word in words:
        assert word in error.message


def test_of_many_models_in_a_root_the_one_of_that_name_comes_first(volume: Path) -> None:
    for number in range(7):
        (volume / "vision" / f"a{number}" / "1").mkdir(parents=True)

    error = failure(request_for(volume, path="vision"))

    assert "it holds pvc://models/vision/resnet50, pvc://models/vision/a0," in error.message
    assert "pvc://models/vision/a3 and 3 more." in error.message
    assert "set spec.model.uri to pvc://models/vision/resnet50." in error.message


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(
            lambda model: None, "there are 6, 7. Set spec.model.version to one that exists", id="others exist"
        ),
        pytest.param(
            lambda model: (model / "008").mkdir(), "008 is there, but Triton passes over", id="zeros before it"
        ),
        pytest.param(lambda model: (model / "8").write_text(""), "8 is not a directory", id="a file"),
        pytest.param(
            lambda model: [(model / str(number)).mkdir() for number in range(10, 40)],
            "there are 32, the highest of them 30, 31",
            id="many exist",
        ),
    ],
)
def test_a_missing_version_is_answered_with_those_that_exist(volume: Path, make: object, words: str) -> None:
    make(volume / "vision" / "resnet50")

    error = failure(request_for(volume, version=8))

    assert error.reason is Reason.NO_VERSIONS
    assert words in error.message


@pytest.mark.parametrize("files", [{}, {"config.pbtxt": ""}])
def test_a_config_map_without_a_file_of_the_model_is_refused(tmp_path: Path, files: dict[str, str]) -> None:
    error = failure(flat_request(config_map(tmp_path, files)))

    assert error.reason is Reason.BAD_LAYOUT
    assert "no file of the model" in error.message


def test_a_python_model_without_its_program_is_refused_before_triton_hangs_on_it(volume: Path, tmp_path: Path) -> None:
    (volume / "vision" / "resnet50" / "config.pbtxt").write_text('backend: "python"\n')
    with pytest.raises(PrepareError) as error:
        place(request_for(volume))
    assert error.value.reason is Reason.BAD_LAYOUT
    assert 'pvc://models/vision/resnet50/7 has no "model.py"' in error.value.message
    assert 'it holds "model.onnx"' in error.value.message

    mount = config_map(tmp_path, {"config.pbtxt": 'backend: "python"', "labels.txt": "cat"})
    with pytest.raises(PrepareError, match=r'has no "model.py".*default_model_filename'):
        place(flat_request(mount))


def test_a_python_model_may_name_its_program(volume: Path) -> None:
    model = volume / "vision" / "resnet50"
    (model / "config.pbtxt").write_text('backend: "python"\ndefault_model_filename: "serve.py"\n')
    (model / "7" / "serve.py").write_text("")
    place(request_for(volume))


def test_a_config_that_cannot_be_read_is_answered_with_line_and_column(volume: Path) -> None:
    (volume / "vision/resnet50/config.pbtxt").write_text('name: "resnet50"\nmax_batch_size 8\n')

    error = failure(request_for(volume))

    assert error.reason is Reason.BAD_CONFIG
    assert "config.pbtxt of pvc://models/vision/resnet50 cannot be read: line 2, column 16" in error.message
    assert not (volume.parent / "models" / "resnet50").exists()


@pytest.mark.parametrize(
    ("link", "target"),
    [
        pytest.param("vision/resnet50/config.pbtxt", "/etc/hostname", id="config"),
        pytest.param("vision/resnet50/7", "../../../models", id="version"),
        pytest.param("vision/resnet50/labels.txt", "/etc/hostname", id="other file"),
        pytest.param("vision/resnet50", "/etc", id="model"),
        pytest.param("vision", "..", id="directory above"),
    ],
)
def test_a_link_out_of_the_volume_is_refused(volume: Path, link: str, target: str) -> None:
    (volume / link).rename(volume / "away")
    (volume / link).symlink_to(target)

    error = failure(request_for(volume))

    assert error.reason is Reason.BAD_LAYOUT
    assert "leads out of the volume" in error.message


def test_a_link_out_of_a_config_map_is_not_copied(tmp_path: Path) -> None:
    mount = config_map(tmp_path, {"model.py": ""})
    (mount / "passwd").symlink_to("/etc/passwd")

    assert failure(flat_request(mount)).reason is Reason.BAD_LAYOUT
    assert not (tmp_path / "models/scorer/7/passwd").exists()


def test_links_within_the_volume_are_good(volume: Path) -> None:
    (volume / "blobs").mkdir()
    (volume / "vision/resnet50/7").rename(volume / "blobs/abc")
    (volume / "vision/resnet50/7").symlink_to("../../blobs/abc")

    place(request_for(volume))

    assert (volume.parent / "models/resnet50/7/model.onnx").read_text() == "7"


def test_a_link_to_itself_is_refused(volume: Path) -> None:
    (volume / "loop").symlink_to("loop")

    error = failure(request_for(volume, path="loop"))

    assert error.reason in (Reason.BAD_LAYOUT, Reason.NOT_FOUND)


def test_hostile_file_names_reach_the_message_escaped(volume: Path) -> None:
    names = [b'a"\n\x1b[31m', b"\xff\xfe", "\u202e".encode()]
    for name in names:
        (volume / "empty").mkdir(exist_ok=True)
        (volume / "empty" / os.fsdecode(name)).write_text("")

    message = failure(request_for(volume, path="empty")).message

    assert message.isprintable()
    message.encode()


@pytest.fixture
def open_volume(volume: Path) -> Iterator[Path]:
    """The volume at a path that every user may pass, seen by a user without rights."""
    place_for_all = Path(tempfile.mkdtemp())
    place_for_all.chmod(0o755)
    volume.rename(place_for_all / "source")
    (place_for_all / "models").mkdir(mode=0o755)
    user = os.geteuid()
    yield place_for_all / "source"
    os.seteuid(user)
    for path in place_for_all.rglob("*"):
        path.chmod(0o755)
    shutil.rmtree(place_for_all)


def become_a_user_without_rights() -> None:
    if os.geteuid() == 0:
        os.seteuid(65532)


@pytest.mark.parametrize(
    "hidden",
    [
        pytest.param("vision", id="a directory above the model"),
        pytest.param("vision/resnet50", id="the model"),
        pytest.param("vision/resnet50/config.pbtxt", id="the config"),
    ],
)
def test_files_of_another_user_are_answered_with_whose_they_are_and_the_remedy(open_volume: Path, hidden: str) -> None:
    (open_volume / hidden).chmod(0o000)
    become_a_user_without_rights()

    error = failure(request_for(open_volume))

    assert error.reason is Reason.UNREADABLE
    assert f"uid {os.geteuid()}" in error.message
    assert "belongs to uid" in error.message
    assert "spec.runtime.securityContext.fsGroup" in error.message


def test_a_repository_that_cannot_be_written_is_not_blamed_on_the_source(open_volume: Path) -> None:
    (open_volume.parent / "models").chmod(0o555)
    become_a_user_without_rights()

    error = failure(request_for(open_volume))

    assert error.reason is Reason.STORAGE_ERROR
    assert "model repository" in error.message


def test_a_full_disk_is_no_space(volume: Path) -> None:
    with pytest.raises(PrepareError) as caught, storage_failures(request_for(volume), volume):
        Path("/dev/full").write_bytes(b"x")

    assert caught.value.reason is Reason.NO_SPACE
    assert "ephemeral storage" in caught.value.message


def prepare_request(model: ModelRequest) -> PrepareRequest:
    return PrepareRequest(repository=model.repository, models=(model,))


def run(request: ModelRequest, termination_log: Path) -> subprocess.CompletedProcess[str]:
    """Run the program as the container does."""
    code = "import sys; from pathlib import Path; from triton_operator.models.prepare import main;"
    code += " sys.exit(main(termination_log=Path(sys.argv[1])))"
    environment = {**os.environ, ENVIRONMENT_VARIABLE: prepare_request(request).to_json()}
    return subprocess.run(
        [sys.executable, "-c", code, str(termination_log)], env=environment, capture_output=True, text=True, check=False
    )


def test_the_program_ends_with_zero_and_says_what_it_did(volume: Path, tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    log.touch()

    result = run(request_for(volume), log)

    assert (result.returncode, result.stderr, log.read_text()) == (0, "", "")
    assert "Prepared model resnet50, version 7, from pvc://models/vision/resnet50" in result.stdout


def test_the_program_writes_one_line_of_json_for_the_kubelet_and_for_people(volume: Path, tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    log.write_text("x" * 5000)

    result = run(request_for(volume, version=9), log)

    assert result.returncode == 1
    assert result.stderr == log.read_text() + "\n"
    assert json.loads(log.read_text())["reason"] == "NoVersions"


def test_a_missing_request_is_reported_and_no_file_is_created(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main({}, termination_log=tmp_path / "absent") == 1

    assert json.loads(capsys.readouterr().err)["reason"] == "BadRequest"
    assert not (tmp_path / "absent").exists()


def test_starting_the_program_imports_nothing_heavy() -> None:
    heavy = {"grpc", "numpy", "pydantic", "kopf", "kubernetes", "obstore", "aiohttp", "huggingface_hub"}
    code = (
        "import sys, triton_operator.models.prepare, triton_operator.models.resolve;"
        f" sys.exit(','.join(sorted({heavy} & sys.modules.keys())))"
    )

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert result.stderr.strip() == ""
