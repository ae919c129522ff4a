from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
import sets

from edge_detect.errors import DatasetError, InputMissing
from edge_detect.workshop.dataset import Dataset, Label, merge
from edge_detect.workshop.formats import voc

# as LabelImg 1.8.6 writes it
LABELIMG = """<annotation>
\t<folder>photos</folder>
\t<filename>a.png</filename>
\t<path>C:\\photos\\a.png</path>
\t<source>
\t\t<database>Unknown</database>
\t</source>
\t<size>
\t\t<width>64</width>
\t\t<height>48</height>
\t\t<depth>3</depth>
\t</size>
\t<segmented>0</segmented>
\t<object>
\t\t<name>car</name>
\t\t<pose>Unspecified</pose>
\t\t<truncated>0</truncated>
\t\t<difficult>0</difficult>
\t\t<bndbox>
\t\t\t<xmin>11</xmin>
\t\t\t<ymin>6</ymin>
\t\t\t<xmax>30</xmax>
\t\t\t<ymax>40</ymax>
\t\t</bndbox>
\t</object>
</annotation>
"""
LAUGHS = (
    '<?xml version="1.0"?>\n<!DOCTYPE a [<!ENTITY l "ha"><!ENTITY m "&l;&l;">]>\n<annotation>&m;</annotation>'
)


def folder(path: Path, text: str = LABELIMG) -> Path:
    """A folder with one picture and its XML beside it."""
    sets.draw(path / "a.png")
    (path / "a.xml").write_text(text)
    return path


def faults(data: Dataset, path: Path) -> list[str]:
    return [str(fault).removeprefix(f"{path}/") for fault in data.faults]


def test_a_file_of_labelimg_is_read_with_its_lines(tmp_path: Path) -> None:
    data = voc.read(folder(tmp_path))

    picture = data.pictures[0]
    assert (data.classes, data.faults, picture.labelled) == (("car",), (), {"car"})
    assert (picture.path, picture.size, picture.where) == (
        tmp_path / "a.png",
        (64, 48),
        f"{tmp_path}/a.xml:1",
    )
    assert picture.labels == (Label("car", (10, 5, 30, 40), False, f"{tmp_path}/a.xml:14"),)


