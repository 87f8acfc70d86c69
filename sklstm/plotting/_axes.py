"""Axes, colours and names that all plots share."""

from __future__ import annotations

from typing import Any

import numpy as np

#: Okabe & Ito 2008, "Color Universal Design": colours that differ for colour-blind people.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
LINE_STYLES = ("-", "--", ":", "-.")


def pyplot() -> Any:
    """Return matplotlib.pyplot, or raise an error that says how to install it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("sklstm.plotting needs matplotlib: pip install matplotlib") from error
    return plt


def style(k: int) -> dict[str, str]:
    """Return colour and line style of the k-th line; no two of 32 lines have the same."""
    n = len(COLORS)
    return {"color": COLORS[k % n], "linestyle": LINE_STYLES[k // n % len(LINE_STYLES)]}


def axes_for(ax: Any, n: int, height: float = 1.6) -> list[Any]:
    """Return ``n`` axes, one below the other.

    ``ax`` is None for a new figure, one axis, whose place is divided, or ``n`` axes.
    """
    plt = pyplot()
    if ax is None:
        size = (7, 3.6) if n == 1 else (7, 1 + height * n)
        _, axes = plt.subplots(n, squeeze=False, figsize=size, layout="constrained")
        return list(axes[:, 0])
    given = list(np.ravel(np.asarray(ax, dtype=object)))
    if len(given) == n:
        return given
    if len(given) != 1:
        raise ValueError(f"ax: expected None, one axis or {n} axes, got {len(given)}")
    outer = given[0]
    spec = outer.get_subplotspec()
    if spec is None:
        raise ValueError(f"ax: expected an axis of a grid of subplots, or {n} axes")
    outer.set_axis_off()
    return [outer.figure.add_subplot(part) for part in spec.subgridspec(n, 1)]


def final_step(estimator: Any) -> Any:
    """Return the last step of a pipeline, or the estimator."""
    while hasattr(estimator, "steps"):
        estimator = estimator.steps[-1][1]
    return estimator


def channel_names(x: Any, n_channels: int, what: str = "channel") -> list[str]:
    """Return the columns of a frame, or numbers."""
    if hasattr(x, "columns") and len(x.columns) == n_channels:
        return [str(name) for name in x.columns]
    return [f"{what} {k}" for k in range(n_channels)]


def heat_map(ax: Any, values: Any, *, symmetric: bool, limits: Any = None, **kwargs: Any) -> Any:
    """Draw values (n_timesteps, n_rows), one row for each channel or unit, with a colour bar."""
    if limits is None:
        largest = float(np.nanmax(np.abs(values))) or 1.0
        limits = (-largest, largest) if symmetric else (0, largest)
    options = {
        "cmap": "RdBu_r" if symmetric else "viridis",
        "aspect": "auto",
        "interpolation": "nearest",
        "vmin": limits[0],
        "vmax": limits[1],
        **kwargs,
    }
    image = ax.imshow(np.asarray(values).T, **options)
    ax.figure.colorbar(image, ax=ax, pad=0.02)
    return image


def integer_ticks(axis: Any) -> None:
    """Put the ticks at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))
