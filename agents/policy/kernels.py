"""Element-wise parts of the curiosity policy, compiled: each pass reads and writes its arrays once.

PyTorch carries out the matrix products; between them it would go through arrays of `[batch, slots, width]` numbers some
twenty times. `kgrl.agents.policy.layers` puts the two together. All arrays are float32 unless another type is named.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["judge_back", "judge_into", "mark_present", "modulate_back", "modulate_into", "recur_back", "recur_into"]

_FLOAT = np.float32
_ZERO, _HALF, _ONE, _TWO = _FLOAT(0), _FLOAT(0.5), _FLOAT(1), _FLOAT(2)
_LOWEST = np.finfo(np.float32).min
_LOG2_E, _LN2_HIGH, _LN2_LOW = _FLOAT(1.4426950408889634), _FLOAT(0.693359375), _FLOAT(-2.12194440e-4)
_BIAS, _MANTISSA = np.int32(127), np.int32(23)
_ROOT_HALF, _ROOT_TAU = _FLOAT(0.7071067811865476), _FLOAT(0.3989422804014327)

# Sums may be taken in any order, so that they fill vector registers; NaN and infinity keep their meaning.
_FAST = {"reassoc", "contract", "arcp", "nsz"}


@njit(inline="always", cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _exp(x):
    """Return e to the x, to 2e-7 of it; unlike the library's function, it is carried out on whole vector registers."""
    x = min(max(x, _FLOAT(-87)), _FLOAT(87))
    power = np.floor(x * _LOG2_E + _HALF)
    rest = x - power * _LN2_HIGH - power * _LN2_LOW
    # The polynomial of the Cephes library on [-ln(2) / 2, ln(2) / 2].
    series = _FLOAT(1.9875691500e-4)
    series = series * rest + _FLOAT(1.3981999507e-3)
    series = series * rest + _FLOAT(8.3334519073e-3)
    series = series * rest + _FLOAT(4.1665795894e-2)
    series = series * rest + _FLOAT(1.6666665459e-1)
    series = series * rest + _FLOAT(5.0000001201e-1)
    series = series * rest * rest + rest + _ONE
    return series * np.int32((np.int32(power) + _BIAS) << _MANTISSA).view(_FLOAT)


