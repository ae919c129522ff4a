"""VOC: a folder of Pascal VOC XML, one file a picture, as LabelImg writes it.

Pascal VOC counts pixels from 1 and includes the last one, so a box is read as xmin-1, ymin-1,
xmax, ymax, and written the other way round. LabelImg does the same to what lies at the border
only; a box that it drew may be off by one pixel. `difficult` means a region to ignore. Files
`labelmap.txt`, as CVAT writes them, hold the order of the classes.

Source: Everingham and Winn, The PASCAL VOC2012 Development Kit, section 8; the subtraction is
that of Detectron2's pascal_voc.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat
from xml.sax.saxutils import escape

from edge_detect.errors import DatasetError, InputMissing
from edge_detect.workshop.dataset import Box, Dataset, Fault, Label, Picture
from edge_detect.workshop.formats import files

_LARGEST = 16 << 20  # bytes of an XML file
_DEEPEST = 40
_LABELMAP = "labelmap.txt"


@dataclass(slots=True)
class _Node:
    """An element, and the line that it began on."""

    tag: str
    line: int
    text: str = ""
    children: list[_Node] = field(default_factory=list)

    def all(self, tag: str) -> Iterator[_Node]:
        return (child for child in self.children if child.tag == tag)

    def find(self, *tags: str) -> str:
        """The text of a descendant, empty where there is none."""
        node: _Node | None = self
        for tag in tags:
            node = next(node.all(tag), None) if node else None
        return node.text.strip() if node else ""


class _Refused(ValueError):
    """What an annotation never needs and an attack does."""


def _parse(data: bytes) -> _Node:
    """The root; no document type is accepted, so no entity can be declared."""
    parser = expat.ParserCreate()
    open_nodes = [_Node("", 0)]

    def start(tag: str, _: object) -> None:
        if len(open_nodes) > _DEEPEST:
            raise _Refused(f"elements nested more than {_DEEPEST} deep")
        node = _Node(tag, parser.CurrentLineNumber)
        open_nodes[-1].children.append(node)
        open_nodes.append(node)

    def end(_: str) -> None:
        open_nodes.pop()

    def read_text(text: str) -> None:
        open_nodes[-1].text += text

    def refuse(*_: object) -> None:
        raise _Refused("a document type, which may hide anything; take the line out")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = read_text
    parser.StartDoctypeDeclHandler = refuse
    parser.buffer_text = True
    parser.Parse(data, True)
    return open_nodes[0].children[0]


def read(path: Path, images: Path | None = None) -> Dataset:
    """The set in a folder (`Annotations` and `JPEGImages`, or XML beside the pictures) or one XML file.

    Args:
        path: The folder or file.
        images: Folder of the pictures; `JPEGImages` beside `Annotations`, or the XML's own, by default.

    Raises:
        InputMissing: There is nothing.
        DatasetError: No file of it can be read.
    """
    if not path.exists():
        raise InputMissing(f"{path}: cannot read the data set: no such file or folder")
    paths = [path]
    if path.is_dir():
        beside = path / "Annotations"
        paths = sorted((beside if beside.is_dir() else path).rglob("*.xml"))
    faults: list[Fault] = []
    pictures = []
    for file in paths:
        picture = _picture(file, images, faults)
        if picture:
            pictures.append(picture)
    if not pictures:
        raise DatasetError(str(faults[0]) if faults else f"{path}: expected Pascal VOC .xml files, got none")
    known = _labelmap(path / _LABELMAP) if path.is_dir() else ()
    classes = tuple(dict.fromkeys([*known, *sorted({label.name for p in pictures for label in p.labels})]))
    looked = frozenset(classes)
    return Dataset(
        classes,
        tuple(Picture(p.path, p.size, p.labels, looked, where=p.where) for p in pictures),
        tuple(faults),
    )


def _labelmap(path: Path) -> tuple[str, ...]:
    """The names of `name:colour:parts:actions`, a line each, but for the background of masks."""
    if not path.is_file():
        return ()
    lines = files.read_text(path, "one label a line").splitlines()
    names = (line.rsplit(":", 3)[0] for line in lines if line.count(":") >= 3 and line[0] not in "#:")
    return tuple(name for name in names if name != "background")


def _picture(path: Path, images: Path | None, faults: list[Fault]) -> Picture | None:
    """What a file labels; None, and a fault, where it is no annotation."""
    try:
        if path.stat().st_size > _LARGEST:
            raise _Refused(f"a file of more than {_LARGEST >> 20} MiB")
        root = _parse(path.read_bytes())
    except OSError as error:
        faults.append(Fault(str(path), f"cannot read: {error.strerror}"))
        return None
    except expat.ExpatError as error:
        faults.append(Fault(f"{path}:{error.lineno}", f"not XML: {expat.ErrorString(error.code)}"))
        return None
    except (ValueError, LookupError) as error:  # the second: an encoding that Python does not know
        faults.append(Fault(str(path), f"expected Pascal VOC XML, got {error}"))
        return None
    if root.tag != "annotation":
        faults.append(Fault(f"{path}:{root.line}", f"expected <annotation>, got <{root.tag:.40}>"))
        return None
    image = _image(path, root, images, faults)
    size = image and (_size(root) or files.size_of(image))
    if image and not size:
        faults.append(Fault(f"{path}:{root.line}", f"no <size>, and {image.name} cannot be read"))
    if not image or not size:
        return None
    labels = []
    for node in root.all("object"):
        found = _label(f"{path}:{node.line}", node)
        if isinstance(found, Fault):
            faults.append(found)
        else:
            labels.append(found)
    return Picture(image, size, tuple(labels), frozenset(), where=f"{path}:{root.line}")


def _image(path: Path, root: _Node, images: Path | None, faults: list[Fault]) -> Path | None:
    """The image file: that which is named, else that of the XML's own name."""
    folders = [images] if images else list(_folders(path))
    name = root.find("filename") or f"{path.stem}.jpg"
    named = [files.inside(folder, name) for folder in folders]
    if named[0] is None:
        faults.append(Fault(f"{path}:{root.line}", f"filename '{name:.60}' leads out of {folders[0]}"))
        return None
    twins = [folder / f"{path.stem}{ending}" for folder in folders for ending in sorted(files.ENDINGS)]
    return next((file for file in (*named, *twins) if file and file.exists()), named[0])


