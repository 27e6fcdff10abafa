"""Saved posteriors: what is loaded is what was saved, and nothing else is loaded."""

import errno
import hashlib
import json

import numpy as np
import pytest

import bayesglmm as bg
from bayesglmm import io, sealed
from bayesglmm.codec import Decoder, Encoder
from bayesglmm.posterior import Posterior, Run

CHAINS, DRAWS = 2, 60


def posterior(name: str = "group a/b") -> Posterior:
    """Return a posterior of a small real model, its draws made up."""
    rng = np.random.default_rng(5)
    data = {
        "y": rng.poisson(3, 40),
        "größe 1": rng.normal(size=40),
        "kind": np.array(["b", "ä", "c", "c"] * 10),
        name: np.array(["007", "08", "x/y", "é"] * 10),
        "days": rng.uniform(1, 5, 40),
    }
    model = bg.glmm(
        f"y ~ `größe 1` * kind + offset(log(days)) + (`größe 1`|`{name}`)",
        data,
        family="poisson",
        priors={"b": bg.Normal(0, 1.5), "cor": bg.LKJ(2)},
    )
    shape = (CHAINS, DRAWS)
    values = {
        "beta": rng.normal(size=(*shape, len(model.names.fixed))),
        "sd": rng.uniform(size=(*shape, 2)),
        "cor": rng.uniform(size=(*shape, 1)),
        "u": {model.design.factors[0].name: rng.normal(size=(*shape, 4, 2))},
    }
    stats = {"accept": rng.uniform(size=shape), "divergent": (rng.uniform(size=shape) < 0.1) * 1.0}
    run = Run("nuts", "asked for", 7, 100, 2, {"sampling": 1.0}, versions={"bayesglmm": "0.1.0"})
    return Posterior(model, values, stats, rng.normal(size=(*shape, 9)), run)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    post = posterior()
    path = tmp_path_factory.mktemp("saved") / "fit.nc"
    post.save(path)
    return post, path


def test_a_loaded_posterior_is_the_saved_one(saved):
    post, path = saved
    loaded = bg.load(path)
    assert str(loaded) == str(post)
    assert str(loaded.model) == str(post.model)
    assert loaded.run == post.run
    assert loaded.summary(u=True).equals(post.summary(u=True))
    np.testing.assert_array_equal(loaded.theta, post.theta)
    for name, stat in post.stats.items():
        np.testing.assert_array_equal(loaded.stats[name], stat)
    assert loaded.data.equals(post.data)


def test_a_loaded_model_has_the_same_design_and_writeable_arrays(saved):
    post, path = saved
    design, loaded = post.model.design, bg.load(path).model.design
    np.testing.assert_array_equal(loaded.X, design.X)
    assert loaded.X.flags.writeable and loaded.X.flags.c_contiguous
    assert loaded.factors[0].levels == design.factors[0].levels == ("007", "08", "x/y", "é")
    np.testing.assert_array_equal(
        bg.load(path).log_likelihood().log_likelihood["y"],
        post.log_likelihood().log_likelihood["y"],
    )


def test_xarray_opens_the_file(saved):
    import xarray

    post, path = saved
    with xarray.open_datatree(path, engine="h5netcdf") as tree:
        np.testing.assert_array_equal(tree["posterior"]["beta"], post.values["beta"])
        assert list(tree["posterior"]["coefficient"].values) == list(post.model.names.fixed)
        assert tree["posterior"].attrs["formula"] == post.model.design.formula


def test_the_same_posterior_gives_the_same_content(tmp_path):
    paths = [tmp_path / "a.nc", tmp_path / "b.nc"]
    for path in paths:
        posterior().save(path)
    a, b = (bg.load(path) for path in paths)
    assert a.data.identical(b.data)


def test_a_file_is_not_replaced_unless_asked(saved, tmp_path):
    post, _ = saved
    path = tmp_path / "fit.nc"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="force"):
        post.save(path)
    assert path.read_text() == "mine"
    post.save(path, force=True)
    assert bg.load(path).run == post.run


