"""Steps of many simulated curricula, compiled: `Curriculum` and `SimulatedLearner` on arrays.

Every function does for one row what those do for one curriculum; the tests compare the two step by step. A step costs
in proportion to the links of the topics learned, the frontier and the slots.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from kgrl.curriculum.research_kernels import gather_into, neighbourhood_into
from kgrl.envs.features.curriculum_kernels import observe_row
from kgrl.learners.simulated.kernels import fade, loss, style_drop, teach
from kgrl.system.kernels import inner_kernel

__all__ = ["advance_rows"]

_gather_into, _neighbourhood_into = gather_into.compiled, neighbourhood_into.compiled


@inner_kernel
def _learn_topic(graph, known, episodes, row, topic):
    """Move a topic to the learned set and discover its neighbours."""
    learned, links = episodes.learned[row], known.links_to_solid[row]
    if learned[topic]:
        return
    learned[topic] = True
    known.learned[row, known.n_learned[row]] = topic
    known.n_learned[row] += 1
    for at in range(graph.near_starts[topic], graph.near_starts[topic + 1]):
        other = graph.near[at]
        links[other] += 1
        if links[other] == 1 and not learned[other]:
            episodes.discovered[row, episodes.n_discovered[row]] = other
            episodes.n_discovered[row] += 1


@inner_kernel
def _measure(tasks, curves, episodes, row, topics, out):
    """Write the probe losses of topics, NaN where there is none or it has no probe passage."""
    fit, total = episodes.fit[row], episodes.tokens[row]
    style = style_drop(curves.values[fit], total)
    for at in range(len(topics)):
        topic = topics[at]
        passage = -1 if topic < 0 else tasks.own_probe[topic]
        out[at] = np.nan
        if passage >= 0:
            reached = episodes.effective[row, topic] * episodes.scale[row]
            out[at] = loss(curves, fit, episodes.noise[row], style, total, reached, topic, passage)


@inner_kernel
def _measure_fixed(tasks, curves, episodes, row, out):
    """Write the losses of the fixed probes."""
    probes = tasks.probes[episodes.task[row]]
    for probe in range(probes.shape[0]):
        _measure(tasks, curves, episodes, row, probes[probe], out[probe])


@inner_kernel
def _note(known, episodes, row, topics, before, after):
    """Take the losses of topics into the profile, each topic's once for each expansion."""
    stamp = known.step[row] + 1
    for at in range(len(topics)):
        topic = topics[at]
        if topic >= 0 and episodes.stamp[row, topic] != stamp:
            episodes.stamp[row, topic] = stamp
            level = known.level[row, topic]
            known.previous[row, topic] = before[at] if np.isnan(level) else level
            known.level[row, topic] = after[at]


@inner_kernel
def _note_all(tasks, known, episodes, latest, row):
    """Take all losses into the profile."""
    probes = tasks.probes[episodes.task[row]]
    for probe in range(probes.shape[0]):
        _note(known, episodes, row, probes[probe], latest.before[row, probe], latest.after[row, probe])
    _note(known, episodes, row, latest.own[row], latest.own_before[row], latest.own_after[row])


@inner_kernel
def _gather(tasks, research, episodes, latest, row):
    """Write the passages of a lesson and how many of their tokens there is room for."""
    tokens = tasks.tokens[tasks.calibration[episodes.fit[row]]]
    room = min(tasks.lesson, tasks.budget - episodes.tokens[row])
    out, topics = latest.passages[row], latest.topics[row]
    n = _gather_into(research, episodes.used[row], topics, latest.n_topics[row], tokens, room, out)
    latest.n_passages[row] = n
    total = 0
    for at in range(n):
        total += tokens[out[at]]
    latest.tokens[row] = min(total, room)