def _folders(path: Path) -> Iterator[Path]:
    """Where the picture of an XML file may be, the likeliest first; CVAT's folders have folders."""
    home = next((above for above in path.parents if above.name == "Annotations"), None)
    if home:
        pictures = home.with_name("JPEGImages")
        yield from dict.fromkeys((pictures / path.parent.relative_to(home), pictures))
    yield path.parent


def _size(root: _Node) -> tuple[int, int] | None:
    sides = [_number(root.find("size", side)) for side in ("width", "height")]
    if not all(side and 1 <= side <= files.LONGEST_SIDE and side == int(side) for side in sides):
        return None
    return int(sides[0] or 0), int(sides[1] or 0)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) < 1e7 else None


def _label(where: str, node: _Node) -> Fault | Label:
    name = " ".join(node.find("name").split())
    if not name:
        return Fault(where, "an object without <name>")
    texts = [node.find("bndbox", side) for side in ("xmin", "ymin", "xmax", "ymax")]
    sides = [side for side in map(_number, texts) if side is not None]
    if len(sides) < 4:
        got = " ".join(text or "nothing" for text in texts)
        return Fault(where, f"{name:.40}: expected <bndbox> with 4 numbers, got {got:.60}")
    box: Box = (sides[0] - 1, sides[1] - 1, sides[2], sides[3])
    return Label(name, box, node.find("difficult").lower() in ("1", "true"), where)


def write(data: Dataset, path: Path) -> None:
    """Writes a folder with `Annotations`, the pictures in `JPEGImages`, and `labelmap.txt`.

    Raises:
        DatasetError: The folder is not empty.
        InputMissing: A picture is not there.
        SinkError: The folder cannot be written.
    """
    with files.new_folder(path) as draft:
        for name in ("Annotations", "JPEGImages"):
            (draft / name).mkdir()
        for picture, name in zip(data.pictures, files.names_for(data.pictures), strict=True):
            files.copy(picture, draft / "JPEGImages" / name)
            xml = draft / "Annotations" / f"{Path(name).stem}.xml"
            xml.write_text(_text(picture, name), "utf-8")
        lines = ["# label:color_rgb:parts:actions", *(f"{name}:::" for name in data.classes)]
        (draft / _LABELMAP).write_text("\n".join(lines) + "\n", "utf-8")


def _text(picture: Picture, name: str) -> str:
    objects = "".join(map(_object, picture.labels))
    return (
        "<annotation>\n"
        "\t<folder>JPEGImages</folder>\n"
        f"\t<filename>{escape(name)}</filename>\n"
        "\t<source>\n\t\t<database>Unknown</database>\n\t</source>\n"
        f"\t<size>\n\t\t<width>{picture.size[0]}</width>\n\t\t<height>{picture.size[1]}</height>\n"
        "\t\t<depth>3</depth>\n\t</size>\n"
        "\t<segmented>0</segmented>\n"
        f"{objects}</annotation>\n"
    )


def _object(label: Label) -> str:
    x1, y1, x2, y2 = label.box
    sides = zip(("xmin", "ymin", "xmax", "ymax"), (x1 + 1, y1 + 1, x2, y2), strict=True)
    box = "".join(f"\t\t\t<{side}>{round(value, 2):.10g}</{side}>\n" for side, value in sides)
    return (
        f"\t<object>\n\t\t<name>{escape(label.name)}</name>\n\t\t<pose>Unspecified</pose>\n"
        f"\t\t<truncated>0</truncated>\n\t\t<difficult>{int(label.ignore)}</difficult>\n"
        f"\t\t<bndbox>\n{box}\t\t</bndbox>\n\t</object>\n"
    )
