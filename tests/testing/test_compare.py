"""What counts as close, and what the report says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trtreg.testing import compare

EXACT = np.array([1.0, -3.14159265358979, 1e-7, 60000.0, 0.0])


@pytest.mark.parametrize("name", compare.FLOATS)
def test_one_rounding_is_allowed_and_two_steps_are_not(name: str) -> None:
    dtype = getattr(torch, name)
    found = torch.from_numpy(EXACT).to(dtype)
    compare.assert_close(found, EXACT)
    further = torch.from_numpy(compare.wide(found) + 2.1 * compare.ROUNDING[name] * np.abs(EXACT)).to(dtype)
    with pytest.raises(AssertionError, match="elements of shape"):
        compare.assert_close(further, EXACT)
    compare.assert_close(further, EXACT, before=2.2 * compare.ROUNDING[name] * np.abs(EXACT))


def test_what_is_no_number_has_to_be_the_same() -> None:
    special = torch.tensor([torch.nan, torch.inf, -torch.inf])
    compare.assert_close(special, special.double())
    for other in (torch.tensor([0.0, torch.inf, -torch.inf]), torch.tensor([torch.nan, -torch.inf, -torch.inf]),
                  torch.tensor([torch.nan, 1e30, -torch.inf])):  # fmt: skip
        with pytest.raises(AssertionError, match="1 of 3 elements"):
            compare.assert_close(other, special.double())


def test_infinity_where_the_type_ends() -> None:
    compare.assert_close(torch.tensor([torch.inf], dtype=torch.float16), np.array([65530.0]))
    with pytest.raises(AssertionError):
        compare.assert_close(torch.tensor([torch.inf], dtype=torch.float16), np.array([60000.0]))
    with pytest.raises(AssertionError):
        compare.assert_close(torch.tensor([torch.inf], dtype=torch.float16), np.array([-70000.0]))


def test_integers_have_to_be_equal() -> None:
    compare.assert_close(torch.tensor([1, 2]), np.array([1, 2]))
    with pytest.raises(AssertionError, match=r"\[1\] found 2, expected 3"):
        compare.assert_close(torch.tensor([1, 2]), np.array([1, 3]), context="case")
    with pytest.raises(AssertionError, match="shape"):
        compare.assert_close(torch.tensor([1, 2]), np.array([1]))


def test_the_worst_comes_first() -> None:
    found = torch.zeros(2, 3)
    found[1, 2] = 5
    found[0, 1] = 1
    with pytest.raises(AssertionError) as report:
        compare.assert_close(found, np.zeros((2, 3)), context="alpha=1")
    lines = str(report.value).splitlines()
    assert lines[0] == "2 of 6 elements of shape (2, 3) are wrong: float32 alpha=1"
    assert lines[1].startswith("  [1, 2] found 5, expected 0")
    assert len(lines) == 3


def test_same_bits() -> None:
    compare.assert_same([torch.tensor([torch.nan, -0.0])], [torch.tensor([torch.nan, -0.0])])
    with pytest.raises(AssertionError, match="output 0"):
        compare.assert_same([torch.tensor([0.0])], [torch.tensor([-0.0])])
    with pytest.raises(AssertionError, match="float16"):
        compare.assert_same([torch.tensor([0.0])], [torch.tensor([0.0], dtype=torch.float16)])
