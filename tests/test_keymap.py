"""Keys made of other keys: the grammar, what it does to arrays, and what is said where it cannot be meant."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robolearn.errors import UserError
from robolearn.keyentry import TYPES, Entry, Source, quoted
from robolearn.keymap import KeyMap

STATE = np.arange(12.0).reshape(2, 6)  # two rows

names = st.text(st.characters(blacklist_categories=("Cs",)), max_size=12)
indices = st.integers(-9, 9)
ends = st.none() | indices
slices = st.builds(slice, ends, ends, st.none() | st.integers(1, 3))
picks = indices | st.lists(indices, min_size=2, max_size=4).map(tuple) | slices
sources = st.tuples(names, st.lists(picks, max_size=2))
entries = st.tuples(
    names.filter(bool), st.lists(sources, min_size=1, max_size=3), st.none() | st.sampled_from(TYPES), st.booleans()
)


def mapped(*texts, leading=1, **given):
    return KeyMap.parse(texts).apply(given, leading)


@given(st.lists(entries, max_size=3, unique_by=lambda entry: entry[0]))
def test_what_is_written_is_read_again(given):
    """Whatever the keys are called."""
    keymap = KeyMap(
        tuple(
            Entry(name, tuple(Source(key, tuple(parts)) for key, parts in made_of), dtype, optional)
            for name, made_of, dtype, optional in given
        )
    )
    assert KeyMap.parse(keymap.texts()) == keymap


@given(names.filter(bool), names)
@example("it's [a]", 'it\'s "+"')
def test_any_key_can_be_renamed(new, old):
    (made,) = KeyMap.parse([f"{quoted(new)}={quoted(old)}"]).apply({old: STATE}).items()
    assert made[0] == new
    np.testing.assert_array_equal(made[1], STATE)


@pytest.mark.parametrize("key", ["observation.state", "a/b", "end effector", "Stellung-ä", "x_1", "*"])
def test_ordinary_keys_need_no_quotes(key):
    assert quoted(key) == key


@given(
    st.integers(1, 8).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.integers(-n, n - 1), min_size=1, max_size=5), st.data())
    )
)
def test_parts_are_those_that_numpy_takes(drawn):
    size, chosen, data = drawn
    rows = np.random.default_rng(size).normal(size=(3, 2, size))
    start = data.draw(st.integers(0, size - 1))
    stop = data.draw(st.integers(start + 1, size))
    listed = ",".join(map(str, chosen))
    made = mapped(f"a=x[{listed}]", f"b=x[{start}:{stop}]", f"c=x[:{stop}]", f"d=x[{start}:]", x=rows, leading=2)
    np.testing.assert_array_equal(made["a"], rows[..., chosen])
    np.testing.assert_array_equal(made["b"], rows[..., start:stop])
    np.testing.assert_array_equal(made["c"], rows[..., :stop])
    np.testing.assert_array_equal(made["d"], rows[..., start:])


@given(arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 4))), st.integers(0, 2))
def test_leading_axes_are_left_alone(one, axes):
    """Rows of a recording, a batch of windows or a single observation: the same numbers of each."""
    rows = np.broadcast_to(one, (2,) * axes + one.shape).copy()
    made = mapped("a=x[0]+x[-1]", x=rows, leading=axes)["a"]
    assert made.shape == (2,) * axes + (2 * one.shape[1],)
    assert (made == np.concatenate([one[0], one[-1]])).all() or np.isnan(one).any()


def test_one_number_is_a_vector_and_one_of_many_images_an_image():
    assert mapped("grip=state[5]", state=STATE)["grip"].tolist() == [[5.0], [11.0]]
    assert mapped("t=time", time=np.arange(2.0))["t"].shape == (2, 1)
    assert mapped("image=pixels[1]", pixels=np.zeros((2, 3, 8, 9, 3)))["image"].shape == (2, 8, 9, 3)
    assert mapped("x=m[1][0]", m=np.arange(8.0).reshape(2, 2, 2))["x"].tolist() == [[2.0], [6.0]]


def test_parts_are_joined_in_their_order():
    made = mapped("state=vel+pos[:1]", pos=STATE[:, :2], vel=STATE[:, 4:])["state"]
    assert made.tolist() == [[4.0, 5.0, 0.0], [10.0, 11.0, 6.0]]
    cameras = {"left": np.zeros((2, 8, 9, 3), np.uint8), "right": np.ones((2, 8, 9, 3), np.uint8)}
    both = mapped("image=left+right", **cameras)["image"]
    assert both.shape == (2, 8, 9, 6)
    assert both.dtype == np.uint8
    assert mapped("s=matrix+state", matrix=np.zeros((2, 3, 3)), state=STATE)["s"].shape == (2, 15)


def test_a_cast_keeps_numbers_or_refuses():
    assert mapped("a:uint8=x", x=np.array([[0.0, 255.0]]))["a"].dtype == np.uint8
    for kind, number in (("uint8", 256.0), ("uint8", 0.5), ("int32", np.nan), ("bool", 2.0), ("float32", 1e300)):
        with pytest.raises(UserError, match=f"a:{kind}=x: .* is no {kind}"):
            mapped(f"a:{kind}=x", x=np.array([[number]]))
    assert np.isnan(mapped("a:float32=x", x=np.array([[np.nan]]))["a"]).all()  # which others judge


def test_images_of_any_layout_become_bytes_with_channels_last():
    floats = np.linspace(0, 1, 3 * 8 * 9).reshape(1, 3, 8, 9)
    image = mapped("image:image=rgb", rgb=floats)["image"]
    assert image.shape == (1, 8, 9, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image[0, ..., 1], np.rint(floats[0, 1] * 255))
    assert mapped("image:image=gray", gray=np.zeros((1, 8, 9), np.uint8))["image"].shape == (1, 8, 9, 1)
    with pytest.raises(UserError, match="image:image=rgb: pixels from 0 to 2 are outside"):
        mapped("image:image=rgb", rgb=2 * floats)
    with pytest.raises(UserError, match="either end may be the channels"):
        mapped("image:image=rgb", rgb=np.zeros((1, 3, 8, 3)))


def test_a_default_gives_way_to_what_is_there():
    assert mapped("goal?=desired", desired=STATE, goal=STATE) == {}
    assert list(mapped("goal?=desired", desired=STATE)) == ["goal"]
    derived = KeyMap.parse(["pos=state[:2]", "state=state[2:]"]).where_missing()
    assert derived.texts() == ("pos?=state[:2]", "state=state[2:]")


def test_entries_replace_those_of_the_same_name():
    over = KeyMap.parse(["b=z"]).over(KeyMap.parse(["a=x", "b=y"]))
    assert over.texts() == ("a=x", "b=z")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "state",
        "=x",
        "a=",
        "a==b",
        "a=b+",
        "a=+b",
        "a=b[",
        "a=b[]",
        "a=b[x]",
        "a=b[1.5]",
        "a=b[0:1:2:3]",
        "a=b]",
        "a='b",
        "a:=b",
        "a=b c'd'",
        "a?b=c",
        "''=x",
    ],
)
def test_what_is_no_entry_is_refused_with_the_grammar(text):
    with pytest.raises(UserError, match=r"`env\.obs`.*expected NEW=SOURCE") as refused:
        KeyMap.parse([text], "env.obs")
    assert "\n" not in str(refused.value)


def test_what_cannot_be_meant_is_refused():
    for texts, said in (
        (["a=x[0:7]"], r"a=x\[0:7\]|x\[0:7\]: x has 6 entries there, \[0:7\] asks for others"),
        (["a=x[6]"], "has 6 entries there"),
        (["a=x[0,-7]"], "has 6 entries there"),
        (["a=x[3:3]"], "has 6 entries there"),
        (["a=x[0][0]"], "has no axis left"),
        (["a=y"], r"a=y: there is no key y; there are x, 'p\+q'"),
        (["a=p+q"], r"there is no key p; .*quote the key: 'p\+q'"),
    ):
        with pytest.raises(UserError, match=said):
            KeyMap.parse(texts).apply({"x": STATE, "p+q": STATE})
    with pytest.raises(UserError, match="a is given twice"):
        KeyMap.parse(["a=x", "a=y"])
    with pytest.raises(UserError, match="there is no type half; choose from bool"):
        KeyMap.parse(["a:half=x"])
    with pytest.raises(UserError, match="cannot be joined"):
        mapped("a=x+y", x=np.zeros((2, 3, 3)), y=np.zeros((2, 2, 3)))


@given(st.text(max_size=20))
def test_any_text_is_an_entry_or_refused(text):
    try:
        read = KeyMap.parse([text])
    except UserError:
        return
    assert KeyMap.parse(read.texts()) == read
