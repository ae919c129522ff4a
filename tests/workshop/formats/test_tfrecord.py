from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sets
from hypothesis import given
from hypothesis import strategies as st

from edge_detect.errors import DatasetError, InputMissing, SinkError
from edge_detect.workshop.dataset import Dataset, Label, merge
from edge_detect.workshop.formats import protobuf, tfrecord

CAR = Label("car", (16, 12, 48, 36))


@pytest.fixture
def tf() -> Any:
    return pytest.importorskip("tensorflow")


def framed(*records: bytes) -> bytes:
    """A file of records."""
    parts = []
    for record in records:
        head = struct.pack("<Q", len(record))
        parts += [head, struct.pack("<I", tfrecord._masked_crc(head))]
        parts += [record, struct.pack("<I", tfrecord._masked_crc(record))]
    return b"".join(parts)


@pytest.fixture
def example(tmp_path: Path) -> Callable[..., bytes]:
    """A record of one picture with a car; features can be replaced, or left out by None."""
    encoded = sets.draw(tmp_path / "source" / "a.png").read_bytes()

    def make(**changed: Any) -> bytes:
        features: dict[str, Any] = {
            "image/encoded": [encoded], "image/filename": [b"a.jpg"], "image/width": [64], "image/height": [48],
            "image/object/bbox/xmin": [0.25], "image/object/bbox/ymin": [0.25],
            "image/object/bbox/xmax": [0.75], "image/object/bbox/ymax": [0.75],
            "image/object/class/text": [b"car"], "image/object/class/label": [3],
        }  # fmt: skip
        for name, value in changed.items():
            features[next(key for key in features if key.endswith(name))] = value
        return protobuf.write({name: value for name, value in features.items() if value is not None})

    return make


def told(data: Dataset, folder: Path) -> list[str]:
    return [str(fault).removeprefix(f"{folder}/") for fault in data.faults]


def test_all_comes_back_as_it_was_written(tmp_path: Path) -> None:
    some = sets.one(tmp_path / "in", CAR, Label("person", (0, 0, 9, 9), True), group="clip")
    data = merge(
        [
            some,
            sets.one(tmp_path / "in", name="b.png", labelled=frozenset({"car"})),
            sets.one(tmp_path / "in", name="c.png", labelled=frozenset()),
        ]
    )

    tfrecord.write(data, tmp_path / "set.tfrecord")
    back = tfrecord.read(tmp_path / "set.tfrecord")

    assert (back.classes, back.numbers, back.faults) == (("person", "car"), {"person": 1, "car": 2}, ())
    assert sets.bare(back, 4) == sets.bare(data, 4)
    assert [p.group for p in back.pictures] == ["clip", "", ""]
    assert [p.labelled for p in back.pictures] == [p.labelled for p in data.pictures]
    assert [p.where for p in back.pictures] == [f"{tmp_path}/set.tfrecord: record {i}" for i in (1, 2, 3)]
    assert [p.path for p in back.pictures] == [tmp_path / "set_images" / f"{name}.png" for name in "abc"]
    assert back.pictures[0].path.read_bytes() == data.pictures[0].path.read_bytes()


def test_reading_twice_makes_no_second_picture_and_overwrites_none(
    tmp_path: Path, example: Callable[..., bytes]
) -> None:
    (tmp_path / "set.tfrecord").write_bytes(framed(example()))
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_text("mine")

    for _ in range(2):
        data = tfrecord.read(tmp_path / "set.tfrecord", tmp_path / "pictures")

    assert data.pictures[0].path.name == "a_2.png"
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["a.png", "a_2.png"]
    assert (tmp_path / "pictures" / "a.png").read_text() == "mine"


