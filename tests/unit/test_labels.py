"""Which labels may be learned from together."""

import pytest

from pyrite.documents import LabelStatus, Provenance
from pyrite.errors import MixedLabels
from pyrite.models.labels import require_one_method


def made_by(**changes: object) -> Provenance:
    values = {"engine": "vasp", "engine_version": "6.4.3", "settings": {"ENCUT": 680}}
    return Provenance(**{**values, **changes}, seconds=1.0, reference_calls=1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"engine": "chgnet"}, r"engine \(vasp and chgnet\)"),
        ({"engine_version": "6.4.2"}, r"engine_version \(6.4.3 and 6.4.2\)"),
        ({"settings": {"ENCUT": 520, "ISPIN": 1}}, r"ENCUT \(680 and 520\), ISPIN \(None and 1\)"),
    ],
)
def test_labels_of_two_methods_are_refused(changes, said, make_label) -> None:
    labels = [
        make_label("c0", provenance=made_by()),
        make_label("c1", iteration=2, provenance=made_by(**changes)),
    ]
    with pytest.raises(MixedLabels, match=rf"c0 \(iteration 0\) and c1 \(iteration 2\) .*{said}"):
        require_one_method(labels)


def test_what_may_differ_and_what_is_not_learned_from(make_label) -> None:
    """Repairs may; and failed labels have no method."""
    require_one_method(
        [
            make_label("c0", provenance=made_by()),
            make_label("c1", provenance=made_by(details={"corrections": ["ALGO = All"]})),
            make_label(
                "c2", status=LabelStatus.FAILED, provenance=made_by(engine_version="", settings={})
            ),
        ]
    )
