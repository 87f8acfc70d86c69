"""The network in NumPy: layers that hold no arrays, over packed batches of sequences."""