@pytest.mark.parametrize(
    "name, expected",
    [
        (b"../../etc/passwd", "passwd.png"),
        (b"/root/.ssh/x.jpg", "x.png"),
        (b"C:\\photos\\a.b.jpg", "a.b.png"),
        (b"..", "picture.png"),
        (b"", "picture.png"),
        (b"\xff\x00\n", "___.png"),
        (b"n" * 999, f"{'n' * 100}.png"),
    ],
)  # fmt: skip
def test_a_picture_lands_in_the_folder_whatever_it_is_called(
    tmp_path: Path, example: Callable[..., bytes], name: bytes, expected: str
) -> None:
    (tmp_path / "set.tfrecord").write_bytes(framed(example(filename=[name])))

    path = tfrecord.read(tmp_path / "set.tfrecord").pictures[0].path

    assert path.parent == tmp_path / "set_images"
    assert path.name == expected


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"encoded": None}, "image/encoded: expected a picture, got nothing"),
        ({"encoded": [b"#!/bin/sh"]}, "image/encoded: expected a picture, got bytes that are no JPEG, PNG, BMP, WebP or TIFF"),
        ({"encoded": [b"\x89PNG junk"], "width": None}, "image/encoded: the picture cannot be read"),
        ({"xmin": [0.1, 0.2]}, "boxes with 2, 1, 1, 1 sides for 1 names and 1 numbers of classes"),
        ({"text": None, "label": None}, "boxes with 1, 1, 1, 1 sides for 0 names and 0 numbers of classes"),
        ({"text": None, "label": [float("nan")]}, "boxes with 1, 1, 1, 1 sides for 0 names and 0 numbers of classes"),
        ({"xmin": [float("nan")]}, "box 1: expected a name and 0..1, got 'car' nan 0.25 0.75 0.75"),
        ({"xmin": [1e30]}, "box 1: expected a name and 0..1, got 'car' 1e+30 0.25 0.75 0.75"),
        ({"text": [b""]}, "box 1: expected a name and 0..1, got '' 0.25 0.25 0.75 0.75"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_record_is_told_with_its_number(
    tmp_path: Path, example: Callable[..., bytes], changed: dict[str, Any], message: str
) -> None:
    (tmp_path / "set.tfrecord").write_bytes(framed(example(), example(**changed)))

    assert told(tfrecord.read(tmp_path / "set.tfrecord"), tmp_path) == [f"set.tfrecord: record 2: {message}"]


@pytest.mark.parametrize("width", [None, [0], [-64], [2**62], [64.5]])
def test_a_size_that_is_none_is_taken_from_the_picture(
    tmp_path: Path, example: Callable[..., bytes], width: Any
) -> None:
    (tmp_path / "set.tfrecord").write_bytes(framed(example(width=width)))

    assert tfrecord.read(tmp_path / "set.tfrecord").pictures[0].size == (64, 48)


def test_a_class_without_text_has_the_name_of_the_label_map(
    tmp_path: Path, example: Callable[..., bytes]
) -> None:
    (tmp_path / "set.tfrecord").write_bytes(framed(example(text=None), example(text=None, label=[7])))
    (tmp_path / "set.pbtxt").write_text(
        "item {\n  name: 'auto \\'mobile'\n  id: 3\n}\nitem { id: 1 name: \"dog\" }"
    )

    data = tfrecord.read(tmp_path / "set.tfrecord")

    assert data.numbers == {"dog": 1, "auto 'mobile": 3, "class 7": 7}
    assert [picture.labels[0].name for picture in data.pictures] == ["auto 'mobile", "class 7"]


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda data: data[:5], "record 1: ends after 5 bytes; is the file cut off?"),
        (lambda data: data[:-1], "record 2: 1 bytes are missing; is the file cut off?"),
        (lambda data: data[:-20], "record 2: 20 bytes are missing; is the file cut off?"),
        (lambda data: data[:-1] + b"\x00", "record 2: is damaged: the checksum of its data is wrong"),
        (lambda data: b"GIF89a" + data, "record 1: expected a TFRecord, got something else (the checksum of its length is wrong)"),
        (lambda data: data + b"x" * 12, "record 3: is damaged: the checksum of its length is wrong"),
        (lambda data: framed(b"")[:8].replace(b"\0", b"\x7f") + data[8:], "record 1: expected a TFRecord, got something else (the checksum of its length is wrong)"),
    ],
    ids=["head", "tail", "data", "flipped", "junk", "junk after", "length"],
)  # fmt: skip
def test_a_damaged_file_is_told(
    tmp_path: Path, example: Callable[..., bytes], damage: Callable[[bytes], bytes], message: str
) -> None:
    (tmp_path / "set.tfrecord").write_bytes(damage(framed(example(), example())))

    with pytest.raises(DatasetError) as error:
        tfrecord.read(tmp_path / "set.tfrecord")

    assert str(error.value) == f"{tmp_path}/set.tfrecord: {message}"


def test_an_absurd_length_asks_for_no_memory(tmp_path: Path) -> None:
    head = struct.pack("<Q", 2**62)
    (tmp_path / "set.tfrecord").write_bytes(head + struct.pack("<I", tfrecord._masked_crc(head)) + b"x" * 9)

    with pytest.raises(
        DatasetError, match=r"record 1: 4611686018427387899 bytes are missing; is the file cut off\?$"
    ):
        tfrecord.read(tmp_path / "set.tfrecord")


def test_what_is_no_set_is_told(tmp_path: Path) -> None:
    (tmp_path / "void.tfrecord").touch()
    (tmp_path / "junk.tfrecord").write_bytes(framed(b"\xff" * 20))

    told = []
    for name, kind in (
        ("no.tfrecord", InputMissing),
        ("void.tfrecord", DatasetError),
        ("junk.tfrecord", DatasetError),
    ):
        with pytest.raises(kind) as error:
            tfrecord.read(tmp_path / name)
        told.append(str(error.value).removeprefix(f"{tmp_path}/"))

    assert told == [
        "no.tfrecord: cannot read the data set: No such file or directory",
        "void.tfrecord: expected records, got an empty file",
        "junk.tfrecord: record 1: not a tf.train.Example: a number of more than 10 bytes",
    ]


