"""Search files: what is read, and what a user is told when something is wrong."""

from pathlib import Path

import pytest

from pyrite import search_file
from pyrite.config import Criterion, SearchConfig
from pyrite.errors import ConfigError
from pyrite.models.known_structures import sought
from pyrite.search_file import dump_search, load_search, preset_names


@pytest.fixture
def write(tmp_path: Path):
    def write_search(text: str) -> Path:
        path = tmp_path / "search.yaml"
        path.write_text(text)
        return path

    return write_search


def refusal(path: Path | None = None, **options: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load_search(path, **options)  # type: ignore[arg-type]
    return str(caught.value)


def test_a_composition_alone_is_a_search() -> None:
    config = load_search(composition="NaCl")
    assert config.name == "NaCl-seed1"
    assert config == SearchConfig(composition="NaCl", name="NaCl-seed1")


def test_name_follows_composition_and_seed() -> None:
    assert load_search(composition="Ca(OH)2", seed=4).name == "CaOH2-seed4"
    assert load_search(composition="Si", name="mine").name == "mine"


def test_command_line_replaces_what_the_file_says(write) -> None:
    path = write("composition: NaCl\nseed: 1\nname: first\npool: {size: 12}\n")
    config = load_search(path, composition="MgO", seed=7, name="second")
    assert (config.composition, config.seed, config.name) == ("MgO", 7, "second")
    assert config.pool.size == 12


def test_scientific_numbers_and_formulas_that_yaml_11_misreads(write) -> None:
    path = write("composition: NO\ntraining: {learning_rate: 1e-4, weight_decay: 2E-3}\n")
    config = load_search(path)
    assert config.composition == "NO"
    assert config.training.learning_rate == 1e-4
    assert config.training.weight_decay == 2e-3


def test_start_structures_are_relative_to_the_file(write, tmp_path: Path) -> None:
    path = write("composition: NaCl\npool: {files: [start/a.cif, /tmp/b.vasp]}\n")
    assert load_search(path).pool.files == (tmp_path / "start/a.cif", Path("/tmp/b.vasp"))


def test_start_structures_do_not_depend_on_the_working_directory(
    write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("composition: NaCl\npool: {files: [a.cif]}\n")
    monkeypatch.chdir(tmp_path)
    assert load_search(Path("search.yaml")).pool.files == (tmp_path / "a.cif",)


def test_dump_and_load_round_trip(write) -> None:
    text = (
        "composition: NO\nseed: 3\npool: {volume_per_atom: [10, 20], files: [a.cif]}\n"
        'training: {learning_rate: 1e-7}\nconvergence: {criterion: "energy"}\n'
        "target: {composition: N4O4}\nreference: {settings: {fmax: 1e-3, yes: no}}\n"
    )
    config = load_search(write(text))
    assert config.convergence.criterion is Criterion.ENERGY
    again = load_search(write(dump_search(config)))
    assert again == config


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("composition: NaCl\npool: {sise: 9}", ("unknown key pool.sise", "mean pool.size?")),
        ("composition: NaCl\nsize: 9", ("unknown key size", "mean pool.size?")),
        ("composition: NaCl\nzzzz: 9", ("unknown key zzzz", "known here: composition")),
        (
            "composition: Si\ntarget: {composition: Si46, pool: {sice: 3}}",
            ("unknown key target.pool.sice", "mean target.pool.size?"),
        ),
        ("composition: NaCl\npool: {size: -5}", ("pool.size is -5", "at least 2")),
        ("composition: NaCl\npool: {size: many}", ("pool.size is 'many'", "a whole number")),
        ("composition: NaCl\npool: 3", ("pool is 3", "a section")),
        ("composition: NaCl\npool: {angles: [60]}", ("pool.angles[1] is missing", "a number")),
        ("composition: NaCl\npool: {angles: [60, x]}", ("pool.angles[1] is 'x'", "a number")),
        ("composition: NaCl\npool: {angles: [60, 200]}", ("pool: angles", "below 180")),
        ("composition: NaCl\npool: {rattle: .inf}", ("pool.rattle is inf", "at most 1")),
        (
            "composition: NaCl\npool: {minimum_distances: {Na-Cl: far}}",
            ("pool.minimum_distances.Na-Cl is 'far'", "a number"),
        ),
        (
            "composition: NaCl\nconvergence: {criterion: magic}",
            ("convergence.criterion is 'magic'", "energy, structure"),
        ),
        ("composition: NaCl\nname: a b", ("name is 'a b'", "letters, digits")),
        ("composition: NaCl\nseed: -1\npool: {size: 0}", ("(and 1 more)",)),
        ("composition:", ("composition is empty", "a text")),
        ("seed: 3", ("composition is missing",)),
        ("composition: NaCl\n1: 2", ("1 is a key of the wrong kind",)),
        ("composition: NaCl\npool: {size: 3\n x: [", ("line 3", "not valid YAML")),
        ("composition: NaCl\nseed: 1\ncomposition: Si", ("line 3", "composition is given twice")),
        ("composition: !!python/object:os.system x", ("line 1", "not valid YAML")),
        ("", ("empty", "composition: NaCl")),
        ("# nothing\n", ("empty",)),
        ("- NaCl", ("key: value",)),
    ],
)
def test_mistakes_are_named(write, text: str, words: tuple[str, ...]) -> None:
    path = write(text)
    message = refusal(path)
    assert str(path) in message
    assert "\n" not in message
    for word in words:
        assert word in message


def test_missing_file(tmp_path: Path) -> None:
    assert "there is no search file" in refusal(tmp_path / "none.yaml")


def test_a_directory_or_a_binary_file_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert "not a text file" in refusal(tmp_path / "binary.yaml")


def test_nothing_to_search_for() -> None:
    assert "nothing to search for" in refusal()


def test_file_and_preset_together(write) -> None:
    assert "not both" in refusal(write("composition: NaCl"), preset="nacl")


@pytest.mark.parametrize("name", ["demo", "demo-dft"])
def test_presets_of_pyrite_take_another_composition(name) -> None:
    assert name in preset_names()
    assert load_search(preset=name, composition="Ga8As8").composition == "Ga8As8"


def test_presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rocksalt.yaml").write_text("composition: NaCl\npool: {size: 33}\n")
    monkeypatch.setattr(search_file, "_presets", lambda: tmp_path)
    assert preset_names() == ["rocksalt"]
    assert load_search(preset="rocksalt", seed=2).pool.size == 33
    assert "did you mean rocksalt?" in refusal(preset="roksalt")
    assert "presets are: rocksalt" in refusal(preset="zzz")


def test_every_shipped_preset_is_a_valid_search() -> None:
    for name in preset_names():
        config = load_search(preset=name)
        assert config.composition
        assert (sought(config) is None) == (config.target is None)


def test_the_paper_s_benchmarks_have_its_settings() -> None:
    for name in ("si16", "na8cl8", "ga8as8", "al4o6", "si16-si46", "al4o6-al16o24"):
        config = load_search(preset=name)
        labels = 200 if name.startswith("al4o6") else 100
        assert (config.selection.first_labels, config.selection.labels) == (labels, labels)
        assert (config.pool.size, config.surrogate.representation) == (1000, "so3net")
        assert config.convergence.top_k == (3 if name == "si16-si46" else 10)
        assert config.larger is None or config.larger.pool.size >= 5000


def test_bad_options_are_refused_like_bad_files() -> None:
    assert "command line: seed is -1" in refusal(composition="NaCl", seed=-1)
    assert "command line: name is ''" in refusal(composition="NaCl", name="")