def test_a_full_disk_leaves_what_was_there(saved, tmp_path, monkeypatch):
    post, _ = saved
    path = tmp_path / "fit.nc"
    path.write_text("mine")

    def full(post, temporary, states):
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(io, "_write", full)
    with pytest.raises(OSError, match=r"fit\.nc could not be written.*bytes are free"):
        post.save(path, force=True)
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_named(saved, tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        saved[0].save(tmp_path / "nowhere" / "fit.nc")


@pytest.mark.parametrize("keep", [0, 1, 8, 100, 0.1, 0.5, 0.9, -80, -81, -1])
def test_a_file_cut_short_is_refused(saved, tmp_path, keep):
    content = saved[1].read_bytes()
    keep = int(keep * len(content)) if isinstance(keep, float) else keep
    cut = tmp_path / "cut.nc"
    cut.write_bytes(content[:keep])
    with pytest.raises(bg.LoadError, match=r"cut\.nc"):
        bg.load(cut)


def test_every_altered_byte_is_found(saved, tmp_path):
    content = bytearray(saved[1].read_bytes())
    altered = tmp_path / "altered.nc"
    for place in np.random.default_rng(6).integers(0, len(content), 200):
        content[place] ^= 1
        altered.write_bytes(content)
        with pytest.raises(bg.LoadError, match=r"altered\.nc"):
            bg.load(altered)
        content[place] ^= 1


@pytest.mark.parametrize(
    "path", ["https://example.org/fit.nc", "s3://bucket/fit.nc", "missing.nc", "."]
)
def test_what_is_not_a_file_is_refused(path):
    with pytest.raises(bg.LoadError):
        bg.load(path)


def _sealed(path):
    """Give a file the checksum that `load` asks for."""
    content = path.read_bytes()
    path.write_bytes(content + sealed.MARK + hashlib.sha256(content).hexdigest().encode())


def _external(file, h5py):
    file["bayesglmm/spec"] = h5py.ExternalLink("other.nc", "/spec")


def _soft(file, h5py):
    file["bayesglmm/spec"] = h5py.SoftLink("/elsewhere")


def _virtual(file, h5py):
    layout = h5py.VirtualLayout(shape=(4,), dtype="u1")
    layout[:] = h5py.VirtualSource("other.nc", "spec", shape=(4,))
    file.create_virtual_dataset("bayesglmm/spec", layout)


def _objects(file, h5py):
    file.create_dataset("bayesglmm/spec", data=["{}"], dtype=h5py.string_dtype())


def _huge(file, h5py):
    file.create_dataset("bayesglmm/spec", shape=(1 << 40,), dtype="u1", chunks=(1 << 20,))


def _group(file, h5py):
    file.create_group("bayesglmm/spec")


def _spec(content):
    def write(file, h5py):
        file["bayesglmm/spec"] = np.frombuffer(json.dumps(content).encode(), np.uint8)
        file["bayesglmm/theta"] = np.zeros((1, 1, 1))

    return write


FOREIGN = {
    "external link": _external,
    "soft link": _soft,
    "virtual array": _virtual,
    "objects": _objects,
    "more than the file holds": _huge,
    "group": _group,
    "nothing of ours": lambda file, h5py: file.create_group("posterior"),
    "empty": _spec({}),
    "newer": _spec({"format": 99}),
    "not a model": _spec({"format": 1, "model": {"noun": "Popen", "fields": {}}, "run": {}}),
    "not a record": _spec({"format": 1, "model": [1], "run": {}}),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_sealed_file_of_other_content_is_refused(tmp_path, what):
    import h5py

    path = tmp_path / "foreign.nc"
    with h5py.File(path, "w") as file:
        file.create_group("bayesglmm")
        FOREIGN[what](file, h5py)
    _sealed(path)
    with pytest.raises(bg.LoadError):
        bg.load(path)


@pytest.mark.parametrize("content", [b"", b"y,x\n1,2\n", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "other.nc"
    path.write_bytes(content)
    with pytest.raises(bg.LoadError):
        bg.load(path)


def test_the_codec_makes_what_it_was_given():
    value = {
        "prior": bg.Normal(0, 2.5),
        3: ("a", None, True, 1.5, float("inf")),
        "list": [np.arange(3, dtype=np.int32), np.array([[1.5]])],
    }
    encoder = Encoder([bg.Normal])
    text = json.dumps(encoder.encode(value))
    made = Decoder(encoder.arrays, [bg.Normal]).decode(json.loads(text))
    assert made["prior"] == value["prior"]
    assert made[3] == value[3]
    assert made["list"][0].dtype == np.int32
    np.testing.assert_array_equal(made["list"][1], [[1.5]])


@pytest.mark.parametrize("value", [len, object(), {1, 2}, np.array(["text"]), bg.Normal(0, 1)])
def test_the_codec_refuses_what_it_could_not_make_again(value):
    with pytest.raises(TypeError, match="cannot be saved"):
        Encoder([bg.LKJ]).encode(value)


def test_a_loaded_model_codes_new_data_alike(tmp_path):
    rng = np.random.default_rng(8)
    x, v = rng.normal(size=(2, 30))
    data = {"y": rng.normal(size=30), "x": x, "v": v, "f": ["a", "b", "c"] * 10}
    model = bg.glmm("y ~ poly(x, 2) + bs(v, 4) + scale(exp(v)):f", data)
    shape = (2, 10)
    values = {
        "beta": rng.normal(size=(*shape, len(model.names.fixed))),
        "sd": np.empty((*shape, 0)),
        "cor": np.empty((*shape, 0)),
        "sigma": rng.uniform(size=shape),
        "u": {},
    }
    run = Run("nuts", "no random effects", 1, 10, 1, {}, versions={"bayesglmm": "0.1.0"})
    theta = rng.normal(size=(*shape, len(model.names.fixed) + 1))
    Posterior(model, values, {}, theta, run).save(tmp_path / "fit.nc")
    loaded = bg.load(tmp_path / "fit.nc")
    new = {"x": x[5::-1], "v": v[5::-1], "f": list("cabbac")}
    expected = model.design.new_data(new)
    np.testing.assert_array_equal(loaded.model.design.new_data(new).X, expected.X)
    assert loaded.values["sd"].shape == (*shape, 0) and loaded.values["u"] == {}


@pytest.mark.parametrize("name", ["fit.csv", "fit.csv.gz", "fit.PARQUET", "fit.pkl"])
def test_a_name_of_another_kind_of_file_is_refused(name, tmp_path):
    """Else a file called .csv is written that no program reads as CSV."""
    model = bg.glmm("y ~ 1 + (1 | g)", {"y": [1.0, 2.0, 4.0, 3.0], "g": [1, 1, 2, 2]})
    with pytest.raises(bg.DataError, match=r"like fit(\.csv)?\.nc; draws alone .* outpost"):
        io.save(model.fit("ml"), tmp_path / name)
    assert not list(tmp_path.iterdir())
