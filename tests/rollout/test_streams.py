from itertools import product

from robolearn.rollout.streams import episode_stream


def test_seed_episode_and_stream_each_make_another_stream():
    streams = {key: episode_stream(*key) for key in product((0, 1, 7), (0, 1, 7), (0, 1, 7))}
    assert len(set(streams.values())) == 27
    assert episode_stream(7, 1) == streams[7, 1, 0]