def test_difficult_is_ignored_and_parts_have_no_box_of_their_own(tmp_path: Path) -> None:
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
    text = LABELIMG.replace("<difficult>0", "<difficult>1").replace("\t\t<bndbox>", f"{part}<bndbox>")

    labels = voc.read(folder(tmp_path, text)).pictures[0].labels

    assert [(label.name, label.box, label.ignore) for label in labels] == [("car", (10, 5, 30, 40), True)]


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("<name>car</name>", "", "a.xml:14: an object without <name>"),
        ("<xmax>30</xmax>", "", "a.xml:14: car: expected <bndbox> with 4 numbers, got 11 6 nothing 40"),
        ("<xmax>30", "<xmax>nan", "a.xml:14: car: expected <bndbox> with 4 numbers, got 11 6 nan 40"),
        ("<xmax>30", "<xmax>1e99", "a.xml:14: car: expected <bndbox> with 4 numbers, got 11 6 1e99 40"),
        ("<xmax>30", "<xmax>wide", "a.xml:14: car: expected <bndbox> with 4 numbers, got 11 6 wide 40"),
    ],
)
def test_an_object_that_cannot_be_read_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    data = voc.read(folder(tmp_path, LABELIMG.replace(old, new)))

    assert faults(data, tmp_path) == [message]
    assert data.pictures[0].labels == ()


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "b.xml:1: not XML: no element found"),
        ("\x01\x02", "b.xml:1: not XML: not well-formed (invalid token)"),
        ("<annotation>\n<object>", "b.xml:2: not XML: no element found"),
        ("<annotation>\n</object>", "b.xml:2: not XML: mismatched tag"),
        ("<svg/>", "b.xml:1: expected <annotation>, got <svg>"),
        (LAUGHS, "b.xml: expected Pascal VOC XML, got a document type, which may hide anything; take the line out"),
        ("<a>" * 100, "b.xml: expected Pascal VOC XML, got elements nested more than 40 deep"),
        ('<?xml version="1.0" encoding="no-such"?><annotation/>', "b.xml: expected Pascal VOC XML, got unknown encoding: no-such"),
        (LABELIMG.replace(">a.png", ">../../etc/passwd"), "b.xml:1: filename '../../etc/passwd' leads out of {}"),
        (LABELIMG.replace(">a.png", ">/etc/passwd"), "b.xml:1: filename '/etc/passwd' leads out of {}"),
        (LABELIMG.replace("<width>64", "<width>0").replace(">a.png", ">no.png"), "b.xml:1: no <size>, and no.png cannot be read"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_told_and_the_others_are_read(
    tmp_path: Path, text: str, message: str
) -> None:
    folder(tmp_path)
    (tmp_path / "b.xml").write_text(text)

    data = voc.read(tmp_path)

    assert faults(data, tmp_path) == [message.replace("{}", str(tmp_path))]
    assert len(data) == 1


def test_a_folder_in_place_of_a_file_is_a_fault(tmp_path: Path) -> None:
    (folder(tmp_path) / "b.xml").mkdir()

    assert faults(voc.read(tmp_path), tmp_path) == ["b.xml: cannot read: Is a directory"]


@pytest.mark.parametrize("size", ["0", "-64", "x", "64.5", "1e30"])
def test_a_size_that_is_none_is_taken_from_the_picture(tmp_path: Path, size: str) -> None:
    data = voc.read(folder(tmp_path, LABELIMG.replace("<width>64", f"<width>{size}")))

    assert data.pictures[0].size == (64, 48)


@pytest.mark.parametrize("name", ["", "<filename>other</filename>"], ids=["none", "without ending"])
def test_a_picture_without_a_right_name_is_that_of_the_file(tmp_path: Path, name: str) -> None:
    data = voc.read(folder(tmp_path, LABELIMG.replace("<filename>a.png</filename>", name)))

    assert data.pictures[0].path == tmp_path / "a.png"


def test_one_file_alone_and_another_folder_of_pictures(tmp_path: Path) -> None:
    file = folder(tmp_path / "xml") / "a.xml"
    sets.draw(tmp_path / "photos" / "a.png")

    data = voc.read(file, tmp_path / "photos")

    assert data.pictures[0].path == tmp_path / "photos" / "a.png"


@pytest.mark.parametrize("name", ["day/a.png", "a.png", "", "other"])
@pytest.mark.parametrize("place", ["JPEGImages/day", "Annotations/day"])
def test_pictures_of_folders_inside_are_found(tmp_path: Path, name: str, place: str) -> None:
    picture = sets.draw(tmp_path / place / "a.png")
    (tmp_path / "Annotations" / "day").mkdir(parents=True, exist_ok=True)
    xml = tmp_path / "Annotations" / "day" / "a.xml"
    xml.write_text(LABELIMG.replace("a.png</filename>", f"{name}</filename>"))

    assert [p.path for p in voc.read(tmp_path).pictures] == [picture]


def test_what_is_no_set_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<svg/>")
    (tmp_path / "empty").mkdir()

    with pytest.raises(DatasetError) as wrong:
        voc.read(tmp_path)
    with pytest.raises(DatasetError) as empty:
        voc.read(tmp_path / "empty")
    with pytest.raises(InputMissing) as nothing:
        voc.read(tmp_path / "no")

    assert str(wrong.value) == f"{tmp_path}/a.xml:1: expected <annotation>, got <svg>"
    assert str(empty.value) == f"{tmp_path}/empty: expected Pascal VOC .xml files, got none"
    assert str(nothing.value) == f"{tmp_path}/no: cannot read the data set: no such file or folder"


def test_what_is_written_counts_from_one_and_keeps_the_classes(tmp_path: Path) -> None:
    labels = Label("car", (10, 5, 30, 40)), Label("a<b>&c", (0.5, 0, 1.25, 2), True)
    data = Dataset(("zebra", "car", "a<b>&c"), sets.one(tmp_path / "in", *labels).pictures)

    voc.write(data, tmp_path / "out")

    root = ElementTree.parse(tmp_path / "out" / "Annotations" / "a.xml").getroot()
    assert [side.text for side in root.findall("object/bndbox/*")[:4]] == ["11", "6", "30", "40"]
    assert voc.read(tmp_path / "out").classes == data.classes
    assert sets.bare(voc.read(tmp_path / "out"), 2) == sets.bare(data, 2)


def test_a_label_map_of_cvat_tells_the_order_without_the_background(tmp_path: Path) -> None:
    lines = ["# label:color_rgb:parts:actions", "background:0,0,0::", "person:1,2,3:head:", "car:4,5,6::"]
    (folder(tmp_path) / "labelmap.txt").write_text("\n".join(lines))

    assert voc.read(tmp_path).classes == ("person", "car")


def test_pictures_of_one_name_are_all_kept(tmp_path: Path) -> None:
    car = Label("car", (10, 5, 30, 40))
    data = merge(
        sets.one(tmp_path / where, car, name=name)
        for where, name in (("x", "a.png"), ("y", "a.png"), ("z", "A.jpg"))
    )

    voc.write(data, tmp_path / "out")

    assert sorted(p.name for p in (tmp_path / "out" / "JPEGImages").iterdir()) == [
        "A_3.jpg",
        "a.png",
        "a_2.png",
    ]
    assert len(voc.read(tmp_path / "out")) == 3
