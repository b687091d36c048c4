"""Roles of token positions."""

from __future__ import annotations

import torch

from mive.attention.roles import TokenRoles


def test_every_position_has_one_role() -> None:
    roles = TokenRoles(torch.arange(76))
    count = roles.start(77).int() + roles.text(77) + roles.end(77) + roles.padding(77)
    assert (count == 1).all()
    assert roles.text(77).sum(1).tolist() == list(range(76))
