import numpy as np

from pyrite.config import SelectionConfig
from pyrite.models.clustering import Clusters, cluster

CONFIG = SelectionConfig(min_groups=1)


def blobs(centers: list[float], members: int, width: float = 0.01, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [np.full((members, 4), center) + rng.normal(0, width, (members, 4)) for center in centers]
    )


def sizes(found: Clusters) -> list[int]:
    return sorted(np.unique(found.group, return_counts=True)[1].tolist())


def test_members_of_a_blob_share_a_group_and_blobs_differ():
    found = cluster(blobs([0, 1, 2], 5), CONFIG)
    assert found.clusters == 3
    assert found.noise == 0
    groups = found.group.reshape(3, 5)
    assert (groups == groups[:, :1]).all()
    assert len(set(groups[:, 0])) == 3


def test_noise_points_are_groups_of_their_own():
    found = cluster(np.arange(6.0)[:, None] * 10, CONFIG)
    assert (found.clusters, found.noise) == (0, 6)
    assert len(set(found.group)) == 6


def test_no_candidates_and_identical_candidates():
    assert len(cluster([], CONFIG).group) == 0
    same = cluster(np.ones((7, 3)), SelectionConfig())
    assert set(same.group) == {0}


def test_the_order_of_candidates_does_not_change_the_partition():
    points = blobs([0, 1, 2, 3], 6, width=0.05)
    order = np.random.default_rng(1).permutation(len(points))
    one, other = cluster(points, CONFIG).group, cluster(points[order], CONFIG).group
    assert ((one[order][:, None] == one[order]) == (other[:, None] == other)).all()


def test_the_radius_shrinks_until_there_are_enough_groups():
    points = np.random.default_rng(3).normal(size=(60, 2))
    loose = cluster(points, SelectionConfig(eps=2.0, min_groups=1))
    wanted = cluster(points, SelectionConfig(eps=2.0, min_groups=12))
    assert len(set(loose.group)) < 12 <= len(set(wanted.group))
    assert wanted.eps < loose.eps


def test_large_clusters_are_split():
    points = np.concatenate([blobs([0, 0.2], 15), blobs([5], 4)])
    whole = cluster(points, SelectionConfig(min_groups=1))
    split = cluster(points, SelectionConfig(min_groups=1, max_cluster_size=20))
    assert sizes(whole) == [4, 30]
    assert sizes(split) == [4, 15, 15]


def test_identical_crystals_stay_together_however_many_there_are():
    found = cluster(
        blobs([0, 5], 30, width=0.0), SelectionConfig(min_groups=1, max_cluster_size=10)
    )
    assert sizes(found) == [30, 30]
