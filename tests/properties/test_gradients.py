"""Gradients of every loss against finite differences, in float64."""

from __future__ import annotations

import pytest
import torch
from loss_table import CASES, WITHOUT_GRADIENTS, logits, public_names

from loss.adaptation import image_weights
from loss.self_supervision import pseudo_labels

pytestmark = pytest.mark.reliability


def test_the_table_is_complete() -> None:
    """Every public function and class of ``loss`` is checked, or is listed with why it has no gradient."""
    checked, without = {case.function for case in CASES.values()}, set(WITHOUT_GRADIENTS)
    assert checked & without == set()
    assert checked | without == set(public_names())


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    case = CASES[name]
    variables = [variable.clone().requires_grad_() for variable in case.variables]
    assert torch.autograd.gradcheck(lambda *given: case.call(*given, *case.constants), variables, atol=1e-6)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.constants and case.detaches])
def test_no_gradient_reaches_what_a_loss_takes_as_given(name: str) -> None:
    case = CASES[name]
    given = [tensor.clone().requires_grad_() for tensor in (*case.variables, *case.constants)]
    case.call(*given).sum().backward()
    constants = given[len(case.variables) :]
    assert [constant.grad for constant in constants if constant.grad is not None] == []


def test_weights_and_labels_are_detached() -> None:
    variable = logits().requires_grad_()
    assert not image_weights(variable, 0.2).requires_grad
    labelled = pseudo_labels(variable.softmax(1), torch.full((4,), 0.25), 0.75, 0.001)
    assert not labelled.confidence.requires_grad
