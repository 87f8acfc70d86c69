"""A table of the layers of a fitted network."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

from sklstm._network import dense, embedding, pooling
from sklstm._network.network import SequenceNetwork


class _Row(NamedTuple):
    """A layer, the shape of its output for one sequence, and the number of its parameters."""

    name: str
    shape: str
    n_parameters: int


def summarize(network: SequenceNetwork, title: str) -> str:
    """Return a table with a row for each layer."""
    rows = list(_rows(network))
    cells = [("layer", "output", "parameters")]
    cells += [(row.name, row.shape, f"{row.n_parameters:,}") for row in rows]
    cells.append(("total", "", f"{network.layout.size:,}"))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        f"{name:<{widths[0]}}  {shape:<{widths[1]}}  {n:>{widths[2]}}" for name, shape, n in cells
    ]
    rule = "-" * len(lines[0])
    return "\n".join([title, rule, lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _rows(network: SequenceNetwork) -> Iterator[_Row]:
    shapes = network.layout.shapes

    def count(prefixes: tuple[str, ...]) -> int:
        return sum(
            prod(shape) for name, shape in shapes.items() if name.rsplit(".", 1)[0] in prefixes
        )

    if network.embeds:
        shape = f"(n_timesteps, {network.n_inputs})"
        yield _Row(embedding.NAME, shape, count((embedding.NAME,)))
    for layer in network.layers:
        name = f"{layer.name}, bidirectional" if layer.bidirectional else layer.name
        yield _Row(name, f"(n_timesteps, {layer.width})", count(layer.directions))
    width = network.layers[-1].width
    if network.pooling is not None:
        yield _Row(f'pooling "{network.pooling}"', f"({pooling.width(network.pooling, width)},)", 0)
    output = f"({network.n_outputs},)"
    if network.pooling is None:
        output = f"(n_timesteps, {network.n_outputs})"
    yield _Row(dense.NAME, output, count((dense.NAME,)))