@njit(inline="always", cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _sigmoid(x):
    return _ONE / (_ONE + _exp(-x))


@njit(inline="always", cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _below_and_bell(x):
    """Return the normal distribution's share below x, and e to the -x^2 / 2.

    Abramowitz and Stegun 1964, 7.1.26, off by 1e-7 at most.
    """
    bell, t = _exp(-_HALF * x * x), _ONE / (_ONE + _FLOAT(0.3275911) * _ROOT_HALF * abs(x))
    series = _FLOAT(1.061405429)
    series = series * t - _FLOAT(1.453152027)
    series = series * t + _FLOAT(1.421413741)
    series = series * t - _FLOAT(0.284496736)
    series = series * t + _FLOAT(0.254829592)
    beyond = _HALF * series * t * bell
    return (_ONE - beyond if x >= _ZERO else beyond), bell


@njit(inline="always", cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _gelu(x):
    return x * _below_and_bell(x)[0]


@njit(inline="always", cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _gelu_slope(x):
    below, bell = _below_and_bell(x)
    return below + x * bell * _ROOT_TAU


@njit(inline="always", cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _moments(row):
    """Return the mean of some numbers, and one over their standard deviation."""
    mean, square = _ZERO, _ZERO
    for at in range(len(row)):
        mean += row[at]
    mean /= _FLOAT(len(row))
    for at in range(len(row)):
        square += (row[at] - mean) * (row[at] - mean)
    return mean, _ONE / np.sqrt(square / _FLOAT(len(row)) + _FLOAT(1e-5))


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def modulate_into(first, last, z, weight, bias, scale, shift, out):
    """Normalise rows, scale and shift them by their sample's context, and take the GELU.

    Args:
        first: The first sample to work on.
        last: The one after the last.
        z: The rows, `[batch, slots, width]`.
        weight: The factors of layer normalisation, `[width]`.
        bias: Its offsets, `[width]`.
        scale: Factors minus 1 of each sample, `[batch, width]`.
        shift: Offsets of each sample, `[batch, width]`.
        out: Where to, `[batch, slots, width]`.
    """
    for sample in range(first, last):
        for slot in range(z.shape[1]):
            row, to = z[sample, slot], out[sample, slot]
            mean, rate = _moments(row)
            for at in range(z.shape[2]):
                read = (row[at] - mean) * rate * weight[at] + bias[at]
                to[at] = _gelu(read * (_ONE + scale[sample, at]) + shift[sample, at])


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def modulate_back(first, last, grad, z, weight, bias, scale, shift, to_z, to_scale, to_shift, to_weight, to_bias):
    """Write the gradients of `modulate_into`; those of weight and bias are added to.

    Args:
        first: The first sample to work on.
        last: The one after the last.
        grad: The gradient of its result, `[batch, slots, width]`.
        z: Its argument, like the next four.
        weight: `[width]`.
        bias: `[width]`.
        scale: `[batch, width]`.
        shift: `[batch, width]`.
        to_z: Where gradients go to, of the shape of `z`; each of the next of the shape of its argument.
        to_scale: Zeros.
        to_shift: Zeros.
        to_weight: The sum so far.
        to_bias: The sum so far.
    """
    width = z.shape[2]
    for sample in range(first, last):
        for slot in range(z.shape[1]):
            row, out = z[sample, slot], to_z[sample, slot]
            mean, rate = _moments(row)
            total, along = _ZERO, _ZERO
            for at in range(width):
                unit = (row[at] - mean) * rate
                read, factor = unit * weight[at] + bias[at], _ONE + scale[sample, at]
                moved = grad[sample, slot, at] * _gelu_slope(read * factor + shift[sample, at])
                to_shift[sample, at] += moved
                to_scale[sample, at] += moved * read
                moved *= factor
                to_bias[at] += moved
                to_weight[at] += moved * unit
                moved *= weight[at]
                out[at] = moved
                total += moved
                along += moved * unit
            total, along = total / _FLOAT(width), along / _FLOAT(width)
            for at in range(width):
                out[at] = rate * (out[at] - total - (row[at] - mean) * rate * along)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def judge_into(first, last, z, filled, weight, bias, scores, mean):
    """Take the GELU of rows, score each row, and average those of filled slots.

    Args:
        first: The first sample to work on.
        last: The one after the last.
        z: The rows, `[batch, slots, width]`.
        filled: Whether a slot is filled, int8 `[batch, slots]`.
        weight: The weights of the score, `[width]`.
        bias: Its offset, `[1]`.
        scores: Where scores go to, the lowest float where a slot is empty, `[batch, slots]`.
        mean: Where means go to, 0 without a filled slot, `[batch, width]`.
    """
    for sample in range(first, last):
        count = _ZERO
        mean[sample] = _ZERO
        for slot in range(z.shape[1]):
            scores[sample, slot] = _LOWEST
            if filled[sample, slot] > 0:
                score, row = bias[0], z[sample, slot]
                for at in range(z.shape[2]):
                    hidden = _gelu(row[at])
                    score += hidden * weight[at]
                    mean[sample, at] += hidden
                scores[sample, slot] = score
                count += _ONE
        for at in range(z.shape[2]):
            mean[sample, at] /= max(count, _ONE)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def judge_back(first, last, by_score, by_mean, z, filled, weight, to_z, to_weight, to_bias):
    """Write the gradients of `judge_into`; those of weight and bias are added to.

    Args:
        first: The first sample to work on.
        last: The one after the last.
        by_score: The gradient of the scores, `[batch, slots]`.
        by_mean: The gradient of the means, `[batch, width]`.
        z: Its argument, like the next two.
        filled: `[batch, slots]`.
        weight: `[width]`.
        to_z: Where the gradient of `z` goes to, 0 where a slot is empty.
        to_weight: The sum so far, `[width]`.
        to_bias: The sum so far, `[1]`.
    """
    for sample in range(first, last):
        count = _ZERO
        for slot in range(z.shape[1]):
            count += _FLOAT(filled[sample, slot] > 0)
        share = _ONE / max(count, _ONE)
        for slot in range(z.shape[1]):
            out = to_z[sample, slot]
            if filled[sample, slot] <= 0:
                out[:] = _ZERO
                continue
            score, row = by_score[sample, slot], z[sample, slot]
            to_bias[0] += score
            for at in range(z.shape[2]):
                below, bell = _below_and_bell(row[at])
                to_weight[at] += score * row[at] * below
                moved = score * weight[at] + by_mean[sample, at] * share
                out[at] = moved * (below + row[at] * bell * _ROOT_TAU)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def mark_present(rows, present):
    """Write 1 for rows in which any number is not 0, else 0.

    Args:
        rows: The rows, `[batch, rows, width]`.
        present: Where to, `[batch, rows]`.
    """
    for sample in range(rows.shape[0]):
        for at in range(rows.shape[1]):
            present[sample, at] = _ZERO
            for column in range(rows.shape[2]):
                if rows[sample, at, column] != _ZERO:
                    present[sample, at] = _ONE
                    break


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def recur_into(step, gates, carried, present, before, after):
    """Take one step of a gated recurrent unit (Cho et al. 2014, in the variant of PyTorch).

    Args:
        step: Which step.
        gates: What inputs add to the gates, replaced by the gates: reset, update, new; `[batch, steps, 3 width]`.
        carried: What the state adds to them, `[batch, 3 width]`.
        present: 1 where there is an input, 0 where the state stays 0, `[batch, steps]`.
        before: The state before, `[batch, width]`.
        after: Where the state after it goes to, `[batch, width]`.
    """
    width = before.shape[1]
    both, new = np.empty(2 * width, dtype=np.float32), np.empty(width, dtype=np.float32)
    for sample in range(before.shape[0]):
        # Written in arrays of its own first: where arrays may overlap, numbers are worked on one by one.
        own, share, there = gates[sample, step], carried[sample], present[sample, step]
        for at in range(2 * width):
            both[at] = _sigmoid(own[at] + share[at])
        for at in range(width):
            new[at] = _TWO * _sigmoid(_TWO * (own[2 * width + at] + both[at] * share[2 * width + at])) - _ONE
        for at in range(width):
            after[sample, at] = there * (new[at] + both[width + at] * (before[sample, at] - new[at]))
        own[: 2 * width], own[2 * width :] = both, new


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def recur_back(step, gates, carried, present, before, grad, to_gates, to_carried):
    """Write the gradients of `recur_into`, and turn that of the state after it into that part of the one before.

    Args:
        step: Which step.
        gates: The gates, `[batch, steps, 3 width]`.
        carried: What the state added to the new gate, `[batch, 3 width]`.
        present: 1 where there is an input, `[batch, steps]`.
        before: The state before, `[batch, width]`.
        grad: The gradient of the state after it, `[batch, width]`; replaced by that part of the gradient of the state
            before which does not pass through `carried`.
        to_gates: Where the gradient of what inputs add goes to, `[batch, steps, 3 width]`.
        to_carried: Where the gradient of `carried` goes to, `[batch, 3 width]`.
    """
    width = before.shape[1]
    made = np.empty((4, width), dtype=np.float32)
    for sample in range(before.shape[0]):
        reset, update, new, state = made
        own, there = gates[sample, step], present[sample, step]
        share = carried[sample, 2 * width :]
        for at in range(width):
            reset[at], update[at], new[at] = own[at], own[width + at], own[2 * width + at]
            state[at] = before[sample, at]
        for at in range(width):
            moved = grad[sample, at] * there
            to_new = moved * (_ONE - update[at]) * (_ONE - new[at] * new[at])
            state[at] = moved * (state[at] - new[at]) * update[at] * (_ONE - update[at])
            grad[sample, at] = moved * update[at]
            update[at] = to_new * reset[at]
            reset[at] *= to_new * share[at] * (_ONE - reset[at])
            new[at] = to_new
        to_gates[sample, step, :width] = to_carried[sample, :width] = reset
        to_gates[sample, step, width : 2 * width] = to_carried[sample, width : 2 * width] = state
        to_gates[sample, step, 2 * width :], to_carried[sample, 2 * width :] = new, update