def test_a_folder_of_shards_is_one_set(tmp_path: Path, example: Callable[..., bytes]) -> None:
    for i in range(2):
        (tmp_path / f"set.tfrecord-0000{i}-of-00002").write_bytes(framed(example(filename=[b"%d.png" % i])))

    assert [p.path.name for p in tfrecord.read(tmp_path).pictures] == ["0.png", "1.png"]
    (tmp_path / "void").mkdir()
    with pytest.raises(DatasetError, match=r"void: expected .tfrecord files, got none$"):
        tfrecord.read(tmp_path / "void")


def test_where_pictures_cannot_be_written_is_told(tmp_path: Path, example: Callable[..., bytes]) -> None:
    (tmp_path / "set.tfrecord").write_bytes(framed(example()))
    (tmp_path / "set_images").touch()

    with pytest.raises(SinkError) as error:
        tfrecord.read(tmp_path / "set.tfrecord")

    assert str(error.value) == f"{tmp_path}/set_images: cannot write the pictures: File exists"


def test_an_interrupted_writing_leaves_nothing(tmp_path: Path) -> None:
    data = merge([sets.one(tmp_path / "in"), sets.one(tmp_path / "in", name="b.png")])
    data.pictures[1].path.unlink()

    with pytest.raises(InputMissing) as error:
        tfrecord.write(data, tmp_path / "set.tfrecord")

    assert (
        str(error.value) == f"set:1: cannot read the picture {tmp_path}/in/b.png: No such file or directory"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    try:
        protobuf.read(data)
    except protobuf.Damaged as error:
        assert str(error)


@given(
    st.dictionaries(
        st.text(max_size=9),
        st.lists(st.binary(max_size=9))
        | st.lists(st.floats(width=32, allow_nan=False))
        | st.lists(st.integers(-(2**63), 2**63 - 1)),
    )
)
def test_features_come_back(features: dict[str, Any]) -> None:
    features = {name: value for name, value in features.items() if name.isprintable()}

    assert protobuf.read(protobuf.write(features)) == features


def test_tensorflow_reads_what_we_write(tf: Any, tmp_path: Path) -> None:
    data = sets.one(tmp_path, CAR, Label("person", (0, 0, 9, 9), True))
    tfrecord.write(data, tmp_path / "set.tfrecord")

    rows = [
        tf.train.Example.FromString(r.numpy())
        for r in tf.data.TFRecordDataset(str(tmp_path / "set.tfrecord"))
    ]
    features = rows[0].features.feature

    assert len(rows) == 1
    assert list(features["image/object/bbox/xmax"].float_list.value) == [0.75, 9 / 64]
    assert list(features["image/object/class/label"].int64_list.value) == [2, 1]
    assert list(features["image/object/is_crowd"].int64_list.value) == [0, 1]
    assert features["image/object/class/text"].bytes_list.value[0] == b"car"
    assert tf.io.decode_image(features["image/encoded"].bytes_list.value[0]).shape == (48, 64, 3)


def test_we_read_what_tensorflow_writes(tf: Any, tmp_path: Path) -> None:
    encoded = sets.draw(tmp_path / "a.png").read_bytes()
    lists = {
        "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded])),
        "image/width": tf.train.Feature(int64_list=tf.train.Int64List(value=[64])),
        "image/height": tf.train.Feature(int64_list=tf.train.Int64List(value=[48])),
        "image/object/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[3, -1])),
        "image/object/class/text": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"car", b"dog"])),
    }
    for name, value in zip(("xmin", "ymin", "xmax", "ymax"), (0.25, 0.25, 0.75, 0.75), strict=True):
        lists[f"image/object/bbox/{name}"] = tf.train.Feature(
            float_list=tf.train.FloatList(value=[value] * 2)
        )
    record = tf.train.Example(features=tf.train.Features(feature=lists)).SerializeToString()
    with tf.io.TFRecordWriter(str(tmp_path / "set.tfrecord")) as writer:
        writer.write(record)

    data = tfrecord.read(tmp_path / "set.tfrecord")

    assert [(label.name, label.box) for label in data.pictures[0].labels] == [
        ("car", CAR.box),
        ("dog", CAR.box),
    ]
    assert list(protobuf.read(record)["image/object/class/label"]) == [3, -1]


def test_numbers_may_have_a_field_each() -> None:
    floats = b"\x12" + bytes([10]) + b"\x0d" + struct.pack("<f", 0.5) + b"\x0d" + struct.pack("<f", -2.0)
    integers = b"\x1a\x04\x08\x07\x08\x09"
    entries = b""
    for name, feature in ((b"f", floats), (b"i", integers)):
        entry = b"\x0a\x01" + name + b"\x12" + bytes([len(feature)]) + feature
        entries += b"\x0a" + bytes([len(entry)]) + entry
    record = b"\x0a" + bytes([len(entries)]) + entries

    assert protobuf.read(record) == {"f": [0.5, -2.0], "i": [7, 9]}
