from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from model_store import manifest as manifests
from model_store.bundle import open_bundle
from model_store.manifest import MANIFEST, SpectrumOutput
from model_store.onnx_file import require_standalone
from model_store.runtime import ProviderMissing, Session
from model_store.store import Store
from xas.descriptor import Descriptor
from xas.errors import BadModel
from xas.measures import percentage_error
from xas.structure import Sites, StructureBatch


@pytest.fixture(scope="module", params=["fe-k", "fe-k-fast"])
def session(request: pytest.FixtureRequest) -> Session:
    return Session(Store([]).get(request.param))


def test_the_built_in_model_reproduces_its_check_input(session: Session) -> None:
    check = session.bundle.check()
    descriptor = Descriptor(session.bundle.manifest.descriptor)
    features = descriptor.featurise(check.batch, check.sites).values.astype(np.float32)
    assert session.check_fault(features, check) is None
    for got, want in zip(
        session.run(features), (check.mean, check.std, check.novelty), strict=True
    ):
        np.testing.assert_allclose(got, want, atol=1e-4)


def test_a_wrong_answer_to_the_check_input_is_named(session: Session) -> None:
    check = session.bundle.check()
    features = np.zeros((len(check.sites), session.bundle.manifest.descriptor.n_features))
    assert "off by" in str(session.check_fault(features.astype(np.float32), check))


def test_outputs_have_the_promised_shapes(session: Session) -> None:
    n_energy = len(session.bundle.manifest.output.energy_ev)
    for n in (0, 1, 3):
        features = np.ones((n, session.bundle.manifest.descriptor.n_features), dtype=np.float32)
        mean, std, novelty = session.run(features)
        assert (mean.shape, std.shape, novelty.shape) == ((n, n_energy), (n, n_energy), (n,))
        assert all(a.dtype == np.float32 and np.isfinite(a).all() for a in (mean, std, novelty))
        assert (std > 0).all()


def test_a_site_does_not_depend_on_its_batch(session: Session) -> None:
    rng = np.random.default_rng(1)
    n_features = session.bundle.manifest.descriptor.n_features
    features = rng.uniform(0, 5, (40, n_features)).astype(np.float32)
    together = session.run(features)[0]
    alone = np.concatenate([session.run(row[None])[0] for row in features])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_what_was_never_seen_is_novel(session: Session) -> None:
    check = session.bundle.check()
    descriptor = Descriptor(session.bundle.manifest.descriptor)
    features = descriptor.featurise(check.batch, check.sites).values.astype(np.float32)
    familiar, strange = session.run(features)[2], session.run(10.0 * features)[2]
    assert (strange > familiar).all()
    assert (strange > 2.0).all()


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(ProviderMissing, match=r"device 'gpu' is unknown; use cpu, cuda or cuda:N"):
        Session(Store([]).get("fe-k"), device="gpu")


def test_a_missing_gpu_is_an_error_and_not_a_slow_answer() -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(ProviderMissing, match=r"no CUDAExecutionProvider; use --device cpu"):
        Session(Store([]).get("fe-k"), device="cuda:0")


def test_a_graph_that_contradicts_its_manifest_is_refused(bundle_copy: Path) -> None:
    output = SpectrumOutput(energy_ev=(1.0, 2.0, 3.0), unit="x")
    manifest = msgspec.structs.replace(manifests.read(bundle_copy), output=output)
    (bundle_copy / MANIFEST).write_bytes(manifests.encode(manifest))
    with pytest.raises(BadModel, match=r"mean of the graph has shape"):
        Session(open_bundle(bundle_copy))


def test_a_model_with_external_data_is_refused() -> None:
    onnx = pytest.importorskip("onnx")
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[2], data_location=1)
    tensor.external_data.add(key="location", value="/etc/passwd")
    graph = onnx.helper.make_graph([], "g", [], [], [tensor])
    data = onnx.helper.make_model(graph).SerializeToString()
    with pytest.raises(BadModel, match=r"m\.onnx: the model keeps tensors in other files"):
        require_standalone(data, "m.onnx")


@pytest.mark.parametrize("data", [b"\xff", b"\x3a\xff\xff\x01", b"\x80" * 20, b"\x0f\x00"])
def test_bytes_that_are_no_onnx_file_are_refused(data: bytes) -> None:
    with pytest.raises(BadModel, match="not an ONNX file"):
        require_standalone(data, "m.onnx")


def test_the_store_does_not_load_onnx_runtime_before_it_is_needed() -> None:
    code = (
        "import sys; from model_store.store import Store; from model_store.runtime import Session;"
        "Store([]).list(); print('onnxruntime' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_session_says_nothing_on_its_own() -> None:
    code = (
        "from model_store.store import Store; from model_store.runtime import Session;"
        "Session(Store([]).get('fe-k'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.data
def test_the_built_in_model_fits_the_spectra_that_it_was_trained_on(
    session: Session, data_dir: Path
) -> None:
    with np.load(data_dir / "fe_k_xanesnet.npz") as data:
        end = data["offsets"][200]
        batch = StructureBatch.from_arrays(
            data["numbers"][:end], data["positions"][:end], data["offsets"][:201]
        )
        target = data["mu"][:200]
    sites = Sites(np.arange(200), np.zeros(200, dtype=np.int64))
    descriptor = Descriptor(session.bundle.manifest.descriptor)
    features = descriptor.featurise(batch, sites).values.astype(np.float32)
    mean, std, novelty = session.run(features)
    assert np.median(percentage_error(mean, target)) < 4.0
    assert (np.abs(mean - target) <= 2.0 * std).mean() > 0.9
    assert np.median(novelty) < 0.8
    alone = session.run(features[:1])[0]
    np.testing.assert_allclose(alone[0], mean[0], atol=1e-6)