@inner_kernel
def _teach(tasks, curves, related, episodes, latest, row):
    """Teach the lesson that was gathered."""
    fit, total = episodes.fit[row], episodes.tokens[row]
    tokens, values = tasks.tokens[tasks.calibration[fit]], curves.values[fit]
    n, left = latest.n_passages[row], latest.tokens[row]
    topics, counts, read = np.empty(n, dtype=np.int32), np.zeros(n), np.int64(0)
    style, lost = style_drop(values, total), 0.0
    for at in range(n):
        passage = latest.passages[row, at]
        episodes.used[row, passage] = True
        topic, count = tasks.topics[passage], min(tokens[passage], left)
        left -= count
        if tasks.measure_training:
            reached = episodes.effective[row, topic] * episodes.scale[row]
            lost += count * loss(curves, fit, episodes.noise[row], style, total, reached, topic, passage)
        place = 0
        while place < read and topics[place] != topic:
            place += 1
        if place == read:
            topics[read] = topic
            read += 1
        counts[place] += count
    for topic in topics[:read]:
        episodes.n_read[row] += not episodes.read[row, topic]
        episodes.read[row, topic] = True
    latest.train_loss[row] = lost / latest.tokens[row]
    episodes.scale[row] = fade(values, latest.tokens[row], episodes.scale[row], episodes.effective[row])
    teach(values, related, episodes.scale[row], episodes.effective[row], topics, counts, read)
    episodes.tokens[row] += latest.tokens[row]


@inner_kernel
def _keep_reached(tasks, latest, row):
    """Keep the topics of which a passage was reached before the budget ended; only they count as learned."""
    topics, kept = latest.topics[row], 1
    for at in range(1, latest.n_topics[row]):
        for passage in latest.passages[row, : latest.n_passages[row]]:
            if tasks.topics[passage] == topics[at]:
                topics[kept] = topics[at]
                kept += 1
                break
    latest.n_topics[row] = kept


@inner_kernel
def _expand(fixed, state, row):
    """Learn the neighbourhood that is in `latest.topics`."""
    tasks, curves, known, episodes, latest = fixed.tasks, fixed.curves, state.known, state.episodes, state.latest
    own = latest.own[row]
    own[:] = -1
    if tasks.measure_own:
        for at in range(latest.n_topics[row]):
            topic = latest.topics[row, at]
            own[at] = topic if tasks.own_probe[topic] >= 0 else -1
    if known.step[row] == 0:
        _measure_fixed(tasks, curves, episodes, row, latest.after[row])
    latest.before[row] = latest.after[row]
    _measure(tasks, curves, episodes, row, own, latest.own_before[row])
    _gather(tasks, fixed.research, episodes, latest, row)
    _teach(tasks, curves, fixed.related, episodes, latest, row)
    _measure_fixed(tasks, curves, episodes, row, latest.after[row])
    _measure(tasks, curves, episodes, row, own, latest.own_after[row])
    _keep_reached(tasks, latest, row)
    for at in range(latest.n_topics[row]):
        _learn_topic(fixed.graph, known, episodes, row, latest.topics[row, at])
    _note_all(tasks, known, episodes, latest, row)
    known.step[row] += 1


@inner_kernel
def _observe(fixed, state, row, thread):
    """Drop what was learned from the frontier and observe the candidates."""
    episodes, pool = state.episodes, state.workspace.pool[thread, 0]
    candidates = state.workspace.pool[thread, 1]
    discovered, kept, n = episodes.discovered[row], np.int64(0), np.int64(0)  # 0 would compile what it goes to twice
    trainable, learned = fixed.tasks.trainable[episodes.task[row]], episodes.learned[row]
    for at in range(episodes.n_discovered[row]):
        topic = discovered[at]
        if not learned[topic]:
            discovered[kept] = topic
            kept += 1
            if trainable[topic]:
                candidates[n] = topic
                n += 1
    episodes.n_discovered[row], episodes.n_candidates[row] = kept, n
    state.known.budget_left[row] = 1.0 - episodes.tokens[row] / fixed.tasks.budget
    slot_of = state.workspace.slot_of[thread]
    observe_row(fixed.graph, fixed.goals, state.known, row, candidates, n, slot_of, pool, state.shown)


