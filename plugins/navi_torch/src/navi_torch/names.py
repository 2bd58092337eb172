"""Names of the tensors in what a model takes or gives: tuples, lists, dicts, named tuples. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["NameTree", "parse_spec"]


@dataclass(frozen=True, slots=True)
class NameTree:
    """A structure of tensors: a leaf, or parts with names or numbers.

    Parameters
    ----------
    parts
        Key (text) or position (number) -> part; None: it is a leaf.
    """

    parts: tuple[tuple[str | int, NameTree], ...] | None = None

    @property
    def num_leaves(self) -> int:
        """The number of tensors in it."""
        return sum(1 for _ in self._paths(()))

    def names(self, word: str, count: int) -> list[str]:
        """Return a name for each leaf: ``output_0``, a dict's key, ``key_1`` for what lies in what.

        Parameters
        ----------
        word
            Stands before the position of what has no key.
        count
            Leaves that there must be; the structure is forgotten where it has another number of them.
        """
        found = [_join(path, word) for path in self._paths(())]
        if len(found) != count or len(set(found)) != count:
            return [f"{word}_{index}" for index in range(count)]
        return found

    def _paths(self, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
        if self.parts is None:
            yield path
        else:
            for key, part in self.parts:
                yield from part._paths((*path, key))  # noqa: SLF001 - its own kind


def _join(path: tuple[str | int, ...], word: str) -> str:
    if not path:
        return f"{word}_0"
    head = path if isinstance(path[0], str) else (word, *path)
    return "_".join(str(part) for part in head)


def parse_spec(text: str, fields: Mapping[str, tuple[str, ...]] | None = None) -> NameTree:
    """Read a tree of torch's ``pytree`` from its JSON text.

    Parameters
    ----------
    text
        As ``treespec_dumps`` writes it.
    fields
        A named tuple's type -> its field names.

    Raises
    ------
    ValueError, KeyError, TypeError, IndexError
        It is something else.
    """
    return _tree(json.loads(text)[1], fields or {})


def _tree(node: Any, fields: Mapping[str, tuple[str, ...]]) -> NameTree:
    kind = node["type"]
    if kind is None:
        return NameTree()
    children = [_tree(child, fields) for child in node["children_spec"]]
    context = node.get("context")
    context = json.loads(context) if isinstance(context, str) else context
    keys: list[str | int] = list(range(len(children)))
    named = fields.get(str(context)) or fields.get(str(kind))
    if kind.endswith(("dict", "OrderedDict")) and isinstance(context, list) and len(context) == len(children):
        keys = [str(key) for key in context]
    elif named is not None and len(named) == len(children):
        keys = list(named)
    return NameTree(tuple(zip(keys, children, strict=True)))
