from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from model_store import manifest as manifests
from model_store.manifest import MANIFEST, MODEL
from model_store.store import Store
from xas.errors import BadModel, StorageFailed, UnknownModel


def rewrite(folder: Path, **changes: object) -> None:
    manifest = msgspec.structs.replace(manifests.read(folder), **changes)
    (folder / MANIFEST).write_bytes(manifests.encode(manifest))


def test_the_built_in_model_is_found_by_name_version_and_alias() -> None:
    store = Store([])
    found = {store.get(reference).reference for reference in ("fe-k", "fe-k@1", "fe-k@champion")}
    assert found == {"fe-k@1"}


def test_a_bundle_is_found_by_the_path_of_its_folder(bundle_copy: Path) -> None:
    assert Store([]).get(str(bundle_copy)).folder == bundle_copy


def test_an_unknown_model_names_the_nearest() -> None:
    with pytest.raises(UnknownModel, match=r"no model 'fek'; the nearest is 'fe-k'"):
        Store([]).get("fek")


def test_an_unknown_version_names_those_there_are() -> None:
    with pytest.raises(UnknownModel, match=r"has no '7'; it has 1, champion"):
        Store([]).get("fe-k@7")


@pytest.mark.parametrize(
    "name", ["../fe-k", "fe-k@", "@1", "", ".", "fe-k@../1", "fe-k@-1", "x" * 99]
)
def test_a_strange_reference_never_leaves_the_store(name: str) -> None:
    if name == "fe-k@":
        assert Store([]).get(name).reference == "fe-k@1"
        return
    with pytest.raises(UnknownModel):
        Store([]).get(name)


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match=r"no bundle here"):
        Store([]).get(tmp_path)


@pytest.mark.parametrize("name", [MODEL, "check.npz"])
def test_a_file_that_does_not_match_its_hash_is_refused(bundle_copy: Path, name: str) -> None:
    content = bytearray((bundle_copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle_copy / name).write_bytes(content)
    with pytest.raises(BadModel, match=rf"{name}: does not match its SHA-256 .* put it into"):
        Store([]).get(bundle_copy)


def test_a_missing_file_is_refused(bundle_copy: Path) -> None:
    (bundle_copy / MODEL).unlink()
    with pytest.raises(BadModel, match=r"model.onnx: cannot be read"):
        Store([]).get(bundle_copy)


def test_put_gives_the_next_version_and_leaves_the_old_ones_alone(
    tmp_path: Path, bundle_copy: Path
) -> None:
    store = Store([tmp_path / "mine"], builtin=False)
    assert store.put(bundle_copy) == 1
    before = (tmp_path / "mine/fe-k/1" / MANIFEST).read_bytes()
    rewrite(bundle_copy, summary="another")
    assert store.put(bundle_copy) == 2
    assert (tmp_path / "mine/fe-k/1" / MANIFEST).read_bytes() == before
    assert store.get("fe-k@2").manifest.summary == "another"
    assert [m.version for m in store.list()] == [1, 2]


def test_a_user_s_version_follows_the_built_in_one(tmp_path: Path, bundle_copy: Path) -> None:
    store = Store([tmp_path])
    assert store.put(bundle_copy) == 2
    assert store.versions("fe-k") == [1, 2]


def test_put_leaves_nothing_behind_of_a_damaged_bundle(tmp_path: Path, bundle_copy: Path) -> None:
    (bundle_copy / MODEL).write_bytes(b"")
    with pytest.raises(BadModel):
        Store([tmp_path / "mine"]).put(bundle_copy)
    assert not (tmp_path / "mine").exists()


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path, bundle_copy: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageFailed, match=r"cannot store the model"):
        Store([tmp_path / "file"]).put(bundle_copy)


def test_a_bundle_moved_by_hand_is_refused(tmp_path: Path, bundle_copy: Path) -> None:
    (tmp_path / "mine/fe-k").mkdir(parents=True)
    bundle_copy.rename(tmp_path / "mine/fe-k/5")
    with pytest.raises(BadModel, match=r"the manifest says fe-k@1"):
        Store([tmp_path / "mine"], builtin=False).get("fe-k@5")
