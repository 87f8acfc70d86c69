"""What is compiled, for which processor, and where it is stored, as lines for people."""

from __future__ import annotations

from collections import defaultdict

from sklstm._network.kernels.compiled import cpu, disk_cache, loading

#: Features that matter for the kernels begin with these letters.
_VECTOR_FEATURES = ("avx", "fma", "neon", "sse4", "sve")


def describe() -> dict[str, str]:
    """Return the processor, its features, the folders of compiled code and what they contain."""
    features = [name[1:] for name in cpu.FEATURES.split(",") if name.startswith("+")]
    lines = {
        "processor": f"{cpu.NAME}, computed in vectors of {cpu.VECTOR_BYTES} bytes",
        "features": " ".join(f for f in sorted(features) if f.startswith(_VECTOR_FEATURES)),
        "folders of compiled code": ", ".join(map(str, disk_cache.folders())) or "none",
    }
    places = defaultdict(list)
    for symbol, file in loading.stored().items():
        places[f"in {file.parent}" if file else "not there"].append(symbol.removeprefix("sklstm_"))
    lines |= {f"compiled code {place}": ", ".join(names) for place, names in places.items()}
    return lines
