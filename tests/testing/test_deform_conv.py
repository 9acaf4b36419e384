"""What the tests of the deformable convolutions stand on: the oracle, and that a result which is off is seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from trtreg.testing.deform_conv import EDGES, Case, assert_close, oracle, random_case, to_tensors, tolerance

CASE = Case(batch=2, channels=4, out_channels=6, groups=2, size=(6, 7), stride=(2, 1), padding=(1, 1), offsets="none")


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_without_offsets_the_oracle_is_a_convolution(mask: bool, bias: bool) -> None:
    case = replace(CASE, mask=mask, bias=bias)
    inputs = case.inputs(np.random.default_rng(0))
    assert [*inputs] == ["x", "offset", *["mask"] * mask, "weight", *["bias"] * bias]
    if mask:
        inputs["mask"][:] = 0.5
    given = to_tensors(inputs, "float64")
    expected = torch.nn.functional.conv2d(
        given["x"] / 2 if mask else given["x"], given["weight"], given.get("bias"), (2, 1), 1, groups=2
    )
    np.testing.assert_allclose(oracle(case, inputs), expected.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_what_is_off_is_seen(dtype: str) -> None:
    case = replace(CASE, mask=True, bias=True, offsets="near")
    inputs = case.inputs(np.random.default_rng(0))
    expected = oracle(case, inputs)
    assert_close(case, inputs, expected, expected, dtype)
    allowed = tolerance(case, inputs, expected, dtype)
    assert_close(case, inputs, expected + 0.9 * allowed, expected, dtype)
    far, nowhere = expected.copy(), expected.copy()
    far[1, 2, 0, 3] += 1.1 * allowed[1, 2, 0, 3]
    nowhere[0, 0, 0, 0] = np.nan
    for wrong, what in ((far, "more than the error"), (nowhere, "NaN in other places"), (expected[:1], "shape")):
        with pytest.raises(AssertionError, match=what):
            assert_close(case, inputs, wrong, expected, dtype)


def test_products_of_tensor_cores_may_be_further_off() -> None:
    case = next(case for case in EDGES if case.on_tensor_cores("float32"))
    inputs = case.inputs(np.random.default_rng(0))
    expected = oracle(case, inputs)
    exact = tolerance(replace(case, allow_tf32=False), inputs, expected, "float32")
    assert (tolerance(case, inputs, expected, "float32") > 5 * exact).all()


def test_random_cases_reach_all_there_is() -> None:
    random = np.random.default_rng(0)
    plain = [random_case(random) for _ in range(300)]
    assert not any(case.mask or case.bias for case in plain)
    modulated = [random_case(random, modulated=True) for _ in range(300)]
    assert all(case.mask for case in modulated)
    assert {case.bias for case in modulated} == {False, True}
    for cases in (plain, modulated):
        assert {case.offsets for case in cases} == {"none", "grid", "near", "far", "huge", "nan"}
        assert {case.on_tensor_cores("float16") for case in cases} == {False, True}
        assert any(case.batch == 0 for case in cases)
        assert all(min(case.extent) > 0 for case in cases)
        assert any(case.groups > 1 and case.deform_groups > 1 for case in cases)
