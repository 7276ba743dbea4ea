"""Chance that is always the same: splits and holdouts by a hash of the customer's id."""

import hashlib
from collections.abc import Mapping

PARTS = 1 << 64


def share(*names: str) -> int:
    """A number below `PARTS`, evenly spread, and always the same for the same names."""
    digest = hashlib.sha256("\0".join(names).encode()).digest()
    return int.from_bytes(digest[:8], "big")


def variant_of(campaign: str, split: str, customer_id: str, weights: Mapping[str, int]) -> str:
    """The variant of a split that the customer always gets, by weight. Raises ValueError where no weight is set."""
    total = sum(weights.values())
    if total <= 0:
        raise ValueError(f"the split {split!r} has no weight above zero")
    point = share("split", campaign, split, customer_id) * total // PARTS
    for name, weight in weights.items():
        if point < weight:
            return name
        point -= weight
    raise AssertionError("the point lies below the total")
