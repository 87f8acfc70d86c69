"""Kernels compiled by Numba, loaded without it."""