@inner_kernel
def _clear(known, episodes, row):
    """Forget everything."""
    episodes.learned[row] = False
    episodes.used[row] = False
    episodes.read[row] = False
    episodes.effective[row] = 0.0
    episodes.stamp[row] = 0
    episodes.n_discovered[row], episodes.tokens[row], episodes.scale[row] = 0, 0, 1.0
    known.n_learned[row], known.summed[row], known.step[row], episodes.n_read[row] = 0, 0, 0, 0
    known.links_to_solid[row] = 0
    known.level[row] = np.nan
    known.previous[row] = np.nan
    known.nearest_similarity[row] = -1.0
    known.compared[row] = 0
    known.learned_sum[row] = 0.0


@inner_kernel
def _set_nucleus(nucleus, latest, row):
    """Put the nucleus where neighbourhoods to learn are put."""
    n = 0
    while n < len(nucleus) and nucleus[n] >= 0:
        latest.topics[row, n] = nucleus[n]
        n += 1
    latest.n_topics[row] = n


@inner_kernel
def _mean_level(known, episodes, row, topics):
    """Return sum and number of the losses measured around the nucleus, and mark the topics that were counted."""
    total, count = 0.0, 0
    for topic in topics:
        if topic >= 0 and episodes.stamp[row, topic] == 1 and not np.isnan(known.level[row, topic]):
            total, count = total + known.level[row, topic], count + 1
            episodes.stamp[row, topic] = -1
    return total, count


@inner_kernel
def _note_first_loss(tasks, known, episodes, latest, row):
    """Keep the mean of all topics measured around the nucleus as the first loss."""
    total, count = _mean_level(known, episodes, row, latest.own[row])
    probes = tasks.probes[episodes.task[row]]
    for probe in range(probes.shape[0]):
        more, counted = _mean_level(known, episodes, row, probes[probe])
        total, count = total + more, count + counted
    mean = total / count if count else 0.0
    known.first_loss[row], known.previous_loss[row], known.latest_loss[row] = mean, mean, mean


@inner_kernel
def _mean(values):
    """Return the mean of the numbers that are not NaN; NaN where none is."""
    total, count = 0.0, 0
    for value in values:
        if not np.isnan(value):
            total += value
            count += 1
    return total / count if count else np.nan


@inner_kernel
def _note_losses(known, latest, row):
    """Keep the first, previous and latest loss: the first fixed probe's that was measured, or the neighbourhood's."""
    before, after = np.nan, np.nan
    for probe in range(latest.before.shape[1]):
        if np.isnan(before):
            before, after = _mean(latest.before[row, probe]), _mean(latest.after[row, probe])
    if np.isnan(before):
        before, after = _mean(latest.own_before[row]), _mean(latest.own_after[row])
    if np.isnan(before):
        after = latest.train_loss[row]
        before = known.latest_loss[row] if known.step[row] > 2 else after
    if known.step[row] == 2:
        known.first_loss[row] = before
    known.previous_loss[row], known.latest_loss[row] = before, after


# Threads of Python share the rows: a parallel loop of numba's would take as long to compile as all it calls.
@njit(cache=True, nogil=True, error_model="numpy")
def advance_rows(rows, picks, thread, fixed, state):
    """Let some curricula learn the neighbourhood of a topic each, or begin anew, and observe them.

    Those that begin know nothing and learn their nucleus; their tasks, fits and seeds are set before.

    Args:
        rows: The curricula, `[n]`.
        picks: The topics, -1 for those that begin, `[n]`.
        thread: The row of the workspace to work in.
        fixed: What never changes, a `SharedTables`.
        state: What changes, a `VectorState`.
    """
    tasks, known, episodes, latest = fixed.tasks, state.known, state.episodes, state.latest
    for at in range(len(rows)):
        row, pick = rows[at], picks[at]
        if pick < 0:
            _clear(known, episodes, row)
            known.aim[row] = episodes.task[row]
            _set_nucleus(tasks.nuclei[episodes.task[row]], latest, row)
            _expand(fixed, state, row)
            _note_first_loss(tasks, known, episodes, latest, row)
        else:
            trainable, out = tasks.trainable[episodes.task[row]], latest.topics[row, : tasks.neighbourhood]
            latest.n_topics[row] = _neighbourhood_into(fixed.research, episodes.learned[row], trainable, pick, out)
            _expand(fixed, state, row)
            _note_losses(known, latest, row)
        _observe(fixed, state, row, thread)
