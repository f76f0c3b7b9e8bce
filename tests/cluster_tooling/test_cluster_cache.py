"""The cache's keys change with what a result is made of; what is published is whole or absent."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.cache import Cache, cache_from_environment, files_below, key


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "go.mod").write_text("module one\n")
    (folder / "go.sum").write_text("hashes\n")
    return folder


def key_of(source: Path, *settings: str) -> str:
    return key(source, files_below(source), *settings)


def test_the_same_content_has_the_same_key_in_another_folder(source: Path, tmp_path: Path) -> None:
    copy = source.rename(tmp_path / "elsewhere")
    before = key_of(copy)
    assert key_of(copy.rename(tmp_path / "back")) == before


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda folder: (folder / "go.sum").write_text("other\n"), id="content"),
        pytest.param(lambda folder: (folder / "go.sum").rename(folder / "go.work"), id="name"),
        pytest.param(lambda folder: (folder / "go.sum").chmod(0o755), id="executable bit"),
        pytest.param(lambda folder: (folder / "more").write_text(""), id="one file more"),
    ],
)
def test_a_key_changes_with_the_files(source: Path, change: Callable[[Path], object]) -> None:
    before = key_of(source)
    change(source)
    assert key_of(source) != before


def test_a_key_changes_with_each_setting_and_with_where_one_ends(source: Path) -> None:
    assert len({key_of(source), key_of(source, "ab"), key_of(source, "a", "b"), key_of(source, "b", "a")}) == 4


def test_pythons_caches_are_not_content(source: Path) -> None:
    before = key_of(source)
    (source / "__pycache__").mkdir()
    (source / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert key_of(source) == before


def test_what_fails_while_it_is_made_is_not_published(tmp_path: Path) -> None:
    def fail_half_way() -> None:
        with Cache(tmp_path).published(tmp_path / "tools" / "kind") as making:
            making.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert list((tmp_path / "tools").iterdir()) == []


def test_a_published_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    target = tmp_path / "context"
    for content in ("old", "new"):
        with cache.published(target) as making:
            making.mkdir()
            (making / content).touch()
    assert [path.name for path in target.iterdir()] == ["new"]


def test_what_a_run_left_half_made_when_it_died_is_swept_by_the_next(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    half_made = tmp_path / "making" / "dead" / "kind"
    half_made.parent.mkdir(parents=True)
    half_made.write_text("half")
    with cache.locked():
        assert not half_made.exists()


def test_the_cache_is_where_xdg_says() -> None:
    assert cache_from_environment({"XDG_CACHE_HOME": "/elsewhere"}).root == Path("/elsewhere/triton-operator")
